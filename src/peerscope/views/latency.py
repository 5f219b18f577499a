"""Round-trip times between peers and between regions, measured or estimated.

Only ring neighbours measure each other. Network coordinates (`mesh/coordinates/vivaldi.py`) estimate every other pair.
No number mixes the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, combinations_with_replacement, product
from math import ceil, isqrt
from statistics import median

from msgspec import Struct

from peerscope.mesh.coordinates.vivaldi import estimate_s
from peerscope.records.bodies import RATIO_ONE, Coordinate
from peerscope.records.identity import PeerId, short
from peerscope.views.links import MergedLink, mesh_links
from peerscope.views.regions import region_members, rtts_between
from peerscope.views.snapshot import Snapshot

ESTIMATES_MAX = 20_000
"""Estimates behind one matrix; each costs about a microsecond."""
SAMPLE_MIN, SAMPLE_MAX = 2, 20
"""Peers of each region whose coordinates are compared with those of another."""


class Rtt(Struct, frozen=True):
    """The round-trip time of two peers."""

    source: str
    target: str
    rtt_s: float | None
    """null if it is neither measured nor estimated; `reason` says why."""
    estimated: bool
    """From coordinates, since no link between the two measures it."""
    loss_ratio: float | None = None
    """Loss on the link, if there is one."""
    source_error_ratio: float | None = None
    target_error_ratio: float | None = None
    """For an estimate: the mean relative error that each end finds in predictions of its own coordinate."""
    reason: str | None = None


class RttSpread(Struct, frozen=True):
    """Round-trip times of some pairs of peers."""

    median_s: float
    p95_s: float
    """Nearest rank."""
    count: int


class RegionPair(Struct, frozen=True):
    """Latency between two regions, or inside one."""

    source: str
    target: str
    measured: RttSpread | None
    """Over the links that are up; null if none was measured."""
    estimated: RttSpread | None
    """Over a sample of all pairs of peers; null without coordinates on both sides."""


class LatencyMatrix(Struct, frozen=True):
    """Every pair of regions once, and every region with itself."""

    regions: tuple[str, ...]
    pairs: tuple[RegionPair, ...]
    last_assessed: float
    """Unix seconds."""


def rtt_between(snapshot: Snapshot, source: PeerId, target: PeerId, links: Sequence[MergedLink] | None = None) -> Rtt:
    """Measured if the two have a link, else estimated, else unknown with the reason. Both are in `snapshot.peers`.

    `links`: `mesh_links`, if known."""
    names = (source.hex(), target.hex())
    if source == target:
        return Rtt(*names, None, False, reason="one and the same peer")
    gone = [peer for peer in (source, target) if not snapshot.is_living(peer)]
    if gone:
        return Rtt(*names, None, False, reason=f"peer {short(gone[0])} is {snapshot.verdict(gone[0]).value}")
    ends = set(names)
    links = mesh_links(snapshot) if links is None else links
    link = next((link for link in links if link.source in ends and link.target in ends), None)
    if link is not None and link.measured_s is not None:
        return Rtt(*names, link.measured_s, False, link.loss_ratio)
    loss_ratio = link.loss_ratio if link else None
    one, other = _coordinate(snapshot, source), _coordinate(snapshot, target)
    for peer, place in ((source, one), (target, other)):
        if place is None:
            return Rtt(*names, None, False, loss_ratio, reason=f"no link, and peer {short(peer)} has no coordinate")
    assert one is not None
    assert other is not None
    rtt_s = estimate_s(one, other)
    if rtt_s is None:
        return Rtt(*names, None, False, loss_ratio, reason="no link, and coordinates of different dimensions")
    return Rtt(*names, rtt_s, True, loss_ratio, one.error / RATIO_ONE, other.error / RATIO_ONE)


def latency_matrix(snapshot: Snapshot, links: list[MergedLink] | None = None) -> LatencyMatrix:
    """Median and 95th percentile of every pair of regions. The work grows with links and regions, not with pairs."""
    members = region_members(snapshot)
    measured = rtts_between(snapshot, members, mesh_links(snapshot) if links is None else links)
    pairs = list(combinations_with_replacement(members, 2))
    each = min(max(isqrt(ESTIMATES_MAX // max(1, len(pairs))), SAMPLE_MIN), SAMPLE_MAX)
    samples = {name: _sample(snapshot, peers, each) for name, peers in members.items()}
    return LatencyMatrix(
        regions=tuple(members),
        pairs=tuple(
            RegionPair(
                one,
                other,
                measured=_spread([rtt_s for rtt_s in measured.get((one, other), ()) if rtt_s is not None]),
                estimated=_spread(_estimates(samples[one], samples[other], is_same=one == other)),
            )
            for one, other in pairs
        ),
        last_assessed=snapshot.wall,
    )


def _coordinate(snapshot: Snapshot, peer: PeerId) -> Coordinate | None:
    report = snapshot.living_reports[peer]
    return report.coordinate if report else None


def _sample(snapshot: Snapshot, peers: list[PeerId], most: int) -> list[Coordinate]:
    """Coordinates of the first living peers by id. Ids are keys, so this sample is random in place."""
    found: list[Coordinate] = []
    for peer in peers:
        coordinate = _coordinate(snapshot, peer) if snapshot.is_living(peer) else None
        if coordinate is not None:
            found.append(coordinate)
            if len(found) == most:
                break
    return found


def _estimates(some: list[Coordinate], others: list[Coordinate], *, is_same: bool) -> list[float]:
    pairs = combinations(some, 2) if is_same else product(some, others)
    return [rtt_s for one, other in pairs if (rtt_s := estimate_s(one, other)) is not None]


def _spread(rtts: list[float]) -> RttSpread | None:
    if not rtts:
        return None
    ranked = sorted(rtts)
    return RttSpread(median(ranked), ranked[ceil(0.95 * len(ranked)) - 1], len(ranked))
