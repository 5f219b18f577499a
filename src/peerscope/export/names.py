"""What the values of our views are called by Prometheus: base units, counters end in `_total`, no prefix yet.

https://prometheus.io/docs/practices/naming/. A word that Prometheus keeps for itself gives way: a `memory_total` would
read as a counter, and is a `memory_size` here.
"""

from __future__ import annotations

from msgspec import Struct

RESERVED = "_total"


class Name(Struct, frozen=True):
    """One value of a view."""

    part: str
    field: str
    metric: str
    help: str

    @property
    def is_counter(self) -> bool:
        """It only grows until whoever counts starts again."""
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
    Name("agent", "cpu_ratio", "agent_cpu_ratio", "Of one core, over the last interval."),
    Name("agent", "rss_bytes", "agent_resident_memory_bytes", "Resident memory of the agent."),
    Name("agent", "queued", "agent_queued", "Messages and events that wait inside the agent."),
    Name("agent", "dropped", "agent_dropped_total", "Messages that were refused, or lost inside the agent."),
    Name("agent", "lag_s", "agent_event_loop_lag_seconds", "How late the event loop came at worst in the interval."),
    Name("agent", "anomaly_ratio", "agent_anomaly_ratio", "Share of what was measured that is unlike its past."),
)
"""What a peer measures. Left out is what follows from others: ratios of a size, rates of a counter."""

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
    Name("performance", "average_latency_s", "latency_seconds", "Latency: the nodes', or that of own links."),
    Name("performance", "error_ratio", "error_ratio", "Share of messages that failed."),
    Name("performance", "throughput_bytes_s", "throughput_bytes_per_second", "Both ways."),
    Name("agent", "cpu_ratio", "agent_cpu_ratio", "Of one core."),
    Name("agent", "rss_bytes", "agent_resident_memory_bytes", "Resident memory of the agents."),
    Name("agent", "queued", "agent_queued", "Messages and events that wait inside the agents."),
    Name("agent", "dropped_s", "agent_dropped_per_second", "Messages refused, or lost inside the agents."),
    Name("agent", "lag_s", "agent_event_loop_lag_seconds", "How late event loops came at worst."),
)
"""What is aggregated over all peers, as `statistic` mean, median, p95, max and, where it means something, sum."""
