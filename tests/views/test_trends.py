"""The last hour against the 23 before it, minute by minute."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgers import Book, meshed
from peerscope.records.bodies import Check, LinkReading, Report
from peerscope.records.identity import ref
from peerscope.records.measures import Metrics, NodeMetrics, PerformanceMetrics
from peerscope.views.links import mesh_links
from peerscope.views.trends import BEFORE_MIN, DAY, HOUR, LATELY_MIN, Day, Minute, Trend, look, trend

NOW = 1_700_000_040.0  # the beginning of a minute


def day(*, lately: float, before: float, minutes: int = DAY) -> Day:
    """So many minutes until `NOW`, with so many peers in the last hour and before."""
    found = Day()
    for ago in reversed(range(minutes)):
        found.note(Minute(NOW - 60 * ago, lately if ago < HOUR else before, 0.1, 0.0))
    return found


@pytest.mark.parametrize(
    ("lately", "before", "direction", "change_ratio"),
    [
        (100, 100, "stable", 0.0),
        (105, 100, "stable", 0.05),
        (106, 100, "up", 0.06),
        (95, 100, "stable", -0.05),
        (94, 100, "down", -0.06),
        (0, 100, "down", -1.0),
        (0, 0, "stable", 0.0),
        (3, 0, "up", None),
    ],
)
def test_a_change_above_five_percent_is_a_trend(
    lately: float, before: float, direction: str, change_ratio: float | None
) -> None:
    found = day(lately=lately, before=before).trends(NOW).peer_count
    assert (found.direction, found.current, found.previous) == (direction, lately, before)
    assert found.change_ratio == (None if change_ratio is None else pytest.approx(change_ratio))


def test_one_hour_weighs_as_much_as_twenty_three() -> None:
    assert day(lately=12, before=12).trends(NOW).peer_count.direction == "stable"


@pytest.mark.parametrize("minutes", [1, HOUR, HOUR + BEFORE_MIN - 1])
def test_a_young_network_has_no_trend(minutes: int) -> None:
    found = day(lately=9, before=3, minutes=minutes).trends(NOW).peer_count
    assert (found.direction, found.change_ratio, found.current) == ("unknown", None, 9)
    assert day(lately=9, before=3, minutes=HOUR + BEFORE_MIN).trends(NOW).peer_count.direction == "up"


def test_without_any_history_everything_is_unknown() -> None:
    nothing = Trend("unknown", None, None, None)
    found = Day().trends(NOW)
    assert (found.peer_count, found.average_latency, found.error_rate) == (nothing, nothing, nothing)


def test_minutes_without_a_value_are_not_zero() -> None:
    known: list[float | None] = [10.0] * LATELY_MIN
    assert trend(known + [None] * 30, [10.0] * DAY).direction == "stable"
    assert trend(known[1:] + [None] * 30, [10.0] * DAY).direction == "unknown"


@given(st.lists(st.none() | st.floats(0, 1e9), max_size=70), st.lists(st.none() | st.floats(0, 1e9), max_size=90))
def test_a_trend_says_what_its_numbers_say(lately: list[float | None], before: list[float | None]) -> None:
    found = trend(lately, before)
    match found.direction:
        case "unknown":
            assert found.change_ratio is None
        case "up":
            assert found.current > found.previous
        case "down":
            assert found.current < found.previous
        case "stable":
            assert found.current == pytest.approx(found.previous, rel=0.051)


def test_a_day_is_kept_and_no_more() -> None:
    found = day(lately=1, before=1, minutes=DAY + 100)
    assert len(found.minutes()) == DAY
    assert found.minutes()[-1].at == NOW


def test_a_clock_that_was_ahead_is_forgotten_when_it_is_set_back() -> None:
    found = day(lately=1, before=1, minutes=5)
    found.note(Minute(NOW + 1e9, 7.0))
    found.note(Minute(NOW + 60, 2.0))
    assert [minute.peers for minute in found.minutes()] == [2.0]
    found.note(Minute(NOW + 120, 3.0))
    assert [minute.peers for minute in found.minutes()] == [2.0, 3.0]


def test_what_an_earlier_life_saw_comes_back_under_what_this_one_sees() -> None:
    young = day(lately=50, before=0, minutes=40)
    young.restore(day(lately=1, before=10, minutes=DAY + 30).minutes())
    found = young.trends(NOW).peer_count
    assert (found.direction, found.previous) == ("up", 10)
    assert found.current == pytest.approx((40 * 50 + 20 * 1) / 60)


def test_a_look_counts_each_living_peer_once() -> None:
    book = meshed(4)
    for number, error in ((0, 0), (1, 400)):
        links = tuple(LinkReading(ref(book[other]), 3000) for other in range(4) if other != number)
        for again in range(1 + 5 * number):
            metrics = Metrics(performance=PerformanceMetrics(error=error))
            book.say(number, Report(5000, (Check(0),), links, metrics=metrics), at=1.0 + again)
    snapshot = book.snapshot(7.0)
    assert look(snapshot, mesh_links(snapshot)) == Minute(
        at=snapshot.wall // 60 * 60, peers=4, latency_s=pytest.approx(0.002), error_ratio=pytest.approx(0.02)
    )


def test_a_look_at_a_silent_network_finds_nobody_and_no_numbers() -> None:
    snapshot = meshed(3).snapshot(100.0)
    assert look(snapshot, mesh_links(snapshot)) == Minute(snapshot.wall // 60 * 60, 0, None, None)


def test_error_ratios_of_nodes_and_mesh_are_neither_averaged_nor_compared() -> None:
    book = Book()
    book.introduce(0, 1)
    for number, node in ((0, NodeMetrics()), (1, None)):
        metrics = Metrics(node=node, performance=PerformanceMetrics(error=4_000 if node else 100))
        book.say(number, Report(5_000, (Check(0, 1000),) * 5, metrics=metrics))
    now = look(book.snapshot(1.0), ())
    assert (now.error_ratio, now.is_of_nodes) == (0.4, True)
    known = Day()
    for number in range(DAY):
        known.note(Minute(60.0 * number, 1.0, 0.1, 0.01, is_of_nodes=False))
    assert known.trends(60.0 * DAY).error_rate.direction == "stable"
    known.note(Minute(60.0 * DAY, 1.0, 0.1, 0.4, is_of_nodes=True))
    attached = known.trends(60.0 * DAY).error_rate
    assert (attached.direction, attached.current, attached.previous) == ("unknown", 0.4, None)
    assert known.trends(60.0 * DAY).peer_count.direction == "stable"
