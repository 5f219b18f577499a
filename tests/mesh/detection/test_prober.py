"""The probes of all links: who pings whom, and whom to doubt."""

from math import inf
from random import Random

import pytest

from peerscope.mesh.detection.detector import DetectorConfig
from peerscope.mesh.detection.link import Link
from peerscope.mesh.detection.links import LAG_HOLD_S
from peerscope.mesh.detection.prober import Prober
from peerscope.mesh.events import Send
from peerscope.mesh.internal_events import LinkLost
from peerscope.mesh.messages import LOAD_WIRE, Load, Ping, Pong, decode
from peerscope.records.identity import PeerId
from states import state_of
from strategies import ORIGINS

SMALL, ME, *OTHERS = sorted(ORIGINS)


def nothing(peer: PeerId, now: float) -> Load | None:
    """No news travel along."""
    return None


class Watch:
    """A prober with its links, and what it does at a time."""

    def __init__(self, me: PeerId) -> None:
        self.state = state_of(me)
        self.prober = Prober(self.state, Random(1))
        self.links, self.health = self.state.links, self.state.local_health

    def due(self, now: float) -> tuple[list[tuple[PeerId, Ping]], list[PeerId]]:
        """Pings that go out, and whom we lose."""
        self.prober.tick(None, nothing, now)
        sent = [(effect.to, decode(effect.data)) for effect in self.state.out.take() if isinstance(effect, Send)]
        lost = [event.peer for event in self.state.out.take_internal() if isinstance(event, LinkLost)]
        return [(to, message) for to, message in sent if isinstance(message, Ping)], lost

    def answer(self, peer: PeerId, ping: Ping, now: float) -> Pong:
        """The pong to a peer's ping."""
        self.prober.pinged(self.links[peer], ping, now, None, nothing)
        (sent,) = (effect for effect in self.state.out.take() if isinstance(effect, Send))
        pong = decode(sent.data)
        assert isinstance(pong, Pong)
        return pong


def watch_of(*peers: PeerId, now: float = 0.0) -> Watch:
    watch = Watch(ME)
    for peer in peers:
        link = watch.links.open(peer, now)
        link.wire = LOAD_WIRE
        watch.links.greeted(link, 1, now)
    return watch


def run(watch: Watch, start: float, end: float, answering: set[PeerId]) -> list[tuple[float, PeerId]]:
    """Look at each deadline; whoever answers does so within 20 ms. Whom we lost, and when."""
    lost: list[tuple[float, PeerId]] = []
    now = start
    while (now := max(now + 0.001, watch.prober.deadline())) <= end:
        pings, silent = watch.due(now)
        lost += [(now, peer) for peer in silent]
        for peer, ping in pings:
            if peer in answering:
                watch.links[peer].heard(now + 0.02)
                assert watch.prober.ponged(watch.links[peer], Pong(ping.seq, 1), now + 0.02)
    return lost


def test_the_smaller_id_pings_and_the_greater_waits() -> None:
    watch = watch_of(SMALL, OTHERS[0])
    ((peer, ping),), _ = watch.due(0.7)
    assert peer == OTHERS[0]
    assert (ping.seq, ping.clock_ms, ping.rtt_us) == (1, 700, None)
    assert ping.next_ms is not None
    assert 750 <= ping.next_ms <= 1250, "a young link is pinged about once a second"


def test_nobody_is_pinged_before_it_said_hello() -> None:
    watch = Watch(ME)
    watch.links.open(OTHERS[0], 0.0)
    assert watch.due(0.0) == ([], [])
    assert watch.links.up() == []


def test_a_ping_carries_the_last_round_trip_to_the_other_end() -> None:
    mine, theirs = watch_of(OTHERS[0]), Watch(OTHERS[0])
    theirs.links.open(ME, 0.0).greeted = True
    ((_, first),), _ = mine.due(1.0)
    mine.prober.ponged(mine.links[OTHERS[0]], theirs.answer(ME, first, 1.02), 1.04)
    mine.links[OTHERS[0]].heard(1.04)
    ((_, second),), _ = mine.due(3.0)
    assert second.rtt_us == 40_000
    theirs.answer(ME, second, 3.02)
    assert theirs.links[ME].rtt.smoothed_s == pytest.approx(0.04)
    assert theirs.links[ME].loss_ratio == 0.0


def test_one_silent_neighbour_is_lost_and_the_others_are_not() -> None:
    watch = watch_of(SMALL, *OTHERS)
    assert run(watch, 0.0, 30.0, set(OTHERS) | {SMALL}) == []
    ((at, peer),) = run(watch, 30.0, 40.0, set(OTHERS[1:]) | {SMALL})
    assert peer == OTHERS[0]
    assert 1.5 <= at - watch.links[peer].last_heard < 2.0
    assert watch.links.up() == [SMALL, *OTHERS[1:]]
    assert [link.peer for link in watch.links.lost()] == [OTHERS[0]]


def test_when_all_go_silent_at_once_we_doubt_ourselves_first() -> None:
    watch = watch_of(*OTHERS)
    run(watch, 0.0, 30.0, set(OTHERS))
    lost = run(watch, 30.0, 60.0, set())
    assert {peer for _, peer in lost} == set(OTHERS)
    assert min(at for at, _ in lost) > 30.0 + 2 * 1.5 - 1.0


def test_after_a_late_turn_we_doubt_ourselves_for_a_while() -> None:
    watch = watch_of(*OTHERS)
    run(watch, 0.0, 30.0, set(OTHERS))
    watch.health.lagged(3.0, 33.0)
    assert watch.due(33.0)[1] == []
    assert watch.health.factor(33.0) == 1.0 + 3.0 / DetectorConfig().lag_s
    assert run(watch, 33.0, 33.0 + LAG_HOLD_S, set(OTHERS)) == []
    assert watch.health.factor(33.0 + LAG_HOLD_S) == 1.0


def test_who_is_behind_probes_less_often() -> None:
    """A machine with too much to do would drown in probes of its own."""
    sent = []
    for lag_s in (0.0, 1.5):
        watch = watch_of(OTHERS[0])
        run(watch, 0.0, 30.0, {OTHERS[0]})
        if lag_s:
            watch.health.lagged(lag_s, 30.0)
        assert watch.health.lag_factor(30.0) == 1.0 + lag_s / DetectorConfig().lag_s
        pings, now = 0, 30.0
        while not watch.links.lost():
            now = max(now + 0.001, watch.prober.deadline())
            pings += len(watch.due(now)[0])
        sent.append((now - 30.0, pings))
    (on_time_s, many), (late_s, few) = sent
    assert late_s > 3 * on_time_s
    assert few / late_s < 0.7 * many / on_time_s


def test_a_watch_over_nobody_wants_nothing() -> None:
    watch = watch_of()
    assert watch.due(5.0) == ([], [])
    assert watch.prober.deadline() == inf
    assert watch.health.factor(5.0) == 1.0
    assert watch.links.pop(SMALL, None) is None


def test_a_connection_that_comes_back_finds_its_link_as_it_was() -> None:
    watch = watch_of(SMALL)
    link = watch.links[SMALL]
    link.connected = False
    assert watch.links.open(SMALL, 9.0) is link
    assert link.connected
    assert isinstance(watch.links.pop(SMALL, None), Link)
    assert watch.links.open(SMALL, 9.5) is not link
