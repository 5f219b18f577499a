"""The network's health in one line of numbers. Nothing measured is null, never 0."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from itertools import chain
from statistics import fmean, median

from msgspec import Struct

from peerscope.mesh.detection.verdicts import Verdict
from peerscope.mesh.membership.rings import Rings
from peerscope.records.identity import PeerId
from peerscope.views.links import MergedLink, mesh_links
from peerscope.views.peers import status
from peerscope.views.snapshot import Snapshot


class NetworkHealth(Struct, frozen=True):
    """Counts by class (each peer is in exactly one), latency and connectivity."""

    total_peers: int
    """Everybody remembered who did not say goodbye."""
    healthy_peers: int
    degraded_peers: int
    unhealthy_peers: int
    unknown_peers: int
    down_peers: int
    average_latency_s: float | None
    """Mean round-trip time of all measured links."""
    median_latency_s: float | None
    connectivity: float | None
    """Share of the links that should stand between living peers and do; null where none should."""
    zones: int
    last_updated: float
    """Unix seconds."""
    unintroduced_peers: int = 0
    """Peers whose reports are here and whose profile is not, in no class: nobody can say who they are. Of our zone."""


def network_health(snapshot: Snapshot, rings: int, links: list[MergedLink] | None = None) -> NetworkHealth:
    """`rings`: how many rings the peers of this network are placed on."""
    classes = Counter(status(snapshot, peer) for peer in snapshot.peers)
    links = mesh_links(snapshot) if links is None else links
    rtts = [link.measured_s for link in links if link.measured_s is not None]
    zones = {profile.zone for peer in snapshot.peers if (profile := snapshot.ledger.profile(peer)) and not profile.left}
    return NetworkHealth(
        total_peers=classes.total() - classes["left"],
        healthy_peers=classes["healthy"],
        degraded_peers=classes["degraded"],
        unhealthy_peers=classes["unhealthy"],
        unknown_peers=classes["unknown"],
        down_peers=classes["down"],
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
    living = [p for p in snapshot.peers if snapshot.verdict(p) in (Verdict.ALIVE, Verdict.SUSPECT)]
    expected = expected_links(living, rings, snapshot.zone)
    if not expected:
        return None
    up = {(link.source, link.target) for link in links}
    return sum((one.hex(), other.hex()) in up for one, other in expected) / len(expected)


def expected_links(members: list[PeerId], rings: int, zone: str = "") -> frozenset[tuple[PeerId, PeerId]]:
    """Every pair of ring neighbours."""
    return _pairs(tuple(members), rings, zone)


@lru_cache(maxsize=2)  # members change far less often than somebody looks
def _pairs(members: tuple[PeerId, ...], rings: int, zone: str) -> frozenset[tuple[PeerId, PeerId]]:
    placed = Rings(zone, members, rings)
    around = chain.from_iterable(((peer, other) for other in placed.neighbours(peer)) for peer in members)
    return frozenset((min(one, other), max(one, other)) for one, other in around)
