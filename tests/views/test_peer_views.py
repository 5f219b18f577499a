"""One peer as people see it: its class, its checks, its links, its clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgers import GOOD, INTERVAL_MS, WALL_S, Book, lose, meshed
from peerscope.records.bodies import CHECKS, Check, LinkReading, Profile, Report, Status
from peerscope.records.identity import ref, short
from peerscope.views.evidence import evidence_view
from peerscope.views.peers import ahead_of_network_s, peer_view, peer_views
from peerscope.views.snapshot import Snapshot, SnapshotConfig

EXPIRES_S = 3 * INTERVAL_MS / 1000


@pytest.mark.parametrize(
    ("worst", "expected"),
    [
        (Status.HEALTHY, "healthy"),
        (Status.DEGRADED, "degraded"),
        (Status.UNHEALTHY, "unhealthy"),
        (Status.UNKNOWN, "degraded"),  # one check that could not run is no clean bill of health
    ],
)
def test_a_peer_is_as_healthy_as_its_worst_check(worst: Status, expected: str) -> None:
    book = Book()
    book.introduce(0)
    book.report(0, worst=worst)
    assert book.snapshot(1.0).statuses[book[0]] == expected


def test_a_peer_without_a_report_is_unknown() -> None:
    book = Book()
    book.introduce(0)
    view = peer_view(book.snapshot(1.0), book[0])
    assert (view.status, view.verdict, view.checks, view.age_s, view.links) == ("unknown", "alive", None, None, ())


def test_a_report_without_checks_says_nothing_of_health() -> None:
    book = Book()
    book.introduce(0)
    book.say(0, Report(INTERVAL_MS, ()))
    assert book.snapshot(1.0).statuses[book[0]] == "unknown"


def test_a_report_expires_after_three_of_its_intervals() -> None:
    book = meshed(2)
    assert book.snapshot(EXPIRES_S).statuses[book[1]] == "healthy"
    late = peer_view(book.snapshot(EXPIRES_S + 0.001), book[1])
    assert (late.status, late.checks, late.links) == ("unknown", None, ())
    assert late.age_s == pytest.approx(EXPIRES_S + 0.001)


def test_a_peer_that_enough_observers_miss_for_long_enough_is_down() -> None:
    book = meshed(4)
    now = lose(book, 0, [1, 2, 3])
    view = peer_view(book.snapshot(now), book[0])
    assert (view.verdict, view.status, view.links) == ("down", "down", ())
    assert (view.accused_by, view.observers) == (3, 3)


def test_a_suspected_peer_keeps_the_class_it_gave_itself() -> None:
    book = meshed(4)
    now = lose(book, 0, [1, 2, 3], silence_s=2.0)
    view = peer_view(book.snapshot(now), book[0])
    assert (view.verdict, view.status) == ("suspect", "healthy")
    assert len(view.links) == 3


def test_a_goodbye_outweighs_every_accusation() -> None:
    book = meshed(4)
    now = lose(book, 0, [1, 2, 3])
    book.introduce(0, at=now, left=True)
    assert book.snapshot(now).statuses[book[0]] == "left"
    assert peer_view(book.snapshot(now), book[0]).verdict == "left"


def test_only_peers_that_said_who_they_are_are_shown_and_in_the_order_of_their_ids() -> None:
    book = Book()
    book.introduce(5, 1, 3)
    book.report(4)
    assert [view.peer_id for view in peer_views(book.snapshot(0.0))] == [book[number].hex() for number in (1, 3, 5)]


def test_a_view_tells_who_the_peer_is() -> None:
    book = Book()
    book.introduce(2, region="eu-west")
    view = peer_view(book.snapshot(0.0), book[2])
    assert (view.peer_id, view.short_id) == (book[2].hex(), short(book[2]))
    assert (view.region, view.version, view.addresses) == ("eu-west", "1.0", ("10.0.0.2:1",))
    assert view.started_at == 1_700_000_000.0


def test_checks_go_by_name_and_healthy_ones_say_what_was_measured() -> None:
    book = Book()
    book.introduce(0)
    bad = Check(Status.UNKNOWN, None, "the network check failed: why")
    book.say(0, Report(INTERVAL_MS, (GOOD, Check(Status.UNHEALTHY, 9900, "full"), GOOD, bad, GOOD)))
    checks = peer_view(book.snapshot(1.0), book[0]).checks
    assert checks is not None
    assert list(checks) == ["cpu", "memory", "storage", "network", "p2p"]
    assert (checks["cpu"].status, checks["cpu"].value, checks["cpu"].message) == ("healthy", 0.1, "10% busy")
    assert (checks["memory"].status, checks["memory"].value, checks["memory"].message) == ("unhealthy", 0.99, "full")
    assert (checks["network"].status, checks["network"].value) == ("unknown", None)


def test_a_report_of_more_checks_than_we_know_shows_those_we_know() -> None:
    book = Book()
    book.introduce(0)
    book.say(0, Report(INTERVAL_MS, (GOOD,) * 7))
    checks = peer_view(book.snapshot(1.0), book[0]).checks
    assert checks is not None
    assert list(checks) == list(CHECKS)


def test_links_with_strangers_are_left_out_and_nothing_measured_is_null() -> None:
    book = Book()
    book.introduce(0, 1)
    links = (LinkReading(ref(book[1]), 2500, 100), LinkReading(b"stranger"), LinkReading(ref(book[2]), 1))
    book.say(0, Report(INTERVAL_MS, (GOOD,), links))
    (link,) = peer_view(book.snapshot(1.0), book[0]).links
    assert (link.peer_id, link.rtt_s, link.loss_ratio, link.up) == (book[1].hex(), 0.0025, 0.01, True)
    book.say(0, Report(INTERVAL_MS, (GOOD,), (LinkReading(ref(book[1])),)), at=1.0)
    (link,) = peer_view(book.snapshot(1.0), book[0]).links
    assert (link.rtt_s, link.loss_ratio) == (None, None)


@pytest.mark.parametrize(("skew_s", "named"), [(0.0, None), (5.0, None), (-5.0, None), (5.5, 5.5), (-7200.0, -7200.0)])
def test_a_clock_is_named_where_it_is_more_than_five_seconds_off(skew_s: float, named: float | None) -> None:
    book = Book()
    book.introduce(1)
    book.say(1, Report(INTERVAL_MS, (GOOD,)), skew_s=skew_s)
    assert peer_view(book.snapshot(9.0), book[1]).clock_skew_s == named


def test_our_own_clock_is_never_off() -> None:
    book = Book()
    book.introduce(0)
    book.say(0, Report(INTERVAL_MS, (GOOD,)), skew_s=60.0)
    assert peer_view(book.snapshot(1.0, me=0), book[0]).clock_skew_s is None
    assert peer_view(book.snapshot(1.0, me=1), book[0]).clock_skew_s == 60.0


def test_evidence_names_who_accuses_since_when_and_who_still_hears() -> None:
    book = meshed(5)
    now = lose(book, 0, [1, 2, 3])
    proof = evidence_view(book.snapshot(now + 1.0), book[0])
    assert (proof.verdict, proof.quorum) == ("down", 3)
    assert proof.observers == tuple(book[number].hex() for number in (1, 2, 3, 4))
    assert proof.heard_by == (book[4].hex(),)
    assert [a.observer for a in proof.accusations] == [book[number].hex() for number in (1, 2, 3)]
    accusation = proof.accusations[0]
    assert accusation.last_heard_s == pytest.approx(6.0)  # five when it was issued, and one since
    assert accusation.since == pytest.approx(WALL_S + now + 1.0 - 6.0)
    assert (accusation.counts, accusation.reason) == (True, "silent")
    assert proof.arithmetic == "missed by 3 of 4 observers; 3 are needed"


def test_evidence_about_a_peer_alone_says_so() -> None:
    book = Book()
    book.introduce(0)
    proof = evidence_view(book.snapshot(0.0), book[0])
    assert (proof.verdict, proof.observers, proof.accusations) == ("alive", (), ())
    assert proof.arithmetic == "nobody watches this peer"


def test_an_accuser_that_is_itself_accused_is_shown_and_does_not_count() -> None:
    book = meshed(4)
    lose(book, 0, [1])
    book.report(1, 2, 3, at=7.0)
    book.accuse(2, [1], at=12.0, silence_s=5.0)
    proof = evidence_view(book.snapshot(14.0), book[0])
    assert [a.counts for a in proof.accusations] == [False]
    assert peer_view(book.snapshot(14.0), book[0]).accused_by == 0, "no more than there are observers"
    assert book[1].hex() not in proof.observers
    assert proof.verdict == "suspect"


def test_a_peer_that_is_down_has_no_value_and_says_since_when() -> None:
    book = meshed(4)
    assert peer_view(book.snapshot(1.0), book[0]).checks is not None
    now = lose(book, 0, [1, 2, 3], silence_s=5.0)
    view = peer_view(book.snapshot(now), book[0])
    assert (view.checks, view.metrics, view.links, view.uptime_s, view.clock_skew_s) == (None, None, (), None, None)
    assert (view.gone_since, view.gone_age_s) == (WALL_S + now - 5.0, 5.0)
    later = peer_view(book.snapshot(now + 7.0), book[0])
    assert (later.gone_since, later.gone_age_s) == (view.gone_since, 12.0)
    assert (later.started_at, later.accused_by) == (view.started_at, view.accused_by)


def test_a_living_peer_has_no_link_with_one_that_is_down() -> None:
    book = meshed(4)
    now = lose(book, 0, [1, 2, 3])
    book.report(1, 0, 2, 3, at=now)  # a report that crossed the news
    assert {link.peer_id for link in peer_view(book.snapshot(now), book[1]).links} == {book[2].hex(), book[3].hex()}
    assert {link.peer_id for link in peer_view(book.snapshot(1.0), book[1]).links} >= {book[2].hex()}


def test_one_liar_does_not_say_since_when_a_peer_is_down() -> None:
    book = meshed(4)
    now = lose(book, 0, [1, 2], silence_s=5.0)
    for claimed_s in (5.0, 0.5):
        book.accuse(3, [0], at=now, silence_s=claimed_s)
        assert peer_view(book.snapshot(now), book[0]).gone_age_s == pytest.approx(5.0, abs=0.01)


def test_a_peer_that_said_goodbye_left_when_it_did() -> None:
    book = meshed(3)
    book.introduce(1, at=2.0, left=True)
    view = peer_view(book.snapshot(9.0), book[1])
    assert (view.verdict, view.gone_since, view.gone_age_s) == ("left", WALL_S + 2.0, 7.0)
    assert (view.checks, view.links, view.uptime_s) == (None, (), None)


def test_uptime_is_reckoned_by_the_clock_of_the_peer_alone() -> None:
    book = Book()
    book.say(0, Profile(("10.0.0.0:1",), "eu", "1.0", round((WALL_S - 60.0) * 1000)))
    assert peer_view(book.snapshot(5.0), book[0]).uptime_s is None  # it has not reported
    book.report(0, at=5.0)
    assert peer_view(book.snapshot(10.0), book[0]).uptime_s == 70.0
    assert peer_view(seen_by_a_clock(book, ahead_s=3600.0), book[0]).uptime_s == 70.0
    assert peer_view(book.snapshot(10.0 + EXPIRES_S), book[0]).uptime_s is None


def seen_by_a_clock(book: Book, ahead_s: float) -> Snapshot:
    """The same ledger, seen by somebody whose wall clock is wrong."""
    return Snapshot(book.ledger, book[0], 10.0, SnapshotConfig(wall_offset_s=WALL_S + ahead_s, down_after_s=4.0))


def test_an_observer_that_is_gone_itself_still_hears_nobody() -> None:
    book = meshed(5)
    now = 6.0
    for number in (2, 3, 4):
        book.report(number, *({2, 3, 4} - {number}), at=now)
        book.accuse(number, [0, 1], at=now, silence_s=5.0)
    snapshot = book.snapshot(now)
    assert book[1] in snapshot.weigh(book[0]).heard_by  # its last report still lists the link
    assert {snapshot.verdict(book[n]).value for n in (0, 1)} <= {"down", "partitioned"}
    assert book[1].hex() not in evidence_view(snapshot, book[0]).heard_by


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
