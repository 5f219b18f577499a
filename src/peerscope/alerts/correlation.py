"""Incidents of one peer, from one look to the next: worked out again when something changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from peerscope.alerts.context import Context, context_of
from peerscope.alerts.incidents import Incident, IncidentConfig, Incidents
from peerscope.alerts.model import Alert
from peerscope.views.links import MergedLink
from peerscope.views.snapshot import Snapshot

RENEW_S = 30.0
"""Regions, versions and links change without an alert: incidents are looked at again after so long in any case."""


class Correlation:
    """What belongs together, and since when we know it."""

    def __init__(self, config: IncidentConfig | None = None) -> None:
        self.incidents: tuple[Incident, ...] = ()
        """As of the last look; the open ones first, then the largest."""
        self._incidents = Incidents(config)
        self._around: Context | None = None
        self._seen: frozenset[tuple[object, ...]] = frozenset()
        self._renew_at = 0.0

    def is_due(self, alerts: Sequence[Alert], now: float) -> bool:
        """These alerts of the network differ from those of the last update, or that one is long ago."""
        return (bool(alerts) or bool(self.incidents)) and (_state(alerts) != self._seen or now >= self._renew_at)

    def update(self, snapshot: Snapshot, links: Iterable[MergedLink], alerts: Sequence[Alert]) -> list[Incident]:
        """Look at all alerts of the network; which incidents have opened, closed, or changed their extent."""
        self._seen, self._renew_at = _state(alerts), snapshot.now + RENEW_S
        before = {incident.id: _told(incident) for incident in self.incidents}
        self._around = context_of(snapshot, links if alerts else (), alerts, self._around)
        self.incidents = self._incidents.update(alerts, self._around, snapshot.wall)
        return [incident for incident in self.incidents if _is_news(incident, before.get(incident.id))]

    def mark(self, alerts: Iterable[Alert]) -> list[Alert]:
        """The same alerts, with the open incident that each belongs to."""
        member = {alert: one.id for one in self.incidents if one.state == "open" for alert in one.alerts}
        return [replace(alert, incident=member[alert.id]) if alert.id in member else alert for alert in alerts]

    def told_as(self, alert: Alert) -> str | None:
        """The incident that this alert was part of last, also where that one no longer stands by itself."""
        return self._incidents.last_of(alert)


def _state(alerts: Sequence[Alert]) -> frozenset[tuple[object, ...]]:
    return frozenset((one.id, one.state, one.severity, one.started_at, one.resolved_at) for one in alerts)


def _is_news(incident: Incident, before: tuple[object, ...] | None) -> bool:
    """One that is over when we first see it is none."""
    return incident.state == "open" if before is None else _told(incident) != before


def _told(incident: Incident) -> tuple[object, ...]:
    return incident.state, incident.kind, incident.severity, incident.root, len(incident.peers), len(incident.alerts)
