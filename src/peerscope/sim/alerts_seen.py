"""Alerts and incidents of a simulated network: what each peer shows, and whether that is right."""

from __future__ import annotations

from collections import Counter

from msgspec import Struct

from peerscope.alerts.alert_list import AlertList
from peerscope.alerts.context import context_of
from peerscope.alerts.correlation import Correlation
from peerscope.alerts.engine import AlertEngine
from peerscope.alerts.incidents import correlate
from peerscope.alerts.model import Alert
from peerscope.alerts.monitor import AlertChanged
from peerscope.core import Effect
from peerscope.records.identity import PeerId
from peerscope.sim.simulator import Simulator
from peerscope.sim.truth import Truth
from peerscope.views.links import mesh_links


class AlertsSeen(Struct, frozen=True):
    """Alerts in the lists of all peers."""

    active: dict[str, int]
    """At the end: alerts that fire, by rule, as most running peers see them."""
    ids: int
    """Different alerts that ever fired at any peer."""
    disagreeing: int
    """Running peers that at the end see others than most do."""


class AlertHistory:
    """Every change of an alert at any peer, from here on."""

    def __init__(self, sim: Simulator) -> None:
        self.changes: list[tuple[float, PeerId, Alert]] = []
        """When, at which peer, and what."""
        self._sim = sim
        sim.run_parts("alerts")
        sim.on_effect.append(self._note)

    def alert_list(self, peer: PeerId) -> AlertList:
        """The alerts that a running peer shows."""
        return self._sim.core_of(peer).alerts.alert_list

    def correlation(self, peer: PeerId) -> Correlation:
        """The incidents of a running peer."""
        return self._sim.core_of(peer).alerts.correlation

    def engine(self, peer: PeerId) -> AlertEngine:
        """The engine of a running peer."""
        return self._sim.core_of(peer).alerts.engine

    def seen(self, truth: Truth) -> AlertsSeen:
        """Alerts that peers show now, and ever showed. Peers that are cut off rightly see others: they do not count."""
        running = (peer.me for peer in self._sim.alive())
        shown = Counter(self._active(peer) for peer in running if not truth.is_cut_off(peer, self._sim.now))
        most, agreeing = max(shown.items(), key=lambda item: (item[1], item[0])) if shown else ((), 0)
        return AlertsSeen(
            active=dict(sorted(Counter(rule for rule, _ in most).items())),
            ids=len({alert.id for _, _, alert in self.changes}),
            disagreeing=shown.total() - agreeing,
        )

    def _active(self, peer: PeerId) -> tuple[tuple[str, str], ...]:
        return tuple(sorted((alert.rule, alert.id) for alert in self.alert_list(peer).alerts(active_only=True)))

    def _note(self, peer: PeerId, effect: Effect, now: float) -> None:
        if isinstance(effect, AlertChanged):
            self.changes.append((now, peer, effect.alert))


class IncidentSeen(Struct, frozen=True, order=True):
    """One incident, as a survivor sees it at the end."""

    id: str
    kind: str
    root: str | None
    size: int
    """Peers concerned."""
    severity: str
    state: str


class IncidentsSeen(Struct, frozen=True):
    """The incidents of two survivors."""

    incidents: tuple[IncidentSeen, ...]
    """Those of the first one; the largest first."""
    agreed: bool
    """The second sees the same."""
    root_right: bool | None
    """The largest is what happened, and where it began; null where nothing did."""


def incidents_seen(sim: Simulator, truth: Truth) -> IncidentsSeen:
    """Ask two that run and are not cut off: those with the smallest and the greatest id."""
    survivors = [
        peer.me for peer in sim.alive() if peer.me not in truth.byzantine and not truth.is_cut_off(peer.me, sim.now)
    ]
    first, second = _seen_by(sim, survivors[0]), _seen_by(sim, survivors[-1])
    largest = max(first, key=lambda incident: (incident.size, incident.id), default=None)
    found = None if largest is None else (largest.kind, largest.root)
    return IncidentsSeen(first, sorted(first) == sorted(second), None if truth.root is None else found == truth.root)


def _seen_by(sim: Simulator, peer: PeerId) -> tuple[IncidentSeen, ...]:
    snapshot, known = sim.snapshot(peer), sim.core_of(peer).alerts.alert_list.alerts()
    return tuple(
        IncidentSeen(incident.id, incident.kind, incident.root, len(incident.peers), incident.severity, incident.state)
        for incident in correlate(known, context_of(snapshot, mesh_links(snapshot), known), snapshot.wall)
    )
