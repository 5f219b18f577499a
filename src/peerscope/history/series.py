"""The series of the history, and their values in a report. Pure.

A series of peers has a column of its own, with one value per peer. The series of the whole network share column 0, each
at its place. Files on disk hold the numbers of columns, so only append to the tables below.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median
from typing import Literal

from msgspec import Struct

from peerscope.history.columns import UNKNOWN, Fold, mean, peak
from peerscope.records.bodies import CHECKS, RATIO_ONE, Report
from peerscope.records.measures import AgentMetrics, Metrics, NodeMetrics
from peerscope.views.health import NetworkHealth

KIB = 1024
NETWORK_COLUMN = 0
PEAK_COLUMNS = 128
"""Distance from the column of a series to the column of its peaks."""
STATUSES = {"healthy": 0.0, "degraded": 1.0, "unhealthy": 2.0, "down": 3.0}
"""Greater is worse. Unknown and left are gaps."""
RATE_S_MIN = 1.0
"""Shortest time between two reports that gives a rate."""

Unit = Literal["status", "count", "seconds", "ratio", "bytes", "bytes/s", "1/s"]
"""Those of fixed series. A measure that a node names itself has the unit that the node gives."""


class Series(Struct, frozen=True):
    """One quantity over time."""

    name: str
    unit: Unit
    text: str
    scope: Literal["peer", "network"]
    column: int
    fold: Fold
    """Makes one value of several."""
    base: int
    """The column of its raw values; peaks are made from the column of another series."""
    place: int = 0
    """Index in the column, for a series of the network."""

    def of(self, column: Sequence[float], place: int) -> float:
        """The value at a place of a column."""
        return column[place] if place < len(column) else UNKNOWN


# name, unit, text, and how several values are folded: to their mean, their worst, or both.
_PEER: tuple[tuple[str, Unit, str, Literal["mean", "worst", "both"]], ...] = (
    ("status", "status", "0 healthy, 1 degraded, 2 unhealthy, 3 down; the worst", "worst"),
    ("links", "count", "links that are up", "mean"),
    ("link_rtt_s", "seconds", "median round-trip time of its links", "both"),
    ("link_loss_ratio", "ratio", "mean loss of its links", "both"),
    ("cpu_ratio", "ratio", "share of all cores that is busy", "both"),
    ("memory_ratio", "ratio", "share of memory in use", "mean"),
    ("disk_ratio", "ratio", "share of the volume of the state directory in use", "mean"),
    ("received_bytes_s", "bytes/s", "received by all interfaces of the host", "mean"),
    ("sent_bytes_s", "bytes/s", "sent by all interfaces of the host", "mean"),
    ("connections", "count", "open TCP connections of the host", "mean"),
    ("node_tunnels", "count", "tunnels of the node", "mean"),
    ("node_connections", "count", "active connections of the node", "mean"),
    ("node_peers", "count", "peers of the node", "mean"),
    ("node_messages_per_s", "1/s", "messages that the node processed", "mean"),
    ("node_errors_per_s", "1/s", "messages of the node that failed", "mean"),
    ("node_dht_lookups_per_s", "1/s", "lookups in the node's DHT", "mean"),
    ("node_dht_puts_per_s", "1/s", "puts in the node's DHT", "mean"),
    ("node_received_bytes_s", "bytes/s", "received by the node", "mean"),
    ("node_sent_bytes_s", "bytes/s", "sent by the node", "mean"),
    ("latency_s", "seconds", "mean latency of the peer's traffic", "both"),
    ("error_ratio", "ratio", "share of messages that failed", "both"),
    ("throughput_bytes_s", "bytes/s", "the peer's traffic, both ways", "mean"),
    ("agent_cpu_ratio", "ratio", "share of one core that the agent uses", "mean"),
    ("agent_rss_bytes", "bytes", "memory of the agent", "mean"),
    ("agent_queued", "count", "messages and events waiting inside the agent", "mean"),
    ("agent_dropped_per_s", "1/s", "messages that the agent dropped or refused", "mean"),
    ("agent_lag_s", "seconds", "how late the agent's event loop came", "both"),
)
_NETWORK: tuple[tuple[str, Unit, str], ...] = (
    ("network_peers", "count", "known peers that have not left"),
    ("network_healthy", "count", "healthy peers"),
    ("network_degraded", "count", "degraded peers"),
    ("network_unhealthy", "count", "unhealthy peers"),
    ("network_unknown", "count", "peers without a fresh report"),
    ("network_down", "count", "peers that are down"),
    ("network_connectivity_ratio", "ratio", "share of the expected links that is up"),
    ("network_latency_s", "seconds", "mean round-trip time of all links"),
    ("network_latency_median_s", "seconds", "median round-trip time of all links"),
)


def _all() -> dict[str, Series]:
    found = []
    for column, (name, unit, text, kept) in enumerate(_PEER, NETWORK_COLUMN + 1):
        found.append(Series(name, unit, text, "peer", column, peak if kept == "worst" else mean, column))
        if kept == "both":
            peaks = (f"{name}_max", unit, f"{text}: the highest")
            found.append(Series(*peaks, "peer", PEAK_COLUMNS + column, peak, column))
    for place, (name, unit, text) in enumerate(_NETWORK):
        found.append(Series(name, unit, text, "network", NETWORK_COLUMN, mean, NETWORK_COLUMN, place))
    return {series.name: series for series in found}


SERIES = _all()
"""Every series, by name."""
COLUMNS = tuple({series.column: series for series in SERIES.values()}.values())
"""One series of each column; its `fold` serves the whole column."""

Counters = tuple[int | None, ...]
Row = tuple[float, ...]
"""Values of one peer's report, in the order of `_PEER`, without the status."""
NO_ROW: Row = (UNKNOWN,) * (len(_PEER) - 1)


def network_row(health: NetworkHealth) -> Row:
    """The network's health in the order of `_NETWORK`."""
    return (
        float(health.total_peers),
        float(health.healthy_peers),
        float(health.degraded_peers),
        float(health.unhealthy_peers),
        float(health.unknown_peers),
        float(health.down_peers),
        _number(health.connectivity),
        _number(health.average_latency_s),
        _number(health.median_latency_s),
    )


def row(report: Report, rates: Sequence[float]) -> Row:
    """Values of a report. `rates`: of its `counters`, per second."""
    metrics = report.metrics or Metrics()
    system, node, traffic, agent = metrics.system, metrics.node or NodeMetrics(), metrics.performance, metrics.agent
    rtts = [link.rtt_us for link in report.links if link.rtt_us is not None]
    losses = [link.loss for link in report.links if link.loss is not None]
    checks = {name: check.ratio for name, check in zip(CHECKS, report.checks, strict=False)}
    messages, errors, lookups, puts, received, sent, dropped = rates
    return (
        float(len(report.links)),
        median(rtts) / 1e6 if rtts else UNKNOWN,
        fmean(losses) / RATIO_ONE if losses else UNKNOWN,
        _scaled(checks.get("cpu") if system.cpu is None else system.cpu, 1 / RATIO_ONE),
        _share(system.memory_used_kib, system.memory_total_kib, checks.get("memory")),
        _share(system.disk_used_kib, system.disk_total_kib, checks.get("storage")),
        _number(system.received_bytes_s),
        _number(system.sent_bytes_s),
        _number(system.connections),
        _number(node.tunnels),
        _number(node.active_connections),
        _number(node.p2p_peers),
        messages,
        errors,
        lookups,
        puts,
        received,
        sent,
        _scaled(traffic.latency_us, 1e-6),
        _scaled(traffic.error, 1 / RATIO_ONE),
        _number(traffic.throughput_bytes_s),
        _scaled(agent.cpu, 1 / RATIO_ONE),
        _scaled(agent.rss_kib, KIB),
        _number(agent.queued),
        dropped,
        _scaled(agent.lag_us, 1e-6),
    )


def counters(report: Report) -> Counters:
    """The running totals of a report, in the order in which `row` takes their rates."""
    metrics = report.metrics or Metrics()
    node, agent = metrics.node or NodeMetrics(), metrics.agent or AgentMetrics()
    return (
        *(node.messages, node.errors, node.dht_lookups, node.dht_puts, node.received_bytes, node.sent_bytes),
        agent.dropped,
    )


NO_RATES = (UNKNOWN,) * 7


def rates(before: Counters, after: Counters, seconds: float) -> tuple[float, ...]:
    """Rates per second. Unknown if a report lacks the total, or if it fell: then the counter has restarted."""
    return tuple(
        UNKNOWN if old is None or new is None or new < old else (new - old) / seconds
        for old, new in zip(before, after, strict=True)
    )


def _number(value: float | None) -> float:
    return UNKNOWN if value is None else float(value)


def _scaled(value: float | None, unit: float) -> float:
    return UNKNOWN if value is None else value * unit


def _share(used: int | None, total: int | None, checked: int | None) -> float:
    """The ratio of the two numbers; without them, the ratio of the peer's own check."""
    return used / total if used is not None and total else _scaled(checked, 1 / RATIO_ONE)
