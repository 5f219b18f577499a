"""How far our clock is ahead of the network's: the median of what others measured, whoever lies or is wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgers import GOOD, INTERVAL_MS, Book
from peerscope.records.bodies import LinkReading, Report
from peerscope.records.identity import ref
from peerscope.views.clock import ahead_of_network_s

US = 0


def measured(book: Book, number: int, skews: dict[int, int], at: float = 0.0) -> None:
    """This peer has links to these peers, whose clocks are so far ahead of its own."""
    links = tuple(LinkReading(ref(book[other]), 1000, 0, skew_s=skew_s) for other, skew_s in skews.items())
    book.say(number, Report(INTERVAL_MS, (GOOD,), links), at=at)


def network(clocks: list[int]) -> Book:
    """Everybody has measured everybody; `clocks`: how far each is from the right time, ours first."""
    book = Book()
    book.introduce(*range(len(clocks)))
    for number, clock in enumerate(clocks):
        others = {other: ahead - clock for other, ahead in enumerate(clocks) if other != number}
        measured(book, number, others)
    return book


def ahead(book: Book, at: float = 1.0) -> float | None:
    return ahead_of_network_s(book.snapshot(at, me=US))


@pytest.mark.parametrize("ours", [0, 3600, -3600, 7])
def test_it_is_measured_against_all_others(ours: int) -> None:
    assert ahead(network([ours, 0, 0, 0, 0])) == ours


def test_one_wrong_clock_among_the_others_moves_nothing() -> None:
    assert ahead(network([0, 0, 0, 3600, 0])) == 0
    assert ahead(network([3600, 0, 0, -86400, 0])) == 3600


@given(st.lists(st.integers(-(10**6), 10**6), min_size=7, max_size=7), st.integers(0, 3))
def test_fewer_than_half_of_those_who_measure_cannot_move_it_beyond_what_the_others_say(
    lies: list[int], liars: int
) -> None:
    book = network([100] + [0] * 7)
    for number in range(1, 1 + liars):
        measured(book, number, {US: lies[number - 1]}, at=0.5)
    assert ahead(book) == 100


def test_before_others_report_it_is_what_we_measured_of_them() -> None:
    book = Book()
    book.introduce(*range(4))
    measured(book, US, {1: -3600, 2: -3600, 3: 0})
    assert ahead(book) == 3600


def test_alone_or_without_a_fresh_report_nobody_can_tell() -> None:
    book = Book()
    book.introduce(US)
    assert ahead(book) is None
    measured(book, US, {})
    assert ahead(book) is None
    assert ahead(network([3600, 0, 0]), at=1000.0) is None
