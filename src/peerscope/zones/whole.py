"""The whole network for people: our own zone from the ledger, all others from their summaries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from peerscope.records.identity import PeerId
from peerscope.records.sketch import Sketch, SketchBody
from peerscope.records.summary import RegionLine, Summary
from peerscope.views.aggregates import Distribution, WholeMetrics
from peerscope.views.health import CLASSES, NetworkHealth
from peerscope.views.regions import RegionConfig, RegionHealth, assess
from peerscope.zones.overview import Zone, combined

COUNTS = {"total_peers": "members"} | {f"{name}_peers": name for name in CLASSES}
"""Names of counts in views, and of the same counts in summaries."""
SEVERITIES = ("low", "medium", "high", "critical")
Counted = TypeVar("Counted", NetworkHealth, RegionHealth)


class ZoneHeadline(Struct, frozen=True):
    """One of the gravest alerts of a zone."""

    id: str
    severity: int
    title: str


class ZoneView(Struct, frozen=True):
    """One zone for people."""

    zone: str
    """"" if the network is not divided."""
    is_ours: bool
    """Our zone is known peer by peer, all others in summary."""
    total_peers: int
    healthy_peers: int
    degraded_peers: int
    unhealthy_peers: int
    unknown_peers: int
    down_peers: int
    median_latency_s: float | None
    connectivity: float | None
    alerts: dict[str, int]
    """Active ones by severity."""
    headlines: tuple[ZoneHeadline, ...]
    aggregators: tuple[str, ...]
    """Ids of the aggregators that agree on this."""
    disagreeing: tuple[str, ...]
    """Ids of aggregators that the others contradict."""
    age_s: float | None
    """Age of the newest summary; null for our own zone."""


def zone_views(own: ZoneView, others: Iterable[Zone], now: float) -> list[ZoneView]:
    """All zones by name, each once. `others`: from summaries, with ours or without; `now`: monotonic seconds."""
    beyond = (zone_view(zone, now) for zone in others if zone.zone != own.zone)
    return sorted([own, *beyond], key=lambda view: view.zone)


def zone_view(zone: Zone, now: float) -> ZoneView:
    """A zone that is not ours."""
    summary = zone.summary
    return ZoneView(
        zone=zone.zone,
        is_ours=False,
        **_counts([summary]),
        median_latency_s=Sketch.of(summary.latency).quantile(0.5),
        connectivity=summary.links / summary.links_expected if summary.links_expected else None,
        alerts=dict(zip(SEVERITIES, summary.alerts, strict=False)),
        headlines=tuple(ZoneHeadline(line.id, line.severity, line.title) for line in summary.headlines),
        aggregators=_ids(zone.aggregators),
        disagreeing=_ids(zone.disagreeing),
        age_s=max(0.0, now - zone.heard_at),
    )


def own_zone_view(zone: str, health: NetworkHealth, alerts: Iterable[str], aggregators: Sequence[PeerId]) -> ZoneView:
    """Our zone. `health`: of our zone alone; `alerts`: severities of the active ones."""
    counts = dict.fromkeys(SEVERITIES, 0)
    for severity in alerts:
        counts[severity] += 1
    return ZoneView(
        zone=zone,
        is_ours=True,
        **{field: getattr(health, field) for field in COUNTS},
        median_latency_s=health.median_latency_s,
        connectivity=health.connectivity,
        alerts=counts,
        headlines=(),
        aggregators=_ids(aggregators),
        disagreeing=(),
        age_s=None,
    )


def whole_health(own: NetworkHealth, beyond: Sequence[Summary], latencies: Iterable[float]) -> NetworkHealth:
    """The health of all zones. `own`: of ours; `beyond`: summaries of the others; `latencies`: of our zone's links."""
    if not beyond:
        return own
    sketch = Sketch()
    for latency_s in latencies:
        sketch.add(latency_s)
    links = expected = 0
    for summary in beyond:
        sketch.merge(Sketch.of(summary.latency))
        links, expected = links + summary.links, expected + summary.links_expected
    return replace(
        _grown(own, beyond),
        average_latency_s=sketch.total / sketch.count if sketch.count else None,
        median_latency_s=sketch.quantile(0.5),
        connectivity=_share(own, links, expected, beyond),
        zones=1 + len(beyond),
    )


def whole_metrics(own: Summary, beyond: Sequence[Summary]) -> WholeMetrics | None:
    """Metrics of all zones; None if there are no others. `own`: a summary of our zone now."""
    if not beyond:
        return None
    all_zones = combined([own, *beyond])
    return WholeMetrics(
        zones=1 + len(beyond),
        total_peers=all_zones.members,
        cpu_ratio=_distribution(all_zones.cpu),
        memory_ratio=_distribution(all_zones.memory),
        link_rtt_s=_distribution(all_zones.latency),
        throughput_bytes_s=all_zones.throughput_bytes_s,
        node_throughput_bytes_s=all_zones.node_throughput_bytes_s,
    )


def _distribution(body: SketchBody) -> Distribution | None:
    sketch = Sketch.of(body)
    median, p95 = sketch.quantile(0.5), sketch.quantile(0.95)
    if median is None or p95 is None or sketch.most is None:
        return None
    return Distribution(sketch.count, sketch.total / sketch.count, median, p95, sketch.most, None)


def whole_regions(
    own: Sequence[RegionHealth], beyond: Iterable[Summary], config: RegionConfig, wall: float
) -> list[RegionHealth]:
    """All regions. Those with peers in our zone have links and counts of our zone, plus the counts of other zones. The
    links of others are unknown, so they have counts only."""
    lines: defaultdict[str, list[RegionLine]] = defaultdict(list)
    for summary in beyond:
        for line in summary.regions:
            lines[line.region].append(line)
    known = {region.region: region for region in own}
    found = [_region(region, lines.pop(name, []), config) for name, region in known.items()]
    found += [_region(_far(name, wall), those, config) for name, those in lines.items()]
    return sorted(found, key=lambda region: region.region)


def _share(own: NetworkHealth, links: int, expected: int, beyond: Sequence[Summary]) -> float | None:
    if own.connectivity is None:
        return links / expected if expected else None
    if not expected:
        return own.connectivity
    # The number of links that our zone expects is unknown here, so zones weigh by their peers.
    peers = sum(summary.members for summary in beyond)
    total = own.total_peers + peers
    return (own.connectivity * own.total_peers + links / expected * peers) / total if total else None


def _region(region: RegionHealth, lines: Sequence[RegionLine], config: RegionConfig) -> RegionHealth:
    """The region with the counts of other zones."""
    if not lines:
        return region
    grown = _grown(region, lines)
    total, healthy = grown.total_peers, grown.healthy_peers
    return replace(
        grown,
        health_ratio=healthy / total if total else 0.0,
        status=_status(healthy, grown.degraded_peers, total, config),
    )


def _far(name: str, wall: float) -> RegionHealth:
    """A region without peers in our zone."""
    return RegionHealth(
        region=name,
        source="declared",
        status="healthy",
        **_counts([]),
        health_ratio=0.0,
        connectivity=None,
        expected_links=0,
        rtt_s=None,
        reached_regions=0,
        other_regions=0,
        cross_region={},
        last_assessed=wall,
    )


def _counts(parts: Sequence[Summary | RegionLine]) -> dict[str, int]:
    """Sums over zones or regions, by the names that views have."""
    return {field: sum(getattr(part, name) for part in parts) for field, name in COUNTS.items()}


def _grown(view: Counted, parts: Sequence[Summary | RegionLine]) -> Counted:
    """The view with the counts of other zones or regions."""
    return replace(view, **{field: getattr(view, field) + count for field, count in _counts(parts).items()})


def _status(healthy: int, degraded: int, total: int, config: RegionConfig) -> str:
    """Decide the status by counts alone."""
    ratio, standing = (healthy / total, (healthy + degraded) / total) if total else (0.0, 0.0)
    return assess(ratio, standing, None, 0, 0, config).value


def _ids(peers: Iterable[PeerId]) -> tuple[str, ...]:
    return tuple(peer.hex() for peer in peers)
