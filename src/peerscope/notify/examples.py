"""Messages that show how a channel looks. They say that they are examples, and no receiver keeps their alerts open."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from peerscope.alerts.context import Context
from peerscope.alerts.incidents import correlate
from peerscope.alerts.model import Alert
from peerscope.alerts.notification import Notification, NotificationGroup, groups
from peerscope.alerts.rules import default_rules
from peerscope.alerts.silences import StandingOrders
from peerscope.records.alerts import Severity

PEERS, OTHERS = 7, 5
REGION, MACHINE = "eu-west", "5f3a9c04"


def short_test(now: float, url: str) -> Notification:
    """A harmless message. `now`: Unix seconds; `url`: of the dashboard."""
    title, description = "Test message", "This is a test of the channel. There is nothing to do."
    alert = _alert(f"notify-test-{round(now)}", now, severity="low", title=title, description=description)
    group = NotificationGroup(
        alert.id, alert.severity, alert.title, alert.description, (alert,), url=url, started_at=now, resolved_at=now
    )
    return Notification("firing", "new", group, Severity.LOW)


def incident(now: float, url: str) -> Notification:
    """An incident as the correlation finds it: seven busy peers on one machine, and five calm ones elsewhere."""
    rule = next(one for one in default_rules() if one.name == "cpu-high")
    peers = [f"{number:02x}" * 32 for number in range(0xA1, 0xA1 + PEERS + OTHERS)]
    began = now - 60.0
    alerts = [
        replace(
            _alert(
                f"cpu-high-{peer[:16]}",
                began + 4.0 * place,
                rule=rule.name,
                type=rule.type,
                severity=rule.severity,
                title=rule.title,
                description=f"{0.97 - place / 100:.0%} of all cores busy",
                peer_id=peer,
                region=REGION,
                runbook=rule.runbook,
            ),
            url=f"{url.rstrip('/')}/#alert=cpu-high-{peer[:16]}" if url else "",
            metadata={"value": f"{0.97 - place / 100:.2f}", "threshold": f"{rule.threshold:g}", "unit": "ratio"},
        )
        for place, peer in enumerate(peers[:PEERS])
    ]
    around = Context(
        regions=dict.fromkeys(peers, REGION), versions={}, links={}, hosts=dict.fromkeys(peers[:PEERS], MACHINE)
    )
    (found,) = correlate(alerts, around, now)
    (group,) = groups(alerts, (found,), StandingOrders(), url=url)
    return Notification(
        "firing",
        "new",
        replace(
            group,
            key=f"notify-test-host-{round(now)}",
            title=f"EXAMPLE: {group.title}",
            description="This is an example. There is nothing to do.",
        ),
        Severity[found.severity.upper()],
    )


def _alert(name: str, began: float, **values: str) -> Alert:
    fields: dict[str, str | None] = {"type": "test", "rule": "notify-test", "peer_id": None, "region": None, **values}
    state = "resolved"  # so that receivers do not keep it open
    return Alert(id=name, state=state, started_at=began, resolved_at=began, **fields)  # type: ignore[arg-type]


EXAMPLES: dict[str, Callable[[float, str], Notification]] = {"test": short_test, "incident": incident}
