"""Messages that show how a channel looks. They say that they are examples, and no receiver keeps their alerts open."""

from __future__ import annotations

from collections.abc import Callable

from peerscope.alerts.incident import Alternative
from peerscope.alerts.model import Alert
from peerscope.alerts.notification import Notification, NotificationGroup
from peerscope.records.alerts import Severity

PEERS = 7


def short_test(now: float, url: str) -> Notification:
    """A harmless message. `now`: Unix seconds; `url`: of the dashboard."""
    title, description = "Test message", "This is a test of the channel. There is nothing to do."
    alert = _alert(f"notify-test-{round(now)}", now, severity="low", title=title, description=description)
    group = NotificationGroup(
        alert.id, alert.severity, alert.title, alert.description, (alert,), url=url, started_at=now, resolved_at=now
    )
    return Notification("firing", "new", group, Severity.LOW)


def incident(now: float, url: str) -> Notification:
    """An incident: seven busy peers on one machine, one of which is down."""
    began = now - 60.0
    peers = [f"{number:02x}" * 32 for number in range(0xA1, 0xA1 + PEERS)]
    busy = [
        _alert(
            f"cpu-high-{peer[:16]}",
            began + 4.0 * place,
            rule="cpu-high",
            severity="high",
            title="The processor is exhausted",
            description=f"{97 - place} % busy for 60 s",
            peer_id=peer,
        )
        for place, peer in enumerate(peers)
    ]
    down = _alert(
        f"peer-down-{peers[0][:16]}",
        now - 20.0,
        rule="peer-down",
        severity="high",
        title="A peer is down",
        description="3 of 3 observers miss it",
        peer_id=peers[0],
    )
    group = NotificationGroup(
        f"notify-test-host-{round(now)}",
        "critical",
        f"EXAMPLE: {PEERS} peers on one machine report the same CPU",
        "This is an example. There is nothing to do.",
        (*busy, down),
        url=url,
        incident="host",
        started_at=began,
        resolved_at=now,
        confidence=0.64,
        alternatives=(Alternative("cascade", None, 0.24),),
        evidence=(
            f"All {PEERS} peers run on one machine, and no other peer is busy.",
            "Their alerts began within 24 s, in no order along their links.",
        ),
        first_step="Log in to that machine and look at its load: `top`, then the service that uses most of it.",
        regions=("eu-west",),
    )
    return Notification("firing", "new", group, Severity.CRITICAL)


def _alert(name: str, began: float, **values: str) -> Alert:
    fields: dict[str, str | None] = {"type": "test", "rule": "notify-test", "peer_id": None, "region": None, **values}
    state = "resolved"  # so that receivers do not keep it open
    return Alert(id=name, state=state, started_at=began, resolved_at=began, **fields)  # type: ignore[arg-type]


EXAMPLES: dict[str, Callable[[float, str], Notification]] = {"test": short_test, "incident": incident}
