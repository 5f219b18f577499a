"""The real causes of alerts, and incidents held against them."""

from collections import Counter
from random import Random

import pytest
from msgspec.structs import replace

from alarms import alert, name
from peerscope.alerts.context import context_of
from peerscope.alerts.model import Alert
from peerscope.errors import ConfigError
from peerscope.records.identity import PeerId
from peerscope.sim.alerts_seen import AlertHistory
from peerscope.sim.causes import Cause, Causes
from peerscope.sim.incidents_seen import Pairs, pairs
from peerscope.sim.outcome import Outcome
from peerscope.sim.placement import Machines
from peerscope.sim.population import populate
from peerscope.sim.run import run
from peerscope.sim.scenario import Scenario, SharedMachine, load
from peerscope.sim.simulator import Simulator

PEERS = [PeerId(bytes.fromhex(name(number))) for number in range(6)]
REGIONS = {peer: f"region-{number % 2 + 1}" for number, peer in enumerate(PEERS)}
SHARED = ("busy-host", "noisy-neighbour", "two-causes", "slow-dependency", "unrelated")


def about_region(region: str) -> Alert:
    return replace(alert(0, 9.0, "region-critical"), id=f"region-critical-{region}", peer_id=None, region=region)


def marked(causes: Causes, kind: str, *peers: int, rule: str = "cpu-high") -> Cause:
    cause = causes.begin(kind, "root")
    for number in peers:
        causes.mark(cause, PEERS[number], (rule,))
    return cause


def attributed(causes: Causes, *alerts: Alert) -> list[object]:
    found = causes.attribute(alerts, REGIONS)
    return [found.get(one.id) for one in alerts]


def test_the_first_cause_of_a_trouble_is_that_of_its_alert() -> None:
    causes = Causes()
    noise, host = marked(causes, "noise", 0), marked(causes, "host", 0, 1)
    assert attributed(causes, alert(0, 1.0), alert(1, 1.0)) == [noise, host]


def test_another_alert_about_a_marked_peer_has_its_cause_if_there_is_one_only() -> None:
    causes = Causes()
    host = marked(causes, "host", 0, 1)
    marked(causes, "version", 1, rule="memory-high")
    assert attributed(causes, alert(0, 1.0, "link-latency"), alert(1, 1.0, "link-latency")) == [host, None]


def test_an_alert_that_nothing_caused_is_its_own_cause() -> None:
    causes = Causes()
    marked(causes, "host", 0, 1)
    lone, other = alert(3, 1.0), alert(4, 1.0)
    assert attributed(causes, lone, other) == [lone.id, other.id]


def test_bystanders_of_a_loss_suffer_from_it() -> None:
    causes = Causes()
    outage = marked(causes, "region-outage", 0, 2, 4, rule="peer-down")
    assert attributed(causes, alert(1, 1.0, "low-connectivity")) == [outage]


def test_a_region_has_the_cause_of_most_of_its_troubles() -> None:
    causes = Causes()
    host = marked(causes, "host", 0, 2)
    marked(causes, "noise", 1)
    marked(causes, "noise", 3)
    assert attributed(causes, about_region("region-1"), about_region("region-2")) == [host, None]
    marked(causes, "noise", 0)
    marked(causes, "noise", 4, rule="error-ratio")
    assert attributed(causes, about_region("region-1")) == [host]


def test_a_cut_makes_either_side_miss_the_other() -> None:
    causes = Causes()
    causes.cut(PEERS[:2], PEERS)
    (cut,) = causes.all
    assert attributed(causes, *(alert(number, 1.0, "peer-down") for number in range(6))) == [cut] * 6
    assert causes.incidents[0].peers == tuple(sorted(peer.hex() for peer in PEERS[:2]))


def test_trouble_of_one_peer_is_no_incident() -> None:
    causes = Causes()
    marked(causes, "noise", 0, 1)
    marked(causes, "host", 2)
    marked(causes, "version")
    assert causes.incidents == ()
    marked(causes, "host", 2, 3)
    assert [(one.kind, one.root, len(one.peers)) for one in causes.incidents] == [("host", "root", 2)]


def test_pairs_are_counted_by_incident_and_by_cause() -> None:
    causes = Causes()
    one, other = causes.begin("host", "a"), causes.begin("version", "b")
    cause: dict[str, object] = {"a": one, "b": one, "c": one, "d": other, "e": other, "f": "f"}
    perfect = pairs([["a", "b", "c"], ["d", "e"]], cause)
    assert (perfect.precision, perfect.recall) == (1.0, 1.0)
    merged = pairs([["a", "b", "c", "d", "e"]], cause)
    assert merged == Pairs(together=10, rightly=4, belonging=4)
    assert (merged.precision, merged.recall) == (0.4, 1.0)
    torn = pairs([["a", "b"], ["c", "f"]], cause)
    assert (torn.precision, torn.recall) == (0.5, 0.25)


def test_without_pairs_there_is_neither_precision_nor_recall() -> None:
    assert pairs([], {"a": "a", "b": "b"}) == Pairs(0, 0, 0)
    assert (pairs([], {"a": "a"}).precision, pairs([], {"a": "a"}).recall) == (None, None)
    assert pairs([["a", "b"]], {"a": "a", "b": "b"}).precision == 0.0


def test_alerts_of_unsure_cause_do_not_count() -> None:
    cause = Causes().begin("host", "a")
    assert pairs([["a", "unsure"]], {"a": cause}) == Pairs(0, 0, 0)


@pytest.mark.parametrize("peers", [6, 7, 12, 100])
@pytest.mark.parametrize("scenario", ["busy-host", "noisy-neighbour", "two-causes", "unrelated"])
def test_shared_machines_leave_some_peers_alone_at_every_size(scenario: str, peers: int) -> None:
    chosen = replace(load(scenario), peers=peers)
    for seed in range(20):
        machines = Machines(chosen, Random(seed))
        hosts = [machines.host(index) for index in range(peers)]
        sizes = {host: hosts.count(host) for host in hosts}
        shared = [size for host, size in sizes.items() if host and host.startswith("shared")]
        assert len(shared) == len(chosen.hosts)
        assert min(shared) >= 2
        assert sum(shared) <= peers - 2


def test_a_network_too_small_for_its_machines_is_refused() -> None:
    with pytest.raises(ConfigError, match="peers is 4; its machines of several peers need 5 or more"):
        replace(load("busy-host"), peers=4)


def test_peers_of_one_machine_state_one_region_or_all_in_turn() -> None:
    for regions, expected in (("one", {1}), ("several", {5})):
        plan = SharedMachine(share=0.5, least=20, regions=regions)  # type: ignore[arg-type]
        machines = Machines(Scenario(name="x", summary="", peers=60, hosts=(plan,), alerts=True), Random(3))
        mine = [index for index in range(60) if machines.host(index) == "shared-1"]
        assert {len({machines.region(index) for index in mine})} == expected


def test_peers_state_no_machine_where_nobody_looks_at_alerts() -> None:
    machines = Machines(Scenario(name="x", summary="", peers=6), Random(3))
    assert {machines.host(index) for index in range(6)} == {None}


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    return {name: run(replace(load(name), peers=12), seed=3, signed=False) for name in SHARED}


@pytest.mark.sim
@pytest.mark.parametrize("name", SHARED)
def test_alerts_arise_and_the_truth_is_told(name: str, outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes[name]
    kinds = {
        "busy-host": ["host"],
        "noisy-neighbour": ["host", "host"],
        "slow-dependency": ["cascade"],
        "unrelated": [],
    }
    assert outcome.alerts is not None
    assert outcome.alerts.ids >= 4
    assert outcome.truth is not None
    if name in kinds:
        assert [one.kind for one in outcome.truth] == kinds[name]
    else:
        assert len({one.kind for one in outcome.truth}) == 2
    for one in outcome.truth:
        assert len(one.peers) >= 2
    assert (outcome.root_right is None) == (name == "unrelated")
    assert (outcome.incident_recall is None) == (name == "unrelated")


@pytest.mark.sim
def test_what_depends_on_a_slow_node_raises_its_alerts_after_the_root(outcomes: dict[str, Outcome]) -> None:
    (true,) = outcomes["slow-dependency"].truth or ()
    assert true.root in true.peers
    assert outcomes["slow-dependency"].alerts is not None
    active = outcomes["slow-dependency"].alerts.active
    assert active["cpu-high"] >= 1
    assert active.get("route-latency", 0) + active.get("error-ratio", 0) >= len(true.peers) - 1


@pytest.mark.sim
def test_the_context_of_alerts_names_machines_and_who_depends_on_whom() -> None:
    """As the running core sees them: this is what explanations are given."""
    scenario = replace(load("slow-dependency"), peers=12)
    sim, around = Simulator(seed=5, signed=False), Random(5)
    populate(sim, scenario, around)
    AlertHistory(sim)
    sim.run_until(12.0)
    snapshot = sim.snapshot(sim.alive()[0].me)
    context = context_of(snapshot, ())
    assert len(set(context.hosts.values())) == len(context.hosts) == 12
    for peer, machine in sim.nodes.items():
        by_name = {one.node_id: other.hex() for other, one in sim.nodes.items()}
        assert set(context.overlay[peer.hex()]) >= {by_name[node] for node in machine.routes_through}


@pytest.mark.sim
def test_peers_of_a_busy_machine_have_its_name_and_others_have_not(outcomes: dict[str, Outcome]) -> None:
    scenario, seed = replace(load("busy-host"), peers=12), 3
    sim = Simulator(seed=1, signed=False)
    populate(sim, scenario, Random(seed), seed=seed)
    sim.run_until(12.0)
    hosts = sim.snapshot(sim.alive()[0].me).hosts
    (true,) = outcomes["busy-host"].truth or ()
    sizes = Counter(hosts.values())
    assert sizes[true.root] >= len(true.peers) >= 3
    assert max(size for name, size in sizes.items() if name != true.root) == 1
