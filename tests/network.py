"""Simulated networks for tests, and checkers that stand apart from what happens to them."""

from collections.abc import Callable, Iterator

from peerscope.mesh.detection.observers import accused
from peerscope.mesh.detection.verdicts import Verdict, weigh
from peerscope.mesh.peer import Peer
from peerscope.records.identity import PeerId, short
from peerscope.sim.simulator import Simulator

STEP_S = 0.25


def network(
    peers: int, seed: int, *, settled_s: float = 20.0, loss_ratio: float = 0.0
) -> tuple[Simulator, list[PeerId]]:
    """So many peers that joined through the first, and ran for a while."""
    sim = Simulator(seed=seed, loss_ratio=loss_ratio)
    ids = [sim.add() for _ in range(peers)]
    for peer in ids:
        sim.start(peer, *ids[:1])
    sim.run_until(settled_s)
    return sim, ids


def moments(sim: Simulator, end: float) -> Iterator[float]:
    """Let time pass in small steps."""
    while sim.now < end:
        sim.run_until(min(end, sim.now + STEP_S))
        yield sim.now


def seconds_until(sim: Simulator, condition: Callable[[], bool], *, at_most_s: float) -> float:
    """How long it takes until the condition holds; an assertion error where it does not in time."""
    start = sim.now
    while not condition():
        assert sim.now < start + at_most_s, f"not within {at_most_s} s"
        sim.run_until(sim.now + STEP_S / 2)
    return sim.now - start


def verdicts(sim: Simulator, subject: PeerId) -> set[Verdict]:
    """What all the other running peers say of one."""
    return {sim.evidence(peer.me, subject).verdict for peer in sim.alive() if peer.me != subject}


def down(sim: Simulator) -> set[PeerId]:
    """Everybody whom anybody calls down at this moment."""
    return {subject for peer in sim.alive() for subject in accused(peer.ledger) if _is_down(sim, peer, subject)}


def called_down(sim: Simulator, end: float) -> set[PeerId]:
    """Everybody whom anybody calls down, however briefly, until then."""
    return {subject for _ in moments(sim, end) for subject in down(sim)}


def agree(sim: Simulator) -> bool:
    """Do all running peers hold the same profiles, one of everybody running?"""
    views = {
        frozenset((origin, profile) for origin in peer.ledger if (profile := peer.ledger.profile(origin)))
        for peer in sim.alive()
    }
    (view, *others) = views
    return not others and {peer.me for peer in sim.alive()} <= {origin for origin, _ in view}


def names(peers: set[PeerId]) -> list[str]:
    """For people."""
    return sorted(short(peer) for peer in peers)


def _is_down(sim: Simulator, peer: Peer, subject: PeerId) -> bool:
    found = weigh(peer.ledger, subject, sim.now, down_after_s=peer.config.detector.down_after_s)
    return found.verdict is Verdict.DOWN
