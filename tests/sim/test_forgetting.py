"""Who is forgotten stays forgotten, and who is known is known with all that it said, whatever carriers still hold."""

from peerscope.mesh.config import PeerConfig
from peerscope.mesh.events import Join, Received
from peerscope.mesh.evidence import Verdict
from peerscope.mesh.messages import Aged, Records, encode
from peerscope.mesh.peer import EXPIRE_S, RETRACT_S, Peer
from peerscope.records.bodies import Kind
from peerscope.records.identity import PeerId
from peerscope.records.ledger import LedgerConfig
from peerscope.sim.alerting import SimulatedAlerts, moment_of
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
    assert victim.refused["forgotten"] == len(kept)
    assert victim.conducts.all(sim.now) == [], "a carrier is not to blame"


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
        alerts = SimulatedAlerts(sim)
        alerts.begin()
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
                moment = moment_of(sim.nodes[name], sim.now)
                seen = {moment.verdict(victim) for victim in victims if victim in moment.profiles}
                assert seen <= {Verdict.DOWN, Verdict.PARTITIONED}
        assert {(name, alert.id) for _, name, alert in alerts.changes if alert.state == "firing"} == fired
        ended: dict[str, set[str]] = {}
        for name in knowing:
            for alert in alerts.board(name).alerts():
                ended.setdefault(alert.rule, set()).add(alert.state)
        return ended

    def test_a_dead_peer_ends_as_forgotten(self) -> None:
        assert self.states(6, 2) == {"peer-down": {"forgotten"}}

    def test_a_region_whose_peers_all_died_ends_as_forgotten(self) -> None:
        """And the group that was lost together."""
        found = self.states(9, 0, 3, 6, regions=3)
        assert found.keys() >= {"network-partition", "region-critical"}
        assert set().union(*found.values()) == {"forgotten"}
