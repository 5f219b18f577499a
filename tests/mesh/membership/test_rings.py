"""Rings: everybody can work out who links to whom, and the result is a graph that holds together."""

from hashlib import blake2b
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.mesh.membership.rings import RINGS, Rings
from peerscope.records.identity import PeerId


def peers(count: int, seed: int = 0) -> list[PeerId]:
    return [PeerId(blake2b(b"%d %d" % (seed, index), digest_size=32).digest()) for index in range(count)]


CROWD = peers(200)
members = st.lists(st.sampled_from(CROWD[:30]), unique=True)


@given(members, st.lists(st.sampled_from(CROWD[30:40]), unique=True), st.randoms(use_true_random=False))
def test_the_neighbours_follow_from_the_membership_alone(
    inside: list[PeerId], passing: list[PeerId], rng: Random
) -> None:
    straight = Rings(members=inside)
    roundabout = Rings(members=passing)
    for peer in rng.sample(inside, len(inside)):
        roundabout.add(peer)
    for peer in rng.sample(passing, len(passing)):
        roundabout.remove(peer)
    assert straight.members() == roundabout.members() == frozenset(inside)
    for peer in CROWD[:40]:
        assert straight.neighbours(peer) == roundabout.neighbours(peer)


@given(members)
def test_neighbours_are_mutual_and_nobody_is_its_own(inside: list[PeerId]) -> None:
    rings = Rings(members=inside)
    for one in inside:
        assert one not in rings.neighbours(one)
        assert rings.neighbours(one) <= set(inside)
        for other in rings.neighbours(one):
            assert one in rings.neighbours(other)


@given(members, st.sampled_from(CROWD[:30]))
def test_one_who_is_not_there_has_the_neighbours_it_would_have(inside: list[PeerId], newcomer: PeerId) -> None:
    without = Rings(members=[peer for peer in inside if peer != newcomer])
    assert without.neighbours(newcomer) == Rings(members=[*inside, newcomer]).neighbours(newcomer)


def test_a_member_has_about_two_neighbours_per_ring() -> None:
    rings = Rings(members=CROWD)
    counts = [len(rings.neighbours(peer)) for peer in CROWD]
    assert max(counts) <= 2 * RINGS
    assert sum(counts) / len(counts) > 2 * RINGS - 0.5
    assert min(counts) >= RINGS


@pytest.mark.parametrize(("count", "neighbours"), [(1, 0), (2, 1), (3, 2)])
def test_a_handful_of_members_are_all_neighbours(count: int, neighbours: int) -> None:
    few = CROWD[:count]
    assert [len(Rings(members=few).neighbours(peer)) for peer in few] == [neighbours] * count


def test_a_removal_closes_ranks_around_the_gap() -> None:
    rings = Rings(members=CROWD)
    before = {peer: rings.neighbours(peer) for peer in CROWD}
    gone = CROWD[17]
    assert rings.remove(gone)
    for peer in CROWD:
        if peer in before[gone]:
            assert gone not in rings.neighbours(peer)
            assert rings.neighbours(peer) - before[peer] <= before[gone]
        elif peer != gone:
            assert rings.neighbours(peer) == before[peer]


def test_a_join_moves_only_the_links_around_it() -> None:
    rings = Rings(members=CROWD[1:])
    before = {peer: rings.neighbours(peer) for peer in CROWD[1:]}
    rings.add(CROWD[0])
    moved = {peer for peer in CROWD[1:] if rings.neighbours(peer) != before[peer]}
    assert moved == rings.neighbours(CROWD[0])


def test_joining_twice_and_leaving_twice_are_no_news() -> None:
    rings = Rings()
    assert [rings.add(CROWD[0]), rings.add(CROWD[0])] == [True, False]
    assert (len(rings), CROWD[0] in rings) == (1, True)
    assert [rings.remove(CROWD[0]), rings.remove(CROWD[0])] == [True, False]
    assert (len(rings), CROWD[0] in rings, rings.neighbours(CROWD[0])) == (0, False, frozenset())


def test_each_zone_has_rings_of_its_own() -> None:
    here, there = Rings("eu", CROWD), Rings("us", CROWD)
    assert sum(here.neighbours(peer) == there.neighbours(peer) for peer in CROWD) == 0


@pytest.mark.parametrize("seed", range(10))
def test_two_hundred_stay_connected_when_thirty_percent_vanish_at_once(seed: int) -> None:
    crowd = peers(200, seed)
    rings = Rings(members=crowd)
    survivors = set(Random(seed).sample(crowd, 140))
    reached = {min(survivors)}
    frontier = set(reached)
    while frontier:
        frontier = {n for peer in frontier for n in rings.neighbours(peer)} & survivors - reached
        reached |= frontier
    assert reached == survivors, f"seed {seed}: {len(survivors - reached)} cut off"
