"""The whole network as one peer sees it: its own zone from its ledger, all others from their summaries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from peerscope.records.identity import PeerId
from peerscope.records.sketch import Sketch, SketchBody
from peerscope.records.summary import RegionLine, Summary
from peerscope.views.aggregates import Distribution, WholeMetrics
from peerscope.views.health import NetworkHealth
from peerscope.views.regions import RegionConfig, RegionHealth, assess
from peerscope.zones.overview import Zone, combined


class ZoneHeadline(Struct, frozen=True):
    """One of the gravest alerts of a zone."""

    id: str
    severity: int
    title: str


class ZoneView(Struct, frozen=True):
    """One zone, as people see it."""

    zone: str
    """"" for a network that is not cut."""
    is_ours: bool
    """Seen peer by peer; all others in summary."""
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
    """Ids of the peers whose word this is; they agree."""
    disagreeing: tuple[str, ...]
    """Ids of aggregators whom the others contradict."""
    age_s: float | None
    """Of the newest summary; null for our own zone."""


def zone_views(own: ZoneView, others: Iterable[Zone], now: float) -> list[ZoneView]:
    """All zones by name, each once. `others`: as summaries say, our own among them or not; `now`: monotonic seconds."""
    beyond = (zone_view(zone, now) for zone in others if zone.zone != own.zone)
    return sorted([own, *beyond], key=lambda view: view.zone)


def zone_view(zone: Zone, now: float) -> ZoneView:
    """A zone that is not ours."""
    said = zone.summary
    severities = ("low", "medium", "high", "critical")
    return ZoneView(
        zone=zone.zone,
        is_ours=False,
        total_peers=said.members,
        healthy_peers=said.healthy,
        degraded_peers=said.degraded,
        unhealthy_peers=said.unhealthy,
        unknown_peers=said.unknown,
        down_peers=said.down,
        median_latency_s=Sketch.of(said.latency).quantile(0.5),
        connectivity=said.links / said.links_expected if said.links_expected else None,
        alerts=dict(zip(severities, said.alerts, strict=False)),
        headlines=tuple(ZoneHeadline(line.id, line.severity, line.title) for line in said.headlines),
        aggregators=_ids(zone.aggregators),
        disagreeing=_ids(zone.disagreeing),
        age_s=max(0.0, now - zone.heard_at),
    )


def own_zone_view(zone: str, health: NetworkHealth, alerts: Iterable[str], aggregators: Sequence[PeerId]) -> ZoneView:
    """Ours. `health`: of our zone alone; `alerts`: severities of the active ones."""
    counts = dict.fromkeys(("low", "medium", "high", "critical"), 0)
    for severity in alerts:
        counts[severity] += 1
    return ZoneView(
        zone=zone,
        is_ours=True,
        total_peers=health.total_peers,
        healthy_peers=health.healthy_peers,
        degraded_peers=health.degraded_peers,
        unhealthy_peers=health.unhealthy_peers,
        unknown_peers=health.unknown_peers,
        down_peers=health.down_peers,
        median_latency_s=health.median_latency_s,
        connectivity=health.connectivity,
        alerts=counts,
        headlines=(),
        aggregators=_ids(aggregators),
        disagreeing=(),
        age_s=None,
    )


def whole_health(own: NetworkHealth, beyond: Sequence[Summary], latencies: Iterable[float]) -> NetworkHealth:
    """The health of all zones. `own`: of ours; `beyond`: what the others say; `latencies`: of our zone's links."""
    if not beyond:
        return own
    sketch = Sketch()
    for latency_s in latencies:
        sketch.add(latency_s)
    links = expected = 0
    for said in beyond:
        sketch.merge(Sketch.of(said.latency))
        links, expected = links + said.links, expected + said.links_expected
    return replace(
        own,
        total_peers=own.total_peers + sum(said.members for said in beyond),
        healthy_peers=own.healthy_peers + sum(said.healthy for said in beyond),
        degraded_peers=own.degraded_peers + sum(said.degraded for said in beyond),
        unhealthy_peers=own.unhealthy_peers + sum(said.unhealthy for said in beyond),
        unknown_peers=own.unknown_peers + sum(said.unknown for said in beyond),
        down_peers=own.down_peers + sum(said.down for said in beyond),
        average_latency_s=sketch.total / sketch.count if sketch.count else None,
        median_latency_s=sketch.quantile(0.5),
        connectivity=_share(own, links, expected, beyond),
        zones=1 + len(beyond),
    )


def whole_metrics(own: Summary, beyond: Sequence[Summary]) -> WholeMetrics | None:
    """What all zones measure. `own`: what a summary of ours says now; None where there are no others."""
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
    """Every region: those with peers in our zone as we see them, with the counts of other zones added; others by their
    counts alone, since nobody here knows their links."""
    lines: defaultdict[str, list[RegionLine]] = defaultdict(list)
    for said in beyond:
        for line in said.regions:
            lines[line.region].append(line)
    known = {region.region: region for region in own}
    found = [_grown(region, lines.pop(name, []), config) for name, region in known.items()]
    found += [_far(name, those, config, wall) for name, those in lines.items()]
    return sorted(found, key=lambda region: region.region)


def _share(own: NetworkHealth, links: int, expected: int, beyond: Sequence[Summary]) -> float | None:
    if own.connectivity is None:
        return links / expected if expected else None
    if not expected:
        return own.connectivity
    # Ours weighs as its peers do: how many links it expects is not told here.
    peers = sum(said.members for said in beyond)
    total = own.total_peers + peers
    return (own.connectivity * own.total_peers + links / expected * peers) / total if total else None


def _grown(region: RegionHealth, lines: list[RegionLine], config: RegionConfig) -> RegionHealth:
    if not lines:
        return region
    total = region.total_peers + sum(line.members for line in lines)
    healthy = region.healthy_peers + sum(line.healthy for line in lines)
    degraded = region.degraded_peers + sum(line.degraded for line in lines)
    return replace(
        region,
        total_peers=total,
        healthy_peers=healthy,
        degraded_peers=degraded,
        unhealthy_peers=region.unhealthy_peers + sum(line.unhealthy for line in lines),
        unknown_peers=region.unknown_peers + sum(line.unknown for line in lines),
        down_peers=region.down_peers + sum(line.down for line in lines),
        health_ratio=healthy / total if total else 0.0,
        status=_status(healthy, degraded, total, config),
    )


def _far(name: str, lines: list[RegionLine], config: RegionConfig, wall: float) -> RegionHealth:
    total, healthy = sum(line.members for line in lines), sum(line.healthy for line in lines)
    degraded = sum(line.degraded for line in lines)
    return RegionHealth(
        region=name,
        source="declared",
        status=_status(healthy, degraded, total, config),
        total_peers=total,
        healthy_peers=healthy,
        degraded_peers=degraded,
        unhealthy_peers=sum(line.unhealthy for line in lines),
        unknown_peers=sum(line.unknown for line in lines),
        down_peers=sum(line.down for line in lines),
        health_ratio=healthy / total if total else 0.0,
        connectivity=None,
        expected_links=0,
        rtt_s=None,
        reached_regions=0,
        other_regions=0,
        cross_region={},
        last_assessed=wall,
    )


def _status(healthy: int, degraded: int, total: int, config: RegionConfig) -> str:
    """By the counts alone."""
    ratio, standing = (healthy / total, (healthy + degraded) / total) if total else (0.0, 0.0)
    return assess(ratio, standing, None, 0, 0, config).value


def _ids(peers: Iterable[PeerId]) -> tuple[str, ...]:
    return tuple(peer.hex() for peer in peers)
