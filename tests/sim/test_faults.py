"""Networks in trouble: cut, paused, losing packets. Nobody alive is called down, and all comes together again."""

from collections.abc import Iterator

import pytest

from network import agree, called_down, down, names, network, verdicts
from peerscope.mesh.detection.verdicts import Verdict
from peerscope.records.identity import PeerId
from peerscope.sim.simulator import Simulator

pytestmark = pytest.mark.sim


def links(sim: Simulator) -> Iterator[tuple[PeerId, PeerId]]:
    """Every link that is up, from both ends."""
    return ((peer.me, other) for peer in sim.alive() for other in peer.links.up())


@pytest.mark.parametrize("seed", range(3))
def test_a_network_cut_in_two_for_a_minute_heals_by_itself_within_half_a_minute(seed: int) -> None:
    sim, ids = network(14, seed)
    one, other = set(ids[::2]), set(ids[1::2])
    sim.cut(one, other)
    sim.run_until(80.0)
    assert not any((a in one) != (b in one) for a, b in links(sim)), f"seed {seed}: a link crosses the cut"
    for peer in sim.alive():
        half = one if peer.me in one else other
        assert {sim.evidence(peer.me, mate).verdict for mate in half} == {Verdict.ALIVE}, f"seed {seed}"
    sim.heal()
    sim.run_until(110.0)
    assert agree(sim), f"seed {seed}"
    assert down(sim) == set(), f"seed {seed}: still down are {names(down(sim))}"
    for subject in ids:
        assert verdicts(sim, subject) == {Verdict.ALIVE}, f"seed {seed}"
    for peer in sim.alive():
        assert peer.neighbours.wanted <= set(peer.links.up()), f"seed {seed}: not linked as before"
        assert peer.neighbours.rings.members() == set(ids), f"seed {seed}"


@pytest.mark.parametrize("peers", [2, 3, 14])
@pytest.mark.parametrize("seed", range(3))
def test_a_peer_that_pauses_for_three_seconds_is_never_called_down_and_calls_nobody_down(peers: int, seed: int) -> None:
    sim, ids = network(peers, seed)
    sim.run_until(20.0 + sim.rng.random())
    sim.pause(ids[-1], 3.0)
    found = called_down(sim, 32.0)
    assert found == set(), f"seed {seed}: {names(found)}"
    assert verdicts(sim, ids[-1]) == {Verdict.ALIVE}, f"seed {seed}"


@pytest.mark.parametrize("seed", range(3))
def test_a_whole_network_that_pauses_together_calls_nobody_down(seed: int) -> None:
    """As virtual machines do when their host is saved and restored."""
    sim, ids = network(10, seed)
    for peer in ids:
        sim.pause(peer, 20.0)
    found = called_down(sim, 60.0)
    assert found == set(), f"seed {seed}: {names(found)}"


@pytest.mark.parametrize("seed", range(3))
def test_ten_percent_loss_makes_nobody_down_for_a_minute(seed: int) -> None:
    sim, ids = network(14, seed, loss_ratio=0.1)
    found = called_down(sim, 80.0)
    assert found == set(), f"seed {seed}: {names(found)}"
    assert agree(sim), f"seed {seed}"
    assert set(sim.alive()[0].ledger) == set(ids), f"seed {seed}"


@pytest.mark.parametrize("seed", range(3))
def test_a_death_is_seen_through_ten_percent_loss(seed: int) -> None:
    sim, ids = network(14, seed, loss_ratio=0.1)
    sim.crash(ids[5])
    sim.run_until(32.0)
    assert verdicts(sim, ids[5]) == {Verdict.DOWN}, f"seed {seed}"
    assert down(sim) == {ids[5]}, f"seed {seed}"


def history(seed: int) -> tuple[int, list[tuple[int, ...]], int]:
    """A life with some of everything; how much happened, and what everybody knew in the end."""
    sim, ids = network(12, seed, settled_s=10.0, loss_ratio=0.05)
    sim.crash(ids[3])
    sim.pause(ids[5], 3.0)
    sim.run_until(18.0)
    sim.leave(ids[4])
    sim.cut(set(ids[:6]), set(ids[6:]))
    sim.run_until(24.0)
    sim.heal()
    sim.start(ids[3], ids[1])
    sim.run_until(35.0)
    return sim.events, [peer.ledger.fingerprints() for peer in sim.alive()], sim.rng.getrandbits(64)


@pytest.mark.parametrize("seed", range(2))
def test_a_seed_is_a_history(seed: int) -> None:
    assert history(seed) == history(seed), f"seed {seed}"


def test_another_seed_is_another_history() -> None:
    assert history(1)[0] != history(2)[0]
