"""Metric families of `prometheus_client`, and the names of our values in Prometheus. None is left out, never 0.

Names use base units, and those of counters end in `_total` (https://prometheus.io/docs/practices/naming/). Prometheus
reserves that ending: a `memory_total` would read as a counter, so it is `memory_size` here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import ceil
from statistics import fmean, median

from msgspec import Struct
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from peerscope.views.measures import MeasureAggregate
from peerscope.views.metrics import MetricsView

RESERVED = "_total"


class Name(Struct, frozen=True):
    """One value of a view."""

    part: str
    field: str
    metric: str
    help: str

    @property
    def is_counter(self) -> bool:
        """Whether it only grows, except for restarts."""
        return self.metric.endswith(RESERVED)


OF_A_PEER = (
    Name("system", "cpu_ratio", "host_cpu_ratio", "Share of all cores busy over the last interval."),
    Name("system", "memory_used_bytes", "host_memory_used_bytes", "Memory in use."),
    Name("system", "memory_total_bytes", "host_memory_size_bytes", "Memory there is."),
    Name("system", "disk_used_bytes", "host_disk_used_bytes", "Used on the volume of the state directory."),
    Name(
        "system",
        "disk_total_bytes",
        "host_disk_size_bytes",
        "Used and free on that volume, without the reserve of the system.",
    ),
    Name("system", "received_bytes", "host_network_received_bytes_total", "Received by all interfaces."),
    Name("system", "sent_bytes", "host_network_sent_bytes_total", "Sent by all interfaces."),
    Name("system", "connections", "host_connections", "Established TCP connections."),
    Name("node", "tunnels", "node_tunnels", "Tunnels of the node beside the peer."),
    Name("node", "active_connections", "node_connections", "Connections of the node beside the peer."),
    Name("node", "messages", "node_messages_total", "Messages of the node, both ways."),
    Name("node", "p2p_peers", "node_peers", "Peers that the node is connected to."),
    Name("node", "dht_lookups", "node_dht_lookups_total", "Lookups of the node in its DHT."),
    Name("node", "dht_puts", "node_dht_puts_total", "Values the node put into its DHT."),
    Name("node", "received_bytes", "node_received_bytes_total", "Received by the node."),
    Name("node", "sent_bytes", "node_sent_bytes_total", "Sent by the node."),
    Name("node", "errors", "node_errors_total", "Messages of the node that failed."),
    Name("performance", "average_latency_s", "latency_seconds", "Mean latency: the node's, or that of own links."),
    Name("performance", "error_ratio", "error_ratio", "Share of messages that failed: the node's, or the mesh's own."),
    Name(
        "performance", "throughput_bytes_s", "throughput_bytes_per_second", "Both ways: the node's, or the mesh's own."
    ),
    Name("agent", "cpu_ratio", "agent_cpu_ratio", "Share of one core over the last interval."),
    Name("agent", "rss_bytes", "agent_resident_memory_bytes", "Resident memory of the agent."),
    Name("agent", "queued", "agent_queued", "Messages and events that wait inside the agent."),
    Name("agent", "dropped", "agent_dropped_total", "Messages that were refused, or lost inside the agent."),
    Name("agent", "lag_s", "agent_event_loop_lag_seconds", "How late the event loop came at worst in the interval."),
    Name("agent", "anomaly_ratio", "agent_anomaly_ratio", "Share of what was measured that is unlike its past."),
)
"""Values of one peer. Left out is what follows from others: ratios of a size, rates of a counter."""

OF_THE_NETWORK = (
    Name("system", "cpu_ratio", "host_cpu_ratio", "Share of all cores busy."),
    Name("system", "memory_ratio", "host_memory_ratio", "Share of the memory in use."),
    Name("system", "disk_ratio", "host_disk_ratio", "Share of the volume of the state directory in use."),
    Name("system", "received_bytes_s", "host_network_received_bytes_per_second", "Received by all interfaces."),
    Name("system", "sent_bytes_s", "host_network_sent_bytes_per_second", "Sent by all interfaces."),
    Name("system", "connections", "host_connections", "Established TCP connections."),
    Name("node", "tunnels", "node_tunnels", "Tunnels of the nodes beside the peers."),
    Name("node", "active_connections", "node_connections", "Connections of the nodes."),
    Name("node", "p2p_peers", "node_peers", "Peers that a node is connected to."),
    Name("node", "messages_s", "node_messages_per_second", "Messages of the nodes, both ways."),
    Name("node", "dht_lookups_s", "node_dht_lookups_per_second", "Lookups of the nodes in their DHT."),
    Name("node", "dht_puts_s", "node_dht_puts_per_second", "Values the nodes put into their DHT."),
    Name("node", "received_bytes_s", "node_received_bytes_per_second", "Received by the nodes."),
    Name("node", "sent_bytes_s", "node_sent_bytes_per_second", "Sent by the nodes."),
    Name("node", "errors_s", "node_errors_per_second", "Messages of the nodes that failed."),
    Name("performance", "average_latency_s", "latency_seconds", "Latency: the nodes', or links' if there is no node."),
    Name("performance", "error_ratio", "error_ratio", "Share of messages that failed: the nodes', or the mesh's."),
    Name("performance", "throughput_bytes_s", "throughput_bytes_per_second", "Both ways: the nodes', or the mesh's."),
    Name("mesh_performance", "average_latency_s", "mesh_latency_seconds", "Latency of links, at peers without a node."),
    Name("mesh_performance", "error_ratio", "mesh_error_ratio", "Mesh messages refused, at peers without a node."),
    Name(
        "mesh_performance",
        "throughput_bytes_s",
        "mesh_throughput_bytes_per_second",
        "Mesh traffic both ways, at peers without a node.",
    ),
    Name("agent", "cpu_ratio", "agent_cpu_ratio", "Share of one core."),
    Name("agent", "rss_bytes", "agent_resident_memory_bytes", "Resident memory of the agents."),
    Name("agent", "queued", "agent_queued", "Messages and events that wait inside the agents."),
    Name("agent", "dropped_s", "agent_dropped_per_second", "Messages refused, or lost inside the agents."),
    Name("agent", "lag_s", "agent_event_loop_lag_seconds", "How late event loops came at worst."),
)
"""Aggregates over all peers, as `statistic` mean, median, p95, max and, where it has a meaning, sum."""


PREFIX = "peerscope_"
STATUSES = ("healthy", "degraded", "unhealthy", "unknown")
CLASSES = (*STATUSES, "down")
"""Classes of peers: each peer is in one."""

Labels = tuple[str, ...]
Values = Iterable[tuple[Labels, float | None]]
"""Values of labels, in the order of their names, and the measured value."""


def info(name: str, text: str, **labels: str) -> Metric:
    """One series that is always 1, with its information in labels."""
    return InfoMetricFamily(f"{PREFIX}{name}", text, value=labels)


def gauge(name: str, text: str, value: float | None) -> Metric:
    """One series."""
    return gauges(name, text, (), [((), value)])


def gauges(name: str, text: str, labels: Labels, values: Values) -> Metric:
    """One series for each value that is known."""
    return _filled(GaugeMetricFamily(f"{PREFIX}{name}", text, labels=labels), values)


def counters(name: str, text: str, labels: Labels, values: Values) -> Metric:
    """Like `gauges`, for counters. `_total` is added to the name where it is missing."""
    return _filled(CounterMetricFamily(f"{PREFIX}{name}", text, labels=labels), values)


def counts(name: str, text: str, label: str, by_name: Mapping[str, int]) -> Metric:
    """One series for each key of a `Counter`."""
    return counters(name, text, (label,), [((key,), count) for key, count in sorted(by_name.items())])


def states(
    name: str, text: str, labels: Labels, held: Iterable[tuple[Labels, str]], every: Iterable[str] = STATUSES
) -> Metric:
    """One series for each state, 1 for the one that holds."""
    values = [((*who, state), float(state == holds)) for who, holds in held for state in every]
    return gauges(name, f"{text} 1 for the status that holds, 0 for the others.", (*labels, "status"), values)


def spread(name: str, text: str, values: Iterable[float | None]) -> Metric:
    """Statistics of the values that are known: percentiles by nearest rank."""
    ranked = sorted(value for value in values if value is not None)
    found: dict[str, float] = {}
    if ranked:
        found = {f"p{share}": ranked[ceil(share / 100 * len(ranked)) - 1] for share in (95, 99)}
        found |= {"mean": fmean(ranked), "median": median(ranked), "max": ranked[-1]}
    return gauges(name, text, ("statistic",), [((statistic,), value) for statistic, value in found.items()])


def measured(prefix: str, views: Sequence[tuple[Labels, MetricsView]], labels: Labels = ()) -> Iterator[Metric]:
    """Values of peers, each with its labels."""
    for name in OF_A_PEER:
        parts = ((who, getattr(view, name.part)) for who, view in views)
        values = [(who, None if part is None else getattr(part, name.field)) for who, part in parts]
        make = counters if name.is_counter else gauges
        yield make(f"{prefix}{name.metric}", name.help, labels, values)


MEASURE_LABELS = ("measure", "unit")
"""A node chooses names and units, so they are labels: kube-state-metrics shows resources of any name like this. As
names of series they could collide with ours, and with endings that OpenMetrics reserves."""


def own_measures(prefix: str, views: Sequence[tuple[Labels, MetricsView]], labels: Labels = ()) -> Iterator[Metric]:
    """Values that nodes name themselves, each with the labels of its peer."""
    values = [((*who, one.name, one.unit), one) for who, view in views for one in view.measures]
    levels = [(who, one.value) for who, one in values if not one.is_counter]
    totals = [(who, one.value) for who, one in values if one.is_counter]
    names = (*labels, *MEASURE_LABELS)
    yield gauges(f"{prefix}node_measure", "Values that the node names itself, in the unit it gives.", names, levels)
    yield counters(f"{prefix}node_measured", "Running totals that the node names itself.", names, totals)


def network_measures(found: Iterable[MeasureAggregate]) -> Iterator[Metric]:
    """Measures over all nodes of one kind."""
    names = ("node", *MEASURE_LABELS, "statistic")
    values: dict[bool, list[tuple[tuple[str, ...], float | None]]] = {False: [], True: []}
    for one in found:
        statistics = {"mean": one.mean, "median": one.median, "min": one.min, "max": one.max, "sum": one.sum}
        who = (one.node, one.name, one.unit)
        values[one.is_counter] += [((*who, statistic), value) for statistic, value in statistics.items()]
    levels, rates = values[False], values[True]
    yield gauges("network_node_measure", "Last values that nodes of one kind name themselves.", names, levels)
    text = "Increase of totals that nodes of one kind name themselves, over the last five minutes."
    yield gauges("network_node_measured_per_second", text, names, rates)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, values: Values) -> Metric:
    for labels, value in values:
        if value is not None:
            family.add_metric(labels, value)
    return family
