"""Aggregates speak for peers, not for reports; what nobody told is null."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgers import Book
from peerscope.mesh.detection.verdicts import Verdict
from peerscope.records.bodies import Check, Kind, Profile, Report
from peerscope.records.hosts import HostTokens
from peerscope.records.measures import AgentMetrics, Metrics, NodeMetrics, PerformanceMetrics, SystemMetrics
from peerscope.views.aggregates import (
    AgentAggregate,
    Distribution,
    NetworkMetrics,
    NodeAggregate,
    PerformanceAggregate,
    SystemAggregate,
    distribution,
    network_metrics,
)
from peerscope.views.trends import Day
from peerscope.views.window import METRICS, ROW, Window, WindowMetric

PARTS = {
    "system": SystemAggregate,
    "node": NodeAggregate,
    "performance": PerformanceAggregate,
    "mesh_performance": PerformanceAggregate,
    "agent": AgentAggregate,
}
GAUGE = WindowMetric("system", "connections")


class Network:
    """A ledger, and a window that follows it as the agent's does."""

    def __init__(self, *numbers: int) -> None:
        self.book = Book()
        self.window = Window()
        self.book.introduce(*numbers)

    def say(self, number: int, metrics: Metrics | None, at: float, *, interval_s: float = 60.0) -> None:
        body = Report(round(interval_s * 1000), (Check(0, 1000),) * 5, metrics=metrics)
        self.book.say(number, body, at=at)
        entry = self.book.ledger.get(self.book[number], Kind.REPORT)
        assert entry is not None
        self.window.note(entry)

    def metrics(self, now: float) -> NetworkMetrics:
        return network_metrics(self.book.snapshot(now), self.window, Day().trends(now))


def cpu(tenthousandths: int) -> Metrics:
    return Metrics(SystemMetrics(cpu=tenthousandths))


def test_every_measure_has_its_place_in_the_answer() -> None:
    told = {(part, name) for part, kind in PARTS.items() for name in kind.__struct_fields__}
    assert told == {(measure.part, measure.name) for measure in METRICS}


def test_a_peer_that_reports_often_weighs_no_more() -> None:
    network = Network(0, 1)
    for second in range(50):
        network.say(0, cpu(1000), float(second))
    network.say(1, cpu(9000), 49.0)
    assert network.metrics(50.0).system.cpu_ratio == Distribution(
        2, pytest.approx(0.5), pytest.approx(0.5), 0.9, 0.9, None
    )


def test_traffic_is_a_sum_of_rates_and_not_of_totals() -> None:
    network = Network(0, 1, 2)
    for number in range(3):
        for step in range(3):
            received = 10**6 * (number + 1) + 100 * step
            network.say(number, Metrics(SystemMetrics(received_kib=received, sent_kib=0)), step * 60.0)
    found = network.metrics(121.0).system
    assert found.received_bytes_s is not None
    assert found.received_bytes_s.sum == pytest.approx(3 * 100 * 1024 / 60)
    assert found.received_bytes_s.peers == 3
    assert found.sent_bytes_s == Distribution(3, 0, 0, 0, 0, 0)


def test_memory_is_a_share_of_each_peers_own_total() -> None:
    network = Network(0, 1)
    for number, total in ((0, 1000), (1, 100_000)):
        network.say(number, Metrics(SystemMetrics(memory_used_kib=500, memory_total_kib=total)), 0.0)
    found = network.metrics(1.0).system.memory_ratio
    assert found is not None
    assert (found.mean, found.peak) == (pytest.approx((0.5 + 0.005) / 2), 0.5)


def test_an_empty_window_is_null_everywhere() -> None:
    network = Network(0, 1)
    network.say(0, None, 0.0)
    told = msgspec.json.decode(msgspec.json.encode(network.metrics(1.0)))
    assert (told["total_peers"], told["active_peers"]) == (2, 1)
    assert {value for part in PARTS for value in told[part].values()} == {None}


def test_what_one_peer_does_not_know_is_told_by_the_others() -> None:
    network = Network(0, 1)
    network.say(0, Metrics(node=NodeMetrics(tunnels=3)), 0.0)
    network.say(1, cpu(5000), 0.0)
    found = network.metrics(1.0)
    assert found.node.tunnels == Distribution(1, 3, 3, 3, 3, 3)
    assert found.node.p2p_peers is None
    assert found.performance == PerformanceAggregate()


def test_ratios_and_delays_are_not_added_up() -> None:
    network = Network(0)
    network.say(0, Metrics(SystemMetrics(1), None, PerformanceMetrics(1, 1, 1), AgentMetrics(1, 1, 1, 1, 1)), 0.0)
    found = network.metrics(0.0)
    values = (getattr(getattr(found, measure.part), measure.name) for measure in METRICS)
    added = {
        f"{measure.part}.{measure.name}"
        for measure, value in zip(METRICS, values, strict=True)
        if value is not None and value.sum is not None
    }
    traffic = {"performance.throughput_bytes_s", "mesh_performance.throughput_bytes_s"}
    assert added == traffic | {"agent.cpu_ratio", "agent.rss_bytes", "agent.queued"}


def traffic(latency_us: int | None, *, node: bool, throughput: int = 0) -> Metrics:
    """Traffic of a node, or of the mesh."""
    return Metrics(node=NodeMetrics() if node else None, performance=PerformanceMetrics(latency_us, 100, throughput))


def test_nodes_and_mesh_are_never_averaged_together() -> None:
    network = Network(0, 1, 2)
    network.say(0, traffic(300_000, node=True, throughput=70), 0.0)
    network.say(1, traffic(2_000, node=False, throughput=5), 0.0)
    network.say(2, traffic(4_000, node=False, throughput=6), 0.0)
    found = network.metrics(1.0)
    assert found.performance_of == "nodes"
    assert found.performance.average_latency_s == Distribution(1, 0.3, 0.3, 0.3, 0.3, None)
    assert found.performance.throughput_bytes_s.sum == 70
    mesh = found.mesh_performance
    assert (mesh.average_latency_s.peers, mesh.average_latency_s.peak) == (2, 0.004)
    assert mesh.throughput_bytes_s.sum == 11


def test_without_any_node_performance_is_that_of_the_mesh() -> None:
    network = Network(0, 1)
    network.say(0, traffic(2_000, node=False), 0.0)
    found = network.metrics(1.0)
    assert (found.performance_of, found.performance) == ("mesh", found.mesh_performance)
    assert found.performance.average_latency_s.mean == 0.002


def test_a_node_that_does_not_answer_is_unknown_and_the_mesh_does_not_stand_in_for_it() -> None:
    network = Network(0, 1)
    network.say(0, Metrics(node=NodeMetrics()), 0.0)
    network.say(1, traffic(2_000, node=False), 0.0)
    found = network.metrics(1.0)
    assert (found.performance_of, found.performance) == ("nodes", PerformanceAggregate())


def test_a_node_that_is_attached_begins_its_five_minutes_anew_and_so_does_the_mesh_without_it() -> None:
    network = Network(0)
    for at in (0.0, 60.0, 120.0):
        network.say(0, traffic(2_000, node=False), at)
    network.say(0, traffic(300_000, node=True), 130.0)
    found = network.metrics(131.0)
    assert found.performance.average_latency_s.mean == 0.3
    assert found.mesh_performance == PerformanceAggregate()
    network.say(0, traffic(8_000, node=False), 140.0)
    found = network.metrics(141.0)
    assert (found.performance_of, found.performance.average_latency_s.mean) == ("mesh", 0.008)


@given(st.lists(st.booleans(), min_size=1, max_size=20), st.randoms())
def test_the_layer_in_force_is_that_of_the_newest_report_whatever_the_order_of_arrival(
    layers: list[bool], rng: object
) -> None:
    entries = []
    book = Book()
    for at, is_node in enumerate(layers):
        metrics = traffic(1_000 * (at + 1) if is_node else 5, node=is_node)
        book.say(0, Report(60_000, (Check(0, 1000),) * 5, metrics=metrics), at=float(at))
        entries.append(book.ledger.get(book[0], Kind.REPORT))
    rng.shuffle(entries)  # type: ignore[attr-defined]
    window = Window()
    for entry in entries:
        window.note(entry)
    row = dict(zip(((one.part, one.name) for one in ROW), window.row(book[0], float(len(layers))), strict=True))
    lately = next((n for n, one in enumerate(reversed(layers)) if one != layers[-1]), len(layers))
    of_nodes = [(at + 1) / 1_000 for at in range(len(layers) - lately, len(layers))] if layers[-1] else []
    assert window.has_node(book[0]) == layers[-1]
    assert row["performance", "average_latency_s"] == (pytest.approx(sum(of_nodes) / lately) if of_nodes else None)
    assert row["mesh_performance", "average_latency_s"] == (None if layers[-1] else pytest.approx(5e-6))


def test_only_peers_that_live_and_speak_count() -> None:
    network = Network(0, 1, 2)
    network.book.introduce(3, at=1.0, left=True)
    for number in range(4):
        network.say(number, cpu(1000 * number), 0.0)
    network.say(0, cpu(0), 170.0)
    network.say(2, cpu(2000), 170.0)
    snapshot = network.book.snapshot(181.0)
    assert snapshot.verdict(network.book[3]) is Verdict.LEFT
    found = network.metrics(181.0)  # three intervals after the only report of peer 1
    assert (found.total_peers, found.active_peers) == (3, 2)
    assert found.system.cpu_ratio is not None
    assert found.system.cpu_ratio.peak == 0.2


@given(st.lists(st.none() | st.floats(0, 1e12), max_size=50))
def test_a_distribution_is_of_the_known_values(values: list[float | None]) -> None:
    known = sorted(value for value in values if value is not None)
    found = distribution(tuple(values), GAUGE)
    if not known:
        assert found is None
        return
    assert found is not None
    assert found.peers == len(known)
    assert found.peak == known[-1]
    assert found.p95 in known
    assert sum(value <= found.p95 for value in known) >= 0.95 * len(known)
    assert known[0] <= found.median <= found.p95 or len(known) == 2
    assert known[0] * (1 - 1e-9) <= found.mean <= found.peak * (1 + 1e-9)
    assert found.sum == pytest.approx(found.mean * len(known))


def on(network: Network, number: int, machine: bytes, interfaces: bytes | None = None) -> None:
    """A peer states its machine, and the network interfaces that it sees."""
    host = HostTokens(machine * 8, None, None if interfaces is None else interfaces * 8)
    network.book.say(number, Profile((f"10.0.0.{number}:1",), "eu", "1.0", 0, host=host), at=0.5)


def test_twelve_agents_on_one_machine_weigh_as_one() -> None:
    network = Network(*range(12))
    for number in range(11):
        on(network, number, b"a", b"n")
    on(network, 11, b"b", b"m")
    for number in range(12):
        network.say(number, Metrics(SystemMetrics(cpu=9000 if number < 11 else 1000, connections=40)), 1.0)
    found = network.metrics(2.0)
    assert found.active_peers == 12
    assert found.system.cpu_ratio == Distribution(2, pytest.approx(0.5), pytest.approx(0.5), 0.9, 0.9, None)
    assert found.system.connections is not None
    assert (found.system.connections.peers, found.system.connections.sum) == (2, 80)


def test_agents_of_one_machine_count_with_their_mean() -> None:
    network = Network(0, 1, 2)
    for number in range(3):
        on(network, number, b"a")
    for number, tenthousandths in enumerate((9000, 8000)):
        network.say(number, cpu(tenthousandths), 1.0)
    network.say(2, Metrics(), 1.0)
    assert network.metrics(2.0).system.cpu_ratio == Distribution(1, *(pytest.approx(0.85),) * 4, None)


def test_two_containers_have_interfaces_of_their_own() -> None:
    network = Network(0, 1, 2)
    for number, interfaces in enumerate((b"n", b"m", b"m")):
        on(network, number, b"a", interfaces)
        network.say(number, Metrics(SystemMetrics(cpu=5000, connections=10 + number)), 1.0)
    found = network.metrics(2.0).system
    assert found.cpu_ratio is not None
    assert found.connections is not None
    assert (found.cpu_ratio.peers, found.connections.peers, found.connections.sum) == (1, 2, 10 + 11.5)


def test_peers_of_unknown_machines_each_count() -> None:
    network = Network(0, 1)
    for number in range(2):
        network.say(number, cpu(5000), 1.0)
    found = network.metrics(2.0).system.cpu_ratio
    assert found is not None
    assert found.peers == 2


def test_nodes_and_agents_on_one_machine_each_count() -> None:
    network = Network(0, 1)
    for number in range(2):
        on(network, number, b"a", b"n")
        network.say(number, Metrics(node=NodeMetrics(tunnels=3), agent=AgentMetrics(rss_kib=10)), 1.0)
    found = network.metrics(2.0)
    assert found.node.tunnels is not None
    assert found.agent.rss_bytes is not None
    assert (found.node.tunnels.sum, found.agent.rss_bytes.sum) == (6, 2 * 10 * 1024)
