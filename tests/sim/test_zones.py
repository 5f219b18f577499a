"""Networks of many zones, on whole simulations: everybody counts everybody once, and zones come and go."""

import pytest
from msgspec.structs import replace

from peerscope.sim.outcome import Outcome
from peerscope.sim.run import run
from peerscope.sim.scenario import load


def outcome(name: str, seed: int, *, bounds: dict[str, float] | None = None, **changes: object) -> Outcome:
    scenario = load(name)
    scenario = replace(scenario, **changes, bounds=replace(scenario.bounds, **(bounds or {})))
    found = run(scenario, seed=seed, signed=False)
    assert found.failures == (), f"again with: {found.replay}"
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_every_peer_counts_all_living_peers_of_all_zones_exactly(seed: int) -> None:
    found = outcome("zones", seed, peers=48, zones=4)
    assert found.zones is not None
    assert found.zones.count == 4
    assert found.zones.exact_ratio == 1.0
    assert found.detection["down"].missed == 0
    assert found.false_down == 0


def test_too_large_a_zone_is_cut_while_it_runs_and_nobody_is_lost() -> None:
    found = outcome("zone-split", 3, peers=50, zone_max=20, duration_s=200.0)
    assert found.zones is not None
    assert found.zones.count >= 4
    assert found.zones.largest <= 20
    assert found.zones.seen == {"least": 50, "mean": 50.0, "most": 50}
    assert found.false_down == 0


@pytest.mark.parametrize("seed", [11, 17])
def test_zones_that_shrink_join_and_nobody_who_stayed_is_lost_or_counted_twice(seed: int) -> None:
    """Nor is anybody alive who said goodbye before, as it was in these two histories."""
    found = outcome("zone-merge", seed, peers=30, zone_max=24, settle_s=40.0, duration_s=210.0)
    assert found.zones is not None
    assert found.zones.seen == {"least": 11, "mean": 11.0, "most": 11}
    assert found.zones.largest == 11
    assert found.false_down == 0


@pytest.mark.parametrize("seed", [1, 2])
def test_where_aggregators_die_their_successors_speak_and_all_count_right_within_a_minute(seed: int) -> None:
    found = outcome("aggregator-death", seed, peers=27, zones=3, zone_max=40, settle_s=40.0, duration_s=90.0)
    assert found.zones is not None
    assert found.zones.living == 24
    assert found.zones.error_ratio_max > 0  # the dead were counted for a while: this would notice if they still were
    assert found.detection["down"].missed == 0


@pytest.mark.parametrize("seed", [1, 2])
def test_an_aggregator_that_inflates_its_zone_is_named_by_all_and_believed_by_nobody(seed: int) -> None:
    found = outcome("lying-aggregator", seed, peers=27, zones=3, zone_max=40, settle_s=40.0, duration_s=80.0)
    assert found.zones is not None
    assert found.zones.error_ratio_max == 0.0
    assert (found.zones.unnamed, found.zones.named) == (0, 0)
    assert found.refused["replayed"] > 0


def test_a_lie_that_is_not_named_would_be_noticed() -> None:
    """Of two aggregators that contradict each other nobody can say which one lies."""
    scenario = load("lying-aggregator")
    lies = (replace(scenario.steps[0], count=2),)
    small = replace(scenario, peers=24, zones=3, zone_max=40, settle_s=40.0, duration_s=60.0, steps=lies)
    found = run(small, seed=1, signed=False)
    assert any("do not name an aggregator" in failure for failure in found.failures)


@pytest.mark.parametrize("seed", [1, 2])
def test_while_peers_are_killed_and_restarted_all_counts_stay_within_those_who_are_on_their_way(seed: int) -> None:
    """Two deaths a minute and four peers off at most, as the whole scenario has it with its 200 peers."""
    churn = (replace(load("zone-churn").steps[0], per_minute=2 / 32, for_s=60.0),)
    found = outcome(
        "zone-churn",
        seed,
        peers=32,
        zones=4,
        zone_max=40,
        settle_s=40.0,
        duration_s=100.0,
        steps=churn,
        bounds={"zone_error_ratio_max": 4 / 32},
    )
    assert found.zones is not None
    assert found.zones.living == 32
    assert found.zones.count == 4
