"""Metrics of one peer in base units: bytes, seconds, ratios. A value that nobody measured is null, never 0."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import astuple

from peerscope.records.bodies import RATIO_ONE
from peerscope.records.measures import AgentMetrics, Metrics, NodeMetrics, PerformanceMetrics, SystemMetrics

KIB = 1024
STANDARD = len(NodeMetrics.__struct_fields__)
"""Values of a node that all agents know; its own follow them."""


class SystemView(Struct, frozen=True, gc=False):
    """The host."""

    cpu_ratio: float | None
    memory_used_bytes: int | None
    memory_total_bytes: int | None
    memory_ratio: float | None
    """Used share of the peer's own total."""
    disk_used_bytes: int | None
    disk_total_bytes: int | None
    disk_ratio: float | None
    received_bytes: int | None
    sent_bytes: int | None
    received_bytes_s: int | None
    sent_bytes_s: int | None
    connections: int | None


class NodeMetricsView(Struct, frozen=True, gc=False):
    """The P2P node beside the peer."""

    tunnels: int | None
    active_connections: int | None
    messages: int | None
    p2p_peers: int | None
    dht_lookups: int | None
    dht_puts: int | None
    received_bytes: int | None
    sent_bytes: int | None
    errors: int | None


class PerformanceView(Struct, frozen=True, gc=False):
    """Traffic of the node, or of the mesh itself without a node."""

    average_latency_s: float | None
    error_ratio: float | None
    throughput_bytes_s: int | None


class AgentView(Struct, frozen=True, gc=False):
    """Costs and losses of the agent."""

    cpu_ratio: float | None
    rss_bytes: int | None
    queued: int | None
    dropped: int | None
    lag_s: float | None
    anomaly_ratio: float | None = None
    """Share of its recent values that were unlike before."""


class MeasureView(Struct, frozen=True, gc=False):
    """A value that the node names itself."""

    name: str
    value: float | None
    unit: str
    is_counter: bool
    """A running total; else a value of the moment."""


class MetricsView(Struct, frozen=True, gc=False):
    """All metrics of one peer."""

    system: SystemView
    node: NodeMetricsView | None
    """null if no node is attached."""
    performance: PerformanceView
    agent: AgentView
    measures: tuple[MeasureView, ...] = ()
    """The node's own, by name."""


def metrics_view(metrics: Metrics) -> MetricsView:
    """Convert a peer's metrics for people and scripts."""
    return MetricsView(
        system=_system(metrics.system),
        node=None if metrics.node is None else NodeMetricsView(*astuple(metrics.node)[:STANDARD]),
        performance=_performance(metrics.performance),
        agent=_agent(metrics.agent),
        measures=tuple(MeasureView(*astuple(one)) for one in metrics.measures),
    )


def _system(system: SystemMetrics) -> SystemView:
    memory_used, memory_total = system.memory_used_kib, system.memory_total_kib
    disk_used, disk_total = system.disk_used_kib, system.disk_total_kib
    return SystemView(
        cpu_ratio=_ratio(system.cpu),
        memory_used_bytes=_bytes(memory_used),
        memory_total_bytes=_bytes(memory_total),
        memory_ratio=memory_used / memory_total if memory_used is not None and memory_total else None,
        disk_used_bytes=_bytes(disk_used),
        disk_total_bytes=_bytes(disk_total),
        disk_ratio=disk_used / disk_total if disk_used is not None and disk_total else None,
        received_bytes=_bytes(system.received_kib),
        sent_bytes=_bytes(system.sent_kib),
        received_bytes_s=system.received_bytes_s,
        sent_bytes_s=system.sent_bytes_s,
        connections=system.connections,
    )


def _performance(performance: PerformanceMetrics) -> PerformanceView:
    return PerformanceView(
        average_latency_s=_seconds(performance.latency_us),
        error_ratio=_ratio(performance.error),
        throughput_bytes_s=performance.throughput_bytes_s,
    )


def _agent(agent: AgentMetrics) -> AgentView:
    return AgentView(
        cpu_ratio=_ratio(agent.cpu),
        rss_bytes=_bytes(agent.rss_kib),
        queued=agent.queued,
        dropped=agent.dropped,
        lag_s=_seconds(agent.lag_us),
        anomaly_ratio=_ratio(agent.anomaly),
    )


def _ratio(quantised: int | None) -> float | None:
    return None if quantised is None else quantised / RATIO_ONE


def _bytes(kib: int | None) -> int | None:
    return None if kib is None else kib * KIB


def _seconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / 1e6
