"""Notifications and what they are about: a group, which is an incident or a single alert outside of incidents."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable
from hashlib import blake2b
from typing import Literal

from msgspec import Struct, field
from msgspec.structs import replace

from peerscope.alerts.consequences import consequences
from peerscope.alerts.incident import Alternative, Incident
from peerscope.alerts.model import Alert
from peerscope.alerts.silences import StandingOrders, incident_author, incident_silence, mark
from peerscope.records.alerts import Severity

What = Literal["firing", "resolved", "escalated", "updated"]
"""`updated`: people know its alerts as an incident of another kind."""
Reason = Literal["new", "worse", "update", "again", "resolved", "forgotten", "lost", "missed"]


class NotificationGroup(Struct, frozen=True):
    """Alerts of one message."""

    key: str
    """Id of the incident or of the alert."""
    severity: str
    title: str
    description: str
    alerts: tuple[Alert, ...]
    """Firing alerts come first."""
    root: str | None = None
    """The probable root of an incident, if it has one."""
    url: str = ""
    """Address of the alert on the dashboard; that of the dashboard for an incident. Empty without `notify.url`."""
    incident: str | None = None
    """Kind of the incident; None for a single alert."""
    state: Literal["firing", "resolved"] = "firing"
    started_at: float = 0.0
    """Unix seconds."""
    resolved_at: float | None = None
    names: tuple[str, ...] = ()
    """Other keys that peers may use; the first is equal at all peers with the same alerts."""
    earlier_groups: tuple[tuple[str, float], ...] = field(default=(), name="told_as")
    """Keys of earlier groups with its alerts, and their beginning: people who know those know this one."""
    silenced: bool = False
    acknowledged: bool = False
    episode: int = 0
    """Names this time that it fires, equal at every peer with the same alerts: below 2**53, the last byte 0."""
    forgotten: bool = False
    """It is over because its peers were forgotten: they never came back."""
    confidence: float | None = None
    """0..1; None for a single alert."""
    alternatives: tuple[Alternative, ...] = ()
    evidence: tuple[str, ...] = ()
    first_step: str = ""
    split_from: str | None = None
    merged: tuple[str, ...] = ()
    was: str | None = None
    """These six are those of the incident."""
    regions: tuple[str, ...] = ()
    """Regions that are critical because of this incident."""


class Notification(Struct, frozen=True):
    """One message to people."""

    what: What
    reason: Reason
    """Why now. `update`: people know its alerts under other ids or as another kind. `again`: nobody acknowledged it.
    At the end `forgotten`: its peers never came back. `lost`: no peer states it, and none saw its end. `missed`: no
    message about its beginning was delivered."""
    group: NotificationGroup
    severity: Severity
    updates: tuple[str, ...] = ()
    """Other ids that people know: this group replaces them, its end included."""
    repeat: int = 0
    """Number of the repetition; 0 for the first message."""
    episode: int = 0
    """Names the episode, equal at all notifiers; 0 if unused."""


def groups(
    alerts: Iterable[Alert],
    incidents: Iterable[Incident],
    orders: StandingOrders,
    *,
    url: str = "",
    quiet: Container[str] = (),
    last_incident: Callable[[Alert], str | None] = lambda alert: None,
    unwell: Callable[[str], Collection[str]] = lambda region: (),
) -> list[NotificationGroup]:
    """All groups that may need a message, including those that ended lately.

    `alerts`: marked with the orders that match them; pending ones are skipped. `quiet`: rules without messages.
    `last_incident`: returns the last incident of an alert, even if that is gone. `unwell`: returns the peers of a
    region that make it critical, by full id.
    """
    incidents = list(incidents)
    by_id = {alert.id: alert for alert in alerts if alert.state != "pending"}
    found: list[NotificationGroup] = []
    open_now: set[str] = set()
    earlier: dict[str, list[tuple[str, float]]] = {}
    follows = consequences(by_id.values(), incidents, unwell)
    open_now.update(follows)
    for incident in incidents:
        members = [by_id[name] for name in incident.alerts if name in by_id]
        regions = [by_id[name] for name, cause in follows.items() if cause == incident.id]
        if incident.state == "open":
            open_now.update(alert.id for alert in members)
        else:
            for alert in members:
                known_as = dict.fromkeys((incident.id, *incident.names))
                earlier.setdefault(alert.id, []).extend((name, incident.started_at) for name in known_as)
        group = _of_incident(incident, members, regions, orders, url, quiet)
        loud = [alert for alert in regions if alert.silenced_by is None and alert.rule not in quiet]
        if group.silenced and loud:  # what silences the cause does not silence the region
            open_now.difference_update(alert.id for alert in loud)
            group = _of_incident(incident, members, [one for one in regions if one not in loud], orders, url, quiet)
        found.append(group)
    for alert in by_id.values():
        if alert.id in open_now or (alert.state != "firing" and alert.id in earlier):
            continue  # the incident covers it
        last = last_incident(alert)
        names = [*earlier.get(alert.id, ()), *([(last, alert.started_at)] if last else [])]
        found.append(_of_alert(alert, tuple(names), url, quiet))
    return found


def regions_of(group: NotificationGroup) -> list[Alert]:
    """Firing alerts about the regions that are critical because of this incident."""
    return [
        one for one in group.alerts if one.peer_id is None and one.region in group.regions and one.state == "firing"
    ]


def is_silenced(group: NotificationGroup, orders: StandingOrders, quiet: Container[str] = ()) -> bool:
    """Whether the orders that hold now silence a group as it was before."""
    if group.incident is not None:
        kind = (group.incident,)
        values = {"id": (group.key, *group.names), "type": kind, "rule": kind, "severity": (group.severity,)}
        if orders.silence(values) is not None:
            return True
    marked = mark((replace(alert, silenced_by=None) for alert in group.alerts), orders)
    return bool(marked) and all(alert.silenced_by is not None or alert.rule in quiet for alert in marked)


def _of_alert(
    alert: Alert, earlier_groups: tuple[tuple[str, float], ...], url: str, quiet: Container[str]
) -> NotificationGroup:
    return NotificationGroup(
        key=alert.id,
        severity=alert.severity,
        title=alert.title,
        description=alert.description,
        alerts=(alert,),
        url=(alert.url or url) if url else "",
        state="firing" if alert.state == "firing" else "resolved",
        started_at=alert.started_at,
        resolved_at=alert.resolved_at,
        earlier_groups=earlier_groups,
        silenced=alert.silenced_by is not None or alert.rule in quiet,
        acknowledged=alert.acknowledged_by is not None,
        episode=_episode((alert,)),
        forgotten=alert.state == "forgotten",
    )


def _of_incident(
    incident: Incident,
    members: list[Alert],
    regions: list[Alert],
    orders: StandingOrders,
    url: str,
    quiet: Container[str],
) -> NotificationGroup:
    firing = [alert for alert in members if alert.state == "firing"]
    is_silenced = incident_silence(incident, orders) is not None
    return NotificationGroup(
        key=incident.id,
        severity=incident.severity,
        title=incident.title,
        description=incident.description,
        alerts=(*firing, *regions, *(alert for alert in members if alert.state != "firing")),
        root=incident.root,
        url=url,
        incident=incident.kind,
        state="firing" if incident.state == "open" else "resolved",
        started_at=incident.started_at,
        resolved_at=incident.ended_at,
        names=tuple(incident.names),
        silenced=is_silenced or (bool(firing) and all(alert.silenced_by or alert.rule in quiet for alert in firing)),
        acknowledged=incident_author(incident, members, orders) is not None,
        episode=_episode(members),
        forgotten=incident.state != "open" and any(alert.state == "forgotten" for alert in members),
        confidence=incident.confidence,
        alternatives=incident.alternatives,
        evidence=incident.evidence,
        first_step=incident.first_step,
        split_from=incident.split_from,
        merged=incident.merged,
        was=incident.was,
        regions=tuple(sorted(alert.region for alert in regions if alert.region)),
    )


def _episode(alerts: Iterable[Alert]) -> int:
    """The smallest name of these alerts at this time: one more alert seldom changes it."""
    return min((_name(alert) for alert in alerts), default=0) << 8


def _name(alert: Alert) -> int:
    began = alert.episode or round(alert.started_at * 1000)
    return (int.from_bytes(blake2b(f"{alert.id} {began}".encode(), digest_size=6).digest()) >> 3) or 1
