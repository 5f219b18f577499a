"""Round-trip times: measured where there is a link, estimated where there is none, and never mixed."""

import pytest

from latencies import settle
from ledgers import WALL_S, Book, lose, meshed
from peerscope.records.bodies import Coordinate, LinkReading, Report
from peerscope.records.identity import ref, short
from peerscope.views.latency import SAMPLE_MAX, RttSpread, latency_matrix, rtt_between


def test_a_link_says_what_its_ends_measured() -> None:
    book = Book()
    settle(book, 0, 0.0, 1, rtt_us=1000)
    settle(book, 1, 500.0, 0, rtt_us=3000)
    for source, target in ((0, 1), (1, 0)):
        found = rtt_between(book.snapshot(1.0), book[source], book[target])
        assert (found.source, found.target) == (book[source].hex(), book[target].hex())
        assert (found.rtt_s, found.estimated, found.loss_ratio, found.reason) == (
            pytest.approx(0.002),
            False,
            0.0,
            None,
        )
        assert (found.source_error_ratio, found.target_error_ratio) == (None, None)


def test_without_a_link_it_is_an_estimate_with_the_errors_of_both() -> None:
    book = Book()
    settle(book, 0, 0.0, error=1000)
    settle(book, 1, 30.0, error=2500)
    found = rtt_between(book.snapshot(1.0), book[0], book[1])
    assert (found.rtt_s, found.estimated, found.loss_ratio) == (pytest.approx(0.030), True, None)
    assert (found.source_error_ratio, found.target_error_ratio) == (0.1, 0.25)


def test_a_link_that_has_measured_nothing_yet_leaves_the_estimate() -> None:
    book = Book()
    settle(book, 0, 0.0, 1, rtt_us=None)
    settle(book, 1, 30.0)
    found = rtt_between(book.snapshot(1.0), book[0], book[1])
    assert (found.rtt_s, found.estimated, found.loss_ratio) == (pytest.approx(0.030), True, 0.0)


def test_what_nobody_knows_is_null_with_the_reason() -> None:
    book = meshed(4)
    settle(book, 5, 0.0, at=1.0)
    settle(book, 6, None, at=1.0)
    settle(book, 7, 0.0, at=1.0)
    book.say(7, Report(5000, (), coordinate=Coordinate((0, 0, 0), 0, 100)), at=2.0)
    now = lose(book, 0, [1, 2, 3])
    book.introduce(8, left=True)
    snapshot = book.snapshot(now)
    for source, target, reason in (
        (1, 1, "one and the same peer"),
        (5, 0, f"peer {short(book[0])} is down"),
        (8, 5, f"peer {short(book[8])} is left"),
        (5, 6, f"no link, and peer {short(book[6])} has no coordinate"),
        (5, 7, "no link, and coordinates of different dimensions"),
    ):
        found = rtt_between(snapshot, book[source], book[target])
        assert (found.rtt_s, found.estimated, found.reason) == (None, False, reason)


def test_an_expired_report_neither_measures_nor_estimates() -> None:
    book = Book()
    settle(book, 0, 0.0, 1)
    settle(book, 1, 1.0, 0)
    assert rtt_between(book.snapshot(1.0), book[0], book[1]).rtt_s is not None
    assert rtt_between(book.snapshot(60.0), book[0], book[1]).rtt_s is None


def test_the_matrix_has_every_pair_of_regions_once_with_both_kinds_apart() -> None:
    book = Book()
    settle(book, 0, 0.0, 1, 2, region="eu", rtt_us=4000)
    settle(book, 1, 10.0, region="eu")
    settle(book, 2, 100.0, region="us")
    settle(book, 3, 104.0, region="us")
    found = latency_matrix(book.snapshot(1.0))
    assert (found.regions, found.last_assessed) == (("eu", "us"), WALL_S + 1.0)
    pairs = {(pair.source, pair.target): (pair.measured, pair.estimated) for pair in found.pairs}
    assert pairs == {
        ("eu", "eu"): (RttSpread(0.004, 0.004, 1), RttSpread(0.010, 0.010, 1)),
        ("eu", "us"): (RttSpread(0.004, 0.004, 1), RttSpread(pytest.approx(0.097), pytest.approx(0.104), 4)),
        ("us", "us"): (None, RttSpread(0.004, 0.004, 1)),
    }


def test_without_measurements_and_coordinates_the_matrix_says_null() -> None:
    book = Book()
    book.introduce(0, 1, region="eu")
    book.report(0, 1, rtt_us=None)
    (pair,) = latency_matrix(book.snapshot(1.0)).pairs
    assert (pair.measured, pair.estimated) == (None, None)
    assert latency_matrix(Book().snapshot(1.0)).pairs == ()


def test_median_and_95th_percentile_are_of_the_measured_links() -> None:
    book = Book()
    book.introduce(*range(11))
    links = tuple(LinkReading(ref(book[number]), number * 1000, 0) for number in range(1, 11))
    book.say(0, Report(5000, (), links))
    (pair,) = latency_matrix(book.snapshot(1.0)).pairs
    assert pair.measured == RttSpread(pytest.approx(0.0055), 0.010, 10)


def test_links_and_coordinates_of_the_dead_do_not_count() -> None:
    book = Book()
    for number in range(5):
        settle(book, number, 1.0 * number, *(other for other in range(5) if other != number), region="eu")
    assert latency_matrix(book.snapshot(1.0)).pairs[0].measured == RttSpread(0.001, 0.001, 10)
    now = lose(book, 0, [1, 2, 3, 4]) + 0.1
    for number in range(1, 5):
        settle(book, number, 1.0 * number, *(n for n in range(1, 5) if n != number), region="eu", at=now)
    (pair,) = latency_matrix(book.snapshot(now)).pairs
    assert pair.measured is not None
    assert pair.measured.count == 6
    assert pair.estimated is not None
    assert pair.estimated.count == 6


def test_the_sample_is_bounded_and_the_same_for_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    assert SAMPLE_MAX >= 10
    monkeypatch.setattr("peerscope.views.latency.ESTIMATES_MAX", 12)
    book, again = Book(), Book()
    for number in range(12):
        settle(book, number, 1.0 * number, region=("eu", "us")[number % 2])
    for number in reversed(range(12)):
        settle(again, number, 1.0 * number, region=("eu", "us")[number % 2])
    found = latency_matrix(book.snapshot(1.0, me=0))
    assert latency_matrix(again.snapshot(1.0, me=5)) == found
    assert [pair.estimated.count for pair in found.pairs if pair.estimated] == [1, 4, 1]  # two of each region
