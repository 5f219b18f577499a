"""The incidents of one peer, updated when alerts change."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from msgspec.structs import replace

from peerscope.alerts.context import Context, context_of
from peerscope.alerts.incident import Incident
from peerscope.alerts.incident_ids import IncidentIds
from peerscope.alerts.incidents import IncidentConfig, correlate, relevant
from peerscope.alerts.model import Alert
from peerscope.views.links import MergedLink
from peerscope.views.snapshot import Snapshot

RENEW_S = 30.0
"""Longest time between two updates: regions, versions and links change without an alert."""


class Incidents:
    """Incidents over time: each keeps the id under which it was first known here."""

    def __init__(self, config: IncidentConfig | None = None) -> None:
        self._config = config or IncidentConfig()
        self._ids = IncidentIds(self._config.window_s, self._config.keep_s)

    def update(self, alerts: Collection[Alert], around: Context, now: float) -> tuple[Incident, ...]:
        """The result of `correlate`, with older ids where known."""
        found = correlate(alerts, around, now, self._config)
        return tuple(self._ids.name(found, relevant(alerts, now - self._config.keep_s), now))

    def last_of(self, alert: Alert) -> str | None:
        """The last incident of this alert, even if that is gone; None if it was in none since it began."""
        return self._ids.last_of(alert)


class Correlation:
    """The incidents of one peer, updated when alerts change."""

    def __init__(self, config: IncidentConfig | None = None) -> None:
        self.incidents: tuple[Incident, ...] = ()
        """As of the last update; open ones first, then by size."""
        self._incidents = Incidents(config)
        self._around: Context | None = None
        self._seen: frozenset[tuple[object, ...]] = frozenset()
        self._renew_at = 0.0

    def is_due(self, alerts: Sequence[Alert], now: float) -> bool:
        """These alerts of the network differ from those of the last update, or that one is long ago."""
        return (bool(alerts) or bool(self.incidents)) and (_state(alerts) != self._seen or now >= self._renew_at)

    def update(self, snapshot: Snapshot, links: Iterable[MergedLink], alerts: Sequence[Alert]) -> list[Incident]:
        """Correlate all alerts of the network. Return incidents that opened, closed, or changed their extent."""
        self._seen, self._renew_at = _state(alerts), snapshot.now + RENEW_S
        before = {incident.id: _extent(incident) for incident in self.incidents}
        self._around = context_of(snapshot, links if alerts else (), alerts, self._around)
        self.incidents = self._incidents.update(alerts, self._around, snapshot.wall)
        return [incident for incident in self.incidents if _is_news(incident, before.get(incident.id))]

    def mark(self, alerts: Iterable[Alert]) -> list[Alert]:
        """Set the open incident of each alert."""
        member = {alert: one.id for one in self.incidents if one.state == "open" for alert in one.alerts}
        return [replace(alert, incident=member[alert.id]) if alert.id in member else alert for alert in alerts]

    def last_incident(self, alert: Alert) -> str | None:
        """The last incident of this alert, even if that is gone."""
        return self._incidents.last_of(alert)


def _state(alerts: Sequence[Alert]) -> frozenset[tuple[object, ...]]:
    return frozenset((one.id, one.state, one.severity, one.started_at, one.resolved_at) for one in alerts)


def _is_news(incident: Incident, before: tuple[object, ...] | None) -> bool:
    """Whether it changed. An incident that is over when we first see it is no news."""
    return incident.state == "open" if before is None else _extent(incident) != before


def _extent(incident: Incident) -> tuple[object, ...]:
    return (
        incident.state,
        incident.kind,
        incident.severity,
        incident.root,
        len(incident.peers),
        len(incident.alerts),
        tuple((one.kind, one.root) for one in incident.alternatives),
        incident.merged,
    )
