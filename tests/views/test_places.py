"""Where peers are: the operator's word, else a country, else a cluster by latency that is shown as the guess it is."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from latencies import STARTED_MS, coordinate, settle
from ledgers import Book
from peerscope.mesh.coordinates.vivaldi import estimate_s
from peerscope.records.bodies import Coordinate, Profile, Report
from peerscope.records.identity import short
from peerscope.views.peers import peer_view
from peerscope.views.places import NOWHERE, ClusterConfig, Place, places
from peerscope.views.snapshot import Snapshot

RADIUS_S = ClusterConfig().radius_s


def test_what_a_peer_says_of_its_region_goes_before_its_latency() -> None:
    book = Book()
    settle(book, 0, 0.0, region="eu")
    settle(book, 1, 0.0)
    book.say(1, Profile((), "DE", "1.0", STARTED_MS, region_source="country"), at=1.0)
    found = book.snapshot(1.0).places
    assert found == {book[0]: Place("eu", "declared"), book[1]: Place("DE", "country")}


def test_near_peers_share_a_cluster_that_bears_the_oldest_ones_name() -> None:
    book = Book()
    settle(book, 0, 10.0, started_s=5)
    settle(book, 1, 0.0, started_s=1)
    settle(book, 2, 100.0, started_s=2)
    settle(book, 3, 14.0, started_s=9)
    found = book.snapshot(1.0).places
    near, far = Place(f"~{short(book[1])}", "latency"), Place(f"~{short(book[2])}", "latency")
    assert found == {book[0]: near, book[1]: near, book[2]: far, book[3]: near}


def test_of_two_that_started_together_the_smaller_id_leads() -> None:
    book = Book()
    settle(book, 1, 0.0)
    settle(book, 0, 1.0)
    assert {place.region for place in book.snapshot(1.0).places.values()} == {f"~{short(book[0])}"}


@pytest.mark.parametrize(("away_ms", "is_near"), [(15.0, True), (15.001, False)])
def test_the_radius_itself_is_near(away_ms: float, is_near: bool) -> None:
    book = Book()
    settle(book, 0, 0.0)
    settle(book, 1, away_ms, started_s=1)
    found = book.snapshot(1.0).places
    assert (found[book[0]] == found[book[1]]) is is_near


def test_a_coordinate_that_has_not_settled_places_nobody() -> None:
    book = Book()
    settle(book, 0, 0.0, error=5000)
    settle(book, 1, 0.0, error=5001, started_s=1)
    settle(book, 2, None)
    found = book.snapshot(1.0).places
    assert found[book[0]].region == f"~{short(book[0])}"
    assert found[book[1]] is found[book[2]] is NOWHERE


def test_coordinates_of_different_spaces_are_not_near() -> None:
    book = Book()
    settle(book, 0, 0.0)
    settle(book, 1, 0.0, started_s=1)
    report = book.ledger.report(book[1])
    assert report is not None
    book.say(1, replace(report, coordinate=Coordinate((0, 0, 0), 0, 1000)), at=1.0)
    assert len({place.region for place in book.snapshot(1.0).places.values()}) == 2


def test_clusters_are_bounded_and_who_is_near_none_of_them_is_nowhere() -> None:
    book = Book()
    for number in range(4):
        settle(book, number, 100.0 * number, started_s=number)
    settle(book, 4, 101.0, started_s=9)
    found = places(book.ledger, [book[number] for number in range(5)], ClusterConfig(most=2))
    assert [found[book[number]].region is not None for number in range(5)] == [True, True, False, False, True]


def test_who_falls_silent_stays_where_it_was() -> None:
    book = Book()
    settle(book, 0, 0.0)
    assert book.snapshot(1.0).fresh_report(book[0]) is not None
    assert book.snapshot(3600.0).fresh_report(book[0]) is None
    assert book.snapshot(3600.0).places[book[0]].region == f"~{short(book[0])}"


def test_a_peer_is_shown_with_its_region_and_who_says_so() -> None:
    book = Book()
    settle(book, 0, 0.0, region="eu")
    settle(book, 1, 0.0)
    settle(book, 2, None)
    snapshot = book.snapshot(1.0)
    shown = [(view.region, view.region_source) for view in (peer_view(snapshot, book[number]) for number in range(3))]
    assert shown == [("eu", "declared"), (f"~{short(book[1])}", "latency"), (None, None)]


people = st.lists(
    st.tuples(
        st.sampled_from([None, "eu", "us"]),
        st.none() | st.integers(-60, 60),
        st.integers(0, 3),
        st.sampled_from([500, 9000]),
    ),
    max_size=10,
)


def moment_of(peers: list[tuple[str | None, int | None, int, int]], order: list[int]) -> Snapshot:
    book = Book()
    for number in order:
        region, x_ms, started_s, error = peers[number]
        settle(book, number, x_ms, region=region, started_s=started_s, error=error)
    return book.snapshot(1.0)


@given(people, st.integers())
def test_equal_ledgers_give_equal_clusters_each_within_reach_of_its_leader(peers: list, seed: int) -> None:
    order = list(range(len(peers)))
    found = moment_of(peers, order).places
    random.Random(seed).shuffle(order)
    snapshot = moment_of(peers, order)
    assert snapshot.places == found
    book = Book()
    leaders = {f"~{short(book[number])}": coordinate(peers[number][1] or 0) for number in order}
    for number in order:
        region, x_ms, _, error = peers[number]
        place = found[book[number]]
        if region is not None:
            assert place == Place(region, "declared")
        elif x_ms is None or error > 5000:
            assert place is NOWHERE
        else:
            assert place.region is not None
            away_s = estimate_s(leaders[place.region], coordinate(x_ms))
            assert away_s is not None
            assert away_s <= RADIUS_S
    heads = [leaders[name] for name in {place.region for place in found.values() if place.source == "latency"}]
    apart = [estimate_s(one, other) for i, one in enumerate(heads) for other in heads[i + 1 :]]
    assert all(away_s is not None and away_s > RADIUS_S for away_s in apart)


def test_a_report_without_a_coordinate_is_no_place() -> None:
    book = Book()
    book.introduce(0, region=None)
    book.say(0, Report(5000, ()))
    assert book.snapshot(1.0).places == {book[0]: NOWHERE}
