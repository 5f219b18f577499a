"""Series: what a report says for each of them, rates from counters, and numbers of columns that stay."""

import math
from typing import Any

import pytest

from ledgers import IDENTITIES, INTERVAL_MS, Book
from peerscope.history.columns import is_known
from peerscope.history.samples import sample
from peerscope.history.series import COLUMNS, NO_RATES, NO_ROW, SERIES, counters, network_row, rates, row
from peerscope.records.bodies import Check, LinkReading, Report
from peerscope.records.measures import AgentMetrics, Metrics, NodeMetrics, PerformanceMetrics, SystemMetrics
from peerscope.views.health import network_health

ID = IDENTITIES[0].peer_id
CHECKS = tuple(Check(0, ratio) for ratio in (1000, 2000, 3000, 0, 10_000))
LINKS = (LinkReading(b"a" * 8, 1000, 0), LinkReading(b"b" * 8, 3000, 100), LinkReading(b"c" * 8, 90_000, 200))


def told(*, rates: tuple[float, ...] = NO_RATES, status: str = "healthy", **fields: Any) -> dict[str, float]:
    """Every series of one peer that is known, for a report with these fields."""
    report = Report(INTERVAL_MS, fields.pop("checks", CHECKS), **fields)
    one = sample(0, [ID], [status], [row(report, rates)], (1.0,) * 9)
    values = {series.name: one.value(series, ID) for series in SERIES.values() if series.scope == "peer"}
    return {name: round(value, 6) for name, value in values.items() if is_known(value)}


def test_a_report_without_metrics_tells_its_links_and_what_its_checks_say() -> None:
    assert told(links=LINKS) == {
        "status": 0,
        "links": 3,
        "link_rtt_s": 0.003,
        "link_rtt_s_max": 0.003,
        "link_loss_ratio": 0.01,
        "link_loss_ratio_max": 0.01,
        "cpu_ratio": 0.1,
        "cpu_ratio_max": 0.1,
        "memory_ratio": 0.2,
        "disk_ratio": 0.3,
    }


def test_every_metric_has_its_series() -> None:
    metrics = Metrics(
        SystemMetrics(5000, 25, 100, 75, 100, received_bytes_s=7, sent_bytes_s=8, connections=9),
        NodeMetrics(tunnels=1, active_connections=2, p2p_peers=3),
        PerformanceMetrics(40_000, 50, 60),
        AgentMetrics(123, 64, 5, 6, 7000),
    )
    found = told(metrics=metrics, links=LINKS, rates=(11, 12, 13, 14, 15, 16, 17))
    assert set(found) == {name for name, series in SERIES.items() if series.scope == "peer"}
    expected = {"cpu_ratio": 0.5, "memory_ratio": 0.25, "disk_ratio": 0.75, "received_bytes_s": 7, "sent_bytes_s": 8}
    expected |= {"connections": 9, "node_tunnels": 1, "node_connections": 2, "node_peers": 3, "latency_s": 0.04}
    expected |= {"node_messages_per_s": 11, "node_errors_per_s": 12, "node_dht_lookups_per_s": 13}
    expected |= {"node_dht_puts_per_s": 14, "node_received_bytes_s": 15, "node_sent_bytes_s": 16}
    expected |= {"agent_dropped_per_s": 17, "error_ratio": 0.005, "throughput_bytes_s": 60, "agent_queued": 5}
    expected |= {"agent_cpu_ratio": 0.0123, "agent_rss_bytes": 65_536, "agent_lag_s": 0.007}
    assert expected.items() <= found.items()


def test_a_share_of_nothing_is_unknown() -> None:
    system = SystemMetrics(memory_used_kib=0, memory_total_kib=0)
    assert "memory_ratio" not in told(checks=(), metrics=Metrics(system))


@pytest.mark.parametrize(
    ("status", "number"),
    [("healthy", 0), ("degraded", 1), ("unhealthy", 2), ("down", 3), ("unknown", None), ("left", None)],
)
def test_a_worse_status_is_a_greater_number_and_none_a_gap(status: str, number: int | None) -> None:
    assert told(status=status).get("status") == number


def test_rates_are_unknown_where_a_total_fell_or_was_not_told() -> None:
    found = rates((10, 10, None, 10, 0), (30, 5, 10, None, 0), 10.0)
    assert [value if is_known(value) else None for value in found] == [2.0, None, None, None, 0.0]


def test_counters_and_their_rates_are_in_one_order() -> None:
    node = NodeMetrics(messages=1, errors=2, dht_lookups=3, dht_puts=4, received_bytes=5, sent_bytes=6)
    report = Report(INTERVAL_MS, CHECKS, metrics=Metrics(node=node, agent=AgentMetrics(dropped=7)))
    assert counters(report) == (1, 2, 3, 4, 5, 6, 7)
    assert len(NO_RATES) == len(counters(report))


def test_a_peer_that_was_not_there_is_unknown() -> None:
    one = sample(0, [ID], ["healthy"], [NO_ROW], (1.0,) * 9)
    assert math.isnan(one.value(SERIES["status"], IDENTITIES[1].peer_id))
    assert one.value(SERIES["network_peers"], None) == 1.0


def test_the_network_is_one_row_in_the_order_of_its_series() -> None:
    book = Book()
    book.introduce(0, 1)
    book.report(0, 1)
    book.report(1, 0)
    health = network_health(book.snapshot(1.0), 4)
    one = sample(0, [], [], [], network_row(health))
    assert one.value(SERIES["network_peers"], None) == health.total_peers == 2
    assert one.value(SERIES["network_healthy"], None) == 2
    assert one.value(SERIES["network_down"], None) == 0
    assert one.value(SERIES["network_connectivity_ratio"], None) == 1.0
    assert one.value(SERIES["network_latency_median_s"], None) == pytest.approx(0.001)


def test_columns_keep_their_numbers_and_are_told_apart() -> None:
    # These stand in files on disk. A new series gets the next number; none of these may ever change.
    numbers = {
        "status": 1,
        "link_rtt_s": 3,
        "link_rtt_s_max": 131,
        "cpu_ratio": 5,
        "node_tunnels": 11,
        "agent_lag_s": 27,
    }
    assert {name: SERIES[name].column for name in numbers} == numbers
    assert SERIES["network_peers"].place == 0
    assert SERIES["network_latency_median_s"].place == 8
    assert len({series.column for series in COLUMNS}) == len(COLUMNS)
    assert all(0 <= series.column < 256 for series in COLUMNS)
