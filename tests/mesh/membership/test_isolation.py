"""A peer that loses every link it had: it says so, and goes back to those it knew. One that never had any is well."""

import pytest

from network import seconds_until
from peerscope.mesh.config import PeerConfig
from peerscope.mesh.membership import isolation
from peerscope.mesh.peer import Peer
from peerscope.records.bodies import Status
from peerscope.records.identity import PeerId
from peerscope.records.ledger import LedgerConfig
from peerscope.sim.simulator import Simulator


def core(sim: Simulator, peer: PeerId) -> Peer:
    found = sim.nodes[peer].peer
    assert found is not None
    return found


def p2p(sim: Simulator, peer: PeerId) -> tuple[Status, str | None]:
    report = core(sim, peer).ledger.report(peer)
    assert report is not None
    return report.checks[4].status, report.checks[4].message


def forgetful(peers: int) -> tuple[Simulator, list[PeerId]]:
    """A network that forgets whoever says nothing for two minutes."""
    sim = Simulator(seed=1, config=PeerConfig(ledger=LedgerConfig(remember_s=120.0)))
    ids = [sim.add() for _ in range(peers)]
    for peer in ids:
        sim.start(peer, *ids[:1])
    sim.run_until(20.0)
    return sim, ids


def test_a_peer_that_never_had_anybody_is_healthy() -> None:
    sim, ids = forgetful(1)
    sim.run_until(300.0)
    assert p2p(sim, ids[0]) == (Status.HEALTHY, "no other peer known")
    assert core(sim, ids[0]).parts.isolation.lost == 0


@pytest.mark.parametrize("peers", [2, 5, 14])
def test_a_survivor_of_all_others_is_unhealthy_also_after_it_has_forgotten_them(peers: int) -> None:
    sim, ids = forgetful(peers)
    for peer in ids[1:]:
        sim.crash(peer)
    sim.run_until(60.0)
    assert p2p(sim, ids[0])[0] is Status.UNHEALTHY
    seconds_until(sim, lambda: len(core(sim, ids[0]).ledger) == 1, at_most_s=300.0)
    sim.run_until(sim.now + 10.0)
    for _ in range(20):
        sim.run_until(sim.now + 5.0)
        assert p2p(sim, ids[0])[0] is Status.UNHEALTHY
    told = f"all {peers - 1} peers" if peers > 2 else "the only peer"
    assert told in (p2p(sim, ids[0])[1] or "")


@pytest.mark.parametrize("peers", [2, 5])
def test_a_peer_whose_others_all_said_goodbye_is_healthy(peers: int) -> None:
    sim, ids = forgetful(peers)
    for peer in ids[1:]:
        sim.leave(peer)
        sim.run_until(sim.now + 2.0)
    sim.run_until(60.0)  # past the next report
    assert p2p(sim, ids[0]) == (Status.HEALTHY, "no other peer known")
    sim.run_until(400.0)
    assert p2p(sim, ids[0]) == (Status.HEALTHY, "no other peer known")
    assert core(sim, ids[0]).parts.isolation.lost == 0


def test_one_goodbye_does_not_hide_that_the_others_were_lost() -> None:
    sim, ids = forgetful(5)
    for peer in ids[2:]:
        sim.crash(peer)
    sim.run_until(60.0)
    sim.leave(ids[1])
    sim.run_until(400.0)
    assert len(core(sim, ids[0]).ledger) == 1
    assert p2p(sim, ids[0])[0] is Status.UNHEALTHY
    assert core(sim, ids[0]).parts.isolation.lost == 3


def test_a_peer_that_was_cut_off_until_everybody_forgot_it_comes_back_by_itself() -> None:
    sim, ids = forgetful(6)
    alone = {ids[3]}
    sim.cut(alone, set(ids) - alone)
    sim.run_until(270.0)
    assert set(core(sim, ids[3]).ledger) == alone
    sim.heal()
    sim.run_until(320.0)
    assert all(set(peer.ledger) == set(ids) for peer in sim.alive())
    assert p2p(sim, ids[3])[0] is Status.HEALTHY
    assert core(sim, ids[3]).neighbours.bootstrap == {}


def test_whom_one_returns_to_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "COMPANY_MAX", 3)
    sim, ids = forgetful(8)
    for peer in ids[1:]:
        sim.crash(peer)
    sim.run_until(60.0)
    assert core(sim, ids[0]).parts.isolation.lost == 3
    assert len(core(sim, ids[0]).neighbours.bootstrap) <= 3
