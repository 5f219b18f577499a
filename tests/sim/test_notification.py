"""A hundred peers, some of which can tell people: every alert is told once, whatever happens to them."""

import pytest

from network import network, seconds_until
from notifying import SimulatedChannels
from peerscope.alerts.notification_log import ranked
from peerscope.mesh.events import Publish
from peerscope.records.alerts import Orders, Silence
from peerscope.records.identity import PeerId
from peerscope.sim.simulator import Simulator

pytestmark = pytest.mark.sim
BUSY_S = 60.0
SIZES = [(24, 1), (24, 2)]
"""Peers and seed. All of it holds at a hundred peers too, and takes a quarter of an hour there."""


def telling(peers: int, seed: int, every: int = 4) -> tuple[Simulator, list[PeerId], SimulatedChannels]:
    """A network at rest; some of its peers have channels."""
    sim, ids = network(peers, seed)
    sim.run_parts("alerts")
    desk = SimulatedChannels(sim, ids[::every])
    sim.run_until(sim.now + 15.0)
    assert desk.sent == [], f"seed {seed}: nothing was wrong"
    return sim, ids, desk


@pytest.mark.parametrize(("peers", "seed"), [(60, 0), (24, 1)])
def test_each_of_several_alerts_is_told_exactly_once(peers: int, seed: int) -> None:
    sim, ids, desk = telling(peers, seed)
    sim.measure(ids[11], 0.99)
    for victim in (ids[7], ids[13]):
        sim.crash(victim)
    sim.run_until(sim.now + BUSY_S)
    keys = [m.group.key for _, _, m in desk.sent]
    assert len(keys) == len(set(keys)), f"seed {seed}: {sorted(keys)}"
    assert len(desk.told("peer-down")) == 2, f"seed {seed}"
    assert len(desk.told("cpu-high")) == 1, f"seed {seed}"


@pytest.mark.parametrize(("peers", "seed"), SIZES)
def test_the_first_notifier_killed_between_firing_and_sending_is_replaced_within_twenty_seconds(
    peers: int, seed: int
) -> None:
    sim, ids, desk = telling(peers, seed)
    key = f"peer-down-{ids[7].hex()[:16]}"
    first = ranked(key, ids[::4])[0]
    sim.crash(ids[7])
    board = sim.core_of(first).alerts.alert_list
    seconds_until(sim, lambda: any(a.id == key for a in board.alerts(active_only=True)), at_most_s=30)
    sim.crash(first)
    began = sim.now
    sim.run_until(sim.now + BUSY_S)
    told = [at for at, _, m in desk.sent if m.group.key == key and m.what == "firing"]
    assert len(told) == 1, f"seed {seed}"
    assert told[0] - began <= 20.0, f"seed {seed}: after {told[0] - began:.1f} s"


@pytest.mark.parametrize(("peers", "seed"), SIZES)
def test_the_first_notifier_killed_while_it_sends_is_replaced_in_time(peers: int, seed: int) -> None:
    sim, ids, desk = telling(peers, seed)
    desk.delivery_s = lambda peer: 10.0  # so that there is something to be killed in
    key = f"peer-down-{ids[7].hex()[:16]}"
    sim.crash(ids[7])
    seconds_until(sim, lambda: bool(desk.claimed(key)), at_most_s=40)
    (first,) = desk.claimed(key)
    sim.run_until(sim.now + 2.0)
    sim.crash(first)
    desk.delivery_s = lambda peer: 0.2
    began = sim.now
    sim.run_until(sim.now + BUSY_S)
    told = [at for at, _, m in desk.sent if m.group.key == key and m.what == "firing"]
    assert len(told) == 1, f"seed {seed}"
    assert told[0] - began <= 20.0, f"seed {seed}: after {told[0] - began:.1f} s"


@pytest.mark.parametrize(("peers", "seed"), SIZES[:1])
def test_each_side_of_a_partition_tells_once_and_nobody_again_after_healing(peers: int, seed: int) -> None:
    sim, ids, desk = telling(peers, seed)
    one, other = set(ids[: peers // 3]), set(ids[peers // 3 :])
    sim.cut(one, other)
    sim.run_until(sim.now + BUSY_S)
    sides = [peer in one for _, peer in desk.told("network-partition")]
    assert sorted(sides) == [False, True], f"seed {seed}: {[(m.group.key, m.what) for _, _, m in desk.sent]}"
    before = len([m for _, _, m in desk.sent if m.what == "firing"])
    sim.heal()
    sim.run_until(sim.now + BUSY_S)
    again = [(at, m.group.key, m.reason) for at, _, m in desk.sent if m.what == "firing"][before:]
    assert again == [], f"seed {seed}"


def test_a_silence_given_at_any_peer_holds_back_messages_at_all() -> None:
    sim, ids, desk = telling(24, 1)
    silence = Silence("00112233", (("rule", "peer-down"),), 0, 60_000, "ann@host", "maintenance")
    sim.feed(ids[5], Publish(Orders((silence,)), urgent=True))
    sim.run_until(sim.now + 5.0)
    began = sim.now
    sim.crash(ids[7])
    sim.run_until(began + 50.0)
    assert desk.told("peer-down") == []
    sim.run_until(began + 100.0)
    ((at, _),) = desk.told("peer-down")
    assert 54.0 <= at - began <= 66.0


@pytest.mark.parametrize(("crashed", "seed"), [(12, 1), (7, 2)])
def test_many_peers_that_die_at_once_are_one_message(crashed: int, seed: int) -> None:
    """From a quarter of the network on they are a partition, below it a pattern."""
    sim, ids, desk = telling(36, seed)
    for victim in ids[1::3][:crashed]:
        sim.crash(victim)
    sim.run_until(sim.now + BUSY_S)
    gone = {"network-partition", "peer-down"}  # some of the others now have few links, which is their own alert
    told = [m.group for _, _, m in desk.sent if m.what == "firing" and {a.rule for a in m.group.alerts} & gone]
    assert len(told) == 1, f"seed {seed}: {[(group.key, len(group.alerts)) for group in told]}"
    assert told[0].incident is not None
    (seen,) = sim.core_of(ids[0]).alerts.correlation.incidents
    assert len(seen.peers) == crashed


def busy_region(seed: int, *, stagger_s: float) -> tuple[Simulator, list[PeerId], SimulatedChannels]:
    """Seven of eight peers of one region become busy, at once or one after the other."""
    sim = Simulator(seed=seed)
    ids = [sim.add(region="eu-west" if n < 8 else f"r-{n % 3}") for n in range(32)]
    for peer in ids:
        sim.start(peer, *ids[:1])
    sim.run_until(20.0)
    sim.run_parts("alerts")
    desk = SimulatedChannels(sim, ids[8::4])
    sim.run_until(sim.now + 15.0)
    assert desk.sent == [], f"seed {seed}: nothing was wrong"
    for victim in ids[:7]:
        sim.measure(victim, 0.99)
        sim.run_until(sim.now + stagger_s)
    return sim, ids, desk


@pytest.mark.parametrize("seed", [1])
def test_seven_busy_peers_and_their_critical_region_are_one_page(seed: int) -> None:
    """The region is critical before the alerts of its peers fire, so that the incident can only update its message."""
    sim, _, desk = busy_region(seed, stagger_s=0.0)
    sim.run_until(sim.now + 4 * BUSY_S)
    active = {a.rule for a in sim.core_of(sim.alive()[0].me).alerts.alert_list.alerts(active_only=True)}
    assert {"cpu-high", "region-critical"} <= active, f"seed {seed}: {active}"
    desk.sent = [one for one in desk.sent if one[2].what != "escalated"]
    told = [(m.what, m.reason, m.group.key) for _, _, m in desk.sent]
    assert [reason for _, reason, _ in told] in (["new"], ["new", "update"]), f"seed {seed}: {told}"
    assert len({a.peer_id for a in desk.sent[-1][2].group.alerts if a.rule == "cpu-high"}) >= 6


@pytest.mark.parametrize("seed", [1])
def test_the_same_within_minutes_is_one_page_for_each_severity_and_updates_at_most(seed: int) -> None:
    sim, _, desk = busy_region(seed, stagger_s=12.0)
    sim.run_until(sim.now + 5 * BUSY_S)
    told = [(m.what, m.reason, m.severity.name, m.group.key) for _, _, m in desk.sent if m.what != "escalated"]
    pages = [severity for what, reason, severity, _ in told if reason in ("new", "worse")]
    assert told, f"seed {seed}: nobody was told"
    assert len(pages) == len(set(pages)), f"seed {seed}: {told}"
    assert all(what in ("firing", "updated") for what, *_ in told), f"seed {seed}: {told}"
    assert len(told) <= len(pages) + 2, f"seed {seed}: {told}"
    assert "region-critical-eu-west" not in {key for *_, key in told}, f"seed {seed}: {told}"
