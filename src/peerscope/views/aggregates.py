"""What all peers measured in the last five minutes, in one table. One value per peer first: see `window.py`."""

from __future__ import annotations

from math import ceil

from msgspec import Struct

from peerscope.mesh.detection.verdicts import Verdict
from peerscope.views.snapshot import Snapshot
from peerscope.views.trends import Trends, active_peers
from peerscope.views.window import ROW, WINDOW_S, Measure, Window


class Distribution(Struct, frozen=True):
    """One value of each peer that told it."""

    peers: int
    mean: float
    median: float
    p95: float
    """Nearest rank."""
    peak: float
    sum: float | None
    """null where adding up means nothing: ratios, delays."""


class SystemAggregate(Struct, frozen=True):
    """The hosts. Each value is null where nobody told it."""

    cpu_ratio: Distribution | None = None
    memory_ratio: Distribution | None = None
    disk_ratio: Distribution | None = None
    received_bytes_s: Distribution | None = None
    sent_bytes_s: Distribution | None = None
    connections: Distribution | None = None


class NodeAggregate(Struct, frozen=True):
    """The nodes beside the peers."""

    tunnels: Distribution | None = None
    active_connections: Distribution | None = None
    p2p_peers: Distribution | None = None
    messages_s: Distribution | None = None
    dht_lookups_s: Distribution | None = None
    dht_puts_s: Distribution | None = None
    received_bytes_s: Distribution | None = None
    sent_bytes_s: Distribution | None = None
    errors_s: Distribution | None = None


class PerformanceAggregate(Struct, frozen=True):
    """How well the traffic goes."""

    average_latency_s: Distribution | None = None
    error_ratio: Distribution | None = None
    throughput_bytes_s: Distribution | None = None


class AgentAggregate(Struct, frozen=True):
    """What the agents cost and lose."""

    cpu_ratio: Distribution | None = None
    rss_bytes: Distribution | None = None
    queued: Distribution | None = None
    dropped_s: Distribution | None = None
    lag_s: Distribution | None = None


class WholeMetrics(Struct, frozen=True):
    """All zones of a network that is divided: what they tell each other in summary, as it is now."""

    zones: int
    total_peers: int
    cpu_ratio: Distribution | None
    memory_ratio: Distribution | None
    link_rtt_s: Distribution | None
    """Of links; `peers` counts these."""
    throughput_bytes_s: int | None
    """The sum over all who know theirs."""


class NetworkMetrics(Struct, frozen=True):
    """The whole network, measured; of one that is divided, our zone."""

    total_peers: int
    """Everybody remembered who did not say goodbye."""
    active_peers: int
    """Those that live and whose report has not expired; all values are theirs."""
    window_s: float
    system: SystemAggregate
    node: NodeAggregate
    performance: PerformanceAggregate
    agent: AgentAggregate
    trends: Trends
    last_updated: float
    """Unix seconds."""
    zone: str = ""
    """Whose peers these are; "" where the network is not divided."""
    whole: WholeMetrics | None = None
    """null where the network is not divided."""


def network_metrics(snapshot: Snapshot, window: Window, trends: Trends) -> NetworkMetrics:
    """Mean, median, 95th percentile, peak and sum over the active peers."""
    active = active_peers(snapshot)
    rows = [row for peer in active if (row := window.row(peer, snapshot.now)) is not None]
    parts: dict[str, dict[str, Distribution | None]] = {measure.part: {} for measure in ROW}
    for measure, column in zip(ROW, zip(*rows, strict=True), strict=False):  # no rows, no columns
        parts[measure.part][measure.name] = distribution(column, measure)
    return NetworkMetrics(
        total_peers=sum(snapshot.verdict(peer) is not Verdict.LEFT for peer in snapshot.peers),
        active_peers=len(active),
        window_s=WINDOW_S,
        system=SystemAggregate(**parts["system"]),
        node=NodeAggregate(**parts["node"]),
        performance=PerformanceAggregate(**parts["performance"]),
        agent=AgentAggregate(**parts["agent"]),
        trends=trends,
        last_updated=snapshot.wall,
        zone=snapshot.zone,
    )


def distribution(values: tuple[float | None, ...], measure: Measure) -> Distribution | None:
    """One value per peer; None where no peer told it."""
    ranked = sorted(value for value in values if value is not None)
    if not ranked:
        return None
    count, total = len(ranked), sum(ranked)
    return Distribution(
        peers=count,
        mean=total / count,
        median=(ranked[(count - 1) // 2] + ranked[count // 2]) / 2,
        p95=ranked[ceil(0.95 * count) - 1],
        peak=ranked[-1],
        sum=total if measure.adds_up else None,
    )
