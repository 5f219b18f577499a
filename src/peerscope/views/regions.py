"""The health of each region.

A region is every known peer of one region name that did not say goodbye. Four numbers judge it:

- *ratio*: share of its peers that are healthy. Below one limit the region is degraded.
- *standing*: share of its peers that are healthy or degraded. Below another limit the region is critical: a degraded
  peer still works, so it is not a missing one.
- *connectivity*: share of the ring links expected between its living peers that are up. Rings do not look at regions,
  so a small region expects few such links or none; below `links_min` of them the number is shown and judges nothing:
  its peers then hold together through those of other regions.
- *reach*: to how many of the other regions at least one link between living peers leads.

Whoever looks sees its own side of a partition: there the regions beyond are critical, and here those cut off from them.
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from statistics import median

from msgspec import Struct

from peerscope.errors import ConfigError
from peerscope.mesh.detection.verdicts import Verdict
from peerscope.records.identity import PeerId
from peerscope.views.health import by_class, expected_links
from peerscope.views.links import MergedLink, mesh_links
from peerscope.views.places import ClusterConfig, Source
from peerscope.views.snapshot import Snapshot

REGIONS_MAX = 100
"""Regions shown, those with most peers first: anybody can invent a name, and every pair of them is looked at."""
SOURCES: tuple[Source, ...] = ("declared", "country", "latency")
"""From the surest to the least sure."""


class RegionConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a region is degraded or critical. The five limits are those the first sketch of this product used, mended:
    its own let a region without one healthy peer be degraded, and reach decided nothing."""

    ratio_degraded_below: float = 0.8
    """Share of the region's peers that are healthy."""
    ratio_critical_below: float = 0.5
    """Share of the region's peers that are healthy or degraded: neither unhealthy, nor down, nor unknown."""
    connectivity_degraded_below: float = 0.9
    connectivity_critical_below: float = 0.7
    """Share of the expected links inside the region that are up. Critical only if peers are missing as well, so that
    less than `ratio_degraded_below` are healthy or degraded: links that fail while the peers work slow a region down,
    they do not end it."""
    reach_degraded_below: float = 0.5
    """Share of the other regions that it is linked to. Linked to none of them is critical."""
    links_min: int = 3  # a guess: of one or two links, the loss of one says nothing
    """With fewer links expected inside a region, connectivity does not count against it."""
    hold_s: float = 5.0  # one report interval: who has just joined hears the first reports of the others
    """How long a change must last before it is told as an event."""
    cluster: ClusterConfig = ClusterConfig()

    def __post_init__(self) -> None:
        for name in ("ratio", "connectivity"):
            critical, degraded = getattr(self, f"{name}_critical_below"), getattr(self, f"{name}_degraded_below")
            if not 0 <= critical <= degraded <= 1:
                raise ConfigError(
                    f"regions.{name}_critical_below is {critical} and regions.{name}_degraded_below is {degraded}; "
                    "both must lie between 0 and 1, the first not above the second"
                )
        if not 0 <= self.reach_degraded_below <= 1:
            raise ConfigError(f"regions.reach_degraded_below is {self.reach_degraded_below}; must lie between 0 and 1")
        if self.links_min < 1:
            raise ConfigError(f"regions.links_min is {self.links_min}; must be 1 or more")
        if not 0 <= self.hold_s <= 3600:
            raise ConfigError(f"regions.hold_s is {self.hold_s}; must lie between 0 and 3600")


class RegionStatus(StrEnum):
    """How a region is."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    CRITICAL = "critical"


class CrossRegion(Struct, frozen=True):
    """The links between two regions."""

    rtt_s: float | None
    """Median of those that measured one."""
    links: int
    status: str
    """up while at least one link stands, else down."""


class RegionHealth(Struct, frozen=True):
    """One region: what was counted, and what follows."""

    region: str
    source: Source
    """Who says that its peers belong there: declared, country or latency; the least sure of all its peers."""
    status: str
    """healthy, degraded or critical."""
    total_peers: int
    healthy_peers: int
    degraded_peers: int
    unhealthy_peers: int
    unknown_peers: int
    down_peers: int
    """Those called partitioned among them."""
    health_ratio: float
    connectivity: float | None
    """null where no link is expected inside the region."""
    expected_links: int
    """Ring links between two of its living peers."""
    rtt_s: float | None
    """Median of the measured links inside the region."""
    reached_regions: int
    other_regions: int
    cross_region: dict[str, CrossRegion]
    """Every other region."""
    last_assessed: float
    """Unix seconds."""


def region_health(
    snapshot: Snapshot, config: RegionConfig, rings: int, links: list[MergedLink] | None = None
) -> list[RegionHealth]:
    """All regions, by name. `rings`: how many rings the peers are placed on; `links`: `mesh_links`, where known."""
    members, links = region_members(snapshot), mesh_links(snapshot) if links is None else links
    between = rtts_between(snapshot, members, links)
    inside = _ring_links(snapshot, members, rings, links)
    found = []
    for name, peers in members.items():
        classes = Counter(snapshot.statuses[peer] for peer in peers)
        ratio = classes["healthy"] / len(peers)
        standing_ratio = (classes["healthy"] + classes["degraded"]) / len(peers)
        expected, standing = inside[name]
        cross = {other: _cross(between.get(_pair(name, other), [])) for other in members if other != name}
        reached = sum(one.links > 0 for one in cross.values())
        found.append(
            RegionHealth(
                region=name,
                source=_least_sure(snapshot, peers),
                status=assess(
                    ratio,
                    standing_ratio,
                    standing / expected if expected >= config.links_min else None,
                    reached,
                    min(len(cross), 2 * rings * len(peers)),
                    config,
                ).value,
                total_peers=len(peers),
                **by_class(classes),
                health_ratio=ratio,
                connectivity=standing / expected if expected else None,
                expected_links=expected,
                rtt_s=_median(between.get((name, name), [])),
                reached_regions=reached,
                other_regions=len(cross),
                cross_region=cross,
                last_assessed=snapshot.wall,
            )
        )
    return found


def assess(
    ratio: float, standing: float, connectivity: float | None, reached: int, others: int, config: RegionConfig
) -> RegionStatus:
    """The status that follows from the numbers. `connectivity`: None where it says nothing.

    `ratio`: share of the peers that are healthy; `standing`: share that are healthy or degraded.
    `others`: how many other regions the region could be linked to: all of them, or as many as its peers have ring
    links, for a lone peer among fifty regions cannot reach half of them.
    """
    holds = 1.0 if connectivity is None else connectivity
    is_torn = holds < config.connectivity_critical_below and standing < config.ratio_degraded_below
    is_cut_off = others > 0 and reached == 0
    if standing < config.ratio_critical_below or is_torn or is_cut_off:
        return RegionStatus.CRITICAL
    is_whole = holds >= config.connectivity_degraded_below and reached >= config.reach_degraded_below * others
    return RegionStatus.HEALTHY if ratio >= config.ratio_degraded_below and is_whole else RegionStatus.DEGRADED


def region_members(snapshot: Snapshot) -> dict[str, list[PeerId]]:
    """The peers of each region, by name, but those that said goodbye; the largest `REGIONS_MAX` of them."""
    found: dict[str, list[PeerId]] = {}
    for peer, place in snapshot.places.items():
        if place.region is not None and snapshot.verdict(peer) is not Verdict.LEFT:
            found.setdefault(place.region, []).append(peer)
    largest = sorted(found, key=lambda name: (-len(found[name]), name))[:REGIONS_MAX]
    return {name: found[name] for name in sorted(largest)}


def rtts_between(
    snapshot: Snapshot, members: dict[str, list[PeerId]], links: list[MergedLink]
) -> dict[tuple[str, str], list[float | None]]:
    """Round-trip times of the standing links within and between regions, by the two names in order."""
    home = {peer.hex(): name for name, peers in members.items() for peer in peers if snapshot.is_living(peer)}
    found: dict[tuple[str, str], list[float | None]] = {}
    for link in links:
        one, other = home.get(link.source), home.get(link.target)
        if one is not None and other is not None and link.layer == "mesh":
            found.setdefault(_pair(one, other), []).append(link.measured_s)
    return found


def _ring_links(
    snapshot: Snapshot, members: dict[str, list[PeerId]], rings: int, links: list[MergedLink]
) -> dict[str, tuple[int, int]]:
    """For each region, how many ring links are expected inside it, and how many of them are up."""
    home = {peer: name for name, peers in members.items() for peer in peers}
    up = {(link.source, link.target) for link in links if link.layer == "mesh"}
    expected: Counter[str] = Counter()
    standing: Counter[str] = Counter()
    for one, other in expected_links([p for p in snapshot.peers if snapshot.is_living(p)], rings, snapshot.zone):
        name = home.get(one)
        if name is not None and name == home.get(other):
            expected[name] += 1
            standing[name] += (one.hex(), other.hex()) in up
    return {name: (expected[name], standing[name]) for name in members}


def _cross(rtts: list[float | None]) -> CrossRegion:
    return CrossRegion(_median(rtts), len(rtts), "up" if rtts else "down")


def _median(rtts: list[float | None]) -> float | None:
    measured = [rtt_s for rtt_s in rtts if rtt_s is not None]
    return median(measured) if measured else None


def _least_sure(snapshot: Snapshot, peers: list[PeerId]) -> Source:
    named = {snapshot.places[peer].source for peer in peers}
    return max((source for source in SOURCES if source in named), key=SOURCES.index)


def _pair(one: str, other: str) -> tuple[str, str]:
    return (one, other) if one <= other else (other, one)
