"""Whom to be linked with, and when to dial."""

from math import inf
from random import Random

import pytest

from peerscope.errors import ConfigError
from peerscope.mesh.membership.neighbours import NeighbourConfig, Neighbours
from peerscope.mesh.membership.rings import Rings
from peerscope.records.identity import PeerId
from strategies import ORIGINS

CROWD = sorted(PeerId(Random(seed).randbytes(32)) for seed in range(40))
ME = CROWD[20]
SMALLER, GREATER = CROWD[0], CROWD[-1]


def hood(*members: PeerId, me: PeerId = ME, seed: int = 1, **config: float) -> Neighbours:
    of = Neighbours(me, NeighbourConfig(**config), Random(seed))  # type: ignore[arg-type]
    for member in members:
        of.place(member, alive=True, now=0.0)
    return of


def test_ring_neighbours_are_wanted_and_dialled() -> None:
    of = hood(*CROWD)
    assert of.wanted == Rings(members=CROWD).neighbours(ME)
    assert of.due(1.0) == sorted(of.wanted)
    assert of.due(1.0) == []  # they are being dialled
    assert of.deadline() == inf


def test_the_greater_id_waits_for_the_smaller_to_dial() -> None:
    assert hood(GREATER).due(0.0) == [GREATER]
    of = hood(SMALLER)
    assert (of.due(0.0), of.deadline()) == ([], 1.0)
    assert of.due(1.0) == [SMALLER]
    of = hood(SMALLER)
    of.linked(SMALLER)
    assert of.due(1.0) == []


def waits(of: Neighbours, peer: PeerId, count: int) -> list[float]:
    """The pauses between so many attempts that all fail."""
    now, found = 0.0, []
    assert of.due(now) == [peer]
    for _ in range(count):
        of.failed(peer, now)
        found.append(of.deadline() - now)
        assert of.due(now + found[-1] * 0.99) == []
        now = of.deadline()
        assert of.due(now) == [peer]
    return found


def test_the_pause_grows_with_every_failure_up_to_its_limit() -> None:
    for seed in range(5):
        found = waits(hood(GREATER, seed=seed), GREATER, 12)
        for failures, wait_s in enumerate(found, start=1):
            longest = min(0.5 * 2**failures, 15.0)
            assert longest / 2 <= wait_s <= longest, f"seed {seed}, failure {failures}"


def test_pauses_are_jittered_so_that_peers_do_not_dial_in_step() -> None:
    assert len({waits(hood(GREATER, seed=seed), GREATER, 6)[-1] for seed in range(10)}) == 10


def test_after_a_connection_the_pauses_start_anew() -> None:
    of = hood(GREATER)
    waits(of, GREATER, 8)
    of.linked(GREATER)
    of.missing(GREATER, 100.0)
    assert of.due(100.0) == [GREATER]
    of.failed(GREATER, 100.0)
    assert of.deadline() <= 101.0


def test_a_failure_to_reach_somebody_of_no_interest_is_not_repeated() -> None:
    of = hood(*CROWD)
    of.failed(next(peer for peer in CROWD if peer not in of.wanted), 0.0)
    of.due(1.0)
    for peer in list(of.wanted):
        of.linked(peer)
    stranger = PeerId(bytes(32))
    of.missing(stranger, 2.0)
    of.failed(stranger, 2.0)
    assert of.due(100.0) == []


def test_a_lost_peer_is_dialled_by_those_between_whom_it_stood_and_by_nobody_else() -> None:
    victim = CROWD[7]
    before = Rings(members=CROWD).neighbours(victim)
    diallers = set()
    for me in CROWD:
        if me == victim:
            continue
        of = hood(*CROWD, me=me)
        for peer in of.wanted:
            of.linked(peer)
        of.place(victim, alive=False, now=50.0)
        for peer in of.wanted:
            of.linked(peer)
        if victim in of.due(60.0):
            diallers.add(me)
    assert diallers == before


def test_those_left_close_ranks() -> None:
    of = hood(*CROWD)
    victim = min(of.wanted)
    of.place(victim, alive=False, now=50.0)
    assert of.wanted == Rings(members=[peer for peer in CROWD if peer != victim]).neighbours(ME)
    assert of.lost == {victim}
    of.place(victim, alive=True, now=60.0)
    assert of.wanted == Rings(members=CROWD).neighbours(ME)
    assert of.lost == set()


def test_a_peer_that_is_forgotten_is_neither_wanted_nor_dialled() -> None:
    of = hood(GREATER)
    of.forget(GREATER, 0.0)
    assert (of.wanted, of.lost, of.due(100.0)) == (frozenset(), set(), [])
    of = hood(GREATER)
    of.place(GREATER, alive=False, now=0.0)
    of.forget(GREATER, 0.0)
    assert (of.lost, of.due(100.0)) == (set(), [])


def test_as_more_fall_off_the_rings_their_dialling_is_taken_over() -> None:
    of = hood(*CROWD)
    for peer in CROWD:
        of.linked(peer)
    gone = [peer for peer in CROWD if peer != ME]
    for peer in gone:
        of.place(peer, alive=False, now=10.0)
    for peer in gone:
        of.linked(peer)
    of.review(set(), 20.0)
    assert of.due(20.0) == gone  # alone on the rings, everybody lost stands next to us


def test_a_peer_to_start_from_is_dialled_until_it_is_a_member() -> None:
    of = hood()
    of.join(GREATER, ("10.0.0.1:1",), 0.0)
    assert of.due(0.0) == [GREATER]
    of.failed(GREATER, 0.0)
    assert of.due(1.0) == [GREATER]
    assert of.unreached(4.9) == set()
    assert of.unreached(5.0) == {GREATER}
    of.linked(GREATER)
    assert of.unreached(9.0) == set()
    of.place(GREATER, alive=True, now=9.0)
    assert of.bootstrap == {}


def test_nobody_starts_from_itself() -> None:
    of = hood()
    of.join(ME, (), 0.0)
    assert of.due(0.0) == []


def test_a_new_neighbour_is_expected_once_linked_or_after_a_while() -> None:
    of = hood(SMALLER, GREATER)
    assert of.expected(set(), 4.9) == set()
    assert of.expected({GREATER}, 4.9) == {GREATER}
    assert of.expected(set(), 5.0) == {SMALLER, GREATER}
    assert of.expected({ORIGINS[0]}, 5.0) == {SMALLER, GREATER}


def test_who_wakes_at_the_deadline_has_somebody_to_dial() -> None:
    of = hood(*CROWD, seed=7)
    dials = 0
    now = 0.0
    while now < 120.0:
        ready = of.due(now)
        dials += len(ready)
        for peer in ready:
            of.failed(peer, now)
        assert of.deadline() > now
        now = of.deadline()
    assert 8 * len(of.wanted) < dials < 20 * len(of.wanted)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"rings": 0}, "links.rings is 0"),
        ({"rings": 17}, "links.rings is 17"),
        ({"backoff_first_s": 0.0}, "links.backoff_first_s"),
        ({"backoff_first_s": 20.0}, "links.backoff_max_s"),
    ],
)
def test_settings_that_cannot_work_are_named(fields: dict[str, float], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        NeighbourConfig(**fields)  # type: ignore[arg-type]
