"""The log of verdicts: what waits for the file, absence, clocks that are set back, and its bounds."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgers import WALL_S, Book, lose, meshed
from peerscope.records.bodies import PlannedAbsence, Profile
from peerscope.views import verdict_log
from peerscope.views.availability import ABSENCE_S, StateChange, WatchedState, WatchedTime
from peerscope.views.peers import PlannedView, peer_view
from peerscope.views.verdict_log import SET_BACK_S, VerdictLog

S = WatchedState


def watched(log: VerdictLog) -> list[tuple[float, float, bool]]:
    return [(one.begin, one.until, one.is_start) for one in log.waiting().times]


def changes(log: VerdictLog) -> list[tuple[bytes, float, int]]:
    return [(one.peer, one.at, one.state) for one in log.waiting().changes]


def test_every_peer_is_noted_when_it_is_first_seen_and_when_its_state_changes() -> None:
    book, log = meshed(5), VerdictLog()
    log.beat(WALL_S)
    log.observe(book.snapshot(0.0))
    assert [one.state for one in log.waiting().changes] == [S.ALIVE] * 5
    log.written(log.waiting())
    at = lose(book, 4, (0, 1, 2, 3))
    log.beat(WALL_S + at)
    log.observe(book.snapshot(at))
    log.observe(book.snapshot(at))
    assert changes(log) == [(book[4], WALL_S + at, S.DOWN)]


def test_nothing_is_noted_before_the_first_turn() -> None:
    log = VerdictLog()
    log.observe(meshed(3).snapshot(0.0))
    assert log.waiting().changes == log.waiting().times == ()


def test_downtime_that_was_ordered_in_advance_is_planned_and_an_alive_peer_stays_alive() -> None:
    book, log = meshed(5), VerdictLog()
    at = lose(book, 4, (0, 1, 2, 3))
    log.beat(WALL_S + at)
    log.observe(book.snapshot(at), frozenset((book[4], book[3])))
    states = {one.peer: one.state for one in log.waiting().changes}
    assert (states[book[4]], states[book[3]]) == (S.PLANNED, S.ALIVE)
    assert log.needs_time


def leaver(planned: PlannedAbsence | None) -> Book:
    book = meshed(3)
    book.say(2, Profile((), "eu", "1.0", 0, left=True, planned=planned), at=10.0)
    return book


@pytest.mark.parametrize(
    ("planned", "now", "state"),
    [
        (None, 5000.0, S.LEFT),
        (PlannedAbsence(), 5000.0, S.PLANNED),
        (PlannedAbsence(60_000), 69.0, S.PLANNED),
        (PlannedAbsence(60_000), 71.0, S.OVERDUE),
    ],
)
def test_a_goodbye_is_planned_until_its_announced_end(
    planned: PlannedAbsence | None, now: float, state: WatchedState
) -> None:
    book, log = leaver(planned), VerdictLog()
    log.beat(WALL_S + now)
    log.observe(book.snapshot(now))
    assert (book[2], WALL_S + now, state) in changes(log)


def test_people_see_why_a_peer_left_and_when_it_is_to_be_back() -> None:
    view = peer_view(leaver(PlannedAbsence(60_000, "disk swap")).snapshot(40.0), leaver(None)[2])
    assert view.planned == PlannedView("disk swap", WALL_S + 70.0, 30.0, False)
    view = peer_view(leaver(PlannedAbsence(60_000, "disk swap")).snapshot(80.0), leaver(None)[2])
    assert view.planned == PlannedView("disk swap", WALL_S + 70.0, 0.0, True)
    assert peer_view(leaver(PlannedAbsence()).snapshot(80.0), leaver(None)[2]).planned == PlannedView(
        "", None, None, False
    )
    assert peer_view(leaver(None).snapshot(80.0), leaver(None)[2]).planned is None
    assert peer_view(meshed(3).snapshot(1.0), leaver(None)[2]).planned is None


def test_turns_that_come_in_time_make_one_watched_time_and_a_late_one_another() -> None:
    log = VerdictLog()
    for second in (0.0, 0.5, 1.5, 3.4):
        log.beat(second)
    log.beat(3.4 + ABSENCE_S + 0.1)
    assert watched(log) == [(0.0, 3.4, True), (5.5, 5.5, False)]


def test_a_clock_that_is_set_back_by_little_stands_still() -> None:
    log = VerdictLog()
    for wall in (100.0, 101.0, 71.0, 100.0, 101.0, 102.0):
        log.beat(wall)
    assert watched(log) == [(100.0, 102.0, True)]
    assert log.waiting().rewound_to is None


def test_a_clock_that_is_set_back_by_much_drops_what_is_dated_later() -> None:
    book, log = meshed(3), VerdictLog()
    for wall in (1000.0, 1001.0, 1002.0):
        log.beat(wall)
    log.observe(book.snapshot(0.0))
    log.beat(500.0)
    assert watched(log) == [(500.0, 500.0, True)]
    assert log.waiting().changes == ()
    assert log.waiting().rewound_to == 500.0
    log.observe(book.snapshot(1.0))
    assert {one.at for one in log.waiting().changes} == {500.0}


def test_a_clock_that_is_set_back_by_years_drops_nothing() -> None:
    log = VerdictLog()
    log.beat(WALL_S)
    log.beat(WALL_S + 1.0)
    log.beat(0.0)
    log.beat(WALL_S + 3.0)
    assert log.waiting().rewound_to is None
    assert watched(log) == [
        (WALL_S, WALL_S + 1.0, True),
        (0.0, 0.0, True),
        (WALL_S + 3.0, WALL_S + 3.0, False),
    ]


def test_what_came_while_the_file_was_written_waits_for_the_next_time() -> None:
    book, log = meshed(5), VerdictLog()
    log.beat(WALL_S)
    log.observe(book.snapshot(0.0))
    journal = log.waiting()
    at = lose(book, 4, (0, 1, 2, 3))
    log.beat(WALL_S + at)
    log.observe(book.snapshot(at))
    log.written(journal)
    assert changes(log) == [(book[4], WALL_S + at, S.DOWN)]


def test_a_write_that_ends_after_the_log_began_anew_drops_nothing() -> None:
    book, log = meshed(3), VerdictLog()
    log.beat(WALL_S)
    log.observe(book.snapshot(0.0))
    journal = log.waiting()
    log.begin_anew()
    log.observe(book.snapshot(0.0))
    log.written(journal)
    assert len(log.waiting().changes) == 3


def test_a_log_that_nobody_writes_is_bounded_and_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict_log, "WAITING_MAX", 50)
    book, log = meshed(5), VerdictLog()
    at = lose(book, 4, (0, 1, 2, 3))
    for turn in range(200):
        log.beat(WALL_S + turn)
        log.observe(book.snapshot(at if turn % 2 else 0.0))
        assert len(log.waiting().changes) <= 51
    assert log.waiting().times[0].is_start
    assert all(isinstance(one, StateChange) for one in log.waiting().changes)
    assert log.waiting().times[-1] == WatchedTime(log.waiting().times[-1].begin, WALL_S + 199, True)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.2, 0.9, 1.5, 5.0, 600.0]),  # seconds that pass
            st.sampled_from([0.0, 0.0, 0.0, 0.0, -0.5, -30.0, -59.0, -61.0, -7200.0, 3600.0]),  # the clock is set
        ),
        max_size=60,
    )
)
def test_watched_times_never_overlap_and_hold_every_change_whatever_the_clock_does(
    turns: list[tuple[float, float]],
) -> None:
    calm, hit, log = meshed(4), meshed(4), VerdictLog()
    at = lose(hit, 3, (0, 1, 2))
    times: dict[float, WatchedTime] = {}
    changes: dict[tuple[bytes, float], int] = {}
    wall = WALL_S
    for number, (passed, step) in enumerate(turns):
        wall += passed + step
        log.beat(wall)
        log.observe(hit.snapshot(at) if number % 3 else calm.snapshot(0.0))
        if number % 5 == 4:  # written, as the store does it
            journal = log.waiting()
            if (back := journal.rewound_to) is not None:
                kept = (one for one in times.values() if one.begin < back)
                times = {one.begin: WatchedTime(one.begin, min(one.until, back), one.is_start) for one in kept}
                changes = {key: state for key, state in changes.items() if key[1] < back}
            times |= {one.begin: one for one in journal.times}
            changes |= {(one.peer, one.at): one.state for one in journal.changes}
            log.written(journal)
            ordered = sorted(times.values(), key=lambda one: one.begin)
            assert all(one.until <= after.begin for one, after in pairwise(ordered))
            assert all(any(one.begin <= when <= one.until for one in ordered) for _, when in changes)
            assert all(one.until <= wall + SET_BACK_S for one in ordered)
