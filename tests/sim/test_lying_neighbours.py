"""Liars that flood their neighbours with doubts, or with keys of versions that do not exist."""

from collections import Counter
from collections.abc import Callable
from random import Random

import pytest

from network import called_down
from peerscope.core import Effect
from peerscope.mesh.detection.observers import accused, is_reporting
from peerscope.mesh.detection.verdicts import Verdict
from peerscope.mesh.events import Lane, Send
from peerscope.mesh.messages import Announce, Doubt, Key, Message, Records, decode, encode
from peerscope.mesh.peer import Peer
from peerscope.records.bodies import Kind
from peerscope.records.identity import PeerId, ref
from peerscope.sim.network import Latency, fixed, near
from peerscope.sim.population import populate
from peerscope.sim.scenario import Scenario
from peerscope.sim.simulator import EPOCH_S, Simulator

pytestmark = pytest.mark.sim
PEERS = 24
SETTLED_S = 40.0


def settled(peers: int = PEERS, *, seed: int = 1, latency: Latency = near) -> tuple[Simulator, list[PeerId]]:
    sim = Simulator(seed=seed, latency=latency, signed=False)
    populate(sim, Scenario(name="liars", summary="", peers=peers), Random(seed), None, seed)
    sim.run_until(SETTLED_S)
    return sim, list(sim.nodes)


def peer_of(sim: Simulator, one: PeerId) -> Peer:
    peer = sim.nodes[one].peer
    assert peer is not None
    return peer


class Flood:
    """A liar that sends every neighbour something, again and again."""

    def __init__(self, sim: Simulator, liar: PeerId, every_s: float, message: Callable[[], Message]) -> None:
        self.sent = 0
        self._sim = sim
        self._liar = liar
        self._every_s = every_s
        self._message = message
        self._turn()

    def _turn(self) -> None:
        if self._sim.nodes[self._liar].peer is None:
            return
        data = encode(self._message())
        for other in peer_of(self._sim, self._liar).links.up():
            self.sent += 1
            self._sim._carry_out(self._sim.nodes[self._liar], [Send(other, data, Lane.DATAGRAM)])
        self._sim.at(self._sim.now + self._every_s, self._turn)


class Sent:
    """Messages that all but the liars sent, by tag."""

    def __init__(self, sim: Simulator, *liars: PeerId) -> None:
        self.messages: Counter[int] = Counter()
        self._liars = liars
        sim.on_effect.append(self._on_effect)

    def _on_effect(self, machine: PeerId, effect: Effect, now: float) -> None:
        if isinstance(effect, Send) and machine not in self._liars:
            self.messages[effect.data[1]] += 1


def doubts_of_anybody(sim: Simulator, ids: list[PeerId], seed: int = 1) -> Callable[[], Message]:
    rng = Random(seed)
    return lambda: Doubt(tuple(ref(peer) for peer in rng.sample(ids, min(len(ids), 32))), 32)


@pytest.mark.parametrize("every_s", [0.07, 1.0])
def test_a_flood_of_doubts_accuses_nobody_and_multiplies_messages_by_less_than_ten(every_s: float) -> None:
    (calm, _), (sim, ids) = settled(), settled()
    usual, sent = Sent(calm), Sent(sim, ids[1])
    Flood(sim, ids[1], every_s, doubts_of_anybody(sim, ids))
    calm.run_until(SETTLED_S + 20)
    assert called_down(sim, SETTLED_S + 20) == set()
    assert all(accused(peer.ledger) == set() for peer in sim.alive())
    assert sent.messages.total() < 10 * usual.messages.total()


@pytest.mark.parametrize("seed", range(2))
def test_a_flood_of_doubts_hides_no_death(seed: int) -> None:
    sim, ids = settled(seed=seed)
    Flood(sim, ids[1], 0.07, doubts_of_anybody(sim, ids))
    sim.run_until(SETTLED_S + 20)
    sim.crash(ids[-1])
    sim.run_until(sim.now + 6.0)
    survivors = [peer.me for peer in sim.alive() if peer.me != ids[1]]
    assert {sim.evidence(one, ids[-1]).verdict for one in survivors} == {Verdict.DOWN}


@pytest.mark.parametrize(("peers", "rtt_s"), [(24, 1.6), (60, 0.4)])
def test_a_doubt_with_many_hops_costs_little_more_than_one_of_an_honest_peer(peers: int, rtt_s: float) -> None:
    counts = []
    for hops in (5, 32):  # as of an honest peer, and as many as a doubt can carry
        sim, ids = settled(peers, latency=fixed(rtt_s))
        (first, *_) = peer_of(sim, ids[1]).links.up()
        subject = next(peer for peer in ids if peer not in (ids[1], first))
        sent = Sent(sim)
        sim._carry_out(sim.nodes[ids[1]], [Send(first, encode(Doubt((ref(subject),), hops)), Lane.DATAGRAM)])
        sim.run_until(sim.now + 30.0)
        counts.append(sent.messages[16])
    assert counts[1] <= 3 * counts[0]


def test_one_liar_that_invents_versions_makes_no_report_expire() -> None:
    sim, ids = settled()
    liar = ids[1]
    living = [peer for peer in ids if peer != liar]

    def invented() -> Message:
        version = round((EPOCH_S + sim.now) * 1000) + 5_000
        return Announce(tuple(Key(ref(peer), Kind.REPORT, version) for peer in living))

    def gives_none(peer: Peer, effects: list[Effect], now: float) -> list[Effect]:
        return [e for e in effects if not (isinstance(e, Send) and isinstance(decode(e.data), Records))]

    sim.nodes[liar].corruption = gives_none  # type: ignore[assignment]
    Flood(sim, liar, 0.5, invented)
    expired = set()
    while sim.now < SETTLED_S + 120:
        sim.run_until(sim.now + 1.0)
        for one in living:
            ledger = peer_of(sim, one).ledger
            expired |= {(one, other) for other in living if other != one and not is_reporting(ledger, other, sim.now)}
    assert len(expired) == 0
