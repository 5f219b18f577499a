"""Gangs of liars in simulation: what they bring about, and what a third of a peer's observers can hide."""

import pytest
from msgspec.structs import replace

from peerscope.sim.lies import Aim, Ends, Gang, Plan, When, gang_size
from peerscope.sim.outcome import Outcome
from peerscope.sim.run import run
from peerscope.sim.scenario import Bounds, Scenario, ScenarioStep, load

pytestmark = pytest.mark.sim


def played(peers: int, *steps: ScenarioStep, seed: int, duration_s: float = 20.0) -> Outcome:
    """A small network with these steps."""
    scenario = Scenario(
        name="liars", summary="", peers=peers, regions=2, settle_s=15.0, duration_s=duration_s, steps=steps
    )
    return run(replace(scenario, bounds=Bounds(false_down=0)), seed=seed, signed=False)


@pytest.mark.parametrize(
    ("peers", "gang", "ends", "when", "aim"),
    [
        (5, "one", "past", "after-refutation", "watchers"),
        (5, "all-but-one", "future", "after-refutation", "victim"),
        (12, "minority", "random", "period", "all"),
        (12, "all-but-one", "far", "alternate", "watchers"),
        (20, "all-but-one", "past", "after-refutation", "victim"),
    ],
)
def test_no_gang_makes_honest_peers_call_a_living_one_down(
    peers: int, gang: Gang, ends: Ends, when: When, aim: Aim
) -> None:
    lie = ScenarioStep(at_s=1.0, do="lie", gang=gang, victims=2 if peers > 5 else 1, plan=Plan(ends, when, aim, 0.3))
    outcome = played(peers, lie, seed=peers)
    assert outcome.down_share_alive == 0.0, outcome.replay
    assert outcome.false_down == 0


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("peers", [5, 12])
def test_a_third_of_the_observers_hides_no_death(peers: int, seed: int) -> None:
    hiding = ScenarioStep(at_s=1.0, do="hide", gang="third", plan=Plan("future", "after-refutation", "watchers"))
    outcome = played(peers, hiding, ScenarioStep(at_s=6.0, do="crash", victim=True), seed=seed)
    assert outcome.hidden_s is not None
    assert outcome.hidden_s <= 3.0, outcome.replay
    assert outcome.detection["down"].missed == 0
    assert outcome.down_share_alive == 0.0


def test_carriers_that_falsify_ages_make_no_living_peer_look_expired() -> None:
    outcome = played(12, ScenarioStep(at_s=1.0, do="false-ages", count=3), seed=1)
    assert outcome.expired_share_alive is not None
    assert outcome.expired_share_alive <= 0.005, outcome.replay


@pytest.mark.parametrize(("peers", "killed"), [(9, 8), (20, 17)])
def test_the_last_survivors_see_every_death_and_no_survivor_is_called_down(peers: int, killed: int) -> None:
    # Peers whose observers died with them are dialled once their last report has expired.
    outcome = played(peers, ScenarioStep(at_s=2.0, do="crash", count=killed), seed=1, duration_s=90.0)
    assert outcome.detection["down"].missed == 0
    assert outcome.false_down == 0


def test_without_liars_there_is_nothing_to_say_of_them() -> None:
    outcome = run(replace(load("kill"), peers=5, duration_s=10.0, settle_s=15.0), seed=1, signed=False)
    assert (outcome.down_share_alive, outcome.hidden_s) == (None, None)


@pytest.mark.parametrize(
    ("watching", "sizes"), [(2, (1, 1, 0, 1)), (4, (1, 1, 1, 3)), (7, (1, 2, 3, 6)), (8, (1, 2, 3, 7))]
)
def test_the_sizes_of_gangs(watching: int, sizes: tuple[int, ...]) -> None:
    gangs: tuple[Gang, ...] = ("one", "third", "minority", "all-but-one")
    assert tuple(gang_size(gang, watching) for gang in gangs) == sizes
