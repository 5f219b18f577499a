"""The region of each peer, and the source of it.

The operator's word comes first, then the country of the peer's own address, which its agent publishes. A peer with
neither belongs to a cluster of peers with low latency among them. Its name begins with `~`, and it is a guess.

Clusters have leaders (Hartigan 1975, "Clustering Algorithms", chapter 3). Peers come in the order of their start. Each
joins the first cluster whose leader is within the radius, or leads a new one. The oldest peers lead, so names last as
long as those run. Equal ledgers give equal clusters.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from msgspec import Struct

from peerscope.errors import ConfigError
from peerscope.mesh.coordinates.vivaldi import estimate_s
from peerscope.records.bodies import RATIO_ONE, Coordinate
from peerscope.records.identity import PeerId, short
from peerscope.records.ledger import Ledger

CLUSTER_MARK = "~"
"""First character of a cluster's name. No operator may begin the name of a region with it."""

Source = Literal["declared", "country", "latency"]


class ClusterConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Clusters by latency, for peers without a region."""

    radius_s: float = 0.015  # light in fibre goes 1,500 km and back: a large country
    """Longest estimated round trip between a member and its leader. A smaller one gives more and tighter clusters."""
    error_max: float = 0.5  # a guess; a coordinate begins at 1.5 and settles near 0.1 to 0.3
    """A coordinate with a greater relative error places no peer yet."""
    most: int = 64
    """Most clusters; peers near none of them stay without a region. The work grows with peers times clusters."""

    def __post_init__(self) -> None:
        if not 0 < self.radius_s <= 10:
            raise ConfigError(f"regions.cluster.radius_s is {self.radius_s}; must be above 0 and at most 10")
        if not 0 < self.error_max <= 1.5:
            raise ConfigError(f"regions.cluster.error_max is {self.error_max}; must be above 0 and at most 1.5")
        if not 1 <= self.most <= 256:
            raise ConfigError(f"regions.cluster.most is {self.most}; must lie between 1 and 256")


class Place(Struct, frozen=True):
    """The region of one peer."""

    region: str | None
    source: Source | None
    """The operator; a table of address ranges; or low latency, which is a guess."""


NOWHERE = Place(None, None)


def places(ledger: Ledger, peers: Collection[PeerId], config: ClusterConfig) -> dict[PeerId, Place]:
    """Place each of the peers."""
    found = {peer: _published(ledger, peer) for peer in peers}
    unplaced = [peer for peer, place in found.items() if place is NOWHERE]
    return found | _clusters(ledger, unplaced, config)


def _published(ledger: Ledger, peer: PeerId) -> Place:
    profile = ledger.profile(peer)
    if profile is None or not profile.region:
        return NOWHERE
    return Place(profile.region, profile.region_source)


def _clusters(ledger: Ledger, peers: list[PeerId], config: ClusterConfig) -> dict[PeerId, Place]:
    """Place peers in clusters. An old report is good enough: a silent peer has not moved."""
    found: dict[PeerId, Place] = {}
    leaders: list[tuple[Coordinate, Place]] = []
    for peer in sorted(peers, key=lambda peer: (_started_at_ms(ledger, peer), peer)):
        report = ledger.report(peer)
        coordinate = report.coordinate if report else None
        if coordinate is None or coordinate.error > config.error_max * RATIO_ONE:
            continue
        place = _nearby(leaders, coordinate, config.radius_s)
        if place is None and len(leaders) < config.most:
            place = Place(CLUSTER_MARK + short(peer), "latency")
            leaders.append((coordinate, place))
        if place is not None:
            found[peer] = place
    return found


def _started_at_ms(ledger: Ledger, peer: PeerId) -> int:
    profile = ledger.profile(peer)
    return profile.started_at_ms if profile else 0


def _nearby(leaders: list[tuple[Coordinate, Place]], coordinate: Coordinate, radius_s: float) -> Place | None:
    for leader, place in leaders:
        away_s = estimate_s(leader, coordinate)
        if away_s is not None and away_s <= radius_s:
            return place
    return None
