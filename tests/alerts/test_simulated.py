"""Alerts of whole networks: real peers, each with its own engine and board, on virtual time."""

from random import Random

import pytest
from msgspec.structs import replace

from peerscope.alerts.aggregators import aggregators
from peerscope.alerts.model import FACTS
from peerscope.host.signature_files import load_signatures
from peerscope.mesh.events import Publish
from peerscope.records.alerts import Alerts, Severity, Statement
from peerscope.records.identity import PeerId, ref
from peerscope.sim.alerts_seen import AlertHistory
from peerscope.sim.population import populate
from peerscope.sim.run import run
from peerscope.sim.scenario import Scenario, load
from peerscope.sim.simulator import Simulator
from peerscope.threats.findings import finding
from peerscope.threats.signatures import Signature

pytestmark = pytest.mark.sim
LOST = ("peer-down", "network-partition")


class Town:
    """A settled network whose peers look at their rules."""

    def __init__(self, peers: int, seed: int = 1, *, settled_s: float = 25.0) -> None:
        self.sim = Simulator(seed=seed, loss_ratio=0.01, signed=False)
        populate(self.sim, Scenario(name="town", summary="", peers=peers), Random(seed))
        self.alerts = AlertHistory(self.sim)
        self.sim.run_until(settled_s)

    def chosen(self) -> tuple[PeerId, ...]:
        node = next(node for _, node in sorted(self.sim.nodes.items()) if node.peer is not None)
        return aggregators(self.sim.snapshot(node.peer_id)).acting

    def ordinary(self, count: int) -> list[PeerId]:
        """Peers of different regions that are no aggregators, nor next in turn."""
        node = next(iter(self.sim.nodes.values()))
        eligible = aggregators(self.sim.snapshot(node.peer_id)).eligible
        by_region = {self.sim.nodes[p].region: p for p in sorted(self.sim.nodes) if p not in eligible}
        return [by_region[region] for region in sorted(by_region)][:count]

    def boards(self) -> set[tuple[str, ...]]:
        """What all running peers see: one set of ids, where they agree."""
        return {
            tuple(sorted(alert.id for alert in self.alerts.alert_list(peer.me).alerts(active_only=True)))
            for peer in self.sim.alive()
        }

    def lost(self, peers: set[PeerId]) -> set[tuple[str, ...]]:
        """Which alerts about lost peers these see."""
        return {
            tuple(a.id for a in self.alerts.alert_list(peer).alerts(active_only=True) if a.rule in LOST)
            for peer in peers
        }

    def told(self, name: str) -> set[tuple[str, ...]]:
        """The states through which one alert went on each board."""
        by_peer: dict[PeerId, list[str]] = {}
        for _, peer, alert in self.alerts.changes:
            if alert.id == name:
                by_peer.setdefault(peer, []).append(alert.state)
        return {tuple(states) for states in by_peer.values()}


def test_a_hundred_boards_show_the_same_three_alerts_each_once() -> None:
    town = Town(100)
    busy, *dead = town.ordinary(3)
    town.sim.measure(busy, 0.97)
    town.sim.run_until(town.sim.now + 10.0)
    for peer in dead:
        town.sim.crash(peer)
    town.sim.run_until(town.sim.now + 35.0)
    names = sorted([f"cpu-high-{ref(busy).hex()}", *(f"peer-down-{ref(peer).hex()}" for peer in dead)])
    assert town.boards() == {tuple(names)}
    assert {alert.id for _, _, alert in town.alerts.changes} == set(names)
    assert all(town.told(name) == {("firing",)} for name in names)


def test_when_aggregators_are_killed_nothing_is_resolved_or_told_again() -> None:
    town = Town(24)
    (dead,) = town.ordinary(1)
    town.sim.crash(dead)
    town.sim.run_until(town.sim.now + 15.0)
    name = f"peer-down-{ref(dead).hex()}"
    killed = [*town.chosen()[:2]]
    for peer in killed:
        town.sim.crash(peer)
    town.sim.run_until(town.sim.now + 40.0)
    names = sorted([name, *(f"peer-down-{ref(peer).hex()}" for peer in killed)])
    assert town.boards() == {tuple(names)}
    assert all(town.told(each) == {("firing",)} for each in names)


def test_a_cut_is_one_alert_on_each_side_and_over_once_it_heals() -> None:
    town = Town(24)
    side = set(sorted(town.sim.nodes)[:12])
    town.sim.cut(side, set(town.sim.nodes) - side)
    town.sim.run_until(town.sim.now + 25.0)
    here, there = town.lost(side), town.lost(set(town.sim.nodes) - side)
    assert (len(here), len(there)) == (1, 1)
    (one,), (other,) = (*here, *there)
    assert one != other
    assert all(name.startswith("network-partition-group-") for name in (one, other))
    town.sim.heal()
    town.sim.run_until(town.sim.now + 60.0)
    assert town.lost(set(town.sim.nodes)) == {()}
    partitions = {a.id for _, _, a in town.alerts.changes if a.rule == "network-partition"}
    assert len(partitions) == 2


def test_one_liar_among_the_aggregators_makes_nothing_and_hides_nothing() -> None:
    town = Town(24)
    liar = town.chosen()[0]
    dead, alive = town.ordinary(2)
    lies = tuple(
        Statement(rule, subject, Severity.CRITICAL, 5_000)
        for rule in ("peer-down", "network-partition", "region-critical", "clock-skew", "sybil")
        for subject in (ref(alive).hex(), f"group-{ref(alive).hex()}", "region-1")
    )
    engine = town.alerts.engine(liar)
    engine.update = lambda *_: Publish(Alerts(lies), urgent=True)  # type: ignore[method-assign]
    town.sim.run_until(town.sim.now + 10.0)
    assert town.boards() == {()}
    town.sim.crash(dead)
    town.sim.run_until(town.sim.now + 20.0)
    assert town.boards() == {(f"peer-down-{ref(dead).hex()}",)}


def test_a_peer_that_joins_late_sees_what_fires_and_what_was_resolved() -> None:
    town = Town(16)
    busy, dead = town.ordinary(2)
    town.sim.crash(dead)
    town.sim.measure(busy, 0.97)
    town.sim.run_until(town.sim.now + 35.0)
    town.sim.measure(busy)
    town.sim.run_until(town.sim.now + 35.0)
    late = town.sim.add("region-1")
    town.sim.start(late, town.chosen()[0])
    town.sim.run_until(town.sim.now + 10.0)
    shown = {alert.id: alert.state for alert in town.alerts.alert_list(late).alerts()}
    assert shown == {f"peer-down-{ref(dead).hex()}": "firing", f"cpu-high-{ref(busy).hex()}": "resolved"}
    assert [alert.rule for _, peer, alert in town.alerts.changes if peer == late] == ["peer-down"]


def test_what_a_restarted_peer_said_in_its_earlier_life_is_over() -> None:
    town = Town(16)
    (busy,) = town.ordinary(1)
    town.sim.measure(busy, 0.97)
    town.sim.run_until(town.sim.now + 35.0)
    assert town.boards() == {(f"cpu-high-{ref(busy).hex()}",)}
    town.sim.crash(busy)
    town.sim.start(busy, town.chosen()[0])
    town.sim.run_until(town.sim.now + 20.0)
    assert town.boards() == {()}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_calm_network_raises_no_alert_from_its_start_on(seed: int) -> None:
    town = Town(24, seed, settled_s=120.0)
    assert town.alerts.changes == []


@pytest.mark.parametrize("name", ["flap", "pause", "one-way"])
def test_what_is_no_failure_of_a_peer_is_none_on_the_boards(name: str) -> None:
    outcome = run(replace(load(name), peers=24, alerts=True), seed=4, signed=False)
    assert outcome.alerts is not None
    assert outcome.alerts.active.keys() <= {"low-connectivity"}
    assert outcome.alerts.disagreeing == 0


def test_every_peer_shows_the_same_words_and_facts_of_every_alert() -> None:
    """A dead peer, a busy one, and one that found an attack by a packaged signature and by its operator's own."""
    town = Town(16)
    busy, dead, finder = town.ordinary(3)
    own = Signature(name="fan", signal="dht_puts", title="The fan is loud", above={"high": 3.0}, runbook="Clean it.")
    shipped = load_signatures()["dht-flood"]
    evidence = (("value", "2000"), ("limit", "1000"), ("window_s", "60"), ("samples", "2000"))
    town.sim.core_of(finder).threats.findings = tuple(
        finding(one, finder, confidence=0.9, text="many puts", evidence=evidence) for one in (own, shipped)
    )
    town.sim.crash(dead)
    town.sim.measure(busy, 0.97)
    town.sim.run_until(town.sim.now + 60.0)
    shown = {
        peer.me: {
            alert.id: (alert.type, alert.title, alert.runbook, alert.severity, alert.url, alert.metadata)
            for alert in town.alerts.alert_list(peer.me).alerts(active_only=True)
        }
        for peer in town.sim.alive()
    }
    (one, *others) = shown.values()
    assert sorted(name.rpartition("-")[0] for name in one) == ["cpu-high", "dht-flood", "fan", "peer-down"]
    assert [other == one for other in others] == [True] * 14
    for _, title, runbook, _, url, metadata in one.values():
        assert title
        assert runbook
        assert url.startswith("/#alert=")
        assert set(FACTS) <= set(metadata)
