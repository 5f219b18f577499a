"""Two machines with one key in a whole network: one alert that names both; and all that only looks like it."""

from random import Random

import pytest
from msgspec.structs import replace

from network import seconds_until
from peerscope.mesh.config import PeerConfig
from peerscope.mesh.detection.verdicts import Verdict
from peerscope.mesh.events import Publish
from peerscope.mesh.membership.shared_key import ASK_INTERVAL_S, STANDS_S, TIMES_MIN
from peerscope.mesh.zoning.names import ZoneConfig
from peerscope.records.identity import PeerId
from peerscope.sim.alerts_seen import AlertHistory
from peerscope.sim.byzantine import corruption
from peerscope.sim.population import populate
from peerscope.sim.scenario import load
from peerscope.sim.simulator import Simulator

pytestmark = pytest.mark.sim


def network(peers: int, seed: int) -> tuple[Simulator, list[PeerId], AlertHistory]:
    sim = Simulator(seed=seed, loss_ratio=0.01)
    ids = [sim.add(f"region-{number % 2}") for number in range(peers)]
    for peer in ids:
        sim.start(peer, *ids[:1])
    alerts = AlertHistory(sim)
    sim.run_until(15.0)
    return sim, ids, alerts


def shown(alerts: AlertHistory, peers: list[PeerId]) -> list[list[str]]:
    """What the board of each peer says of shared keys now."""
    boards = (alerts.alert_list(peer).alerts(active_only=True) for peer in peers)
    return [[one.description for one in board if one.rule == "shared-key"] for board in boards]


def ever_shown(alerts: AlertHistory) -> list[str]:
    return [alert.description for _, _, alert in alerts.changes if alert.rule == "shared-key"]


def shares(sim: Simulator, machine: PeerId) -> bool:
    """The process on this machine knows that another one runs with its key."""
    peer = sim.nodes[machine].peer
    return peer is not None and bool(peer.shared_key.running(sim.now))


@pytest.mark.parametrize(
    ("peers", "region", "ahead_s"),
    [(6, "region-0", 0.0), (6, "region-9", -3_600.0), (7, "region-2", 3_600.0), (2, "region-1", 0.0)],
    ids=["beside it", "in a region of its own, an hour behind", "an hour ahead", "one other peer only"],
)
def test_a_copy_raises_one_alert_on_every_board_that_names_both(peers: int, region: str, ahead_s: float) -> None:
    sim, ids, alerts = network(peers, 7)
    original, others = ids[-1], ids[:-1]
    copy = sim.clone(original, region, skew_s=ahead_s)
    sim.start(copy, ids[0])
    seconds_until(sim, lambda: shares(sim, original) and shares(sim, copy), at_most_s=30.0)
    seconds_until(sim, lambda: all(shown(alerts, others)), at_most_s=15.0)
    sim.run_until(sim.now + 10.0)
    for told in shown(alerts, others):
        (text,) = told
        assert f"10.0.0.{peers - 1}:4600 (region-{(peers - 1) % 2})" in text
        assert f"10.0.0.{peers}:4600 ({region})" in text


def test_a_copy_that_is_killed_makes_nobody_down_and_its_alert_ends() -> None:
    sim, ids, alerts = network(3, 3)
    original, others = ids[-1], ids[:-1]
    copy = sim.clone(original, "region-5")
    sim.start(copy, ids[0])
    seconds_until(sim, lambda: all(shown(alerts, others)), at_most_s=45.0)
    sim.crash(copy)
    verdicts = set()
    while sim.now < 90.0:
        sim.run_until(sim.now + 1.0)
        verdicts |= {sim.evidence(other, original).verdict for other in others}
    assert Verdict.DOWN not in verdicts
    assert all(shown(alerts, others))
    seconds_until(sim, lambda: not any(shown(alerts, others)), at_most_s=STANDS_S + 210.0)
    assert not shares(sim, original)


@pytest.mark.parametrize("seed", [1, 2])
def test_no_life_of_one_machine_and_no_liar_about_itself_raises_it(seed: int) -> None:
    """Restarts of every kind, a move, a network that splits and heals, a backup that lives on elsewhere. All the while
    one carrier sends old records again, and one liar signs two things at once."""
    sim, ids, alerts = network(8, seed)
    carrier, liar, restarted, stepped, moved, restored, gone, split = ids
    for peer, what in ((carrier, "replay"), (liar, "equivocate")):
        sim.nodes[peer].corruption = corruption(what, sim.nodes[peer].signer, Random(seed))

    def back(machine: PeerId) -> None:
        sim.start(machine, ids[0], split)

    sim.crash(restarted)
    sim.run_until(sim.now + 0.5)
    back(restarted)
    sim.crash(stepped)
    sim.step_clock(stepped, -3_600.0)
    back(stepped)
    sim.run_until(sim.now + 5.0)
    sim.crash(stepped)
    sim.step_clock(stepped, -5.0)
    back(stepped)

    said = sim.nodes[moved].peer.ledger.profile(moved)
    sim.feed(moved, Publish(replace(said, addresses=("192.0.2.1:4600",)), urgent=True))
    sim.run_until(sim.now + 3.0)
    sim.feed(moved, Publish(said, urgent=True))
    sim.crash(moved)
    sim.nodes[moved].address = "198.51.100.1:5000"
    back(moved)

    sim.crash(restored)
    elsewhere = sim.clone(restored, "region-7", skew_s=-600.0)
    back(elsewhere)
    sim.leave(gone)
    sim.run_until(sim.now + 2.0)
    back(gone)

    sim.cut({split, stepped}, set(sim.nodes) - {split, stepped})
    sim.run_until(sim.now + 8.0)
    sim.crash(split)
    sim.step_clock(split, -60.0)
    sim.start(split, stepped)
    sim.run_until(sim.now + 5.0)
    sim.heal()
    sim.run_until(sim.now + 30.0)
    assert ever_shown(alerts) == []
    assert not any(shares(sim, machine) for machine in sim.nodes)
    assert all(sim.evidence(ids[0], peer).verdict is Verdict.ALIVE for peer in (split, restored))


def zones() -> Simulator:
    """Two zones of six peers each, whose aggregators speak."""
    config = PeerConfig(zones=ZoneConfig(zone_max=16, summary_interval_s=5.0, hold_s=10.0, grace_s=20.0))
    sim = Simulator(seed=1, config=config, signed=False)
    populate(sim, replace(load("zones"), peers=12, zones=2), Random(1))
    sim.run_parts("summaries")
    sim.run_until(15.0)
    return sim


def told(sim: Simulator, subject: PeerId, zone: str) -> list[int]:
    """How many running processes the profile names beside the one that signed it, by each other peer of a zone."""
    there = [peer for peer in sim.alive() if peer.own_zone.zone == zone and peer.me != subject]
    profiles = [peer.ledger.profile(subject) for peer in there]
    return [sum(one.is_running for one in profile.met) for profile in profiles if profile is not None]


def test_a_copy_in_another_zone_is_found_by_asking_there() -> None:
    sim = zones()
    original = next(peer for peer in sim.alive() if peer.own_zone.zone == "region-1/")
    host = next(peer.me for peer in sim.alive() if peer.own_zone.zone == "region-2/")
    copy = sim.clone(original.me, "region-2")
    sim.start(copy, host)
    sim.run_until(sim.now + 20.0)
    assert sim.nodes[copy].peer.own_zone.zone == "region-2/"
    assert not shares(sim, copy), "nothing under their key crosses the border by itself"
    sim.nodes[copy].peer.shared_key.lookup_at = sim.now
    seconds_until(sim, lambda: shares(sim, copy), at_most_s=TIMES_MIN * ASK_INTERVAL_S + 10.0)
    original.shared_key.lookup_at = sim.now
    seconds_until(sim, lambda: shares(sim, original.me), at_most_s=ASK_INTERVAL_S)
    sim.run_until(sim.now + 10.0)
    assert set(told(sim, original.me, "region-1/")) == set(told(sim, original.me, "region-2/")) == {1}


def test_a_machine_that_moved_to_another_zone_finds_only_its_own_past() -> None:
    sim = zones()
    mover = next(peer.me for peer in sim.alive() if peer.own_zone.zone == "region-1/")
    host = next(peer.me for peer in sim.alive() if peer.own_zone.zone == "region-2/")
    sim.crash(mover)
    sim.nodes[mover].region = "region-2"
    sim.start(mover, host)
    for _ in range(5):
        sim.nodes[mover].peer.shared_key.lookup_at = sim.now
        sim.run_until(sim.now + 10.0)
        assert not shares(sim, mover)
    assert sim.nodes[mover].peer.own_zone.zone == "region-2/"
    assert sim.nodes[mover].peer.ledger.profile(mover).met, "it found that past"
