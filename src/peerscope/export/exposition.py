"""`/metrics`: the metrics of a peer, as Prometheus text or OpenMetrics, whichever the scraper asks for.

Series of the peer itself and of its zone are bounded by our tables, `LINKS_MAX` and `REGIONS_MAX`; series of every peer
are optional. `prometheus_client` writes the formats. It costs an agent 13 ms and 1 MB, on the first scrape.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Protocol

from prometheus_client.core import HistogramMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

from peerscope.agent.network_view import SelfView
from peerscope.agent.traffic import Traffic
from peerscope.alerts.expiry import Expiry
from peerscope.alerts.incident import Incident
from peerscope.alerts.model import Alert, AlertState
from peerscope.config import Config
from peerscope.export.availability import availability_metrics
from peerscope.export.families import (
    CLASSES,
    OF_THE_NETWORK,
    PREFIX,
    counters,
    counts,
    gauge,
    gauges,
    info,
    measured,
    network_measures,
    own_measures,
    spread,
    states,
)
from peerscope.history.recorder import Recorder
from peerscope.history.schema import FILE
from peerscope.host.failures import FailureLog
from peerscope.host.state import StateDirectory
from peerscope.host.version import __version__
from peerscope.mesh.detection.verdicts import Verdict
from peerscope.mesh.peer import Peer
from peerscope.records.alerts import Severity
from peerscope.records.bodies import CHECKS, LINKS_MAX, RATIO_ONE, Status
from peerscope.records.identity import ref
from peerscope.sources.node import Node
from peerscope.transport.base import Transport
from peerscope.views.aggregates import NetworkMetrics
from peerscope.views.health import NetworkHealth
from peerscope.views.links import MergedLink
from peerscope.views.metrics import MetricsView, metrics_view
from peerscope.views.regions import RegionHealth, RegionStatus
from peerscope.views.snapshot import Snapshot

if TYPE_CHECKING:  # extras: most agents do not have them
    from peerscope.export.otlp import Otlp
    from peerscope.export.remote_write import RemoteWrite

GZIP_LEVEL = 1


class Collected:
    """Passes families to `prometheus_client`, which reads them from a registry."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """All families."""
        return iter(self._families)


class Exposed(Protocol):
    """The parts of an agent that its metrics describe; `Monitor` has them all."""

    config: Config
    failure_log: FailureLog
    node: Node
    recorder: Recorder | None
    state: StateDirectory
    traffic: Traffic

    @property
    def peer(self) -> Peer: ...
    @property
    def transport(self) -> Transport: ...
    def snapshot(self) -> Snapshot: ...
    def self_view(self) -> SelfView: ...
    def endings(self) -> tuple[Expiry, ...]: ...
    def mesh_links(self) -> list[MergedLink]: ...
    def alerts(self) -> list[Alert]: ...
    def incidents(self) -> list[Incident]: ...
    def network_health(self) -> NetworkHealth: ...
    def network_metrics(self) -> NetworkMetrics: ...
    def region_health(self) -> list[RegionHealth]: ...


def own(agent: Exposed, writer: RemoteWrite | None = None, otlp: Otlp | None = None) -> list[Metric]:
    """Collect the metrics of this peer itself. Families without any value are left out."""
    return _known(_own(agent, writer, otlp))


def network(agent: Exposed) -> list[Metric]:
    """Collect what this peer sees of its zone, with `export.per_peer` the series of every peer too."""
    per_peer = _every_peer(agent) if agent.config.export.per_peer else ()
    return _known((*_network(agent), *per_peer, *_availability(agent)))


def _known(families: Iterable[Metric]) -> list[Metric]:
    return [family for family in families if family.samples]


def render(families: list[Metric], accept: str, *, packed: bool) -> tuple[bytes, str]:
    """Write the page. Returns it with its media type. `accept`: header of the request. `packed`: use gzip."""
    encode, media_type = choose_encoder(accept)
    page = encode(Collected(families))
    return gzip.compress(page, GZIP_LEVEL) if packed else page, media_type


HOPS_MAX = 16
"""Buckets of the histogram of hops; the last one counts all longer ways."""


def _own(agent: Exposed, writer: RemoteWrite | None, otlp: Otlp | None) -> Iterator[Metric]:
    yield from _who(agent)
    yield from _health(agent)
    yield from _links(agent.peer)
    yield from _messages(agent.peer)
    yield counts(
        "transport_failures",
        "Messages that the transport dropped, and attempts that failed.",
        "reason",
        agent.transport.counters,
    )
    yield counts(
        "look_failures", "Measurements and reviews of this agent that failed.", "look", agent.failure_log.failures
    )
    refused = agent.node.telemetry.refused
    yield counts("telemetry_refused", "Events of the node that were refused.", "reason", refused)
    yield from _kept(agent)
    ends = [((one.what,), one.ends_at) for one in agent.endings()]
    yield gauges("certificate_end_timestamp_seconds", "When this peer's certificates end.", ("setting",), ends)
    beats = agent.self_view().heartbeat
    if beats is not None:
        yield counts("heartbeats", "Heartbeats to a service outside, by outcome.", "outcome", beats.counts)
    if writer is not None:
        yield from _written(writer)
    if otlp is not None:
        yield counters("traces_exported", "Messages whose path was exported as a trace.", (), [((), otlp.exported)])


def _who(agent: Exposed) -> Iterator[Metric]:
    me, profile = agent.self_view(), agent.peer.ledger.profile(agent.peer.me)
    yield info("build", "The program.", version=__version__, python=sys.version.split()[0])
    labels = {"region": me.region, "zone": profile.zone if profile else None, "node": me.node}
    known = {name: value for name, value in labels.items() if value}
    yield info("agent", "This peer.", peer_id=me.peer_id, network=me.network, **known)
    yield gauge("uptime_seconds", "Since the agent started.", me.uptime_s)
    with contextlib.suppress(RuntimeError):  # tests may collect outside an event loop
        yield gauge("agent_tasks", "Work that runs in the agent's event loop.", len(asyncio.all_tasks()))


def _health(agent: Exposed) -> Iterator[Metric]:
    report = agent.snapshot().fresh_report(agent.peer.me)
    if report is None:
        return
    yield states("status", "Status in this peer's own report.", (), [((), report.status.name.lower())])
    checks = list(zip(CHECKS, report.checks, strict=False))
    outcomes = [((name,), Status(check.status).name.lower()) for name, check in checks]
    yield states("check_status", "Outcome of each health check.", ("check",), outcomes)
    ratios = [((name,), None if check.ratio is None else check.ratio / RATIO_ONE) for name, check in checks]
    yield gauges("check_ratio", "Measured value of each health check.", ("check",), ratios)
    yield gauge("links_expected", "Neighbours that this peer should be linked to.", report.expected)
    if report.metrics is not None:
        views: list[tuple[tuple[str, ...], MetricsView]] = [((), metrics_view(report.metrics))]
        yield from measured("", views)
        yield from own_measures("", views)


def _links(core: Peer) -> Iterator[Metric]:
    links = [(ref(peer).hex(), link) for peer, link in sorted(core.links.items()) if link.is_up]
    yield gauge("links", "Neighbours with a link that is up.", len(links))
    rtts = [((name,), link.rtt.smoothed_s) for name, link in links[:LINKS_MAX]]
    yield gauges("link_rtt_seconds", "Smoothed round-trip time to each neighbour.", ("neighbour",), rtts)
    losses = [((name,), link.loss_ratio) for name, link in links[:LINKS_MAX]]
    yield gauges("link_loss_ratio", "Share of pings to each neighbour without an answer.", ("neighbour",), losses)


def _messages(core: Peer) -> Iterator[Metric]:
    yield counts("mesh_sent_messages", "Messages to other agents.", "type", core.out.messages)
    yield counts("mesh_sent_bytes", "Bytes to other agents, before QUIC adds its own.", "type", core.out.bytes)
    yield counts("mesh_received_messages", "Messages of other agents that were understood.", "type", core.received)
    heard = [((), float(core.heard_bytes))]
    yield counters("mesh_received_bytes", "Bytes from other agents, before QUIC adds its own.", (), heard)
    yield counts("mesh_refused", "Messages and records of others that were refused.", "reason", core.refused)
    ways = [(way, core.copies[way], core.copies[f"{way} news"]) for way in ("pushed", "announced")]
    copies = [((way, use), float(n)) for way, all_, news in ways for use, n in (("news", news), ("known", all_ - news))]
    yield counters("gossip_records", "Records received, by way, and whether they were news.", ("way", "use"), copies)
    yield _hops(core.hops)
    wanted = core.parts.scopes.near.gossip.wanted
    yield gauge("gossip_wanted_records", "Records that were announced and have not come yet.", wanted)


def _hops(hops: Mapping[int, int]) -> Metric:
    by_far = [0] * (HOPS_MAX + 1)
    for far, count in hops.items():
        by_far[min(far, HOPS_MAX)] += count
    ends = [*(f"{far}.0" for far in range(1, HOPS_MAX)), "+Inf"]
    buckets = [(end, float(count)) for end, count in zip(ends, list(accumulate(by_far))[1:], strict=True)]
    family = HistogramMetricFamily(f"{PREFIX}gossip_push_hops", "Hops that urgent news took to this peer.")
    family.add_metric([], buckets, float(sum(far * count for far, count in hops.items())))
    return family


def _kept(agent: Exposed) -> Iterator[Metric]:
    ledger, global_ledger = agent.peer.ledger, agent.peer.global_ledger
    yield gauge("ledger_peers", "Peers of which records are kept.", len(ledger))
    yield gauge("ledger_records", "Records that are kept.", (ledger.counts + global_ledger.counts).total())
    proofs = len(ledger.proofs) + len(global_ledger.proofs)
    yield gauge("ledger_equivocations", "Proofs that a peer contradicted itself.", proofs)
    if agent.recorder is not None:
        with contextlib.suppress(OSError):  # its journal may go at any time
            sizes = [place.stat().st_size for place in agent.state.path.glob(f"{FILE}*")]
            yield gauge("history_size_bytes", "The history on disk, its journal included.", sum(sizes) or None)


def _written(writer: RemoteWrite) -> Iterator[Metric]:
    samples, delivery = "Samples of remote write, by outcome.", writer.delivery
    yield counts("remote_write_samples", samples, "outcome", writer.samples)
    aside = {reason: found.samples for reason, found in delivery.aside.items()}
    yield counts("remote_write_aside_samples", "Samples that the receiver refuses.", "reason", aside)
    yield counts("remote_write_requests", "Requests of remote write, by outcome.", "outcome", delivery.requests)
    yield gauge("remote_write_queue_bytes", "Size of the queue on disk for the receiver.", writer.queue_bytes)
    yield gauge("remote_write_queue_samples", "Samples that wait on disk for the receiver.", writer.queue_samples)
    held = "Samples in the queue that wait until the network's clock reaches their date."
    yield gauge("remote_write_held_samples", held, delivery.held)
    yield gauge("remote_write_elected", "1 while this peer writes the series of the network.", writer.is_elected)
    last = delivery.sent_at
    yield gauge("remote_write_last_sent_timestamp_seconds", "When the receiver last took samples.", last)


SEVERITIES = tuple(severity.name.lower() for severity in Severity)
SUBJECT = ("subject",)
"""Label of a series about one peer: the first 8 bytes of its id. The collector adds `peer`, for the reporting peer."""


def _network(agent: Exposed) -> Iterator[Metric]:
    snapshot, health, links = agent.snapshot(), agent.network_health(), agent.mesh_links()
    classes = [((name,), float(getattr(health, f"{name}_peers"))) for name in CLASSES]
    yield gauges("network_peers", "Peers by status; each is in one.", ("status",), classes)
    verdicts = Counter(snapshot.verdict(peer) for peer in snapshot.peers)
    values = [((verdict.value,), float(verdicts[verdict])) for verdict in Verdict]
    yield gauges("network_verdict_peers", "Peers by verdict.", ("verdict",), values)
    yield gauge("network_partitions", "Groups of peers that were lost together.", len(snapshot.partitions))
    yield gauge("network_connectivity_ratio", "Share of the expected links that are up.", health.connectivity)
    yield gauge("network_links", "Links between peers.", len(links))
    yield spread("network_link_rtt_seconds", "Round-trip times of all links.", (link.measured_s for link in links))
    yield spread("network_link_loss_ratio", "Loss on all links.", (link.loss_ratio for link in links))
    yield from _alerts(agent)
    yield from _aggregates(agent)
    yield from _regions(agent)


def _every_peer(agent: Exposed) -> Iterator[Metric]:
    snapshot = agent.snapshot()
    peers = {peer: (ref(peer).hex(),) for peer in snapshot.peers if snapshot.verdict(peer) is not Verdict.LEFT}
    names = ("subject", "peer_id", "region", "version", "node")
    family = InfoMetricFamily(f"{PREFIX}peer", "Every known peer.", labels=names)
    for peer, who in peers.items():
        profile, region = snapshot.profiles[peer], snapshot.places[peer].region
        family.add_metric((*who, peer.hex(), region or "", profile.version, profile.node or ""), {})
    yield family
    ups = [(who, float(snapshot.is_living(peer))) for peer, who in peers.items()]
    yield gauges("peer_up", "0 where the evidence says that the peer is down.", SUBJECT, ups)
    statuses = [(who, snapshot.statuses[peer]) for peer, who in peers.items()]
    yield states("peer_status", "Status of a peer.", SUBJECT, statuses, CLASSES)
    ages = [(who, snapshot.age_s(peer)) for peer, who in peers.items()]
    yield gauges("peer_report_age_seconds", "Since a peer's last report was issued.", SUBJECT, ages)
    reports = [(who, snapshot.living_reports[peer]) for peer, who in peers.items()]
    views = [(who, metrics_view(report.metrics)) for who, report in reports if report and report.metrics]
    yield from measured("peer_", views, SUBJECT)
    yield from own_measures("peer_", views, SUBJECT)


def _availability(agent: Exposed) -> Iterator[Metric]:
    if agent.recorder is not None:
        yield from availability_metrics(agent.recorder.availability, per_peer=agent.config.export.per_peer)


STATES: tuple[AlertState, ...] = ("firing", "resolved", "forgotten")


def _alerts(agent: Exposed) -> Iterator[Metric]:
    """Export every severity and state each time, so that a count can fall to 0."""
    counts = Counter((alert.severity, alert.state) for alert in agent.alerts())
    values = [((name, state), float(counts[name, state])) for name in SEVERITIES for state in STATES]
    yield gauges("network_alerts", "Alerts that fire, or ended within a day.", ("severity", "state"), values)
    opened = Counter(incident.severity for incident in agent.incidents() if incident.state == "open")
    by_severity = [((name,), float(opened[name])) for name in SEVERITIES]
    yield gauges(
        "network_open_incidents", "Alerts with one probable root that are not over.", ("severity",), by_severity
    )


def _aggregates(agent: Exposed) -> Iterator[Metric]:
    metrics = agent.network_metrics()
    yield gauge("network_active_peers", "Peers that live and report: the aggregates cover these.", metrics.active_peers)
    for name in OF_THE_NETWORK:
        found = getattr(getattr(metrics, name.part), name.field)
        if found is not None:
            statistics = {
                "mean": found.mean,
                "median": found.median,
                "p95": found.p95,
                "max": found.peak,
                "sum": found.sum,
            }
            values = [((statistic,), value) for statistic, value in statistics.items()]
            text = f"{name.help} Over peers, one value of each for the last five minutes."
            yield gauges(f"network_{name.metric}", text, ("statistic",), values)
    yield from network_measures(metrics.measures)


def _regions(agent: Exposed) -> Iterator[Metric]:
    regions, one = agent.region_health(), ("region",)
    peers = [((r.region, name), float(getattr(r, f"{name}_peers"))) for r in regions for name in CLASSES]
    yield gauges("region_peers", "Peers of a region by status.", (*one, "status"), peers)
    yield states("region_status", "Status of a region.", one, [((r.region,), r.status) for r in regions], RegionStatus)
    ratios = [((r.region,), r.health_ratio) for r in regions]
    yield gauges("region_health_ratio", "Share of a region's peers that are healthy.", one, ratios)
    whole = [((r.region,), r.connectivity) for r in regions]
    yield gauges("region_connectivity_ratio", "Share of the expected links inside a region that are up.", one, whole)
    rtts = [((r.region,), r.rtt_s) for r in regions]
    yield gauges("region_link_rtt_seconds", "Median round-trip time of the links inside a region.", one, rtts)
