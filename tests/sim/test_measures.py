"""Nodes that follow a chain in whole networks: one that lags is named, and nothing else is."""

from random import Random

import pytest
from msgspec.structs import replace

from peerscope.records.identity import ref
from peerscope.records.measures import COUNT_MAX
from peerscope.sim.alerts_seen import AlertHistory
from peerscope.sim.chain import Chain
from peerscope.sim.population import populate
from peerscope.sim.run import run
from peerscope.sim.scenario import Scenario, load
from peerscope.sim.simulator import Simulator

pytestmark = pytest.mark.sim
SEEDS = (2, 3)
"""The first is played with all other scenarios."""


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("name", "alerts"), [("block-lag", {"block-lag": 1}), ("block-lag-all", {})])
def test_one_node_that_lags_is_named_and_a_common_lag_is_not(name: str, alerts: dict[str, int], seed: int) -> None:
    outcome = run(load(name), seed=seed)
    assert outcome.failures == (), f"again with: {outcome.replay}"
    assert outcome.alerts is not None
    assert (outcome.alerts.active, outcome.alerts.ids) == (alerts, sum(alerts.values()))


def test_a_chain_that_all_follow_raises_nothing() -> None:
    scenario = load("block-lag")
    steps = tuple(replace(step, count=0) for step in scenario.steps)
    outcome = run(replace(scenario, steps=steps, bounds=replace(scenario.bounds, alerts={})), seed=1)
    assert outcome.failures == (), f"again with: {outcome.replay}"


class Village:
    """Twelve peers whose nodes follow a chain, and some of which lie about their height."""

    def __init__(self, seed: int, liars: int) -> None:
        self.sim = Simulator(seed=seed, loss_ratio=0.01, signed=False)
        populate(self.sim, Scenario(name="village", summary="", peers=12), Random(seed))
        self.alerts = AlertHistory(self.sim)
        self.sim.run_until(15.0)
        self.chain = Chain(self.sim, 12.0)
        everybody = sorted(self.sim.nodes)
        self.honest, self.lying = everybody[liars:], everybody[:liars]

    def fired(self, until_s: float) -> set[str]:
        """Ids of the alerts that honest peers showed by then."""
        self.sim.run_until(until_s)
        return {alert.id for _, peer, alert in self.alerts.changes if peer in self.honest}


@pytest.mark.parametrize(("seed", "height"), [(1, COUNT_MAX), (2, -COUNT_MAX)])
def test_fewer_than_half_of_liars_make_no_honest_node_lag_and_hide_none_that_does(seed: int, height: int) -> None:
    village = Village(seed, liars=5)
    behind = village.honest[0]
    village.chain.fall_behind([behind], 20)
    for liar in village.lying:
        village.chain.claim(liar, height)
    about_liars = tuple(ref(peer).hex() for peer in village.lying)
    fired = {name for name in village.fired(430.0) if not name.endswith(about_liars)}
    assert fired == {f"block-lag-{ref(behind).hex()}"}
