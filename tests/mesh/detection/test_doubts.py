"""Doubts of neighbours that lie: what one peer sends because of them, and what it keeps of them."""

from collections.abc import Sequence

import pytest

from peerscope.mesh.events import Connected, Disconnected, Effect
from peerscope.mesh.limits.reputation import ReputationLevel
from peerscope.mesh.messages import DOUBTED_MAX, Bye, Doubt, Ping, Pong, Push
from peerscope.mesh.peer import Peer
from peerscope.records.identity import Identity, PeerId, ref
from strategies import IDENTITIES
from wire import WALL_S, alone, hear, link, profile, record_of, said

LIAR, FRIENDS = IDENTITIES[9], IDENTITIES[1:9]
STEP_S = 0.05
HOPS_MAX = 32
"""As many as a doubt can carry."""


class Circle:
    """A peer among friends that answer its pings, beside a liar."""

    def __init__(self) -> None:
        self.peer = alone()
        self.now = 0.0
        self.effects: list[Effect] = []
        self._ping_at = 0.0
        self._turns = 0
        for identity in (LIAR, *FRIENDS):
            link(self.peer, identity)
            hear(self.peer, identity, Push(record_of(identity, profile()), 0, 1, ()), 0.0)

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + STEP_S)
            if self.now >= self._ping_at:
                self._ping_at = self.now + 0.75
                for name in (LIAR, *FRIENDS):
                    if name.peer_id < self.peer.me:  # the one with the smaller id pings
                        self._take(hear(self.peer, name, Ping(self._turn(), self._clock_ms()), self.now))
            if self.peer.deadline() <= self.now:
                self._take(self.peer.tick(self.now))

    def doubt(self, *subjects: PeerId, hops: int, source: Identity = LIAR) -> None:
        names = tuple(ref(subject) for subject in subjects)
        self._take(hear(self.peer, source, Doubt(names, hops), self.now))

    def doubts(self) -> list[Doubt]:
        return said(self.effects, Doubt)

    def pings(self, to: PeerId) -> int:
        return len(said(self.effects, Ping, to))

    def _clock_ms(self) -> int:
        return round((WALL_S + self.now) * 1000)

    def _turn(self) -> int:
        self._turns += 1
        return self._turns

    def _take(self, effects: Sequence[Effect]) -> None:
        self.effects += effects
        for name in (LIAR, *FRIENDS):
            for ping in said(list(effects), Ping, name.peer_id):
                pong = Pong(ping.seq, self._clock_ms())
                self._take(hear(self.peer, name, pong, self.now))


def tables(peer: Peer) -> tuple[int, int]:
    doubts = peer.parts.doubts
    return len(doubts._buckets), len(doubts._known)


def test_doubts_about_strangers_and_about_ourselves_change_nothing() -> None:
    quiet, lied = Circle(), Circle()
    for circle in (quiet, lied):
        for turn in range(100):
            if circle is lied:
                strangers = [PeerId(bytes((turn, number)) * 16) for number in range(DOUBTED_MAX - 1)]
                circle.doubt(circle.peer.me, *strangers, hops=HOPS_MAX)
            circle.pass_time(0.1)
    assert lied.doubts() == []
    pings = [sum(circle.pings(one.peer_id) for one in FRIENDS) for circle in (quiet, lied)]
    assert pings[1] == pytest.approx(pings[0], rel=0.2)
    assert tables(lied.peer)[1] == 0


@pytest.mark.parametrize("hops", [0, HOPS_MAX])
def test_a_flood_of_doubts_costs_few_pings_and_accuses_nobody(hops: int) -> None:
    circle = Circle()
    circle.pass_time(5.0)
    circle.effects.clear()
    for _ in range(1_000):  # a hundred a second
        circle.doubt(*(one.peer_id for one in FRIENDS), hops=hops)
        circle.pass_time(0.01)
    seconds = circle.now - 5.0
    assert max(circle.pings(one.peer_id) for one in FRIENDS) <= 6 * seconds
    assert circle.peer.ledger.observations(circle.peer.me) is None
    assert circle.peer.links.up() == sorted(one.peer_id for one in (LIAR, *FRIENDS))


def test_a_neighbour_spreads_no_more_doubts_than_its_share() -> None:
    circle = Circle()
    for turn in range(600):
        circle.doubt(FRIENDS[turn % len(FRIENDS)].peer_id, hops=HOPS_MAX)
        circle.pass_time(0.1)
    spread = len(circle.doubts()) / 3  # to so many at once
    assert circle.peer.refused["doubt-too-often"] > 0
    assert spread <= 32 + 2 + 0.5 * circle.now
    standings = {one.standing for one in circle.peer.reputations.all(circle.now)}
    assert standings <= {ReputationLevel.GOOD}, "it may only pass on the doubts of others"


def test_a_doubt_is_passed_on_no_further_than_one_of_our_own() -> None:
    circle = Circle()
    circle.doubt(FRIENDS[0].peer_id, hops=HOPS_MAX)
    circle.pass_time(1.0)
    assert [doubt.hops for doubt in circle.doubts()] != []
    assert max(doubt.hops for doubt in circle.doubts()) <= circle.peer.parts.publisher.hops()


def test_neighbours_that_come_doubt_and_go_leave_nothing_behind() -> None:
    circle = Circle()
    for number in range(60):
        stranger = Identity(number.to_bytes(32, "big"))
        link(circle.peer, stranger, circle.now)
        circle.doubt(*(one.peer_id for one in FRIENDS), hops=1, source=stranger)
        hear(circle.peer, stranger, Bye("leaving"), circle.now)
        circle.peer.handle(Disconnected(stranger.peer_id, "gone"), circle.now)
        circle.pass_time(1.1)  # a doubt is known for a second
    circle.pass_time(300.0)
    assert tables(circle.peer)[0] <= len(FRIENDS) + 1


def test_a_doubt_of_somebody_without_a_hello_is_refused() -> None:
    circle = Circle()
    stranger = IDENTITIES[10]
    circle.peer.handle(Connected(stranger.peer_id, False), circle.now)
    circle.doubt(FRIENDS[0].peer_id, hops=HOPS_MAX, source=stranger)
    circle.pass_time(1.0)
    assert (circle.doubts(), circle.peer.refused["before-hello"]) == ([], 1)
