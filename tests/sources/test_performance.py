"""How traffic goes, by differences: a restart is unknown, and no number leaves that others would refuse."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from peerscope.records.measures import COUNT_MAX, Metrics, NodeMetrics, PerformanceMetrics, ReportedNode
from peerscope.sources.base import Reading
from peerscope.sources.performance import TrafficCounters, mesh_performance, node_metrics


def reading(latency_s: float | None = None, node: str = "beam", **counters: int | None) -> Reading:
    return Reading(node=node, metrics=NodeMetrics(**counters), latency_s=latency_s)


def test_a_node_that_does_not_answer_is_attached_and_unknown() -> None:
    assert node_metrics(reading(messages=1), None, 5.0) == (NodeMetrics(), PerformanceMetrics())


def test_a_first_reading_tells_gauges_and_latency_but_no_rates() -> None:
    told, performance = node_metrics(None, reading(0.25, tunnels=2, messages=10), 5.0)
    assert told == NodeMetrics(tunnels=2, messages=10)
    assert performance == PerformanceMetrics(latency_us=250_000)


def test_two_readings_tell_errors_and_throughput() -> None:
    before = reading(messages=100, errors=5, received_bytes=1000, sent_bytes=2000)
    now = reading(messages=300, errors=15, received_bytes=6000, sent_bytes=7000)
    assert node_metrics(before, now, 5.0)[1] == PerformanceMetrics(None, 500, 2000)


@pytest.mark.parametrize(
    "before",
    [
        reading(messages=400, errors=1, received_bytes=1, sent_bytes=1),  # restarted
        reading(node="kubo", messages=1, errors=1, received_bytes=1, sent_bytes=1),  # replaced
    ],
)
def test_another_life_of_the_node_is_no_traffic(before: Reading) -> None:
    now = reading(messages=300, errors=15, received_bytes=6000, sent_bytes=7000)
    assert node_metrics(before, now, 5.0)[1] == PerformanceMetrics()


def test_a_counter_that_moves_to_another_source_is_no_traffic() -> None:
    before = replace(reading(messages=10, received_bytes=100, sent_bytes=100), counted_by=("rpc",) * 9)
    now = reading(messages=20, errors=1, received_bytes=10**12, sent_bytes=10**12)
    assert node_metrics(before, replace(now, counted_by=("other",) * 9), 5.0)[1] == PerformanceMetrics()
    assert node_metrics(before, now, 5.0)[1] == PerformanceMetrics()


def test_no_messages_are_no_error_ratio_and_half_a_throughput_is_none() -> None:
    before, now = reading(messages=9, errors=0, sent_bytes=5), reading(messages=9, errors=0, sent_bytes=9)
    assert node_metrics(before, now, 5.0)[1] == PerformanceMetrics()


def test_the_meshs_own_traffic() -> None:
    before, now = TrafficCounters(1000, 500, 10, 1), TrafficCounters(1500, 1000, 30, 2)
    assert mesh_performance(before, now, 5.0, [0.010, 0.030]) == PerformanceMetrics(20_000, 500, 200)
    assert mesh_performance(now, now, 5.0, []) == PerformanceMetrics(None, None, 0)


anything = st.none() | st.integers(-5, 2**64) | st.floats(allow_nan=False, allow_infinity=False, max_value=1e30)


@given(st.lists(anything, min_size=9, max_size=9), st.lists(anything, min_size=9, max_size=9), st.floats(-1, 1e12))
def test_whatever_a_node_tells_makes_a_report_that_others_take(before: list, now: list, latency_s: float) -> None:
    one, other = (Reading(node="n", metrics=NodeMetrics(*values), latency_s=latency_s) for values in (before, now))
    told, performance = node_metrics(one, other, 5.0)
    metrics = Metrics(node=ReportedNode(**asdict(told)), performance=performance)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(metrics), type=Metrics) == metrics


def test_a_total_too_large_to_travel_is_unknown_and_its_rate_is_not() -> None:
    before, now = reading(received_bytes=2**63, sent_bytes=0), reading(received_bytes=2**63 + 500, sent_bytes=0)
    told, performance = node_metrics(before, now, 5.0)
    assert COUNT_MAX < 2**63
    assert (told.received_bytes, performance.throughput_bytes_s) == (None, 100)
