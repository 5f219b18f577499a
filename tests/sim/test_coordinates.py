"""Estimated round-trip times in a simulated world: how near they come, also where some peers lie."""

from itertools import permutations
from random import Random

import pytest
from msgspec.structs import replace

from network import network
from peerscope.errors import ConfigError
from peerscope.mesh.config import PeerConfig
from peerscope.records.bodies import Coordinate
from peerscope.sim.accuracy import coordinate_error
from peerscope.sim.node import Machine, make_signer
from peerscope.sim.run import run
from peerscope.sim.scenario import Scenario, load
from peerscope.sim.world import DETOUR, REGIONS, RTT_MS, World

pytestmark = pytest.mark.sim


def nodes(count: int) -> list[Machine]:
    signers = [make_signer(bytes((index,)) * 32, signed=False) for index in range(count)]
    return [Machine(s, index, REGIONS[index % len(REGIONS)], PeerConfig(), 0.0) for index, s in enumerate(signers)]


def shortened(name: str) -> Scenario:
    """Forty peers for a virtual minute in all."""
    return replace(load(name), peers=40, settle_s=10.0, duration_s=50.0)


@pytest.mark.parametrize("seed", [1, 2])
def test_estimates_are_near_after_a_minute(seed: int) -> None:
    outcome = run(shortened("coordinates"), seed=seed, signed=False, options=" --peers 40")
    assert outcome.coordinate_error is not None
    assert outcome.coordinate_error.median < 0.12, outcome.replay
    assert outcome.coordinate_error.p90 < 1.4  # pairs inside a region are short, so that little is much, outcome.replay
    assert not {"impossible-coordinate", "impossible-rtt"} & set(outcome.refused)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_tenth_of_liars_does_not_spoil_the_estimates_of_the_others(seed: int) -> None:
    outcome = run(shortened("misplaced"), seed=seed, signed=False, options=" --peers 40")
    assert outcome.coordinate_error is not None
    assert outcome.coordinate_error.median < 0.15, outcome.replay
    assert outcome.refused["impossible-coordinate"] > 0
    assert outcome.refused["impossible-rtt"] > 0
    assert outcome.false_down == 0


def test_in_a_small_network_visits_end_once_all_are_measured() -> None:
    sim, ids = network(12, 1, settled_s=100.0)
    for peer in sim.alive():
        assert all(peer.coordinates.remembers(other) for other in ids if other != peer.me)
    greetings = sum(peer.out.messages["hello"] for peer in sim.alive())
    assert greetings > 12 * 8  # those of the links
    sim.run_until(200.0)
    assert sum(peer.out.messages["hello"] for peer in sim.alive()) == greetings


def test_a_run_whose_estimates_miss_their_bound_has_failed() -> None:
    scenario = replace(load("coordinates"), peers=12, duration_s=5.0)
    strict = replace(scenario, bounds=replace(scenario.bounds, coordinate_error=0.001))
    outcome = run(strict, seed=1, signed=False)
    assert any("relative error of coordinates" in failure for failure in outcome.failures)


def test_a_network_without_a_true_matrix_has_no_such_error() -> None:
    assert run(replace(load("steady"), peers=6, duration_s=5.0), seed=1, signed=False).coordinate_error is None


def test_a_world_is_its_seed_and_the_same_both_ways() -> None:
    peers = nodes(20)
    for one in peers:
        for other in peers:
            if one is not other:
                assert World(1).rtt_s(one, other) == World(1).rtt_s(other, one)
    assert World(1).rtt_s(*peers[:2]) != World(2).rtt_s(*peers[:2])


def test_round_trips_are_those_of_the_regions_with_detours_and_access_lines() -> None:
    world, peers = World(3), nodes(40)
    for one in peers:
        for other in peers[: one.index]:
            row, column = sorted((one.index % 10, other.index % 10), reverse=True)
            backbone_s = RTT_MS[row][column] / 1000
            access_s = world.rtt_s(one, other) - backbone_s
            assert 0.001 - DETOUR * backbone_s <= access_s <= 0.030 + DETOUR * backbone_s


def test_the_world_breaks_the_triangle_inequality() -> None:
    world = World(3)
    triples = list(permutations(nodes(20), 3))
    broken = sum(world.rtt_s(a, c) > world.rtt_s(a, b) + world.rtt_s(b, c) for a, b, c in triples)
    assert 0.01 < broken / len(triples) < 0.2


def test_a_message_takes_half_the_round_trip_and_some_jitter() -> None:
    world, (one, other, *_), rng = World(3), nodes(10), Random(1)
    delays_s = sorted(world(one, other, rng) for _ in range(200))
    half_s = world.rtt_s(one, other) / 2
    assert half_s <= delays_s[0] < delays_s[-1] < 1.3 * half_s
    assert delays_s[100] < 1.03 * half_s


def test_a_world_has_ten_regions() -> None:
    with pytest.raises(ConfigError, match="regions is 11; the world"):
        replace(load("coordinates"), regions=11)
    assert [load("coordinates").region(index) for index in (0, 9, 10)] == ["us-east", "oceania", "us-east"]
    assert load("steady").region(7) == "region-3"


def test_the_error_of_true_places_is_nothing_and_of_one_place_unknown() -> None:
    world, (one, other, *_) = World(3), nodes(2)
    rtt_us = round(world.rtt_s(one, other) * 1e6)
    here, there = Coordinate((0, 0), 0, 0), Coordinate((rtt_us, 0), 0, 0)
    found = coordinate_error([(one, here), (other, there)], world, Random(1))
    assert found is not None
    assert found.p90 == 0.0
    assert coordinate_error([(one, here)], world, Random(1)) is None
