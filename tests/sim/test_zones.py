"""Networks of many zones, on whole simulations: everybody counts everybody once, and zones come and go."""

import pytest
from msgspec.structs import replace

from peerscope.sim.run import Outcome, run
from peerscope.sim.scenario import load


def outcome(name: str, seed: int, **changes: object) -> Outcome:
    scenario = replace(load(name), **changes)
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
