"""Incidents of a simulated network: what two survivors show, held against what really happened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations

from msgspec import Struct

from peerscope.alerts.incident import Incident
from peerscope.alerts.model import Alert
from peerscope.records.identity import PeerId
from peerscope.sim.causes import TrueIncident
from peerscope.sim.simulator import Simulator
from peerscope.sim.truth import Truth


class IncidentSeen(Struct, frozen=True, order=True):
    """One incident, as a survivor sees it at the end."""

    id: str
    kind: str
    root: str | None
    size: int
    """Peers concerned."""
    severity: str
    state: str
    peers: tuple[str, ...] = ()
    """Their full ids."""
    confidence: float = 0.0


class Pairs(Struct, frozen=True):
    """Pairs of alerts, by whether they belong together and whether they were put together."""

    together: int
    """In one incident."""
    rightly: int
    """In one incident, with one cause."""
    belonging: int
    """With one cause."""

    @property
    def precision(self) -> float | None:
        """Share of the pairs in one incident that have one cause; None without such a pair."""
        return self.rightly / self.together if self.together else None

    @property
    def recall(self) -> float | None:
        """Share of the pairs of one cause that are in one incident; None without such a pair."""
        return self.rightly / self.belonging if self.belonging else None


class IncidentsSeen(Struct, frozen=True):
    """The incidents of two survivors."""

    incidents: tuple[IncidentSeen, ...]
    """Those of the first one; the largest first."""
    agreed: bool
    """The second sees the same."""
    root_right: bool | None
    """The largest are what happened, and where it began; null where nothing did."""
    truth: tuple[TrueIncident, ...]
    pairs: Pairs
    """Counts over the alerts that the first one knows."""


def incidents_seen(sim: Simulator, truth: Truth) -> IncidentsSeen:
    """Ask two that run and are not cut off: those with the smallest and the greatest id."""
    survivors = [
        peer.me for peer in sim.alive() if peer.me not in truth.byzantine and not truth.is_cut_off(peer.me, sim.now)
    ]
    (alerts, first), (_, second) = _seen_by(sim, survivors[0]), _seen_by(sim, survivors[-1])
    regions = {peer: node.region for peer, node in sim.nodes.items()}
    happened = truth.causes.incidents
    return IncidentsSeen(
        incidents=tuple(_shown(one) for one in sorted(first, key=lambda one: (-len(one.peers), one.id))),
        agreed=sorted(map(_essence, first)) == sorted(map(_essence, second)),
        root_right=is_right(first, happened),
        truth=happened,
        pairs=pairs((incident.alerts for incident in first), truth.causes.attribute(alerts, regions)),
    )


def is_right(seen: Iterable[Incident], happened: Iterable[TrueIncident]) -> bool | None:
    """As many incidents as things happened, the largest, are these, with their roots; None where nothing happened."""
    wanted = sorted((one.kind, one.root or "") for one in happened)
    largest = sorted(seen, key=lambda incident: (len(incident.peers), incident.id), reverse=True)[: len(wanted)]
    return sorted((one.kind, one.root or "") for one in largest) == wanted if wanted else None


def pairs(incidents: Iterable[Iterable[str]], cause: Mapping[str, object]) -> Pairs:
    """Count pairs of alerts. `incidents`: ids of alerts; `cause`: by id. Alerts without one do not count."""
    together = rightly = 0
    for incident in incidents:
        known = [alert for alert in dict.fromkeys(incident) if alert in cause]
        together += len(known) * (len(known) - 1) // 2
        rightly += sum(cause[one] is cause[other] for one, other in combinations(known, 2))
    sizes: dict[int, int] = {}
    for one in cause.values():
        sizes[id(one)] = sizes.get(id(one), 0) + 1
    return Pairs(together, rightly, sum(size * (size - 1) // 2 for size in sizes.values()))


def _shown(incident: Incident) -> IncidentSeen:
    return IncidentSeen(
        incident.id,
        incident.kind,
        incident.root,
        len(incident.peers),
        incident.severity,
        incident.state,
        incident.peers,
        incident.confidence,
    )


def _essence(incident: Incident) -> tuple[str, ...]:
    """The part on which all peers agree: each has an id and times of its own."""
    return incident.kind, incident.root or "", incident.severity, incident.state, *incident.peers


def _seen_by(sim: Simulator, peer: PeerId) -> tuple[list[Alert], tuple[Incident, ...]]:
    """All alerts that a peer knows, and the incidents that it shows."""
    alerts = sim.core_of(peer).alerts
    return alerts.alert_list.alerts(), alerts.correlation.incidents
