"""Shares of time by state: each second of a peer counts once, and a time in which nobody watched is unknown."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from peerscope.records.identity import PeerId
from peerscope.views.availability import Availability, WatchedPeer, WatchedState, WatchedTime, availability

S = WatchedState
ONE, OTHER = PeerId(b"\1" * 32), PeerId(b"\2" * 32)
ALWAYS = [WatchedTime(0.0, 100.0, True)]


def row(changes: list[tuple[float, int]], times: list[WatchedTime] = ALWAYS, since: float = 0.0) -> Availability:
    first = changes[0][0]
    return availability([WatchedPeer(ONE, "eu", first, tuple(changes))], times, since, 100.0)[0]


def test_nothing_recorded_is_unknown_and_no_number() -> None:
    (network,) = availability([], [], 0.0, 100.0)
    assert (network.scope, network.up_ratio, network.down_s, network.unknown_s, network.peers) == (
        "network", None, 0.0, 0.0, 0
    )  # fmt: skip


def test_a_peer_that_was_always_alive_was_up() -> None:
    network, region, peer = availability([WatchedPeer(ONE, "eu", 0.0, ((0.0, S.ALIVE),))], ALWAYS, 0.0, 100.0)
    assert [one.up_ratio for one in (network, region, peer)] == [1.0, 1.0, 1.0]
    assert (region.scope, region.id, peer.id, peer.region) == ("region", "eu", ONE.hex(), "eu")
    assert (peer.up_s, peer.window_s, peer.by_verdict) == (100.0, 100.0, {"alive": 100.0})


def test_a_suspicion_is_no_downtime_and_a_partition_is() -> None:
    found = row([(0.0, S.ALIVE), (10.0, S.SUSPECT), (20.0, S.PARTITIONED), (30.0, S.DOWN), (50.0, S.ALIVE)])
    assert (found.up_s, found.suspect_s, found.down_s, found.up_ratio) == (70.0, 10.0, 30.0, 0.7)


def test_planned_time_and_goodbyes_are_left_out_and_an_overdue_peer_is_down() -> None:
    found = row([(0.0, S.ALIVE), (40.0, S.LEFT), (50.0, S.PLANNED), (60.0, S.OVERDUE), (80.0, S.ALIVE)])
    assert (found.planned_s, found.down_s, found.up_ratio, found.window_s) == (20.0, 20.0, 0.75, 100.0)


def test_time_in_which_this_agent_was_asleep_is_unknown_though_the_state_goes_on() -> None:
    times = [WatchedTime(0.0, 40.0, True), WatchedTime(60.0, 100.0, False)]
    found = row([(0.0, S.ALIVE), (10.0, S.DOWN), (70.0, S.ALIVE)], times)
    assert (found.up_s, found.down_s, found.unknown_s) == (40.0, 40.0, 20.0)


def test_a_state_does_not_outlive_the_process_that_saw_it() -> None:
    times = [WatchedTime(0.0, 40.0, True), WatchedTime(60.0, 100.0, True)]
    found = row([(0.0, S.DOWN), (65.0, S.ALIVE)], times)
    assert (found.down_s, found.up_s, found.unknown_s) == (40.0, 35.0, 25.0)


def test_a_peer_that_is_not_yet_known_is_not_in_the_denominator() -> None:
    found = row([(90.0, S.ALIVE)])
    assert (found.up_s, found.unknown_s, found.window_s, found.up_ratio) == (10.0, 0.0, 10.0, 1.0)


def test_a_forgotten_peer_counts_no_more_until_it_is_known_again() -> None:
    changes = [(0.0, S.ALIVE), (10.0, S.DOWN), (20.0, S.FORGOTTEN), (90.0, S.ALIVE)]
    found = row(changes)
    assert (found.up_s, found.down_s, found.unknown_s, found.window_s) == (20.0, 10.0, 0.0, 30.0)
    assert row(changes[:3]).window_s == 20.0
    assert availability([WatchedPeer(ONE, None, 0.0, tuple(changes[:3]))], ALWAYS, 30.0, 100.0)[0].peers == 0


def test_a_peer_that_nobody_found_again_after_a_restart_ends_with_the_last_process() -> None:
    times = [WatchedTime(0.0, 40.0, True), WatchedTime(60.0, 100.0, True)]
    assert row([(0.0, S.ALIVE)], times).window_s == 40.0


def test_a_stopped_agent_that_asks_later_leaves_the_end_unknown() -> None:
    found = row([(0.0, S.ALIVE)], [WatchedTime(0.0, 40.0, True)])
    assert (found.up_s, found.unknown_s) == (40.0, 60.0)


def test_the_present_second_is_not_unknown() -> None:
    assert row([(0.0, S.ALIVE)], [WatchedTime(0.0, 99.2, True)]).unknown_s == 0.0


def test_each_peer_has_the_same_weight_in_its_region_and_the_network() -> None:
    peers = [
        WatchedPeer(ONE, "eu", 0.0, ((0.0, S.DOWN),)),
        WatchedPeer(OTHER, "us", 50.0, ((50.0, S.ALIVE),)),
    ]
    network, eu, us, *_ = availability(peers, ALWAYS, 0.0, 100.0)
    assert (network.up_ratio, network.window_s, network.peers) == (50 / 150, 150.0, 2)
    assert (eu.up_ratio, us.up_ratio) == (0.0, 1.0)


def test_overlapping_times_after_a_clock_was_set_back_count_once() -> None:
    times = [WatchedTime(0.0, 80.0, True), WatchedTime(50.0, 100.0, True)]
    found = row([(0.0, S.ALIVE), (50.0, S.ALIVE)], times)
    assert (found.up_s, found.window_s) == (100.0, 100.0)


@st.composite
def lives(draw: st.DrawFn) -> tuple[list[WatchedTime], list[tuple[float, int]]]:
    """Whole seconds from 0 to 60: what an agent that starts, sleeps and stops notes about one peer."""
    times: list[WatchedTime] = []
    changes: list[tuple[float, int]] = []
    at, state = 0, -1
    while at < 60:
        gap, length = draw(st.integers(0 if not times else 1, 9)), draw(st.integers(1, 20))
        begin, is_start = at + gap, not times or draw(st.booleans())
        times.append(WatchedTime(float(begin), float(begin + length), is_start))
        if is_start:
            state = -1
        for second in range(begin, begin + length):
            if draw(st.integers(0, 3)) == 0:
                new = draw(st.sampled_from([int(one) for one in S]))
                if new != state and not (state == -1 and new == S.FORGOTTEN):
                    changes.append((float(second), new))
                    state = new
        at = begin + length
    return times, changes


@given(lives(), st.integers(0, 70))
def test_every_second_counts_as_a_slow_reading_of_the_same_list_counts_it(
    life: tuple[list[WatchedTime], list[tuple[float, int]]], since: int
) -> None:
    times, changes = life
    until = round(times[-1].until)
    expected: Counter[str] = Counter()
    seen: list[str] = []
    state, process, first = None, -1, changes[0][0] if changes else 10**9
    starts = {one.begin for one in times if one.is_start}
    at_second = dict(changes)
    for second in range(until):
        if second in starts:
            process, state = process + 1, None if state != S.FORGOTTEN else state
        state = at_second.get(float(second), state)
        watched = any(one.begin <= second < one.until for one in times)
        if second < first:
            seen.append("before")
        elif state == S.FORGOTTEN:
            seen.append("forgotten")
        elif watched and state is not None:
            seen.append(S(state).name.lower())
        else:
            seen.append("unknown")
    while seen and seen[-1] == ("unknown" if state is None else "forgotten"):
        seen.pop()  # known no longer
    expected.update(one for one in seen[since:] if one not in ("before", "forgotten"))
    watched_peer = [WatchedPeer(ONE, None, first, tuple(changes))] if changes else []
    network = availability(watched_peer, times, float(since), float(until))[0]
    unknown = expected.pop("unknown", 0)
    assert (network.by_verdict, network.unknown_s) == ({name: float(n) for name, n in expected.items()}, unknown)
    assert network.window_s == unknown + expected.total()
