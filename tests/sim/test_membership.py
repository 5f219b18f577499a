"""Whole networks: joining, dying, coming back and leaving, seen by everybody in time."""

import pytest

from network import agree, called_down, down, names, network, seconds_until, verdicts
from peerscope.mesh.config import PeerConfig
from peerscope.mesh.detection.verdicts import Verdict
from peerscope.records.ledger import LedgerConfig
from peerscope.sim.simulator import Simulator

pytestmark = pytest.mark.sim


@pytest.mark.parametrize("seed", range(3))
def test_fifty_that_join_through_one_all_know_all_within_ten_seconds(seed: int) -> None:
    sim, ids = network(50, seed, settled_s=10.0)
    for peer in sim.alive():
        assert set(peer.ledger) == set(ids), f"seed {seed}"
        assert peer.neighbours.wanted <= set(peer.links.up()), f"seed {seed}: not linked with all ring neighbours"
    assert agree(sim), f"seed {seed}"


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_peer_is_suspect_in_three_seconds_and_down_in_six_and_nobody_else_is(seed: int) -> None:
    sim, ids = network(50, seed, settled_s=12.0)
    victim = ids[7 + seed]
    sim.crash(victim)
    survivors = [peer.me for peer in sim.alive()]
    assert called_down(sim, 15.0) <= {victim}, f"seed {seed}"
    for observer in survivors:
        found = sim.evidence(observer, victim)
        assert (found.verdict, found.has_majority) == (Verdict.SUSPECT, True), f"seed {seed}: {found}"
    assert called_down(sim, 18.0) == {victim}, f"seed {seed}"
    assert verdicts(sim, victim) == {Verdict.DOWN}, f"seed {seed}"
    assert called_down(sim, 21.0) == {victim}, f"seed {seed}"
    assert verdicts(sim, victim) == {Verdict.DOWN}, f"seed {seed}: a verdict must stand"


@pytest.mark.parametrize("peers", [2, 3, 5])
@pytest.mark.parametrize("seed", range(3))
def test_a_death_in_a_small_network_is_seen_as_soon(peers: int, seed: int) -> None:
    sim, ids = network(peers, seed, settled_s=30.0)
    victim = ids[-1]
    sim.crash(victim)
    sim.run_until(36.0)
    assert verdicts(sim, victim) == {Verdict.DOWN}, f"seed {seed}"
    assert down(sim) == {victim}, f"seed {seed}"


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("gone_s", [1.0, 10.0, 40.0])
def test_a_peer_restarted_with_its_key_is_alive_everywhere_and_knows_all_within_five_seconds(
    seed: int, gone_s: float
) -> None:
    sim, ids = network(12, seed, settled_s=12.0)
    victim = ids[7 + seed]
    sim.crash(victim)
    sim.run_until(sim.now + gone_s)
    sim.start(victim, ids[1])
    sim.run_until(sim.now + 5.0)
    assert verdicts(sim, victim) == {Verdict.ALIVE}, f"seed {seed}"
    back = sim.nodes[victim].peer
    assert back is not None
    assert set(back.ledger) == set(ids), f"seed {seed}"
    assert agree(sim), f"seed {seed}"
    assert called_down(sim, sim.now + 10.0) == set(), f"seed {seed}"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("peers", [2, 3])
def test_a_restart_in_a_small_network_is_caught_up_within_five_seconds(seed: int, peers: int) -> None:
    sim, ids = network(peers, seed)
    sim.crash(ids[-1])
    sim.run_until(30.0)
    sim.start(ids[-1], ids[0])
    sim.run_until(35.0)
    assert verdicts(sim, ids[-1]) == {Verdict.ALIVE}, f"seed {seed}"
    assert agree(sim), f"seed {seed}"


@pytest.mark.parametrize("seed", range(2))
def test_a_peer_that_leaves_has_left_nearly_everywhere_within_a_second(seed: int) -> None:
    sim, ids = network(50, seed, settled_s=10.0)
    sim.leave(ids[9])
    sim.run_until(11.0)
    told = [sim.evidence(peer.me, ids[9]).verdict for peer in sim.alive()]
    # A push misses a peer now and then. That peer waits three seconds for the record, then pulls it.
    assert told.count(Verdict.LEFT) >= len(told) - 1, f"seed {seed}"
    sim.run_until(14.5)
    assert verdicts(sim, ids[9]) == {Verdict.LEFT}, f"seed {seed}"
    assert called_down(sim, 18.0) == set(), f"seed {seed}"
    for peer in sim.alive():
        assert ids[9] not in peer.neighbours.wanted, f"seed {seed}"


@pytest.mark.parametrize("seed", range(3))
def test_a_third_of_the_network_dying_at_once_is_seen_and_the_rest_close_ranks(seed: int) -> None:
    sim, ids = network(18, seed)
    dead = set(ids[5:11])
    for victim in dead:
        sim.crash(victim)
    seconds_until(sim, lambda: down(sim) == dead, at_most_s=15.0)
    sim.run_until(sim.now + 45.0)
    for peer in sim.alive():
        assert peer.neighbours.wanted == set(peer.links.up()) - dead, f"seed {seed}"
        assert not peer.neighbours.wanted & dead, f"seed {seed}"
    assert down(sim) == dead, f"seed {seed}: {names(down(sim) ^ dead)}"


@pytest.mark.parametrize("seed", range(3))
def test_clocks_that_are_hours_apart_change_nothing(seed: int) -> None:
    sim = Simulator(seed=seed)
    ids = [sim.add(skew_s=sim.rng.uniform(-86_400, 86_400)) for _ in range(12)]
    for peer in ids:
        sim.start(peer, ids[0])
    assert called_down(sim, 20.0) == set(), f"seed {seed}"
    assert agree(sim), f"seed {seed}"
    sim.crash(ids[5])
    sim.run_until(26.0)
    assert verdicts(sim, ids[5]) == {Verdict.DOWN}, f"seed {seed}"
    assert down(sim) == {ids[5]}, f"seed {seed}"


@pytest.mark.parametrize("seed", range(2))
def test_links_that_nobody_wants_are_closed(seed: int) -> None:
    sim, ids = network(18, seed, settled_s=40.0)
    assert len(ids) == 18
    for peer in sim.alive():
        assert set(peer.links.up()) == peer.neighbours.wanted, f"seed {seed}"


def test_a_newcomer_knows_everybody_however_long_the_network_has_run() -> None:
    sim = Simulator(seed=1, config=PeerConfig(ledger=LedgerConfig(remember_s=120.0)))
    ids = [sim.add() for _ in range(4)]
    for peer in ids:
        sim.start(peer, *ids[:1])
    sim.run_until(500.0)  # profiles of the beginning are older than anybody takes
    newcomer = sim.add()
    sim.start(newcomer, ids[0])
    sim.run_until(520.0)
    assert agree(sim)
    assert sum(peer.refused["expired"] for peer in sim.alive()) == 0
