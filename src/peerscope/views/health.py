"""The network's health in one line of numbers. A value that nobody measured is null, never 0."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import chain
from statistics import fmean, median

from msgspec import Struct

from peerscope.mesh.membership.rings import Rings
from peerscope.records.identity import PeerId
from peerscope.views.links import MergedLink, mesh_links
from peerscope.views.snapshot import Snapshot

CLASSES = ("healthy", "degraded", "unhealthy", "unknown", "down")
"""Every peer that has not left is in exactly one."""


class NetworkHealth(Struct, frozen=True):
    """Counts by class (each peer is in exactly one), latency and connectivity."""

    total_peers: int
    """All that are remembered and have not left."""
    healthy_peers: int
    degraded_peers: int
    unhealthy_peers: int
    unknown_peers: int
    down_peers: int
    average_latency_s: float | None
    """Mean round-trip time of all measured links."""
    median_latency_s: float | None
    connectivity: float | None
    """Share of the expected links between living peers that are up; null if none is expected."""
    zones: int
    last_updated: float
    """Unix seconds."""
    unintroduced_peers: int = 0
    """Peers of our zone with a report and without a profile. They are in no class."""


def by_class(classes: Mapping[str, int]) -> dict[str, int]:
    """Counts by the names that they have in views."""
    return {f"{name}_peers": classes[name] for name in CLASSES}


def network_health(snapshot: Snapshot, rings: int, links: list[MergedLink] | None = None) -> NetworkHealth:
    """Summarise the network. `rings`: number of rings of the network; `links`: `mesh_links`, if known."""
    classes = Counter(snapshot.statuses[peer] for peer in snapshot.peers)
    links = mesh_links(snapshot) if links is None else links
    rtts = [link.measured_s for link in links if link.measured_s is not None]
    zones = {profile.zone for peer in snapshot.peers if (profile := snapshot.ledger.profile(peer)) and not profile.left}
    return NetworkHealth(
        total_peers=classes.total() - classes["left"],
        **by_class(classes),
        average_latency_s=fmean(rtts) if rtts else None,
        median_latency_s=median(rtts) if rtts else None,
        connectivity=connectivity(snapshot, rings, links),
        zones=len(zones),
        last_updated=snapshot.wall,
        unintroduced_peers=sum(
            snapshot.ledger.report(peer) is not None and snapshot.ledger.profile(peer) is None
            for peer in snapshot.ledger
        ),
    )


def connectivity(snapshot: Snapshot, rings: int, links: list[MergedLink]) -> float | None:
    """Share of the expected ring links that are up."""
    up, expected = ring_links(snapshot, rings, snapshot.zone, links)
    return up / expected if expected else None


def ring_links(snapshot: Snapshot, rings: int, zone: str, links: Iterable[MergedLink]) -> tuple[int, int]:
    """Count the links between ring neighbours that are up, and those that should be."""
    expected = expected_links([peer for peer in snapshot.peers if snapshot.is_living(peer)], rings, zone)
    up = {(link.source, link.target) for link in links}
    return sum((one.hex(), other.hex()) in up for one, other in expected), len(expected)


def expected_links(members: list[PeerId], rings: int, zone: str = "") -> frozenset[tuple[PeerId, PeerId]]:
    """Every pair of ring neighbours."""
    return _pairs(tuple(members), rings, zone)


@lru_cache(maxsize=2)  # members change far less often than readers ask
def _pairs(members: tuple[PeerId, ...], rings: int, zone: str) -> frozenset[tuple[PeerId, PeerId]]:
    placed = Rings(zone, members, rings)
    around = chain.from_iterable(((peer, other) for other in placed.neighbours(peer)) for peer in members)
    return frozenset((min(one, other), max(one, other)) for one, other in around)
