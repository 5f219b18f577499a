"""Metrics of all peers over the last five minutes, from one value per peer: see `window.py`.

Several agents on one machine measure the same processor, memory and disk. A metric of a machine counts once for each
machine, as the mean of its agents. Metrics of network interfaces count once for each set of interfaces: two containers
have their own, unless they use those of their machine. A peer whose machine is unknown counts as one.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import ceil
from statistics import fmean
from typing import Literal

from msgspec import Struct

from peerscope.mesh.detection.verdicts import Verdict
from peerscope.records.identity import PeerId
from peerscope.views.hosts import network_of
from peerscope.views.measures import MeasureAggregate, measure_aggregates
from peerscope.views.snapshot import Snapshot
from peerscope.views.trends import Trends, active_peers
from peerscope.views.window import ROW, WINDOW_S, Owner, Window, WindowMetric


class Distribution(Struct, frozen=True):
    """One value of each peer that reported it; of system metrics, one of each machine."""

    peers: int
    """Number of these values."""
    mean: float
    median: float
    p95: float
    """Nearest rank."""
    peak: float
    sum: float | None
    """null if a sum means nothing: ratios, delays."""


class SystemAggregate(Struct, frozen=True):
    """The hosts. A value is null if no peer reported it."""

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
    """Traffic of one layer: the nodes, or the mesh itself. The two are never averaged together."""

    average_latency_s: Distribution | None = None
    error_ratio: Distribution | None = None
    throughput_bytes_s: Distribution | None = None


class AgentAggregate(Struct, frozen=True):
    """Costs and losses of the agents."""

    cpu_ratio: Distribution | None = None
    rss_bytes: Distribution | None = None
    queued: Distribution | None = None
    dropped_s: Distribution | None = None
    lag_s: Distribution | None = None


class WholeMetrics(Struct, frozen=True):
    """All zones of a divided network, from the summaries that they publish."""

    zones: int
    total_peers: int
    cpu_ratio: Distribution | None
    memory_ratio: Distribution | None
    link_rtt_s: Distribution | None
    """`peers` counts links."""
    throughput_bytes_s: int | None
    """Sum over all peers that report theirs, of nodes and mesh together."""
    node_throughput_bytes_s: int | None = None
    """The part of it that is the nodes'; null if no zone reports one."""


class NetworkMetrics(Struct, frozen=True):
    """Metrics of the whole network, or of our zone if the network is divided."""

    total_peers: int
    """All that are remembered and have not left."""
    active_peers: int
    """Those that live and have a fresh report; all values are theirs."""
    window_s: float
    system: SystemAggregate
    node: NodeAggregate
    performance: PerformanceAggregate
    """Traffic of the nodes; that of the mesh if no peer has a node."""
    agent: AgentAggregate
    trends: Trends
    last_updated: float
    """Unix seconds."""
    zone: str = ""
    """Zone of these peers; "" if the network is not divided."""
    whole: WholeMetrics | None = None
    """null if the network is not divided."""
    performance_of: Literal["nodes", "mesh"] = "mesh"
    """The layer of `performance`."""
    mesh_performance: PerformanceAggregate = PerformanceAggregate()
    """Traffic of the mesh, at peers without a node."""
    measures: tuple[MeasureAggregate, ...] = ()
    """Values that nodes name themselves, by kind of node and name."""


def network_metrics(snapshot: Snapshot, window: Window, trends: Trends) -> NetworkMetrics:
    """Mean, median, 95th percentile, peak and sum over the active peers."""
    active = active_peers(snapshot)
    rows = {peer: row for peer in active if (row := window.row(peer, snapshot.now)) is not None}
    owners = owners_of(snapshot, list(rows))
    parts: dict[str, dict[str, Distribution | None]] = {measure.part: {} for measure in ROW}
    for measure, column in zip(ROW, zip(*rows.values(), strict=True), strict=False):  # no rows, no columns
        values = column if measure.per == "peer" else once_each(column, owners[measure.per])
        parts[measure.part][measure.name] = distribution(values, measure)
    has_nodes = any(map(window.has_node, active))
    return NetworkMetrics(
        total_peers=sum(snapshot.verdict(peer) is not Verdict.LEFT for peer in snapshot.peers),
        active_peers=len(active),
        window_s=WINDOW_S,
        system=SystemAggregate(**parts["system"]),
        node=NodeAggregate(**parts["node"]),
        performance=PerformanceAggregate(**parts["performance" if has_nodes else "mesh_performance"]),
        agent=AgentAggregate(**parts["agent"]),
        trends=trends,
        last_updated=snapshot.wall,
        zone=snapshot.zone,
        performance_of="nodes" if has_nodes else "mesh",
        mesh_performance=PerformanceAggregate(**parts["mesh_performance"]),
        measures=measure_aggregates(snapshot, window),
    )


def owners_of(snapshot: Snapshot, peers: Sequence[PeerId]) -> dict[Owner, list[Hashable]]:
    """The machine, and the network interfaces, of each of these peers; the peer itself where it is unknown."""
    machines: list[Hashable] = [snapshot.hosts.get(peer) or peer for peer in peers]
    networks = [network_of(snapshot.profiles[peer]) for peer in peers]
    return {"machine": machines, "interfaces": list(zip(machines, networks, strict=True))}


def once_each(values: Sequence[float | None], owners: Sequence[Hashable]) -> tuple[float | None, ...]:
    """One value for each owner: the mean of those that are known; None without any."""
    by_owner: dict[Hashable, list[float]] = {owner: [] for owner in owners}
    for value, owner in zip(values, owners, strict=True):
        if value is not None:
            by_owner[owner].append(value)
    return tuple(fmean(known) if known else None for known in by_owner.values())


def distribution(values: Sequence[float | None], measure: WindowMetric) -> Distribution | None:
    """Summarise one value per peer or machine; None if no peer reported it."""
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
