"""The peer as a watcher: pings, silences, accusations, refutations, and doubt of itself."""

from random import Random

import pytest

from peerscope.mesh.config import PeerConfig
from peerscope.mesh.detection.verdicts import Verdict
from peerscope.mesh.events import (
    Connected,
    Dial,
    Effect,
    Hangup,
    Join,
    Lane,
    LinkChanged,
    Measured,
    Send,
)
from peerscope.mesh.messages import Bye, Digest, Hello, Message, Ping, Pong, Push
from peerscope.mesh.peer import Peer
from peerscope.mesh.peer_state import Clocks
from peerscope.records.bodies import Answer, Kind, Observation, Observations, decode_body
from peerscope.records.identity import Identity, ref
from peerscope.records.record import Record
from strategies import IDENTITIES
from wire import GOOD, WALL_S, Wire, alone, hear, link, profile, record_of, said

MALLORY = IDENTITIES[9]


def two(*, seconds: float = 10.0) -> tuple[Wire, Peer, Peer]:
    """Two peers that met so many seconds ago; the first has the smaller id, so it pings."""
    wire = Wire()
    one = wire.start(0)
    other = wire.start(1, one)
    wire.run_until(seconds)
    return wire, one, other


def test_a_quiet_pair_keeps_pinging() -> None:
    wire, one, other = two()
    wire.log.clear()
    wire.run_until(70.0)
    assert len(said(wire.effects(one, Send), Ping)) == pytest.approx(53, abs=6)  # one in 0.75 to 1.25 s, and the grid
    assert len(said(wire.effects(other, Send), Pong)) == len(said(wire.effects(one, Send), Ping))
    assert said(wire.effects(other, Send), Ping) == []
    assert wire.effects(one, LinkChanged) == wire.effects(other, LinkChanged) == []


def test_ping_and_pong_give_both_ends_the_round_trip() -> None:
    one, other = alone(0), alone(1)
    link(one, IDENTITIES[1])
    link(other, IDENTITIES[0])
    for _ in range(2):
        second, pings = one.parts.prober.deadline(), []
        while not pings:
            second, pings = one.parts.prober.deadline(), said(one.tick(one.parts.prober.deadline()), Ping)
        (ping,) = pings
        (pong,) = said(hear(other, IDENTITIES[0], ping, second + 0.02), Pong)
        hear(one, IDENTITIES[1], pong, second + 0.04)
    assert one.links[other.me].rtt.smoothed_s == pytest.approx(0.04)
    assert other.links[one.me].rtt.smoothed_s == pytest.approx(0.04)


def test_a_link_greeted_some_time_after_it_was_connected_is_watched() -> None:
    """The only link of a peer: nothing else wakes it."""
    peer = alone(0)
    peer.handle(Connected(IDENTITIES[1].peer_id, False), 0.5)
    peer.tick(0.5)
    link(peer, IDENTITIES[1], 0.6)
    assert peer.parts.prober.deadline() < 2.0


def silence(peer: Peer, now: float, until: float) -> list:
    """The effects of turns at every deadline while nothing arrives."""
    effects = []
    while (now := max(now, peer.deadline())) < until:
        effects += peer.tick(now)
        assert peer.deadline() > now
    return effects


def test_the_death_of_one_of_three_is_seen_by_both_others() -> None:
    wire, one, other = two()
    third = wire.start(2, one)
    wire.run_until(30.0)
    wire.kill(third)
    wire.run_until(33.0)
    for observer in (one, other):
        found = wire.evidence(observer, third)
        assert (found.verdict, found.has_majority) == (Verdict.SUSPECT, True)
    wire.run_until(36.0)
    assert {wire.evidence(observer, third).verdict for observer in (one, other)} == {Verdict.DOWN}
    assert wire.evidence(one, other).verdict is wire.evidence(other, one).verdict is Verdict.ALIVE


def test_the_death_of_one_of_two_is_seen_by_the_other() -> None:
    wire, one, other = two(seconds=30.0)
    wire.kill(other)
    wire.run_until(36.0)
    assert wire.evidence(one, other).verdict is Verdict.DOWN


def test_an_accused_peer_answers_at_once_and_then_postpones_what_would_follow_too_soon() -> None:
    peer, (other, accuser) = watched(2)
    before = peer.ledger.get(peer.me, Kind.REPORT)
    assert before is not None

    def answers(effects: list[Effect]) -> list[tuple[Answer, ...]]:
        pushes = [push.record for push in said(effects, Push, other.peer_id) if push.record.peer_id == peer.me]
        return [decode_body(record.kind, record.body).answers for record in pushes]  # type: ignore[union-attr]

    def accuse(at_s: float, silence_ms: int = 3_600_000) -> Record:
        claim = Observations((Observation(ref(peer.me), before.record.version, silence_ms),))
        return record_of(accuser, claim, at_s=at_s)

    def hear_it(record: Record, at_s: float) -> list[tuple[Answer, ...]]:
        return answers(hear(peer, accuser, Push(record, 0, 5, ()), at_s) + peer.tick(at_s))

    first, second, third = accuse(11.0), accuse(11.2), accuse(11.4)
    name = ref(accuser.peer_id)
    assert hear_it(first, 11.0) == [(Answer(name, first.version),)]
    assert hear_it(second, 11.2) == []
    assert hear_it(third, 11.4) == []
    assert answers(peer.tick(11.49)) == []
    assert answers(peer.tick(11.5)) == [(Answer(name, third.version),)], "one answer serves both"
    assert answers(peer.tick(12.5)) == [], "nothing is unanswered"
    assert hear_it(accuse(12.6, silence_ms=10), 12.6) == [], "a newer record of ours refutes that one already"


def test_a_stranger_that_accuses_us_makes_us_say_nothing_out_of_turn() -> None:
    """Nobody counts its word: the next regular report answers it."""
    peer, (other, _) = watched(2)
    claim = Observations((Observation(ref(peer.me), 1, 3_600_000),))
    link(peer, MALLORY)
    pushed = []
    for turn in range(8):
        at_s = 11.0 + turn * 0.5
        accusation = record_of(MALLORY, claim, at_s=at_s)
        effects = hear(peer, MALLORY, Push(accusation, 0, 5, ()), at_s) + peer.tick(at_s)
        pushed += [push for push in said(effects, Push, other.peer_id) if push.record.peer_id == peer.me]
    assert pushed == []


def watched(count: int, *, pings: bool = True) -> tuple[Peer, list[Identity]]:
    """A peer at 10.0, when so many neighbours have answered its pings, or sent theirs, every second until then."""
    peer = alone(0 if pings else 11)
    neighbours = IDENTITIES[1 : count + 1]
    for neighbour in neighbours:
        link(peer, neighbour, ticks=False)
        hear(peer, neighbour, Push(record_of(neighbour, profile()), 0, 1, ()), 0.0)
    for tenth in range(101):
        pinged = [send for send in peer.tick(tenth / 10) if isinstance(send, Send) and send.lane is Lane.DATAGRAM]
        for neighbour in neighbours:
            for ping in said(pinged, Ping, neighbour.peer_id):
                hear(peer, neighbour, Pong(ping.seq, 1), tenth / 10 + 0.02)
            if tenth % 10 == 0 and not pings:
                hear(peer, neighbour, Ping(tenth, 1, 20_000, 0), tenth / 10)
    assert len(peer.links.up()) == count
    return peer, list(neighbours)


@pytest.mark.parametrize("pings", [True, False])
@pytest.mark.parametrize("count", [1, 2, 8])
@pytest.mark.parametrize("lag_s", [3.0, 20.0])
def test_a_turn_that_comes_late_accuses_nobody(count: int, pings: bool, lag_s: float) -> None:
    peer, _ = watched(count, pings=pings)
    peer.tick(10.0 + lag_s)
    assert peer.links.lost() == []


@pytest.mark.parametrize("pings", [True, False])
@pytest.mark.parametrize("count", [1, 2, 8])
@pytest.mark.parametrize("lag_s", [3.0, 20.0])
def test_a_late_turn_that_begins_with_a_new_connection_accuses_nobody(count: int, pings: bool, lag_s: float) -> None:
    peer, _ = watched(count, pings=pings)
    peer.handle(Connected(MALLORY.peer_id, False), 10.0 + lag_s)
    peer.tick(10.0 + lag_s)
    assert peer.links.lost() == []


def test_a_neighbour_that_falls_silent_is_missed_aloud_and_heard_again_aloud() -> None:
    peer, (other, third) = watched(2)
    effects: list = []
    for tenth in range(101, 130):
        hear(peer, third, Ping(tenth, 1), tenth / 10)
        effects += peer.tick(tenth / 10)
    (lost,) = [effect for effect in effects if isinstance(effect, LinkChanged)]
    assert (lost.peer, lost.up) == (other.peer_id, False)
    pushed = [decode_body(news.record.kind, news.record.body) for news in said(effects, Push, third.peer_id)]
    (body,) = [body for body in pushed if isinstance(body, Observations)]
    assert [observation.subject for observation in body.lost] == [ref(other.peer_id)]
    assert 1500 <= body.lost[0].silence_ms < 2000
    again = hear(peer, other, Ping(1, 1), 13.0)
    assert LinkChanged(other.peer_id, True, "heard again") in again
    assert peer.ledger.observations(peer.me) == Observations()


def test_a_silent_neighbour_is_dialled_afresh_and_one_without_a_connection_is_not() -> None:
    """Its connection may be one with a process that is dead. A peer that was never linked has no such connection."""
    peer, (other, third) = watched(2)
    effects: list = []
    for tenth in range(101, 130):
        hear(peer, third, Ping(tenth, 1), tenth / 10)
        effects += peer.tick(tenth / 10)
    assert [effect for effect in effects if isinstance(effect, Dial)] == [Dial(other.peer_id, ("10.0.0.1:1",), True)]
    joined = peer.handle(Join(MALLORY.peer_id, ("10.0.0.9:1",)), 13.0) + peer.tick(13.0)
    assert Dial(MALLORY.peer_id, ("10.0.0.9:1",)) in joined


def test_a_first_measurement_that_takes_a_while_is_no_late_turn() -> None:
    peer = Peer(IDENTITIES[0], PeerConfig(), Random(0), Clocks(0.0, WALL_S))
    while peer.deadline() < 3.1:
        peer.tick(peer.deadline())
    peer.handle(Measured(GOOD), 3.1)
    peer.tick(3.1)
    assert peer.parts.state.local_health.factor(3.1) == 1.0


def test_a_lost_neighbour_that_comes_back_hears_our_hello_first() -> None:
    """It may have restarted: then it refuses whatever comes before, and the first comparison of ledgers is lost."""
    peer, (other, third) = watched(2)
    for tenth in range(101, 130):
        hear(peer, third, Ping(tenth, 1), tenth / 10)
        peer.tick(tenth / 10)
    assert [link.peer for link in peer.links.lost()] == [other.peer_id]
    effects = link(peer, other, 13.0)
    messages = said(effects, Message, other.peer_id)
    assert isinstance(messages[0], Hello)
    assert any(isinstance(message, Digest) for message in messages[1:])


def test_a_neighbour_whose_goodbye_we_heard_is_not_accused() -> None:
    peer, (one, *_) = watched(2)
    effects = hear(peer, one, Bye("not a neighbour"), 10.1)
    assert LinkChanged(one.peer_id, False, "not a neighbour") in effects
    assert any(isinstance(effect, Hangup) and effect.peer == one.peer_id for effect in effects)
    silence(peer, 10.2, 30.0)
    assert all(item.subject != ref(one.peer_id) for item in peer.ledger.observations(peer.me).lost)  # type: ignore[union-attr]
