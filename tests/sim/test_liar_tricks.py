"""Accusations that their subject never takes into its own ledger, while everybody else does.

An observer decides whom it sends what, and in which order. Each of these tricks kept a living peer down for most of the
time once. The accused answers what it hears of, even if its ledger refuses it.
"""

from collections.abc import Callable

import pytest

from peerscope.mesh.detection.observers import watchers
from peerscope.mesh.detection.verdicts import Verdict
from peerscope.mesh.events import Effect, Send, WallClock
from peerscope.mesh.messages import Push, encode
from peerscope.mesh.peer import Peer
from peerscope.records.bodies import Observation, Observations
from peerscope.records.identity import PeerId, ref
from peerscope.records.record import Record, sign
from peerscope.sim.network import fixed
from peerscope.sim.simulator import EPOCH_S, Simulator

pytestmark = pytest.mark.sim

Statements = tuple[list[tuple[Record, int]], list[tuple[Record, int]]]
"""(record, age in ms) for the victim, and for everybody else."""
Trick = Callable[[Simulator, PeerId, int, Observations], Statements]
DAY_MS = 86_400_000


def signed(sim: Simulator, liar: PeerId, body: Observations, version: int) -> Record:
    return sign(sim.nodes[liar].signer, body, version=version, wall_ms=version)


def plain(sim: Simulator, liar: PeerId, clock_ms: int, claim: Observations) -> Statements:
    record = signed(sim, liar, claim, clock_ms)
    return [(record, 0)], [(record, 0)]


def only_others(sim: Simulator, liar: PeerId, clock_ms: int, claim: Observations) -> Statements:
    """Nothing to the victim; and the path says that it has had it."""
    return [], plain(sim, liar, clock_ms, claim)[1]


def equivocation(sim: Simulator, liar: PeerId, clock_ms: int, claim: Observations) -> Statements:
    """Two statements of one version: of them the victim keeps the harmless one, which has the smaller digest."""
    accusing = signed(sim, liar, claim, clock_ms)
    harmless = (Observations((Observation(bytes(8), number, 0),)) for number in range(1000))
    records = (signed(sim, liar, body, clock_ms) for body in harmless)
    return [(next(one for one in records if one.digest() < accusing.digest()), 0)], [(accusing, 0)]


def nearly_expired(sim: Simulator, liar: PeerId, clock_ms: int, claim: Observations) -> Statements:
    """A day old when others take it, older when the victim hears of it."""
    return [], [(signed(sim, liar, claim, clock_ms - DAY_MS + 10), DAY_MS - 100)]


def overtaken(sim: Simulator, liar: PeerId, clock_ms: int, claim: Observations) -> Statements:
    """The victim holds a newer, harmless statement already."""
    return [(signed(sim, liar, Observations(), clock_ms + 1000), 0)], [(signed(sim, liar, claim, clock_ms), 0)]


def flooded(sim: Simulator, liar: PeerId, clock_ms: int, claim: Observations) -> Statements:
    """The victim has more news of the liar than anybody may have."""
    empty = [(signed(sim, liar, Observations(), clock_ms - 300 + number), 0) for number in range(250)]
    return empty, [(signed(sim, liar, claim, clock_ms), 0)]


@pytest.mark.parametrize("trick", [plain, only_others, equivocation, nearly_expired, overtaken, flooded])
def test_a_living_peer_answers_what_its_own_ledger_refuses(trick: Trick) -> None:
    sim = Simulator(seed=5, latency=fixed(0.04), signed=False)
    members = [sim.add() for _ in range(12)]
    for peer in members:
        sim.start(peer, *(members[:1] if peer != members[0] else []))
    sim.run_until(30.0)
    victim = members[3]
    core = sim.nodes[victim].peer
    assert core is not None
    watching = watchers(core.ledger, victim)
    liars, honest = watching[:-1], [peer for peer in members if peer not in watching[:-1] and peer != victim]

    def lie(liar: PeerId) -> None:
        clock_ms = round((sim.now + EPOCH_S) * 1000)
        claim = Observations((Observation(ref(victim), 2**50, 10_000),))
        for_victim, for_others = trick(sim, liar, clock_ms, claim)

        def corrupt(peer: Peer, effects: list[Effect], now: float) -> list[Effect]:
            added = [
                Send(to, encode(Push(record, age_ms, 6, (ref(liar), ref(victim)))))
                for to in peer.links.up()
                for record, age_ms in (for_victim if to == victim else for_others)
            ]
            return [*effects, *added]

        sim.nodes[liar].corruption = corrupt
        sim.feed(liar, WallClock(EPOCH_S))
        sim.nodes[liar].corruption = None

    for liar in liars:
        for turn in range(3):
            sim.at(30.0 + 5 * turn, lambda liar=liar: lie(liar))  # type: ignore[misc]
    while sim.now < 48.0:
        sim.run_until(sim.now + 0.2)
        assert {sim.evidence(peer, victim).verdict for peer in honest} <= {Verdict.ALIVE, Verdict.SUSPECT}
