"""An aggregator's summary of its zone: a pure function of its snapshot."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from statistics import fmean

from peerscope.alerts.model import Alert
from peerscope.alerts.silences import order_key
from peerscope.mesh.detection.verdicts import Verdict
from peerscope.records.alerts import Severity
from peerscope.records.bodies import RATIO_ONE
from peerscope.records.identity import PeerId, ref
from peerscope.records.sketch import Sketch, registers
from peerscope.records.summary import HEADLINES_MAX, REGIONS_MAX, Headline, RegionLine, Summary
from peerscope.views.health import CLASSES, ring_links
from peerscope.views.links import MergedLink
from peerscope.views.snapshot import Snapshot


def summary(
    snapshot: Snapshot,
    links: Sequence[MergedLink],
    alerts: Iterable[Alert],
    *,
    zone: str,
    aggregators: Sequence[PeerId],
    addresses: Sequence[str],
    interval_s: float,
    rings: int,
) -> Summary:
    """Summarise a zone. `links`: those between its agents; `alerts`: active ones; `aggregators`: its own, by rank."""
    states = {peer: state for peer in snapshot.peers if (state := snapshot.statuses[peer]) != "left"}
    counts = Counter(states.values())
    verdicts = Counter(snapshot.verdict(peer) for peer in states)
    latency, cpu, memory = Sketch(), Sketch(), Sketch()
    for link in links:
        if link.measured_s is not None:
            latency.add(link.measured_s)
    cpus: defaultdict[Hashable, list[float]] = defaultdict(list)
    memories: defaultdict[Hashable, list[float]] = defaultdict(list)
    throughputs: list[int] = []
    of_nodes: list[int] = []
    for peer in states:
        report = snapshot.living_reports[peer]
        if report is None or report.metrics is None:
            continue
        system, performance = report.metrics.system, report.metrics.performance
        if system.cpu is not None:
            cpus[snapshot.hosts.get(peer, peer)].append(system.cpu / RATIO_ONE)
        if system.memory_used_kib is not None and system.memory_total_kib:
            memories[snapshot.hosts.get(peer, peer)].append(system.memory_used_kib / system.memory_total_kib)
        if performance.throughput_bytes_s is not None:
            throughputs.append(performance.throughput_bytes_s)
            if report.metrics.node is not None:
                of_nodes.append(performance.throughput_bytes_s)
    for sketch, readings in ((cpu, cpus), (memory, memories)):
        for of_machine in readings.values():  # several agents of one machine measure the same
            sketch.add(fmean(of_machine))
    links_up, links_expected = ring_links(snapshot, rings, zone, links)
    gravest = sorted(alerts, key=lambda alert: (-Severity[alert.severity.upper()], alert.started_at, alert.id))
    by_severity = Counter(alert.severity for alert in gravest)
    return Summary(
        zone=zone,
        aggregators=tuple(ref(peer) for peer in aggregators[:3]),
        addresses=tuple(addresses[:4]),
        interval_ms=round(interval_s * 1000),
        members=len(states),
        healthy=counts["healthy"],
        degraded=counts["degraded"],
        unhealthy=counts["unhealthy"],
        unknown=counts["unknown"],
        down=counts["down"],
        suspect=verdicts[Verdict.SUSPECT],
        partitioned=verdicts[Verdict.PARTITIONED],
        ids=registers(states),
        latency=latency.to_body(),
        links=links_up,
        links_expected=links_expected,
        cpu=cpu.to_body(),
        memory=memory.to_body(),
        throughput_bytes_s=sum(throughputs) if throughputs else None,
        regions=_regions(snapshot, states),
        alerts=tuple(by_severity[severity.name.lower()] for severity in Severity),
        headlines=tuple(
            Headline(order_key(alert.id), Severity[alert.severity.upper()], alert.title[:160])
            for alert in gravest[:HEADLINES_MAX]
        ),
        node_throughput_bytes_s=sum(of_nodes) if of_nodes else None,
    )


def _regions(snapshot: Snapshot, states: dict[PeerId, str]) -> tuple[RegionLine, ...]:
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for peer, state in states.items():
        region = snapshot.places[peer].region
        if region is not None:
            found[region[:64]][state] += 1
    largest = sorted(found.items(), key=lambda item: (-item[1].total(), item[0]))[:REGIONS_MAX]
    return tuple(RegionLine(region, counts.total(), *(counts[name] for name in CLASSES)) for region, counts in largest)
