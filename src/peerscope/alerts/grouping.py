"""What one message to people is about: an incident, or a single alert outside of incidents."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import Literal

from msgspec import Struct

from peerscope.alerts.model import Alert
from peerscope.alerts.orders import Correlated, Standing, incident_acknowledgement, incident_silence


class Group(Struct, frozen=True):
    """Alerts that are told together."""

    key: str
    """Id of the incident or of the alert."""
    severity: str
    title: str
    description: str
    alerts: tuple[Alert, ...]
    """Those that fire first."""
    root: str | None = None
    """The probable root, where it is an incident that has one."""
    url: str = ""
    """Where people see more."""
    incident: str | None = None
    """Kind of the incident; None for an alert by itself."""
    state: Literal["firing", "resolved"] = "firing"
    started_at: float = 0.0
    """Unix seconds."""
    resolved_at: float | None = None
    names: tuple[str, ...] = ()
    """Other keys under which peers may know it; the first is the same at all peers with the same alerts."""
    told_as: tuple[tuple[str, float], ...] = ()
    """Keys of earlier groups that it was part of, with their beginning: who heard of those has heard of this."""
    silenced: bool = False
    acknowledged: bool = False
    forgotten: bool = False
    """It is over because those it is about were forgotten: they never came back."""


def groups(
    alerts: Iterable[Alert],
    incidents: Iterable[Correlated],
    orders: Standing,
    *,
    url: str = "",
    quiet: Container[str] = (),
    told_as: Callable[[Alert], str | None] = lambda alert: None,
) -> list[Group]:
    """Everything that may be worth a message, lately resolved included.

    `alerts`: marked with the orders that fit them; pending ones are not told. `quiet`: rules of which nobody is told.
    `told_as`: the incident that an alert was part of before, where that one no longer stands.
    """
    by_id = {alert.id: alert for alert in alerts if alert.state != "pending"}
    found: list[Group] = []
    open_now: set[str] = set()
    earlier: dict[str, list[tuple[str, float]]] = {}
    for incident in incidents:
        members = [by_id[name] for name in incident.alerts if name in by_id]
        if incident.state == "open":
            open_now.update(alert.id for alert in members)
        else:
            for alert in members:
                known_as = dict.fromkeys((incident.id, *incident.names))
                earlier.setdefault(alert.id, []).extend((name, incident.started_at) for name in known_as)
        found.append(_of_incident(incident, members, orders, url, quiet))
    for alert in by_id.values():
        if alert.id in open_now or (alert.state != "firing" and alert.id in earlier):
            continue  # the incident speaks for it
        last = told_as(alert)
        names = [*earlier.get(alert.id, ()), *([(last, alert.started_at)] if last else [])]
        found.append(_of_alert(alert, tuple(names), url, quiet))
    return found


def _of_alert(alert: Alert, told_as: tuple[tuple[str, float], ...], url: str, quiet: Container[str]) -> Group:
    return Group(
        key=alert.id,
        severity=alert.severity,
        title=alert.title,
        description=alert.description,
        alerts=(alert,),
        url=url,
        state="firing" if alert.state == "firing" else "resolved",
        started_at=alert.started_at,
        resolved_at=alert.resolved_at,
        told_as=told_as,
        silenced=alert.silenced_by is not None or alert.rule in quiet,
        acknowledged=alert.acknowledged_by is not None,
        forgotten=alert.state == "forgotten",
    )


def _of_incident(
    incident: Correlated, members: list[Alert], orders: Standing, url: str, quiet: Container[str]
) -> Group:
    firing = [alert for alert in members if alert.state == "firing"]
    is_silenced = incident_silence(incident, orders) is not None
    is_known = incident_acknowledgement(incident, orders) is not None
    return Group(
        key=incident.id,
        severity=incident.severity,
        title=incident.title,
        description=incident.description,
        alerts=(*firing, *(alert for alert in members if alert.state != "firing")),
        root=incident.root,
        url=url,
        incident=incident.kind,
        state="firing" if incident.state == "open" else "resolved",
        started_at=incident.started_at,
        resolved_at=incident.ended_at,
        names=tuple(incident.names),
        silenced=is_silenced or (bool(firing) and all(alert.silenced_by or alert.rule in quiet for alert in firing)),
        acknowledged=is_known or (bool(firing) and all(alert.acknowledged_by for alert in firing)),
        forgotten=incident.state != "open" and any(alert.state == "forgotten" for alert in members),
    )
