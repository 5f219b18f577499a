"""An agent's traffic: hops are timed by the right clock, named by region, and kept in bounds."""

import pytest

from ledgers import WALL_S, Book
from peerscope.agent.traffic import LATEST_MAX, WAITING_MAX, Traffic
from peerscope.mesh.events import Delivered, Forgotten
from peerscope.records.bodies import LinkReading, Profile, Report
from peerscope.records.identity import PeerId, PeerRef, ref, short
from peerscope.views.traces import HopEvent

AHEAD_S = {0: 0.0, 1: 3600.0}
"""Clocks that pings told of: our own, and that of one neighbour."""


@pytest.fixture
def book() -> Book:
    """Ourselves in eu, one with a node of its own in us, one far away that we never pinged, one without a region."""
    book = Book()
    book.introduce(0)
    book.say(1, Profile((), "us", "1", 0, node="beam", node_id="node-one"))
    book.introduce(2, region="ap")
    book.introduce(3, region=None)
    return book


@pytest.fixture
def traffic(book: Book) -> Traffic:
    clocks: dict[PeerId, float | None] = {book[number]: ahead_s for number, ahead_s in AHEAD_S.items()}
    return Traffic(book[0], lambda: book.snapshot(1.0), clocks.get)


def pushed(book: Book, *numbers: int, hops_us: tuple[int | None, ...]) -> Delivered:
    return Delivered(tuple(ref(book[number]) for number in numbers), hops_us)


def test_a_push_counts_for_its_regions_and_for_its_peers(book: Book, traffic: Traffic) -> None:
    traffic.note(pushed(book, 2, 1, 0, hops_us=(60_000, 40_000)))
    traffic.note(pushed(book, 2, 1, 0, hops_us=(None, 40_000)))
    traffic.note(Forgotten(book[2]))
    (route,) = traffic.routes("region")
    assert (route.route, route.layer, route.delivered, route.measured) == ("ap>us>eu", "mesh", 2, 1)
    assert route.p50_s == pytest.approx(0.1, rel=0.01)
    (route,) = traffic.routes("peer")
    assert route.via == tuple(short(book[number]) for number in (2, 1, 0))
    newest, oldest = traffic.traces().latest
    assert (newest.hops_s, newest.latency_s) == ((None, 0.04), None)
    assert (oldest.regions, oldest.latency_s) == (("ap", "us", "eu"), 0.1)


def test_a_peer_without_a_region_and_one_nobody_knows_are_question_marks(book: Book, traffic: Traffic) -> None:
    stranger = PeerRef(b"stranger")
    traffic.note(Delivered((stranger, ref(book[3]), ref(book[0])), (1000, 1000)))
    assert [route.via for route in traffic.routes("region")] == [("?", "eu")]


def tell(traffic: Traffic, *hops: tuple[str, str | None, float]) -> None:
    for kind, peer, at in hops:
        traffic.hop(HopEvent("m", kind, at, peer))  # type: ignore[arg-type]


@pytest.mark.parametrize("origin", ["node-one", "id"])
def test_a_hop_at_a_neighbour_is_timed_by_its_clock_by_whatever_name(book: Book, traffic: Traffic, origin: str) -> None:
    name = book[1].hex().upper() if origin == "id" else origin
    tell(traffic, ("sent", name, WALL_S + 3600.0), ("received", None, WALL_S + 0.2), ("delivered", None, WALL_S + 0.25))
    (route,) = traffic.routes("region")
    assert (route.route, route.layer, route.delivered) == ("us>eu", "node", 1)
    assert route.p50_s == pytest.approx(0.25, rel=0.01)


@pytest.mark.parametrize("name", ["a node without an agent", "far"])
def test_a_clock_nobody_knows_leaves_the_latency_unknown(book: Book, traffic: Traffic, name: str) -> None:
    origin = book[2].hex() if name == "far" else name
    tell(traffic, ("sent", origin, WALL_S), ("delivered", None, WALL_S + 0.25))
    (route,) = traffic.routes("region")
    assert (route.delivered, route.measured, route.p50_s) == (1, 0, None)
    assert route.route == ("ap>eu" if name == "far" else "?>eu")


def test_what_a_node_sends_is_open_and_makes_no_route(book: Book, traffic: Traffic) -> None:
    tell(traffic, ("sent", None, WALL_S))
    assert (traffic.routes("region"), traffic.traces().open, traffic.traces().latest) == ([], 1, ())


def test_many_traces_are_folded_without_being_asked_for_and_only_the_last_are_kept(
    book: Book, traffic: Traffic
) -> None:
    for number in range(3 * WAITING_MAX):
        traffic.note(pushed(book, 1, 0, hops_us=(number,)))
    assert len(traffic._waiting) < WAITING_MAX
    assert [trace.latency_s for trace in traffic.traces().latest] == [
        number / 1e6 for number in range(3 * WAITING_MAX - 1, 3 * WAITING_MAX - 1 - LATEST_MAX, -1)
    ]


def test_a_node_that_tells_nothing_is_unknown_and_one_that_is_quiet_is_zero(traffic: Traffic) -> None:
    assert traffic.throughput().node is None
    traffic.begin_node()
    node = traffic.throughput().node
    assert node is not None
    assert (node.messages_in, node.messages_out) == (0, 0)
    traffic.node_message(100, sent=True)
    traffic.node_message(700, sent=False, messages=7)
    node = traffic.throughput().node
    assert node is not None
    assert (node.messages_in, node.bytes_in, node.messages_out, node.bytes_out) == (7, 700, 1, 100)
    assert traffic.throughput().mesh.messages_in == 0


@pytest.mark.parametrize("digits", [10, 16, 64])
def test_a_peer_is_found_by_every_form_of_its_id(book: Book, traffic: Traffic, digits: int) -> None:
    tell(traffic, ("sent", book[1].hex()[:digits], WALL_S + 3600.0), ("delivered", None, WALL_S + 0.25))
    (route,) = traffic.routes("region")
    assert (route.route, route.measured) == ("us>eu", 1)
    assert traffic.traces().unknown_peers == ()


def test_names_that_mean_nobody_are_counted_and_shown(book: Book, traffic: Traffic) -> None:
    for number in range(40):
        traffic.hop(HopEvent(f"m{number}", "sent", WALL_S, f"node {number}"))
    found = traffic.traces()
    assert found.counters["peer-unknown"] == 40
    assert found.unknown_peers == tuple(f"node {number}" for number in range(24, 40))
    traffic.hop(HopEvent("far", "sent", WALL_S, book[2].hex()))
    assert traffic.traces().counters["clock-unknown"] == 1


def test_a_clock_over_other_peers_times_a_hop_unless_its_error_is_longer_than_the_hop(book: Book) -> None:
    def report(number: int, *links: tuple[int, int, float]) -> None:
        readings = (
            LinkReading(ref(book[other]), rtt_us, skew_s=0, skew_rest=round(ahead_s * 10_000))
            for other, rtt_us, ahead_s in links
        )
        book.say(number, Report(5000, (), tuple(readings)))

    report(0, (1, 20_000, 0.1), (3, 20_000, 0.2))
    report(1, (0, 20_000, -0.1), (2, 20_000, 0.2))
    report(3, (0, 20_000, -0.2), (2, 20_000, 0.1))
    report(2, (1, 20_000, -0.2), (3, 20_000, -0.1))
    traffic = Traffic(book[0], lambda: book.snapshot(1.0), {book[0]: 0.0}.get)
    tell(traffic, ("sent", book[2].hex(), WALL_S + 0.3), ("delivered", None, WALL_S + 0.040))
    (trace,) = traffic.traces().latest
    assert trace.latency_s == pytest.approx(0.040, abs=1e-3)
    assert trace.error_s is not None
    assert 0 < trace.error_s < 0.003
    assert trace.bound_s == pytest.approx(0.020 + trace.error_s / 2, abs=0.005)  # half of 20 ms twice, on each path
    traffic.hop(HopEvent("near", "sent", WALL_S + 0.3, book[2].hex()))
    traffic.hop(HopEvent("near", "delivered", WALL_S + 0.0005))
    assert traffic.traces().latest[0].latency_s is None  # half a millisecond by a clock that is known to one
