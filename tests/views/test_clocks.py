"""Offsets of clocks that add up over the mesh. Each test tries to have a wrong one believed."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgers import GOOD, INTERVAL_MS, Book
from peerscope.records.bodies import LinkReading, Report
from peerscope.records.identity import PeerRef, ref
from peerscope.views.clocks import ROUNDING_S, ClockOffset, MeshClocks

Offsets = dict[tuple[int, int], float]
"""How far the clock of the second is ahead of that of the first, as the first reports it."""


def reading(book: Book, other: int, ahead_s: float, rtt_us: int | None) -> LinkReading:
    parts = round(ahead_s * 10_000)
    whole = round(parts / 10_000)
    return LinkReading(ref(book[other]), rtt_us, 0, skew_s=whole, skew_rest=parts - whole * 10_000)


def network(said: Offsets, rtts_us: int | dict[tuple[int, int], int] = 20_000) -> Book:
    """Peers that report these offsets."""
    book = Book()
    for number in {end for pair in said for end in pair}:
        book.introduce(number)
        links = tuple(
            reading(
                book,
                other,
                ahead_s,
                rtts_us if isinstance(rtts_us, int) else rtts_us[min(number, other), max(number, other)],
            )
            for (one, other), ahead_s in said.items()
            if one == number
        )
        book.say(number, Report(INTERVAL_MS, (GOOD,), links))
    return book


def honest(links: list[tuple[int, int]], clocks: dict[int, float]) -> Offsets:
    return {(a, b): clocks[b] - clocks[a] for one, other in links for a, b in ((one, other), (other, one))}


def clock(book: Book, number: int, now: float = 1.0) -> ClockOffset | None:
    return MeshClocks(book.snapshot(now)).of(ref(book[number]))


TWO_WAYS = [(0, 1), (0, 2), (1, 3), (2, 3)]
THREE_WAYS = [(0, 1), (0, 2), (0, 4), (1, 3), (2, 3), (4, 3)]
CLOCKS = {0: 5.0, 1: -3600.0, 2: 0.25, 3: 7200.1234, 4: 0.0}


def test_a_clock_two_links_away_is_known_by_two_ways_and_its_errors_add_up() -> None:
    found = clock(
        network(honest(TWO_WAYS, CLOCKS), {(0, 1): 20_000, (0, 2): 20_000, (1, 3): 40_000, (2, 3): 60_000}), 3
    )
    assert found is not None
    assert found.ahead_s == pytest.approx(7195.1234, abs=1e-4)
    assert found.paths == 2
    assert found.bound_s == pytest.approx(0.010 + 0.030, abs=2.5 * ROUNDING_S)
    assert found.error_s < 0.002


def test_one_way_proves_nothing_and_neither_do_two_through_one_peer() -> None:
    assert clock(network(honest([(0, 1), (1, 3)], CLOCKS)), 3) is None
    through_one = [(0, 1), (1, 2), (1, 4), (2, 3), (4, 3)]
    assert clock(network(honest(through_one, CLOCKS)), 3) is None


def test_an_offset_counts_only_if_both_ends_report_the_same() -> None:
    said = honest(TWO_WAYS, CLOCKS)
    said[1, 3] += 0.5
    book = network(said)
    assert clock(book, 3) is None
    assert MeshClocks(book.snapshot(1.0)).contradicted == 1
    del said[1, 3]
    assert clock(network(said), 3) is None


def test_a_liar_that_shows_each_neighbour_another_clock_is_outvoted() -> None:
    said = honest(THREE_WAYS, CLOCKS)
    said[1, 3] += 1.0
    said[3, 1] -= 1.0  # the other end measures what the liar shows
    found = clock(network(said), 3)
    assert found is not None
    assert found.ahead_s == pytest.approx(7195.1234, abs=1e-4)
    assert found.error_s < 0.002


def test_a_liar_that_adapts_hides_from_the_likely_error_and_not_from_the_greatest() -> None:
    clocks = dict.fromkeys(range(5), 0.0)
    said = honest(THREE_WAYS, clocks)
    for near, far, off_s in ((2, 3, 0.009), (4, 3, -0.009), (1, 3, 0.0089)):  # uneven links, and 1 copies the worst
        said[near, far] += off_s
        said[far, near] -= off_s
    found = clock(network(said), 3)
    assert found is not None
    assert found.error_s < 0.002 < abs(found.ahead_s)
    assert abs(found.ahead_s) <= found.error_s_max


def test_two_ways_that_disagree_beyond_what_links_can_explain_say_nothing() -> None:
    said = honest(TWO_WAYS, CLOCKS)
    said[1, 3] += 1.0
    said[3, 1] -= 1.0
    assert clock(network(said), 3) is None


def test_what_disagrees_a_little_has_a_greater_error() -> None:
    said = honest(TWO_WAYS, CLOCKS)
    said[1, 3] += 0.010
    said[3, 1] -= 0.010
    found = clock(network(said), 3)
    assert found is not None
    assert found.error_s == pytest.approx(0.020, abs=0.002)


def test_peers_that_are_gone_or_silent_or_report_no_offset_lead_nowhere() -> None:
    book = network(honest(TWO_WAYS, CLOCKS))
    assert clock(book, 3, now=16.0) is None
    book = network(honest(TWO_WAYS, CLOCKS))
    book.introduce(1, at=0.5, left=True)
    assert clock(book, 3) is None
    book = network(honest(TWO_WAYS, CLOCKS))
    book.say(1, Report(INTERVAL_MS, (GOOD,), (LinkReading(ref(book[3]), 1000, 0, skew_s=7204),)), at=0.5)
    assert clock(book, 3) is None


def test_our_own_clock_is_ours_and_that_of_a_stranger_unknown() -> None:
    book = network(honest(TWO_WAYS, CLOCKS))
    assert clock(book, 0) == ClockOffset(0.0, 0.0, 0.0, 0)
    assert MeshClocks(book.snapshot(1.0)).of(PeerRef(b"stranger")) is None
    assert MeshClocks(Book().snapshot(1.0)).of(ref(book[3])) is None


@st.composite
def meshes(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]], dict[int, float], Random]:
    peers = draw(st.integers(4, 10))
    rng = Random(draw(st.integers(0, 2**32)))
    pairs = [(one, other) for one in range(peers) for other in range(one + 1, peers)]
    links = sorted(rng.sample(pairs, draw(st.integers(peers, len(pairs)))))
    return peers, links, {number: rng.uniform(-4000, 4000) for number in range(peers)}, rng


@given(meshes())
def test_without_liars_the_truth_is_within_the_bound_however_uneven_the_links(
    mesh: tuple[int, list[tuple[int, int]], dict[int, float], Random],
) -> None:
    peers, links, clocks, rng = mesh
    rtts = {pair: rng.randrange(500, 300_000) for pair in links}
    said = honest(links, clocks)
    for one, other in links:  # each direction takes any part of the round trip
        off_s = rng.uniform(-0.5, 0.5) * rtts[one, other] / 1e6
        said[one, other] += off_s
        said[other, one] -= off_s
    book = network(said, rtts)
    found = MeshClocks(book.snapshot(1.0))
    for number in range(1, peers):
        offset = found.of(ref(book[number]))
        if offset is not None:
            assert abs(offset.ahead_s - (clocks[number] - clocks[0])) <= offset.bound_s


@given(meshes(), st.data())
def test_one_liar_moves_no_clock_but_its_own_beyond_bound_and_error(
    mesh: tuple[int, list[tuple[int, int]], dict[int, float], Random], data: st.DataObject
) -> None:
    peers, links, clocks, rng = mesh
    rtts = {pair: rng.randrange(500, 300_000) for pair in links}
    said = honest(links, clocks)
    liar = data.draw(st.integers(1, peers - 1))
    lie_s = data.draw(st.sampled_from([0.01, 0.1, 1.0, 1000.0]))
    for one, other in said:
        if liar == other:
            shown_s = rng.uniform(-lie_s, lie_s)
            said[one, other] += shown_s
            said[other, one] -= shown_s  # with reports that match what it shows
    book = network(said, rtts)
    found = MeshClocks(book.snapshot(1.0))
    for number in range(1, peers):
        offset = found.of(ref(book[number]))
        if offset is not None and number != liar:
            assert abs(offset.ahead_s - (clocks[number] - clocks[0])) <= offset.error_s_max
