"""One value per peer: how often a peer reports, in which order and how many times over, changes nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.records.bodies import Check, Report
from peerscope.records.ledger import Entry
from peerscope.records.measures import AgentMetrics, Metrics, NodeMetrics, SystemMetrics
from peerscope.views import window as window_module
from peerscope.views.window import METRICS, ROW, SAMPLES_MAX, TOTAL_MAX, WINDOW_S, Window
from strategies import ORIGINS, unsigned

A, B = ORIGINS[:2]


def entry(
    metrics: Metrics | None, at: float, *, version: int | None = None, interval_s: float = 5.0, origin: bytes = A
) -> Entry:
    """A report, heard at that time; its version is the time in milliseconds, unless told otherwise."""
    body = Report(round(interval_s * 1000), (Check(0),), metrics=metrics)
    record = unsigned(origin, body, round(at * 1000) + 1 if version is None else version)
    return Entry(record, body, record.digest(), at)


def window_of(*entries: Entry) -> Window:
    window = Window()
    for one in entries:
        window.note(one)
    return window


def value(window: Window, name: str, now: float, origin: bytes = A) -> float | None:
    """One value of the peer's row, by "part.name"."""
    row = window.row(origin, now)
    assert row is not None
    return dict(zip((f"{measure.part}.{measure.name}" for measure in ROW), row, strict=True))[name]


def busy(cpu: int) -> Metrics:
    return Metrics(SystemMetrics(cpu=cpu))


def counted(messages: int | None, received: int | None = None) -> Metrics:
    return Metrics(node=NodeMetrics(messages=messages, received_bytes=received))


def test_every_measure_has_its_place_in_a_row() -> None:
    assert sorted((one.part, one.name) for one in ROW) == sorted((one.part, one.name) for one in METRICS)


def test_a_gauge_is_the_mean_of_what_is_known() -> None:
    window = window_of(entry(busy(1000), 0.0), entry(Metrics(), 5.0), entry(busy(3000), 10.0))
    assert value(window, "system.cpu_ratio", 10.0) == pytest.approx(0.2)
    assert value(window, "system.memory_ratio", 10.0) is None


def test_memory_is_compared_with_the_total_of_the_peer_that_reports_it() -> None:
    window = window_of(entry(Metrics(SystemMetrics(memory_used_kib=512, memory_total_kib=1024)), 0.0))
    assert value(window, "system.memory_ratio", 0.0) == 0.5


def test_a_delay_is_the_worst() -> None:
    window = window_of(*(entry(Metrics(agent=AgentMetrics(lag_us=lag)), at) for at, lag in enumerate((10, 70_000, 20))))
    assert value(window, "agent.lag_s", 2.0) == 0.07


def test_a_counter_is_its_increase_per_second() -> None:
    window = window_of(entry(counted(100), 0.0), entry(counted(100), 5.0), entry(counted(250), 15.0))
    assert value(window, "node.messages_s", 15.0) == 10.0


def test_one_reading_of_a_counter_is_no_rate() -> None:
    assert value(window_of(entry(counted(100), 0.0)), "node.messages_s", 0.0) is None


def test_readings_within_a_second_are_no_rate() -> None:
    assert value(window_of(entry(counted(0), 0.0), entry(counted(10**6), 0.5)), "node.messages_s", 0.5) is None


def test_what_was_counted_around_a_restart_is_left_out() -> None:
    times = ((0.0, 10**9), (10.0, 10**9 + 100), (20.0, 50), (30.0, 250))
    window = window_of(*(entry(counted(messages), at) for at, messages in times))
    assert value(window, "node.messages_s", 30.0) == (100 + 200) / 20


def test_a_node_that_is_replaced_by_a_busier_one_is_no_jump() -> None:
    window = window_of(
        entry(counted(100, 50), 0.0), entry(counted(10**12, 0), 10.0), entry(counted(10**12 + 10, 0), 20.0)
    )
    assert value(window, "node.messages_s", 20.0) == 1.0


def test_a_narrow_counter_may_run_over() -> None:
    window = window_of(entry(counted(2**32 - 50, 7), 0.0), entry(counted(50, 7), 10.0))
    assert value(window, "node.messages_s", 10.0) == 10.0


def test_the_host_restarting_leaves_the_counters_of_the_node_alone() -> None:
    one, other = NodeMetrics(messages=0), NodeMetrics(messages=50)
    window = window_of(
        entry(Metrics(SystemMetrics(received_kib=900, sent_kib=5), one), 0.0),
        entry(Metrics(SystemMetrics(received_kib=1, sent_kib=6), other), 10.0),
    )
    assert value(window, "node.messages_s", 10.0) == 5.0
    assert value(window, "system.received_bytes_s", 10.0) is None
    assert value(window, "system.sent_bytes_s", 10.0) is None


def test_samples_count_for_five_minutes() -> None:
    window = window_of(entry(busy(1000), 0.0), entry(busy(3000), 10.0))
    assert value(window, "system.cpu_ratio", WINDOW_S) == pytest.approx(0.2)
    assert value(window, "system.cpu_ratio", WINDOW_S + 1) == pytest.approx(0.3)
    assert window.row(A, WINDOW_S + 11) is None
    assert len(window) == 0


def test_a_peer_that_reports_seldom_is_heard_as_long_as_its_word_stands() -> None:
    window = window_of(*(entry(counted(messages), at, interval_s=400.0) for at, messages in ((0.0, 0), (400.0, 800))))
    assert value(window, "node.messages_s", 1100.0) == 2.0


def test_a_report_without_metrics_and_a_forgotten_peer_have_no_row() -> None:
    window = window_of(entry(None, 0.0), entry(busy(1), 0.0, origin=B))
    assert window.row(A, 0.0) is None
    window.forget(B)
    window.forget(B)
    assert window.row(B, 0.0) is None
    assert len(window) == 0


def test_a_peer_that_never_stops_talking_fills_only_its_own_place() -> None:
    window = window_of(*(entry(busy(version), 1.0, version=version) for version in range(1, 3 * SAMPLES_MAX)))
    assert len(window) == SAMPLES_MAX


def test_many_peers_that_talk_too_much_keep_two_samples_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_module, "TOTAL_MAX", 20)
    window = window_of(
        *(entry(busy(version), 1.0, version=version, origin=origin) for version in range(1, 30) for origin in ORIGINS)
    )
    assert 2 * len(ORIGINS) <= len(window) <= 20 + 2 * len(ORIGINS) < TOTAL_MAX
    assert all(window.row(origin, 1.0) for origin in ORIGINS)


some_counts = st.none() | st.integers(0, 2**33)
told = st.lists(
    st.builds(
        lambda cpu, used, messages, received: Metrics(
            SystemMetrics(cpu=cpu, memory_used_kib=used, memory_total_kib=2**20),
            NodeMetrics(messages=messages, received_bytes=received),
        ),
        st.none() | st.integers(0, 10_000),
        st.none() | st.integers(0, 2**20),
        some_counts,
        some_counts,
    ),
    min_size=1,
    max_size=8,
)


@given(told, st.sampled_from([0.3, 5.0, 60.0, 140.0]), st.data())
def test_neither_order_nor_repetition_of_reports_matters(
    told: list[Metrics], apart_s: float, data: st.DataObject
) -> None:
    entries = [entry(metrics, number * apart_s) for number, metrics in enumerate(told)]
    shuffled = data.draw(st.permutations(entries + data.draw(st.lists(st.sampled_from(entries)))))
    now = len(told) * apart_s
    assert window_of(*shuffled).row(A, now) == window_of(*entries).row(A, now)


@given(told)
def test_no_value_is_negative_and_none_beyond_what_was_told(told: list[Metrics]) -> None:
    window = window_of(*(entry(metrics, number * 5.0) for number, metrics in enumerate(told)))
    row = window.row(A, len(told) * 5.0)
    assert row is not None
    for measure, found in zip(ROW, row, strict=True):
        assert found is None or 0 <= found <= 2**33 / 5, measure


@given(st.permutations(range(4)))
def test_two_statements_of_one_version_count_as_in_the_ledger(order: list[int]) -> None:
    entries = [entry(busy(cpu), 1.0, version=7) for cpu in (1, 2)] + [entry(busy(5), 2.0), entry(busy(6), 0.001)]
    kept = min(entries[:2], key=lambda one: one.digest)
    expected = window_of(kept, *entries[2:]).row(A, 2.0)
    assert window_of(*(entries[index] for index in order)).row(A, 2.0) == expected
