"""Every scenario of the package, small, with a few seeds; and that a seed is a history. Those of threats and of zones
have tests of their own."""

import json
import subprocess
import sys

import pytest
from msgspec.structs import replace

from peerscope.errors import ConfigError
from peerscope.mesh.config import PeerConfig
from peerscope.mesh.detection.detector import DetectorConfig
from peerscope.sim.network import NetworkFaults
from peerscope.sim.run import run
from peerscope.sim.scenario import load, shipped

pytestmark = pytest.mark.sim
PEERS = {"cascade": 100, "bad-release": 32, "clone": 10, "block-lag": 12, "block-lag-all": 12}
"""In a small network all are neighbours: nobody could tell along which links anything spread. To find out a clone
takes no more than a few."""
SHARED = ("busy-host", "noisy-neighbour", "two-causes", "slow-dependency", "unrelated")
LONG = {"cascade", "region-outage", "bad-release", "block-lag", "block-lag-all", *SHARED}
"""One seed here; `benchmarks/roots.py` plays many."""
NAMES = [scenario.name for scenario in shipped()]


def test_the_promised_scenarios_are_there() -> None:
    promised = "steady kill kill-many partition flap one-way lossy pause churn storm-start clock-skew byzantine"
    assert set(promised.split()) <= set(NAMES)


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        (one.name, seed)
        for one in shipped()
        for seed in (1, 2)
        if not one.threats and not one.summaries and (seed == 1 or one.name not in LONG)
    ],
)
def test_a_scenario_keeps_its_bounds(name: str, seed: int) -> None:
    peers = PEERS.get(name, 24)
    outcome = run(replace(load(name), peers=peers), seed=seed, options=f" --peers {peers}")
    assert outcome.failures == (), f"again with: {outcome.replay}"
    assert outcome.false_down == 0


@pytest.mark.parametrize(("peers", "kill", "seed"), [(20, 10, 1), (12, 6, 2), (4, 2, 2), (5, 3, 2)])
def test_half_of_a_network_that_dies_is_down_for_the_other_half(peers: int, kill: int, seed: int) -> None:
    """Also those of whose observers one is left, and those that a majority misses only once the others are missed."""
    scenario = load("kill")
    steps = tuple(replace(step, count=kill) for step in scenario.steps)
    bounds = replace(scenario.bounds, suspect_median_s=None)  # survivors doubt themselves at first
    outcome = run(replace(scenario, peers=peers, steps=steps, bounds=bounds), seed=seed)
    assert outcome.failures == (), f"peerscope simulate kill --peers {peers} --kill {kill} --seed {seed}"


def test_one_seed_is_one_history_in_two_processes() -> None:
    command = [sys.executable, "-m", "peerscope", "simulate", "lossy", "--peers", "12", "--duration", "20", "--json"]

    def digest(seed: int) -> str:
        done = subprocess.run([*command, "--seed", str(seed)], capture_output=True, text=True, check=True, timeout=120)
        return str(json.loads(done.stdout)["digest"])

    assert digest(4711) == digest(4711)
    assert digest(4711) != digest(4712)


def test_a_broken_bound_is_told_with_the_command_that_replays_it() -> None:
    scenario = load("kill")
    impossible = replace(scenario, peers=12, bounds=replace(scenario.bounds, down_median_s=0.1))
    outcome = run(impossible, seed=5, options=" --peers 12")
    assert any("down, median" in failure for failure in outcome.failures)
    assert outcome.replay == "peerscope simulate kill --seed 5 --peers 12"


def test_an_unknown_scenario_names_those_that_are_known() -> None:
    with pytest.raises(ConfigError, match=r"known: .*kill-many"):
        load("no-such-thing")


def test_a_checker_that_is_lied_to_would_notice() -> None:
    """A network whose detector is far too impatient calls living peers down, and the run says so."""
    hasty = DetectorConfig(silence_floor_s=1.001, chance=0.9, down_after_s=1.001)
    awful = replace(load("lossy"), peers=16, network=NetworkFaults(loss=0.4))
    outcome = run(awful, seed=3, config=PeerConfig(detector=hasty))
    assert outcome.false_suspect + outcome.false_down > 0
