"""What peers of a simulated network show: partitions by name and size, clocks that are off, links that flap."""

import pytest

from peerscope.mesh.detection.verdicts import Verdict
from peerscope.records.identity import PeerId, ref
from peerscope.sim.simulator import EPOCH_S, Simulator
from peerscope.views.health import network_health
from peerscope.views.peers import clock_skew_s
from peerscope.views.snapshot import Snapshot, SnapshotConfig

pytestmark = pytest.mark.sim
SETTLED_S = 25.0


def network(peers: int, seed: int) -> tuple[Simulator, list[PeerId]]:
    """Peers that joined through the first and have settled."""
    sim = Simulator(seed=seed)
    ids = [sim.add(f"region-{index % 3}") for index in range(peers)]
    for peer in ids:
        sim.start(peer, *([ids[0]] if peer != ids[0] else []))
    sim.run_until(SETTLED_S)
    return sim, ids


def moment_of(sim: Simulator, peer: PeerId) -> Snapshot:
    """What one running peer sees now."""
    core = sim.nodes[peer].peer
    assert core is not None
    return Snapshot(core.ledger, peer, sim.now, SnapshotConfig(wall_offset_s=EPOCH_S, down_after_s=4.0))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("share", [0.3, 0.5])
def test_both_sides_of_a_cut_name_the_other_as_one_group_and_forget_it_when_it_heals(share: float, seed: int) -> None:
    sim, ids = network(20, seed)
    small = set(ids[: round(share * 20)])
    large = set(ids) - small
    sim.cut(small, large)
    sim.run_until(sim.now + 45.0)
    for here, there in ((small, large), (large, small)):
        for peer in here:
            snapshot = moment_of(sim, peer)
            assert [set(group.peers) for group in snapshot.partitions] == [there], f"seed {seed}"
            assert {snapshot.verdict(other) for other in there} == {Verdict.PARTITIONED}
            assert {snapshot.verdict(other) for other in here} == {Verdict.ALIVE}
            health = network_health(snapshot, rings=4)
            assert (health.total_peers, health.down_peers) == (20, len(there))
    sim.heal()
    sim.run_until(sim.now + 30.0)
    for peer in ids:
        snapshot = moment_of(sim, peer)
        assert snapshot.partitions == []
        assert {snapshot.verdict(other) for other in ids} == {Verdict.ALIVE}, f"seed {seed}"


def test_one_dead_peer_is_no_partition() -> None:
    sim, ids = network(12, 1)
    sim.crash(ids[4])
    sim.run_until(sim.now + 10.0)
    snapshot = moment_of(sim, ids[7])
    assert snapshot.partitions == []
    assert snapshot.verdict(ids[4]) is Verdict.DOWN


def test_a_peer_that_is_cut_off_alone_sees_the_others_as_the_group() -> None:
    sim, ids = network(12, 2)
    sim.cut({ids[3]}, set(ids) - {ids[3]})
    sim.run_until(sim.now + 45.0)
    assert [len(group.peers) for group in moment_of(sim, ids[3]).partitions] == [11]
    assert moment_of(sim, ids[5]).verdict(ids[3]) is Verdict.DOWN


@pytest.mark.parametrize("skew_s", [-3600.0, 60.0])
def test_a_clock_that_is_off_is_named_by_everybody_and_only_that_one(skew_s: float) -> None:
    sim, ids = network(12, 3)
    sim.step_clock(ids[6], skew_s)
    sim.run_until(sim.now + 30.0)
    for peer in ids:
        snapshot = moment_of(sim, peer)
        named = {other: clock_skew_s(snapshot, other) for other in ids if clock_skew_s(snapshot, other) is not None}
        assert named == {ids[6]: pytest.approx(skew_s, abs=1.0)}
    sim.crash(ids[6])
    sim.run_until(sim.now + 6.0)
    assert sim.evidence(ids[0], ids[6]).verdict is Verdict.DOWN


def test_a_flapping_link_is_reported_as_such_and_nobody_is_down() -> None:
    sim, ids = network(12, 4)
    one = ids[2]
    core = sim.nodes[one].peer
    assert core is not None
    other = core.links.up()[0]
    for _ in range(6):
        for loss in (1.0, 0.0):
            sim.network.degrade(one, other, loss)
            sim.network.degrade(other, one, loss)
            sim.run_until(sim.now + 4.0)
            assert all(sim.evidence(peer, one).verdict is not Verdict.DOWN for peer in ids if peer != one)
    sim.run_until(sim.now + 6.0)
    report = core.ledger.report(one)
    assert report is not None
    assert [link.flaps > 0 for link in report.links if link.peer == ref(other)] == [True]
    assert sim.evidence(ids[9], one).verdict is Verdict.ALIVE


def test_one_way_loss_settles_on_one_answer() -> None:
    sim, ids = network(12, 5)
    deaf = ids[8]
    core = sim.nodes[deaf].peer
    assert core is not None
    other = core.links.up()[0]
    sim.network.degrade(other, deaf, 1.0)
    sim.run_until(sim.now + 20.0)
    seen = set()
    for _ in range(20):
        sim.run_until(sim.now + 1.0)
        seen |= {(sim.evidence(p, other).verdict, sim.evidence(p, deaf).verdict) for p in ids if p not in (deaf, other)}
    assert seen == {(Verdict.ALIVE, Verdict.ALIVE)}
    assert other not in core.links.up()


@pytest.mark.parametrize("seed", range(4))
def test_one_that_has_just_come_back_is_not_counted_among_those_lost(seed: int) -> None:
    sim, ids = network(10, seed)
    sim.crash(ids[4])
    sim.run_until(sim.now + 10.0)
    sim.start(ids[4], *ids[5:])  # its first links lead to those who are about to die
    sim.run_until(sim.now + 1.0 + seed)
    dead = set(ids[5:])
    for victim in dead:
        sim.crash(victim)
    while sim.now < SETTLED_S + 40.0:
        sim.run_until(sim.now + 0.5)
        for peer in ids[:5]:
            lost = {one for group in moment_of(sim, peer).partitions for one in group.peers}
            assert lost <= dead, f"seed {seed} at {sim.now}"
    assert all(len(moment_of(sim, peer).partitions) == 1 for peer in ids[:5]), f"seed {seed}"
