"""The network in one line of numbers: every peer counted once, nothing measured is null, links merged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgers import WALL_S, Book, lose, meshed
from peerscope.records.bodies import LinkReading, Report, Status
from peerscope.records.identity import ref
from peerscope.views.health import NetworkHealth, expected_links, network_health
from peerscope.views.links import mesh_links

RINGS = 4
CLASSES = ("healthy", "degraded", "unhealthy", "unknown", "down")


def counts(health: NetworkHealth) -> dict[str, int]:
    return {name: getattr(health, f"{name}_peers") for name in CLASSES}


def test_an_empty_ledger_is_a_network_of_nobody() -> None:
    health = network_health(Book().snapshot(0.0), RINGS)
    assert (health.total_peers, sum(counts(health).values()), health.zones) == (0, 0, 0)
    assert (health.average_latency_s, health.median_latency_s, health.connectivity) == (None, None, None)


def test_a_lone_peer_has_no_latency_and_no_connectivity() -> None:
    book = meshed(1)
    health = network_health(book.snapshot(1.0), RINGS)
    assert (health.total_peers, health.healthy_peers) == (1, 1)
    assert (health.average_latency_s, health.median_latency_s, health.connectivity) == (None, None, None)
    assert health.last_updated == WALL_S + 1.0


def test_every_peer_is_in_one_class_and_those_that_left_in_none() -> None:
    book = meshed(6)
    now = lose(book, 0, [3, 4, 5])
    book.report(1, worst=Status.DEGRADED, at=now)
    book.report(2, worst=Status.UNHEALTHY, at=now)
    book.introduce(6)
    book.introduce(7, left=True)
    health = network_health(book.snapshot(now), RINGS)
    assert counts(health) == {"healthy": 3, "degraded": 1, "unhealthy": 1, "unknown": 1, "down": 1}
    assert health.total_peers == 7


states = st.sampled_from([*Status, "silent", "left", "down"])


@given(st.lists(states, max_size=9), st.floats(0, 60))
def test_the_classes_always_sum_to_the_total(peers: list[Status | str], now: float) -> None:
    book = Book()
    for number, state in enumerate(peers):
        book.introduce(number, left=state == "left")
        if isinstance(state, Status):
            book.report(number, worst=state)
    downed = [number for number, state in enumerate(peers) if state == "down"]
    for number in downed:
        book.report(number, 10, 11)
    for observer in (10, 11):
        book.introduce(observer)
        book.report(observer, at=6.0)
        book.accuse(observer, downed, at=6.0, silence_s=5.0)
    snapshot = book.snapshot(now)
    health = network_health(snapshot, RINGS)
    assert sum(counts(health).values()) == health.total_peers
    assert health.total_peers == len(peers) + 2 - peers.count("left")
    assert all(snapshot.statuses[peer] in {*CLASSES, "left"} for peer in snapshot.peers)


def test_latency_is_the_mean_and_the_median_of_measured_links() -> None:
    book = Book()
    book.introduce(0, 1, 2, 3)
    readings = ((1, 1000), (2, 2000), (3, 9000))
    book.say(0, Report(5000, (), tuple(LinkReading(ref(book[number]), rtt_us) for number, rtt_us in readings)))
    health = network_health(book.snapshot(1.0), RINGS)
    assert health.average_latency_s == pytest.approx(0.004)
    assert health.median_latency_s == pytest.approx(0.002)


def test_links_without_a_measurement_leave_latency_null() -> None:
    book = Book()
    book.introduce(0, 1)
    book.report(0, 1, rtt_us=None)
    health = network_health(book.snapshot(1.0), RINGS)
    assert (health.average_latency_s, health.connectivity) == (None, 1.0)


def test_connectivity_is_the_share_of_ring_links_that_are_up() -> None:
    book = meshed(5)  # with four rings everybody is everybody's neighbour, most likely; count rather than trust
    members = [book[number] for number in range(5)]
    expected = expected_links(members, RINGS)
    assert network_health(book.snapshot(1.0), RINGS).connectivity == 1.0
    for number in range(5):
        book.report(number, at=1.0)
    assert network_health(book.snapshot(1.0), RINGS).connectivity == 0.0
    one, other = sorted(expected)[0]
    book.report(members.index(one), members.index(other), at=2.0)
    assert network_health(book.snapshot(2.0), RINGS).connectivity == pytest.approx(1 / len(expected))


def test_links_beside_the_rings_do_not_count_for_connectivity() -> None:
    book = meshed(9)
    members = [book[number] for number in range(9)]
    expected = expected_links(members, 1)
    assert len(expected) == 9  # one ring
    assert network_health(book.snapshot(1.0), 1).connectivity == 1.0


def test_a_peer_that_is_down_or_left_is_not_expected_to_have_links() -> None:
    book = meshed(5)
    now = lose(book, 0, [2, 3, 4])
    book.introduce(1, at=now, left=True)
    assert network_health(book.snapshot(now), RINGS).connectivity == 1.0


def test_a_link_is_one_whichever_ends_report_it() -> None:
    book = Book()
    book.introduce(0, 1)
    book.report(0, 1, rtt_us=1000, loss=100)
    one_end = mesh_links(book.snapshot(1.0))
    book.report(1, 0, rtt_us=3000, loss=50)
    (link,) = mesh_links(book.snapshot(1.0))
    assert [(known.source, known.target) for known in one_end] == [(link.source, link.target)]
    assert (link.source, link.target) == (book[0].hex(), book[1].hex())
    assert link.source < link.target
    assert (link.rtt_s, link.loss_ratio) == (pytest.approx(0.002), 0.01)  # the mean, and the worse
    assert (link.layer, link.estimated) == ("mesh", False)


def test_what_one_end_did_not_measure_the_other_says() -> None:
    book = Book()
    book.introduce(0, 1)
    book.report(0, 1, rtt_us=None, loss=None)
    book.report(1, 0, rtt_us=4000, loss=None)
    (link,) = mesh_links(book.snapshot(1.0))
    assert (link.rtt_s, link.loss_ratio) == (0.004, None)


def test_links_with_strangers_oneself_the_dead_and_by_expired_reports_are_none() -> None:
    book = meshed(4)
    book.say(1, Report(5000, (), (LinkReading(b"stranger", 1), LinkReading(ref(book[1]), 1))), at=1.0)
    assert book[1].hex() not in {end for link in mesh_links(book.snapshot(15.5)) for end in (link.source, link.target)}
    book = meshed(4)
    now = lose(book, 0, [1, 2, 3])
    ends = {end for link in mesh_links(book.snapshot(now)) for end in (link.source, link.target)}
    assert ends == {book[number].hex() for number in (1, 2, 3)}


def test_zones_are_counted_among_those_present() -> None:
    book = Book()
    book.introduce(0, 1)
    book.introduce(2, left=True)
    assert network_health(book.snapshot(0.0), RINGS).zones == 1


def test_a_peer_that_reports_without_a_profile_is_counted_apart() -> None:
    book = meshed(4)
    assert network_health(book.snapshot(1.0), 4).unintroduced_peers == 0
    book.report(7, 0, 1)
    found = network_health(book.snapshot(1.0), 4)
    assert (found.total_peers, found.unintroduced_peers) == (4, 1)
    book.introduce(7)
    found = network_health(book.snapshot(1.0), 4)
    assert (found.total_peers, found.unintroduced_peers) == (5, 0)
