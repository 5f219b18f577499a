"""The health of each region.

A region consists of all known peers with one region name that have not left. Four numbers decide its status:

- *ratio*: share of its peers that are healthy. Below one limit the region is degraded.
- *standing*: share of its peers that are healthy or degraded. Below another limit the region is critical. A degraded
  peer still works, so it is not a missing one. If one machine is busy or full, its unhealthy peers are left out:
  that is trouble of the machine, and not of the region. Those of a second machine count as missing.
- *connectivity*: share of the expected ring links between its living peers that are up. Rings ignore regions, so a
  small region expects few such links or none. Below `links_min` of them the number decides nothing, since peers of
  other regions then connect the region.
- *reach*: number of other regions to which at least one link between living peers leads.

Every peer sees its own side of a partition, so each side calls the regions of the other critical.
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from statistics import median

from msgspec import Struct

from peerscope.errors import ConfigError
from peerscope.mesh.detection.verdicts import Verdict
from peerscope.records.bodies import CHECKS, Status
from peerscope.records.identity import PeerId
from peerscope.views.health import by_class, expected_links
from peerscope.views.links import MergedLink, mesh_links
from peerscope.views.places import ClusterConfig, Source
from peerscope.views.snapshot import Snapshot

REGIONS_MAX = 100
"""Most regions in views, those with most peers first. Any peer can invent a name, and work grows with pairs."""
MACHINE_CHECKS = frozenset({"cpu", "memory", "storage"})
"""Checks that all agents of one machine share. Each agent has a network, links and a node of its own."""
SOURCES: tuple[Source, ...] = ("declared", "country", "latency")
"""From the surest to the least sure."""


class RegionConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits below which a region is degraded or critical."""

    ratio_degraded_below: float = 0.8
    """Share of the region's peers that are healthy."""
    ratio_critical_below: float = 0.5
    """Share of the region's peers that are healthy or degraded: neither unhealthy, nor down, nor unknown. Peers that
    one machine makes unhealthy are left out."""
    connectivity_degraded_below: float = 0.9
    connectivity_critical_below: float = 0.7
    """Share of the expected links inside the region that are up. The region is critical only if peers are missing as
    well: less than `ratio_degraded_below` are healthy or degraded. Failed links alone only slow a region down."""
    reach_degraded_below: float = 0.5
    """Share of the other regions that it has links to. Without a link to any of them it is critical."""
    links_min: int = 3  # a guess: the loss of one link of two says nothing
    """If a region expects fewer links inside, its connectivity does not count."""
    hold_s: float = 5.0  # one report interval: a peer that has just joined hears the first reports of the others
    """How long a change must last before it becomes an event."""
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
    """From best to worst."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    CRITICAL = "critical"


class CrossRegion(Struct, frozen=True):
    """The links between two regions."""

    rtt_s: float | None
    """Median over the measured links."""
    links: int
    status: str
    """up while there is at least one link, else down."""


class RegionHealth(Struct, frozen=True):
    """Counts and status of one region."""

    region: str
    source: Source
    """declared, country or latency: the least sure source among its peers."""
    status: str
    """healthy, degraded or critical."""
    total_peers: int
    healthy_peers: int
    degraded_peers: int
    unhealthy_peers: int
    unknown_peers: int
    down_peers: int
    """Partitioned peers included."""
    health_ratio: float
    connectivity: float | None
    """null if no link is expected inside the region."""
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
    """All regions, by name. `rings`: number of rings of the network; `links`: `mesh_links`, if known."""
    members, links = region_members(snapshot), mesh_links(snapshot) if links is None else links
    between = rtts_between(snapshot, members, links)
    inside = _ring_links(snapshot, members, rings, links)
    found = []
    for name, peers in members.items():
        classes = Counter(snapshot.statuses[peer] for peer in peers)
        ratio = classes["healthy"] / len(peers)
        standing_ratio = _standing_ratio(snapshot, peers)
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


def _standing_ratio(snapshot: Snapshot, peers: list[PeerId]) -> float:
    """Share of the peers that are healthy or degraded, without those that the worst machine alone makes unhealthy.

    One peer alone on its machine is left out only if no other is missing: else two or more machines have trouble. If
    all missing peers are on that machine, its unhealthy ones count as standing: they still work.
    """
    missing = [peer for peer in peers if snapshot.statuses[peer] not in ("healthy", "degraded")]
    standing = len(peers) - len(missing)
    strained = (peer for peer in missing if snapshot.statuses[peer] == "unhealthy" and _is_strained(snapshot, peer))
    machines = Counter(snapshot.hosts[peer] for peer in strained if peer in snapshot.hosts)
    machine = min(machines, key=lambda name: (-machines[name], name), default=None)
    worst = 0 if machine is None else machines[machine]
    if worst and all(snapshot.hosts.get(peer) == machine for peer in missing):
        return (standing + worst) / len(peers)
    counted = len(peers) - (worst if worst > 1 else 0)
    return standing / counted if counted else 1.0


def _is_strained(snapshot: Snapshot, peer: PeerId) -> bool:
    report = snapshot.fresh_reports[peer]
    checks = report.checks if report is not None else ()
    failed = {name for name, check in zip(CHECKS, checks, strict=False) if check.status == Status.UNHEALTHY}
    return failed <= MACHINE_CHECKS


def assess(
    ratio: float, standing: float, connectivity: float | None, reached: int, others: int, config: RegionConfig
) -> RegionStatus:
    """Decide the status. `ratio` and `standing`: see above; `connectivity`: None if it does not count.

    `others`: number of other regions to which the region could have links. Its ring links limit it, since a lone peer
    cannot reach half of fifty regions.
    """
    holds = 1.0 if connectivity is None else connectivity
    is_torn = holds < config.connectivity_critical_below and standing < config.ratio_degraded_below
    is_cut_off = others > 0 and reached == 0
    if standing < config.ratio_critical_below or is_torn or is_cut_off:
        return RegionStatus.CRITICAL
    is_whole = holds >= config.connectivity_degraded_below and reached >= config.reach_degraded_below * others
    return RegionStatus.HEALTHY if ratio >= config.ratio_degraded_below and is_whole else RegionStatus.DEGRADED


def region_members(snapshot: Snapshot) -> dict[str, list[PeerId]]:
    """The peers of each region that have not left, by name; only the largest `REGIONS_MAX` regions."""
    found: dict[str, list[PeerId]] = {}
    for peer, place in snapshot.places.items():
        if place.region is not None and snapshot.verdict(peer) is not Verdict.LEFT:
            found.setdefault(place.region, []).append(peer)
    largest = sorted(found, key=lambda name: (-len(found[name]), name))[:REGIONS_MAX]
    return {name: found[name] for name in sorted(largest)}


def rtts_between(
    snapshot: Snapshot, members: dict[str, list[PeerId]], links: list[MergedLink]
) -> dict[tuple[str, str], list[float | None]]:
    """Round-trip times of links within and between regions, by the two names in order."""
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
    """Ring links inside each region: (expected, up)."""
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
