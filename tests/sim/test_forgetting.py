"""Who is forgotten stays forgotten, and who is known is known with all that it said, whatever carriers still hold."""

from collections import Counter

import pytest

from peerscope.alerts.silences import standing
from peerscope.mesh.config import PeerConfig
from peerscope.mesh.detection.verdicts import Verdict
from peerscope.mesh.events import Effect, Forgotten, Join, Publish, Received
from peerscope.mesh.handshake import RETRACT_S
from peerscope.mesh.membership.forgetting import OUTBID_AHEAD_MS, last_version
from peerscope.mesh.messages import Aged, Records, encode
from peerscope.mesh.peer import EXPIRE_S, Peer
from peerscope.records.alerts import Alerts, Forget, Orders, Severity, Statement
from peerscope.records.bodies import Kind
from peerscope.records.identity import PeerId
from peerscope.records.ledger import LedgerConfig
from peerscope.sim.alerts_seen import AlertHistory
from peerscope.sim.simulator import Simulator

REMEMBER_S = 60.0


def network(peers: int, *, settle_s: float = 20.0) -> tuple[Simulator, list[PeerId]]:
    """So many peers of one zone that remember the silent for `REMEMBER_S`, and look who is at different times."""
    sim = Simulator(seed=1, config=PeerConfig(ledger=LedgerConfig(remember_s=REMEMBER_S)), signed=False)
    names = [sim.add() for _ in range(peers)]
    for name in names:
        sim.start(name, *names[:1])
        sim.run_until(sim.now + 7.0)
    sim.run_until(sim.now + settle_s)
    return sim, names


def core(sim: Simulator, name: PeerId) -> Peer:
    found = sim.nodes[name].peer
    assert found is not None
    return found


def test_a_newcomer_to_a_network_that_is_older_than_its_memory_gets_to_know_everybody() -> None:
    sim, names = network(6, settle_s=4 * REMEMBER_S)
    late = sim.add()
    sim.start(late, names[0])
    sim.run_until(sim.now + 20.0)
    ledger = core(sim, late).ledger
    assert all(ledger.profile(name) is not None for name in names)
    assert core(sim, late).refused["expired"] == 0


def test_nobody_sees_a_dead_peer_alive_before_it_is_forgotten() -> None:
    """Of 14 peers eight accuse it, and the five others look last who is to be forgotten."""
    sim, names = network(14)
    dead = names[1]
    sim.crash(dead)
    sim.run_until(sim.now + 30.0)
    knowing = [name for name in names if name != dead]
    assert all(sim.evidence(name, dead).verdict is Verdict.DOWN for name in knowing)
    end = sim.now + REMEMBER_S + EXPIRE_S + RETRACT_S + 20.0
    while knowing and sim.now < end:
        sim.run_until(sim.now + 2.0)
        knowing = [name for name in knowing if dead in core(sim, name).ledger]
        assert {sim.evidence(name, dead).verdict for name in knowing} <= {Verdict.DOWN}
    assert not knowing, "everybody forgets it"
    sim.run_until(sim.now + 30.0)
    assert not any(dead in core(sim, name).ledger for name in names if name != dead), "and nobody brings it back"


def test_a_carrier_that_reckons_ages_wrongly_does_not_bring_a_forgotten_peer_back() -> None:
    sim, names = network(4)
    dead = names[3]
    kept = tuple(Aged(entry.record, 0) for entry in core(sim, names[0]).ledger.entries(dead))
    sim.crash(dead)
    sim.run_until(sim.now + REMEMBER_S + EXPIRE_S + RETRACT_S + 20.0)
    victim = core(sim, names[0])
    assert dead not in victim.ledger
    assert not victim.ledger.missed, "nobody accuses the forgotten for ever"
    sim.feed(names[0], Received(names[1], encode(Records(kept))))
    assert dead not in victim.ledger
    assert victim.refused["forgotten"] >= len(kept)
    assert victim.reputations.all(sim.now) == [], "a carrier is not to blame"


def test_a_forgotten_peer_that_speaks_again_is_known_with_all_that_it_said_before() -> None:
    """It was cut off, not dead: its profile is as old as its process."""
    sim, names = network(5)
    lost, others = names[3], {name for name in names if name != names[3]}
    sim.cut({lost}, others)
    sim.run_until(sim.now + REMEMBER_S + EXPIRE_S + RETRACT_S + 20.0)
    assert not any(lost in core(sim, name).ledger for name in others)
    sim.heal()
    sim.feed(lost, Join(names[0], ("bootstrap",)))  # as an agent does that is alone
    sim.run_until(sim.now + 10.0)
    for name in others:
        ledger = core(sim, name).ledger
        assert {entry.record.kind for entry in ledger.entries(lost)} >= {Kind.PROFILE, Kind.REPORT}
        assert sim.evidence(name, lost).verdict is Verdict.ALIVE


class TestAlerts:
    """What people see of peers that die and are forgotten: `alive` and `resolved` are no part of it."""

    def states(self, peers: int, *dead: int, regions: int = 1) -> dict[str, set[str]]:
        """By rule, how the alerts ended on all boards. Peers of all regions in turn; these die together."""
        config = PeerConfig(ledger=LedgerConfig(remember_s=REMEMBER_S))
        sim = Simulator(seed=1, config=config, signed=False)
        names = [sim.add(f"region-{number % regions}") for number in range(peers)]
        for name in names:
            sim.start(name, *names[:1])
            sim.run_until(sim.now + 3.0)
        alerts = AlertHistory(sim)
        sim.run_until(sim.now + 20.0)
        victims = [names[number] for number in dead]
        for victim in victims:
            sim.crash(victim)
        sim.run_until(sim.now + 40.0)
        fired = {(name, alert.id) for _, name, alert in alerts.changes if alert.state == "firing"}
        assert fired
        knowing = [name for name in names if name not in victims]
        end = sim.now + REMEMBER_S + EXPIRE_S + 20.0
        while sim.now < end:
            sim.run_until(sim.now + 3.0)
            for name in knowing:
                snapshot = sim.snapshot(name)
                seen = {snapshot.verdict(victim) for victim in victims if victim in snapshot.profiles}
                assert seen <= {Verdict.DOWN, Verdict.PARTITIONED}
        assert {(name, alert.id) for _, name, alert in alerts.changes if alert.state == "firing"} == fired
        ended: dict[str, set[str]] = {}
        for name in knowing:
            for alert in alerts.alert_list(name).alerts():
                ended.setdefault(alert.rule, set()).add(alert.state)
        return ended

    def test_a_dead_peer_ends_as_forgotten(self) -> None:
        assert self.states(6, 2) == {"peer-down": {"forgotten"}}

    def test_a_region_whose_peers_all_died_ends_as_forgotten(self) -> None:
        """And the group that was lost together."""
        found = self.states(9, 0, 3, 6, regions=3)
        assert found.keys() >= {"network-partition", "region-critical"}
        assert set().union(*found.values()) == {"forgotten"}


class TestOrders:
    """`peerscope forget`: gone for good, in the whole network, until it speaks again."""

    def until(self, sim: Simulator, at: PeerId, subject: PeerId) -> int:
        return last_version(core(sim, at).ledger, subject, sim.now)

    def order(self, sim: Simulator, at: PeerId, subject: PeerId, until: int, *, is_lifted: bool = False) -> None:
        """An operator at one peer orders it for another."""
        sim.feed(at, Publish(Orders(forgotten=(Forget(subject, until, 0, "ann", "gone", is_lifted),)), urgent=True))

    def known_to(self, sim: Simulator, subject: PeerId) -> set[PeerId]:
        return {peer.me for peer in sim.alive() if peer.me != subject and subject in peer.ledger}

    def with_a_dead_one(self, peers: int = 8) -> tuple[Simulator, list[PeerId], PeerId]:
        sim, names = network(peers, settle_s=5.0)
        sim.crash(names[5])
        sim.run_until(sim.now + 12.0)
        return sim, names, names[5]

    def test_everybody_drops_it_from_ledger_rings_and_accusations_at_once(self) -> None:
        sim, names, dead = self.with_a_dead_one(7)
        alerts = AlertHistory(sim)
        sim.run_until(sim.now + 10.0)
        assert len(self.known_to(sim, dead)) == 6
        self.order(sim, names[0], dead, self.until(sim, names[0], dead))
        for _ in range(30):
            sim.run_until(sim.now + 0.1)
            assert {sim.evidence(name, dead).verdict for name in self.known_to(sim, dead)} <= {Verdict.DOWN}
        assert not self.known_to(sim, dead)
        for peer in sim.alive():
            assert dead not in peer.neighbours.rings.members() | peer.neighbours.lost
            assert [one.id for one in standing(sim.snapshot(peer.me)).forgotten] == [dead.hex()]
        sim.run_until(sim.now + RETRACT_S + 10.0)
        for peer in sim.alive():
            assert not peer.ledger.missed
            assert {alert.state for alert in alerts.alert_list(peer.me).alerts()} == {"forgotten"}

    def test_a_carrier_that_does_not_obey_brings_nobody_back(self) -> None:
        """As an agent of an older version, which passes the order on and does not know what it means."""
        sim, names, dead = self.with_a_dead_one()
        old = names[1]
        kept = tuple(Aged(entry.record, 1000) for entry in core(sim, old).ledger.entries(dead))
        core(sim, old).parts.forgetting.review = lambda now: []  # type: ignore[method-assign]
        self.order(sim, names[0], dead, self.until(sim, names[0], dead))
        sim.run_until(sim.now + 50.0)  # it has compared its ledger with others' by then
        assert self.known_to(sim, dead) == {old}
        sim.feed(names[2], Received(old, encode(Records(kept))))
        assert self.known_to(sim, dead) == {old}
        assert all(peer.reputations.all(sim.now) == [] for peer in sim.alive())

    def test_it_is_known_again_once_it_runs_again_though_the_order_stands(self) -> None:
        sim, names, dead = self.with_a_dead_one()
        self.order(sim, names[0], dead, self.until(sim, names[0], dead))
        sim.run_until(sim.now + 5.0)
        sim.start(dead, names[3])
        sim.run_until(sim.now + 15.0)
        for name in self.known_to(sim, dead):
            assert core(sim, name).ledger.profile(dead) is not None
            assert sim.evidence(name, dead).verdict is Verdict.ALIVE
            assert standing(sim.snapshot(name)).forgotten == ()
        assert len(self.known_to(sim, dead)) == 7

    def test_a_living_peer_outbids_the_order_with_all_that_it_said(self) -> None:
        sim, names = network(6, settle_s=30.0)
        subject = names[2]
        sim.feed(subject, Publish(Alerts((Statement("cpu-high", "", Severity.HIGH, 1_000),))))
        sim.run_until(sim.now + 5.0)
        self.order(sim, names[0], subject, self.until(sim, names[0], subject))
        sim.run_until(sim.now + 10.0)
        said = {entry.record.kind: entry.record for entry in core(sim, subject).ledger.entries(subject)}
        for name in names:
            entries = {entry.record.kind: entry.record for entry in core(sim, name).ledger.entries(subject)}
            assert entries.keys() == said.keys() == {*entries, Kind.PROFILE, Kind.REPORT, Kind.ALERTS}
            assert sim.evidence(name, subject).verdict is Verdict.ALIVE
        alerts = core(sim, names[0]).ledger.get(subject, Kind.ALERTS)
        assert alerts is not None
        assert isinstance(alerts.body, Alerts)
        fired_at = alerts.heard_at - alerts.body.statements[0].firing_ms / 1000
        assert sim.now - 16.5 < fired_at < sim.now - 15.5, "it began a second before it was first said"

    def test_a_machine_whose_clock_was_set_back_comes_back_as_well(self) -> None:
        sim, names, dead = self.with_a_dead_one()
        self.order(sim, names[0], dead, self.until(sim, names[0], dead))
        sim.run_until(sim.now + 5.0)
        sim.nodes[dead].skew_s = -3_600.0
        sim.start(dead, names[3])
        sim.run_until(sim.now + 30.0)
        assert len(self.known_to(sim, dead)) == 7

    def test_an_order_that_is_taken_back_anywhere_holds_no_more(self) -> None:
        sim, names, dead = self.with_a_dead_one()
        kept = tuple(Aged(entry.record, 1000) for entry in core(sim, names[0]).ledger.entries(dead))
        self.order(sim, names[0], dead, self.until(sim, names[0], dead))
        sim.run_until(sim.now + 5.0)
        self.order(sim, names[7], dead, 0, is_lifted=True)
        sim.run_until(sim.now + 5.0)
        assert all(standing(sim.snapshot(peer.me)).forgotten == () for peer in sim.alive())
        sim.feed(names[2], Received(names[1], encode(Records(kept))))
        sim.run_until(sim.now + 5.0)
        assert len(self.known_to(sim, dead)) == 7

    @pytest.mark.parametrize("ahead_ms", [5_000, 10**9, 2**53 - 2 - 1_700_000_100_000])
    def test_an_order_dated_in_its_subjects_future_keeps_no_living_peer_out(self, ahead_ms: int) -> None:
        sim, names = network(4)
        self.order(sim, names[0], names[1], self.until(sim, names[0], names[1]) + ahead_ms)
        for _ in range(20):
            sim.run_until(sim.now + 1.0)
            assert len(self.known_to(sim, names[1])) == 3
        newest = core(sim, names[1]).ledger.newest(names[1])
        assert newest < self.until(sim, names[0], names[1]) + OUTBID_AHEAD_MS, "nor sets its clock ahead for ever"

    def test_where_only_some_are_obeyed_the_orders_of_others_do_nothing(self) -> None:
        sim, names, dead = self.with_a_dead_one(7)
        for peer in sim.alive():
            peer.parts.forgetting._obeyed = {peer.me, names[1]}
        self.order(sim, names[0], dead, self.until(sim, names[0], dead))
        sim.run_until(sim.now + 5.0)
        assert len(self.known_to(sim, dead)) == 5, "the peer at which it was given obeys its own operator"
        self.order(sim, names[1], dead, self.until(sim, names[1], dead))
        sim.run_until(sim.now + 5.0)
        assert not self.known_to(sim, dead)

    def test_whoever_orders_it_again_and_again_drops_a_living_peer_once(self) -> None:
        sim, names = network(6)
        liar, victim = names[0], names[2]
        dropped: Counter[PeerId] = Counter()

        def count(peer: PeerId, effect: Effect, now: float) -> None:
            dropped[peer] += effect == Forgotten(victim)

        sim.on_effect.append(count)
        missing = 0
        for _ in range(60):
            self.order(
                sim, liar, victim, self.until(sim, liar, victim) if victim in core(sim, liar).ledger else 2**53 - 1
            )
            sim.run_until(sim.now + 0.5)
            missing += 5 - len(self.known_to(sim, victim))
        assert max(dropped.values()) == 1
        assert missing <= 30, "of 300 looks"
        sim.crash(victim)
        sim.run_until(sim.now + 60.0)  # until its report has expired
        assert len(self.known_to(sim, victim)) == 5, "nor does an earlier order hide that it died"
        self.order(sim, liar, victim, self.until(sim, liar, victim))
        sim.run_until(sim.now + 5.0)
        assert not self.known_to(sim, victim), "a dead one is forgotten at once all the same"
