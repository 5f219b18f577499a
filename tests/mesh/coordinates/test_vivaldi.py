"""Finding one's place by pings: what two, three and many peers come to, and what liars can and cannot do."""

from contextlib import suppress
from math import dist, isfinite
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.errors import ConfigError, RemoteError
from peerscope.mesh.coordinates.vivaldi import (
    COUNTS,
    GRAVITY,
    LANDMARKS_MAX,
    MISFIT_PACE,
    PACE,
    RTT_S_MAX,
    CoordinateConfig,
    Coordinates,
    estimate_s,
)
from peerscope.records.bodies import Coordinate
from peerscope.records.identity import PeerId
from strategies import coordinates as any_coordinates

NAMES = [PeerId(bytes((number,)) * 32) for number in range(80)]


def places(count: int, dimensions: int = 3) -> list[Coordinates]:
    return [Coordinates(CoordinateConfig(dimensions=dimensions), Random(number)) for number in range(count)]


def ping(peers: list[Coordinates], rtts_s: dict[tuple[int, int], float], rounds: int) -> None:
    """Both ends of every pair take each measurement in."""
    for _ in range(rounds):
        for (one, other), rtt_s in rtts_s.items():
            here, there = peers[one].current(), peers[other].current()
            peers[one].observed(NAMES[other], there, rtt_s)
            peers[other].observed(NAMES[one], here, rtt_s)


def between(one: Coordinates, other: Coordinates) -> float:
    here, there = one.current(), other.current()
    assert here is not None
    assert there is not None
    estimated_s = estimate_s(here, there)
    assert estimated_s is not None
    return estimated_s


def refusal(peer: Coordinates, theirs: Coordinate | None, rtt_s: float | None) -> str:
    with pytest.raises(RemoteError) as refused:
        peer.observed(NAMES[0], theirs, rtt_s)
    return refused.value.reason


def test_a_peer_that_measured_nothing_has_no_place() -> None:
    (peer,) = places(1)
    assert peer.current() is None
    peer.observed(NAMES[0], None, None)
    assert peer.current() is None


def test_two_peers_come_to_the_time_between_them() -> None:
    peers = places(2)
    ping(peers, {(0, 1): 0.08}, 60)
    assert between(*peers) == pytest.approx(0.08, rel=0.02)


def test_a_triangle_settles_on_its_three_sides() -> None:
    peers, sides = places(3), {(0, 1): 0.03, (1, 2): 0.04, (0, 2): 0.05}
    ping(peers, sides, 200)
    for (one, other), rtt_s in sides.items():
        assert between(peers[one], peers[other]) == pytest.approx(rtt_s, rel=0.05)


def test_a_slow_access_line_becomes_height() -> None:
    """A star: no plane has so many points that far from each other. The last has the slow line."""
    lines_s = [0.002] * 9 + [0.040]
    peers = places(len(lines_s), dimensions=2)
    star = {(a, b): lines_s[a] + lines_s[b] for b in range(len(lines_s)) for a in range(b)}
    ping(peers, star, 400)
    heights_us = [place.height_us for peer in peers if (place := peer.current())]
    assert heights_us[-1] > 10_000
    assert heights_us[-1] > 3 * max(heights_us[:-1])


def test_those_who_never_measured_each_other_are_estimated() -> None:
    """Ten peers on a plane, each measuring the next four: the pairs beyond are predicted."""
    rng, count = Random(7), 12
    spots = [(rng.uniform(0, 0.1), rng.uniform(0, 0.1)) for _ in range(count)]
    pairs = {(a, (a + step) % count) for a in range(count) for step in (1, 2, 3, 4)}
    peers = places(count, dimensions=2)
    ping(peers, {(a, b): 0.005 + dist(spots[a], spots[b]) for a, b in sorted(pairs)}, 300)
    unmeasured = [(a, b) for a in range(count) for b in range(a) if not {(a, b), (b, a)} & pairs]
    errors = [abs(between(peers[a], peers[b]) / (0.005 + dist(spots[a], spots[b])) - 1) for a, b in unmeasured]
    assert len(errors) > 10
    assert sorted(errors)[len(errors) // 2] < 0.1


def test_one_round_trip_that_was_held_up_moves_nobody() -> None:
    peers = places(2)
    ping(peers, {(0, 1): 0.05}, 60)
    before = list(peers[0]._vector_s)
    peers[0].observed(NAMES[1], peers[1].current(), 2.0)
    assert dist(before, peers[0]._vector_s) < 1e-4


def test_a_peer_that_moved_far_away_is_found_there_again() -> None:
    peers = places(4)
    near = {(one, other): 0.02 for other in range(4) for one in range(other)}
    ping(peers, near, 100)
    ping(peers, {pair: 0.3 if 3 in pair else 0.02 for pair in near}, 150)
    assert between(peers[0], peers[3]) == pytest.approx(0.3, rel=0.1)
    assert between(peers[0], peers[1]) == pytest.approx(0.02, rel=0.3)


def test_one_liar_among_eight_neighbours_moves_nobody_far() -> None:
    rng = Random(3)
    spots = [(rng.uniform(0, 0.2), rng.uniform(0, 0.2)) for _ in range(8)]
    sides = {(a, b): 0.004 + dist(spots[a], spots[b]) for a in range(8) for b in range(a)}
    peers = places(8)
    for _ in range(200):
        ping(peers, sides, 1)
        for peer in peers:
            lie = Coordinate(tuple(rng.randint(-2_000_000, 2_000_000) for _ in range(3)), 0, 0)
            peer.observed(NAMES[70], lie, rng.choice((0.001, 0.15, 1.0)))
    errors = sorted(abs(between(peers[a], peers[b]) / rtt_s - 1) for (a, b), rtt_s in sides.items())
    assert errors[len(errors) // 2] < 0.1


@pytest.mark.parametrize("rtt_s", [-0.001, RTT_S_MAX + 0.001, float("inf"), float("nan")])
def test_a_round_trip_that_cannot_be_is_refused(rtt_s: float) -> None:
    (peer,) = places(1)
    assert refusal(peer, None, rtt_s) == "impossible-rtt"
    assert peer.current() is None


def test_a_round_trip_too_short_to_measure_says_nothing() -> None:
    (peer,) = places(1)
    peer.observed(NAMES[0], None, 0.0)
    assert peer.current() is None


@pytest.mark.parametrize(
    "theirs",
    [
        Coordinate((1, 2), 0, 0),
        Coordinate((1, 2, 3, 4), 0, 0),
        Coordinate((10_000_001, 0, 0), 0, 0),
        Coordinate((0, 0, 0), 10_000_001, 0),
        Coordinate((0, 0, 0), 0, 0, -10_000_001),
    ],
)
def test_a_place_that_cannot_be_is_refused_and_moves_nobody(theirs: Coordinate) -> None:
    peers = places(2)
    ping(peers, {(0, 1): 0.05}, 20)
    before = peers[0].current()
    assert refusal(peers[0], theirs, 0.05) == "impossible-coordinate"
    assert peers[0].current() == before
    peers[0].reported(NAMES[1], theirs)
    ping(peers, {(0, 1): 0.05}, 20)
    assert between(*peers) == pytest.approx(0.05, rel=0.05)


def test_a_report_brings_the_place_of_those_once_measured_up_to_date() -> None:
    (peer,) = places(1)
    for _ in range(30):
        peer.observed(NAMES[1], Coordinate((0, 0, 0), 100, 1000), 0.05)
    peer.reported(NAMES[2], Coordinate((500_000, 0, 0), 100, 1000))  # never measured: no landmark
    assert estimate_s(Coordinate((0, 0, 0), 100, 0), peer.current() or Coordinate((), 0, 0)) == pytest.approx(
        0.05, rel=0.05
    )
    moved = Coordinate((40_000, 0, 0), 100, 1000)
    peer.reported(NAMES[1], moved)
    for _ in range(60):
        peer.observed(NAMES[1], None, 0.05)
    here = peer.current()
    assert here is not None
    assert estimate_s(moved, here) == pytest.approx(0.05, rel=0.05)


def test_as_many_landmarks_are_remembered_as_the_limit_says() -> None:
    (peer,) = places(1)
    for name in NAMES:
        peer.observed(name, Coordinate((0, 0, 0), 100, 1000), 0.05)
    assert len(NAMES) > LANDMARKS_MAX
    assert len(peer._landmarks) == LANDMARKS_MAX
    assert NAMES[-1] in peer._landmarks
    assert NAMES[0] not in peer._landmarks


@given(
    st.lists(st.tuples(st.sampled_from(NAMES[:4]), st.none() | any_coordinates, st.none() | st.floats()), max_size=40)
)
def test_whatever_comes_is_taken_in_or_refused_and_each_step_is_bounded(
    said: list[tuple[PeerId, Coordinate | None, float | None]],
) -> None:
    peer = Coordinates(CoordinateConfig(dimensions=2), Random(1))
    for name, theirs, rtt_s in said:
        before, misfit_s = list(peer._vector_s), peer._misfit_s
        with suppress(RemoteError):
            peer.observed(name, theirs, rtt_s)
        one_step_s = PACE * COUNTS * misfit_s * (1 + MISFIT_PACE * COUNTS) + GRAVITY * RTT_S_MAX
        assert dist(before, peer._vector_s) <= 2 * one_step_s  # a measurement and a repeated one
        place = peer.current()
        if place is not None:
            assert all(isfinite(x) for x in (*peer._vector_s, peer._height_s, peer._error))
            assert 0 <= place.error <= 15_000
            assert 0 < place.height_us <= 600_000_000


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"dimensions": 1}, "coordinates.dimensions is 1"),
        ({"dimensions": 9}, "coordinates.dimensions is 9"),
        ({"visit_interval_s": 0.1}, "coordinates.visit_interval_s is 0.1"),
        ({"visit_interval_s": float("nan")}, "coordinates.visit_interval_s is nan"),
        ({"visit_interval_s": 90.0}, "coordinates.visit_interval_s_max is 60.0"),
    ],
)
def test_wrong_settings_are_named(wrong: dict[str, float], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        CoordinateConfig(**wrong)  # type: ignore[arg-type]


def test_visits_can_be_switched_off() -> None:
    assert CoordinateConfig(visit_interval_s=0.0).visit_interval_s == 0.0
