"""Throughput: right from the first second, zero when idle, null before the beginning, whatever the clock does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.views.throughput import CURRENT_S, MINUTES, SECONDS, Rate, Throughput

START = 1000.0


def steady(end_s: float, step_s: float = 0.1) -> Throughput:
    """A hundred bytes in every tenth of a second, and half as often out, until then."""
    throughput = Throughput(START)
    for number in range(round(end_s / step_s)):
        throughput.record(START + number * step_s, 100)
        if number % 2:
            throughput.record(START + number * step_s, 100, sent=True)
    return throughput


@pytest.mark.parametrize("end_s", [1.0, 2.0, 9.0, 30.0, 61.0, 500.0])
def test_a_steady_stream_has_its_true_rate_from_the_first_second(end_s: float) -> None:
    rate = steady(end_s).rate(START + end_s)
    assert rate is not None
    assert (rate.messages_in_s, rate.bytes_in_s) == pytest.approx((10, 1000))
    assert (rate.messages_out_s, rate.bytes_out_s) == pytest.approx((5, 500))


def test_the_first_part_of_a_second_is_divided_by_itself() -> None:
    throughput = steady(0.5)
    rate = throughput.rate(START + 0.5)
    assert rate is not None
    assert rate.bytes_in_s == pytest.approx(1000)
    view = throughput.view(START + 0.5)
    assert view.seconds.bytes_in_s[-1] == view.minutes.bytes_in_s[-1] == pytest.approx(1000)
    assert view.observed_s == 0.5


def test_before_any_time_has_passed_no_rate_is_known() -> None:
    throughput = Throughput(START)
    throughput.record(START, 100)
    assert throughput.rate(START) is None
    view = throughput.view(START)
    assert (view.current, view.bytes_in, view.minutes.bytes_in_s[-1]) == (None, 100, None)


def test_what_was_before_the_beginning_is_unknown_and_a_quiet_time_is_zero() -> None:
    throughput = steady(60.0)
    view = throughput.view(START + 150.0)
    minutes = view.minutes.bytes_in_s
    assert len(minutes) == MINUTES
    assert minutes == (*[None] * 57, pytest.approx(1000), 0, 0)
    assert len(view.seconds.bytes_in_s) == SECONDS
    assert view.seconds.bytes_in_s[-92:] == (pytest.approx(1000), *[0] * 90, None)  # the last has not begun to run
    assert view.current == Rate(0, 0, 0, 0)


def test_the_current_rate_falls_to_zero_when_the_stream_stops() -> None:
    throughput = steady(30.0)
    found = [throughput.rate(START + 30.0 + s) for s in (0.0, 5.0, CURRENT_S)]
    assert [rate.bytes_in_s for rate in found if rate] == [pytest.approx(1000), pytest.approx(500), 0]


def test_the_rings_hold_five_minutes_and_an_hour() -> None:
    throughput = Throughput(START)
    for minute in range(100):
        throughput.record(START + minute * 60, minute)
    view = throughput.view(START + 99 * 60 + 30)
    assert view.minutes.bytes_in_s == (*(minute / 60 for minute in range(40, 99)), 99 / 30)
    assert sum(rate for rate in view.seconds.bytes_in_s if rate) == 95 + 96 + 97 + 98 + 99
    assert (view.messages_in, view.bytes_in) == (100, sum(range(100)))


def test_a_gap_longer_than_the_rings_leaves_zeros() -> None:
    throughput = steady(30.0)
    throughput.record(START + 1e6, 7)
    view = throughput.view(START + 1e6 + 0.5)
    assert set(view.minutes.bytes_in_s[:-1]) == {0}
    assert view.seconds.bytes_in_s[-1] == pytest.approx(14)
    assert view.bytes_in == 30_007


def test_a_clock_that_goes_back_loses_nothing() -> None:
    throughput = Throughput(START)
    throughput.record(START + 5.2, 10)
    throughput.record(START + 1.0, 20)
    assert throughput.view(START).seconds.bytes_in_s[-1] is None
    view = throughput.view(START + 6.0)
    assert view.seconds.bytes_in_s[-2] == 30
    assert view.bytes_in == 30


def test_several_messages_count_together() -> None:
    throughput = Throughput(START)
    throughput.record(START, 5000, messages=50, sent=True)
    assert throughput.rate(START + 1.0) == Rate(0, 0, 50, 5000)


@given(st.lists(st.tuples(st.floats(0, 400), st.integers(0, 10**6)), max_size=50), st.floats(0, 300))
def test_the_rings_add_up_to_what_was_counted(events: list[tuple[float, int]], more_s: float) -> None:
    throughput, at = Throughput(START), START
    for after_s, size in events:
        at += after_s
        throughput.record(at, size)
    end = at + more_s
    view = throughput.view(end)
    if end - START < 3500 and view.observed_s % 60 > 0:  # else the running minute has no length, and no rate yet
        rates = [rate for rate in view.minutes.bytes_in_s if rate is not None]
        running_s = view.observed_s % 60
        total = sum(rate * 60 for rate in rates[:-1]) + rates[-1] * running_s
        assert total == pytest.approx(sum(size for _, size in events), rel=1e-6, abs=1e-3)
