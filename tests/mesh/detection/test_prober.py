"""The watch over all links: who pings whom, and whom to doubt."""

from math import inf

import pytest

from peerscope.mesh.detection.detector import DetectorConfig
from peerscope.mesh.detection.link import Link
from peerscope.mesh.detection.prober import LAG_HOLD_S, Prober
from peerscope.mesh.messages import Pong
from peerscope.records.identity import PeerId
from strategies import ORIGINS

SMALL, ME, *OTHERS = sorted(ORIGINS)


def watch_of(*peers: PeerId, now: float = 0.0) -> Prober:
    watch = Prober(ME, DetectorConfig())
    for peer in peers:
        watch.greeted(watch.open(peer, now), 1, now)
    return watch


def run(watch: Prober, start: float, end: float, answering: set[PeerId]) -> list[tuple[float, PeerId]]:
    """Call `due` at each deadline; who answers does so within 20 ms. Whom we lost, and when."""
    lost: list[tuple[float, PeerId]] = []
    now = start
    while (now := max(now + 0.001, watch.deadline())) <= end:
        pings, silent = watch.due(now, 1)
        lost += [(now, link.peer) for link in silent]
        for peer, ping in pings:
            if peer in answering:
                watch.links[peer].heard(now + 0.02)
                assert watch.ponged(watch.links[peer], Pong(ping.seq, 1), now + 0.02)
    return lost


def test_the_smaller_id_pings_and_the_greater_waits() -> None:
    watch = watch_of(SMALL, OTHERS[0])
    ((peer, ping),), _ = watch.due(0.0, clock_ms=7)
    assert peer == OTHERS[0]
    assert (ping.seq, ping.clock_ms, ping.rtt_us) == (1, 7, None)


def test_nobody_is_pinged_before_it_said_hello() -> None:
    watch = Prober(ME, DetectorConfig())
    watch.open(OTHERS[0], 0.0)
    assert watch.due(0.0, 1) == ([], [])
    assert watch.up() == []


def test_a_ping_carries_the_last_round_trip_to_the_other_end() -> None:
    mine, theirs = watch_of(OTHERS[0]), Prober(OTHERS[0], DetectorConfig())
    theirs.open(ME, 0.0).greeted = True
    ((_, first),), _ = mine.due(0.0, 1)
    mine.ponged(mine.links[OTHERS[0]], theirs.pinged(theirs.links[ME], first, 0.02, 1), 0.04)
    ((_, second),), _ = mine.due(1.0, 1)
    assert second.rtt_us == 40_000
    theirs.pinged(theirs.links[ME], second, 1.02, 1)
    assert theirs.links[ME].rtt.smoothed_s == pytest.approx(0.04)
    assert theirs.links[ME].loss_ratio == 0.0


def test_one_silent_neighbour_is_lost_and_the_others_are_not() -> None:
    watch = watch_of(SMALL, *OTHERS)
    assert run(watch, 0.0, 30.0, set(OTHERS) | {SMALL}) == []
    ((at, peer),) = run(watch, 30.0, 40.0, set(OTHERS[1:]) | {SMALL})
    assert peer == OTHERS[0]
    assert 1.5 <= at - watch.links[peer].last_heard < 2.0
    assert watch.up() == [SMALL, *OTHERS[1:]]
    assert [link.peer for link in watch.lost()] == [OTHERS[0]]


def test_when_all_go_silent_at_once_we_doubt_ourselves_first() -> None:
    watch = watch_of(*OTHERS)
    run(watch, 0.0, 30.0, set(OTHERS))
    lost = run(watch, 30.0, 60.0, set())
    assert {peer for _, peer in lost} == set(OTHERS)
    assert min(at for at, _ in lost) > 30.0 + 2 * 1.5 - 1.0


def test_after_a_late_turn_we_doubt_ourselves_for_a_while() -> None:
    watch = watch_of(*OTHERS)
    run(watch, 0.0, 30.0, set(OTHERS))
    watch.lagged(3.0, 33.0)
    assert watch.due(33.0, 1)[1] == []
    assert watch.doubt(33.0) == 1.0 + 3.0 / DetectorConfig().lag_s
    assert run(watch, 33.0, 33.0 + LAG_HOLD_S, set(OTHERS)) == []
    assert watch.doubt(33.0 + LAG_HOLD_S) == 1.0


def test_who_is_behind_probes_less_often() -> None:
    """A machine with too much to do would drown in probes of its own."""
    sent = []
    for lag_s in (0.0, 1.5):
        watch = watch_of(OTHERS[0])
        run(watch, 0.0, 30.0, {OTHERS[0]})
        if lag_s:
            watch.lagged(lag_s, 30.0)
        assert watch.patience(30.0) == 1.0 + lag_s / DetectorConfig().lag_s
        pings, now = 0, 30.0
        while not watch.lost():
            now = max(now + 0.001, watch.deadline())
            pings += len(watch.due(now, 1)[0])
        sent.append((now - 30.0, pings))
    (on_time_s, many), (late_s, few) = sent
    assert late_s > 3 * on_time_s
    assert few / late_s < 0.7 * many / on_time_s


def test_a_watch_over_nobody_wants_nothing() -> None:
    watch = watch_of()
    assert watch.due(5.0, 1) == ([], [])
    assert watch.deadline() == inf
    assert watch.doubt(5.0) == 1.0
    assert watch.close(SMALL) is None


def test_a_connection_that_comes_back_finds_its_link_as_it_was() -> None:
    watch = watch_of(SMALL)
    link = watch.links[SMALL]
    link.connected = False
    assert watch.open(SMALL, 9.0) is link
    assert link.connected
    assert isinstance(watch.close(SMALL), Link)
    assert watch.open(SMALL, 9.5) is not link
