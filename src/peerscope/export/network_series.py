"""What a peer tells of its zone: aggregates, bounded by `REGIONS_MAX`; and every single peer, where that is wanted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import InfoMetricFamily, Metric

from peerscope.agent.monitor import Monitor
from peerscope.alerts.model import AlertState
from peerscope.export.families import CLASSES, PREFIX, gauge, gauges, measured, spread, states
from peerscope.export.names import OF_THE_NETWORK
from peerscope.mesh.detection.verdicts import Verdict
from peerscope.records.alerts import Severity
from peerscope.records.identity import ref
from peerscope.views.metrics import metrics_view
from peerscope.views.regions import RegionStatus

SEVERITIES = tuple(severity.name.lower() for severity in Severity)
SUBJECT = ("subject",)
"""Labels of a series about one peer: the first 8 bytes of its id. `peer` is left to whoever collects, for the peer that
tells."""


def network(monitor: Monitor) -> Iterator[Metric]:
    """Counts, links, aggregates and regions."""
    snapshot, health, links = monitor.snapshot(), monitor.network_health(), monitor.mesh_links()
    classes = [((name,), float(getattr(health, f"{name}_peers"))) for name in CLASSES]
    yield gauges("network_peers", "Peers by status; each is in one.", ("status",), classes)
    verdicts = Counter(snapshot.verdict(peer) for peer in snapshot.peers)
    told = [((verdict.value,), float(verdicts[verdict])) for verdict in Verdict]
    yield gauges("network_verdict_peers", "Peers by what the evidence says of them.", ("verdict",), told)
    yield gauge("network_partitions", "Groups of peers that were lost together.", len(snapshot.partitions))
    yield gauge("network_connectivity_ratio", "Share of the expected links that are up.", health.connectivity)
    yield gauge("network_links", "Links between peers.", len(links))
    yield spread("network_link_rtt_seconds", "Round-trip times of all links.", (link.measured_s for link in links))
    yield spread("network_link_loss_ratio", "Loss on all links.", (link.loss_ratio for link in links))
    yield from _alerts(monitor)
    yield from _aggregates(monitor)
    yield from _regions(monitor)


def every_peer(monitor: Monitor) -> Iterator[Metric]:
    """What every peer says of itself, and the others of it."""
    snapshot = monitor.snapshot()
    peers = {peer: (ref(peer).hex(),) for peer in snapshot.peers if snapshot.verdict(peer) is not Verdict.LEFT}
    names = ("subject", "peer_id", "region", "version", "node")
    family = InfoMetricFamily(f"{PREFIX}peer", "Every known peer.", labels=names)
    for peer, who in peers.items():
        profile, region = snapshot.profiles[peer], snapshot.places[peer].region
        family.add_metric((*who, peer.hex(), region or "", profile.version, profile.node or ""), {})
    yield family
    ups = [(who, float(snapshot.is_living(peer))) for peer, who in peers.items()]
    yield gauges("peer_up", "0 where the evidence says that the peer is down.", SUBJECT, ups)
    said = [(who, snapshot.statuses[peer]) for peer, who in peers.items()]
    yield states("peer_status", "How a peer is.", SUBJECT, said, CLASSES)
    ages = [(who, snapshot.age_s(peer)) for peer, who in peers.items()]
    yield gauges("peer_report_age_seconds", "Since a peer's last report was issued.", SUBJECT, ages)
    reports = [(who, snapshot.living_reports[peer]) for peer, who in peers.items()]
    views = [(who, metrics_view(report.metrics)) for who, report in reports if report and report.metrics]
    yield from measured("peer_", views, SUBJECT)


STATES: tuple[AlertState, ...] = ("firing", "resolved", "forgotten")


def _alerts(monitor: Monitor) -> Iterator[Metric]:
    """Every severity and state each time, so that a count that falls to 0 is told."""
    counts = Counter((alert.severity, alert.state) for alert in monitor.alerts())
    told = [((name, state), float(counts[name, state])) for name in SEVERITIES for state in STATES]
    yield gauges("network_alerts", "Alerts that fire, or ended within a day.", ("severity", "state"), told)
    opened = Counter(incident.severity for incident in monitor.incidents() if incident.state == "open")
    values = [((name,), float(opened[name])) for name in SEVERITIES]
    yield gauges("network_open_incidents", "Alerts with one probable root that are not over.", ("severity",), values)


def _aggregates(monitor: Monitor) -> Iterator[Metric]:
    metrics = monitor.network_metrics()
    yield gauge(
        "network_active_peers", "Peers that live and report: whose values are aggregated.", metrics.active_peers
    )
    for name in OF_THE_NETWORK:
        found = getattr(getattr(metrics, name.part), name.field)
        if found is not None:
            told = {"mean": found.mean, "median": found.median, "p95": found.p95, "max": found.peak, "sum": found.sum}
            values = [((statistic,), value) for statistic, value in told.items()]
            text = f"{name.help} Over peers, one value of each for the last five minutes."
            yield gauges(f"network_{name.metric}", text, ("statistic",), values)


def _regions(monitor: Monitor) -> Iterator[Metric]:
    regions, one = monitor.region_health(), ("region",)
    peers = [((r.region, name), float(getattr(r, f"{name}_peers"))) for r in regions for name in CLASSES]
    yield gauges("region_peers", "Peers of a region by status.", (*one, "status"), peers)
    yield states("region_status", "How a region is.", one, [((r.region,), r.status) for r in regions], RegionStatus)
    ratios = [((r.region,), r.health_ratio) for r in regions]
    yield gauges("region_health_ratio", "Share of a region's peers that are healthy.", one, ratios)
    whole = [((r.region,), r.connectivity) for r in regions]
    yield gauges("region_connectivity_ratio", "Share of the expected links inside a region that are up.", one, whole)
    rtts = [((r.region,), r.rtt_s) for r in regions]
    yield gauges("region_link_rtt_seconds", "Median round-trip time of the links inside a region.", one, rtts)
