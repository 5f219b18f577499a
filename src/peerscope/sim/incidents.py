"""What survivors of a simulated network make of its alerts, and whether that is right."""

from __future__ import annotations

from msgspec import Struct

from peerscope.alerts.context import context_of
from peerscope.alerts.incidents import correlate
from peerscope.records.identity import PeerId
from peerscope.sim.alerting import SimulatedAlerts, moment_of
from peerscope.sim.simulator import Simulator
from peerscope.sim.truth import Truth
from peerscope.views.links import mesh_links


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
    """Of the first one; the largest first."""
    agreed: bool
    """The second sees the same."""
    root_right: bool | None
    """The largest is what happened, and where it began; null where nothing did."""


def incidents_seen(sim: Simulator, alerts: SimulatedAlerts, truth: Truth) -> IncidentsSeen:
    """Ask two that run and are not cut off: those with the smallest and the greatest id."""
    survivors = [
        peer.me for peer in sim.alive() if peer.me not in truth.byzantine and not truth.is_cut_off(peer.me, sim.now)
    ]
    first, second = _seen_by(sim, alerts, survivors[0]), _seen_by(sim, alerts, survivors[-1])
    largest = max(first, key=lambda incident: (incident.size, incident.id), default=None)
    found = None if largest is None else (largest.kind, largest.root)
    return IncidentsSeen(first, sorted(first) == sorted(second), None if truth.root is None else found == truth.root)


def _seen_by(sim: Simulator, alerts: SimulatedAlerts, peer: PeerId) -> tuple[IncidentSeen, ...]:
    snapshot, known = moment_of(sim.nodes[peer], sim.now), alerts.alert_list(peer).alerts()
    return tuple(
        IncidentSeen(incident.id, incident.kind, incident.root, len(incident.peers), incident.severity, incident.state)
        for incident in correlate(known, context_of(snapshot, mesh_links(snapshot), known), snapshot.wall)
    )
