"""Who writes for all: one peer, the same for all who see the same, and as few changes of hands as can be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgers import GOOD, INTERVAL_MS, Book, lose
from peerscope.export.election import ROLE, Tenure, elected, weight
from peerscope.records.bodies import LinkReading, Profile, Report, Status
from peerscope.records.identity import PeerId, ref

ids = st.binary(min_size=32, max_size=32).map(PeerId)


def exporters(*numbers: int, zone: str = "") -> Book:
    """Peers that all report; these declare that they can write."""
    book = Book()
    for number in range(6):
        roles = (ROLE,) if number in numbers else ()
        book.say(number, Profile((f"10.0.0.{number}:1",), "eu", "1.0", 0, zone=zone, roles=roles))
        book.report(number, *(other for other in range(6) if other != number))
    return book


def best(book: Book, *numbers: int) -> PeerId:
    return max((book[number] for number in numbers), key=lambda peer: weight("", peer))


def test_of_those_that_declare_the_role_one_is_elected_whoever_looks() -> None:
    book = exporters(1, 2, 4)
    assert {elected(book.snapshot(1.0, me=number), "") for number in range(6)} == {best(book, 1, 2, 4)}


def test_nobody_is_elected_where_nobody_can_write() -> None:
    assert elected(exporters().snapshot(1.0), "") is None


def test_each_zone_has_its_own() -> None:
    book = exporters(1, zone="north")
    assert elected(book.snapshot(1.0), "north") == book[1]
    assert elected(book.snapshot(1.0), "south") is None


def number_of(book: Book, peer: PeerId | None) -> int:
    return next(number for number in range(6) if book[number] == peer)


def test_a_writer_that_is_down_is_followed_by_the_next() -> None:
    book = exporters(1, 2, 4)
    first = number_of(book, elected(book.snapshot(1.0), ""))
    now = lose(book, first, [number for number in range(6) if number != first])
    assert elected(book.snapshot(now), "") == best(book, *({1, 2, 4} - {first}))


def test_one_that_says_goodbye_is_followed_at_once() -> None:
    book = exporters(1, 2)
    first = number_of(book, elected(book.snapshot(1.0), ""))
    book.say(first, Profile((), "eu", "1.0", 0, left=True, roles=(ROLE,)), at=1.0)
    assert elected(book.snapshot(1.0), "") == best(book, *({1, 2} - {first}))


def test_one_that_is_unwell_gives_way_unless_all_are() -> None:
    book = exporters(1, 2)
    first = number_of(book, elected(book.snapshot(1.0), ""))
    (other,) = {1, 2} - {first}
    book.report(first, other, worst=Status.UNHEALTHY, at=1.0)
    assert elected(book.snapshot(1.0), "") == book[other]
    book.report(other, first, worst=Status.UNHEALTHY, at=1.0)
    assert elected(book.snapshot(1.0), "") == book[first]


def test_one_that_is_merely_degraded_goes_on() -> None:
    book = exporters(1, 2)
    first = number_of(book, elected(book.snapshot(1.0), ""))
    book.report(first, worst=Status.DEGRADED, at=1.0)
    assert elected(book.snapshot(1.0), "") == book[first]


@given(st.sets(ids, min_size=2, max_size=20), st.text(max_size=5))
def test_the_death_of_any_other_changes_nothing(peers: set[PeerId], zone: str) -> None:
    first = max(peers, key=lambda peer: weight(zone, peer))
    for gone in peers - {first}:
        assert max(peers - {gone}, key=lambda peer: weight(zone, peer)) == first


def test_the_task_is_spread_over_zones() -> None:
    peers = [PeerId(bytes((number,)) * 32) for number in range(10)]
    writers = {max(peers, key=lambda peer: weight(str(zone), peer)) for zone in range(200)}
    assert len(writers) == 10


def history(hold_s: float, *elections: tuple[float, bool]) -> list[bool]:
    tenure = Tenure(hold_s)
    return [tenure.update(is_elected, now) for now, is_elected in elections]


def test_a_task_begins_and_ends_one_look_after_the_election() -> None:
    looks = [(0, True), (15, True), (30, True), (45, False), (60, False), (75, False)]
    assert history(7.5, *looks) == [False, True, True, True, False, False]


@pytest.mark.parametrize("is_ours", [False, True])
def test_what_does_not_last_changes_nothing(is_ours: bool) -> None:
    begin = [(-30.0, is_ours), (-15.0, is_ours)]
    looks = [(0.0, not is_ours), (5.0, is_ours), (10.0, not is_ours), (15.0, is_ours)]
    assert history(7.5, *begin, *looks)[2:] == [is_ours] * 4


def test_two_that_change_hands_leave_no_gap_and_do_not_overlap() -> None:
    """Both look at the same moments, as agents do."""
    going, coming = Tenure(7.5), Tenure(7.5)
    writers = []
    for look in range(8):
        now, is_first = look * 15.0, look < 4
        writers.append((going.update(is_first, now), coming.update(not is_first, now)))
    assert writers[1:] == [(True, False)] * 4 + [(False, True)] * 3


def test_one_whose_clock_is_wrong_is_elected_only_where_there_is_no_other() -> None:
    book = exporters(1, 2, 4)
    first = number_of(book, elected(book.snapshot(1.0), ""))
    others = {1, 2, 4} - {first}
    for number in range(6):
        skews = {other: 3600 * (other == first) for other in range(6) if other != number}
        links = tuple(LinkReading(ref(book[other]), 1000, 0, skew_s=skew_s) for other, skew_s in skews.items())
        book.say(number, Report(INTERVAL_MS, (GOOD,), links), at=0.5)
    assert elected(book.snapshot(1.0), "") == best(book, *others)
    for other in others:
        book.say(other, Profile((), "eu", "1.0", 0, left=True, roles=(ROLE,)), at=1.0)
    assert number_of(book, elected(book.snapshot(1.0), "")) == first
