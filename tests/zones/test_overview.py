"""The whole network from summaries: two of three agree, the third is named, nobody counts twice."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ledgers import Book, lose, meshed
from peerscope.errors import RemoteError
from peerscope.records.bodies import Check, Profile, Report, decode_body, encode_body, kind_of
from peerscope.records.hosts import HostTokens
from peerscope.records.identity import ref
from peerscope.records.ledger import Ledger
from peerscope.records.measures import Metrics, SystemMetrics
from peerscope.records.sketch import Sketch, SketchBody
from peerscope.records.summary import Summary, withdrawn
from peerscope.views.links import mesh_links
from peerscope.zones.overview import Contradictions, combined, distinct, zones
from peerscope.zones.summary import summary
from peerscope.zones.whole import whole_metrics

INTERVAL_MS = 30_000


def seen(zone: str, members: int, *aggregators: int, down: int = 0, book: Book) -> Summary:
    return Summary(
        zone=zone,
        aggregators=tuple(ref(book[number]) for number in aggregators),
        addresses=("10.0.0.1:1",),
        interval_ms=INTERVAL_MS,
        members=members,
        healthy=members - down,
        degraded=0,
        unhealthy=0,
        unknown=0,
        down=down,
    )


def told(*said: tuple[int, Summary], at: float = 0.0) -> Ledger:
    book = Book(Ledger())
    for number, body in said:
        book.say(number, body, at=at)
    return book.ledger


BOOK = Book()
HONEST = [(number, seen("eu/", 50, 1, 2, 3, book=BOOK)) for number in (1, 2, 3)]


def test_three_that_agree_are_one_zone() -> None:
    [zone] = zones(told(*HONEST), 1.0)
    assert (zone.zone, zone.summary.members, zone.disagreeing) == ("eu/", 50, ())
    assert zone.aggregators == (BOOK[1], BOOK[2], BOOK[3])


def test_the_one_that_two_others_contradict_is_named_and_does_not_count() -> None:
    liar = (2, seen("eu/", 500, 1, 2, 3, down=400, book=BOOK))
    [zone] = zones(told(HONEST[0], liar, HONEST[2]), 1.0)
    assert zone.summary.members == 50
    assert zone.disagreeing == (BOOK[2],)


def test_of_two_that_contradict_each_other_nobody_is_named() -> None:
    other = (2, seen("eu/", 500, 1, 2, 3, book=BOOK))
    [zone] = zones(told(HONEST[0], other), 1.0)
    assert zone.disagreeing == ()
    assert zone.summary.members in (50, 500)


def test_differences_of_the_time_that_records_travel_are_nobodys_lie() -> None:
    late = (2, seen("eu/", 52, 1, 2, 3, down=2, book=BOOK))
    [zone] = zones(told(HONEST[0], late, HONEST[2]), 1.0)
    assert zone.disagreeing == ()
    assert zone.summary.members == 50


def test_a_stranger_who_speaks_for_a_zone_is_not_heard_where_three_name_each_other() -> None:
    stranger = (7, seen("eu/", 9_999, 7, 1, 2, book=BOOK))
    [zone] = zones(told(*HONEST, stranger), 1.0)
    assert zone.summary.members == 50
    assert BOOK[7] not in zone.aggregators


@pytest.mark.parametrize("middle", [1, 2, 3])
def test_two_who_are_named_by_a_third_and_not_by_each_other_are_heard_with_it(middle: int) -> None:
    """While aggregators follow each other, not all know all."""
    others = [number for number in (1, 2, 3) if number != middle]
    said = [(number, seen("eu/", 50, number, middle, book=BOOK)) for number in others]
    [zone] = zones(told(*said, (middle, seen("eu/", 50, 1, 2, 3, book=BOOK))), 1.0)
    assert zone.aggregators == (BOOK[1], BOOK[2], BOOK[3])


def test_who_does_not_name_itself_and_counts_that_do_not_add_up_are_not_heard() -> None:
    alone = seen("us/", 10, 1, 2, 3, book=BOOK)
    assert zones(told((7, alone)), 1.0) == []
    assert zones(told((1, replace(alone, members=11))), 1.0) == []


def test_a_summary_that_was_taken_back_counts_no_more() -> None:
    book = Book(told(*HONEST))
    for left, (number, body) in zip((2, 1, 0), HONEST, strict=True):
        book.say(number, withdrawn(body), at=1.0)
        assert [len(zone.aggregators) for zone in zones(book.ledger, 2.0)] == [left] * (left > 0)


def test_a_summary_whose_sketches_can_be_none_is_refused_as_it_comes() -> None:
    broken = replace(HONEST[0][1], latency=SketchBody(total=1.0))
    with pytest.raises(RemoteError, match="malformed-sketch"):
        decode_body(kind_of(broken), encode_body(broken))


def test_a_zone_is_forgotten_when_its_aggregators_fall_silent() -> None:
    ledger = told(*HONEST)
    assert zones(ledger, 3 * INTERVAL_MS / 1000)
    assert zones(ledger, 3 * INTERVAL_MS / 1000 + 0.1) == []


def test_two_who_name_a_third_need_not_name_each_other() -> None:
    said = [(1, (1, 2)), (2, (1, 2, 3)), (3, (2, 3))]
    [zone] = zones(told(*((number, seen("eu/", 50, *named, book=BOOK)) for number, named in said)), 1.0)
    assert zone.aggregators == (BOOK[1], BOOK[2], BOOK[3])


numbers = st.integers(1, 6)
claimed = st.tuples(numbers, st.lists(numbers, max_size=3).map(tuple), st.integers(0, 3).map("eu/{}".format))


@given(st.lists(claimed, max_size=6, unique_by=lambda one: one[0]))
def test_whoever_names_whom_every_zone_has_speakers_that_name_themselves(
    said: list[tuple[int, tuple[int, ...], str]],
) -> None:
    ledger = told(*((number, seen(zone, 50, *named, book=BOOK)) for number, named, zone in said))
    by_peer = {BOOK[number]: (zone, named) for number, named, zone in said}
    for zone in zones(ledger, 1.0):
        assert zone.aggregators
        for speaker in zone.aggregators:
            there, named = by_peer[speaker]
            assert there == zone.zone
            assert speaker in {BOOK[number] for number in named}


@settings(deadline=None)
@given(st.permutations([*HONEST, HONEST[1], (4, seen("us/", 20, 4, 5, 6, book=BOOK))]))
def test_order_and_repetition_change_nothing(said: list[tuple[int, Summary]]) -> None:
    found = zones(told(*said), 1.0)
    assert [(zone.zone, zone.summary.members) for zone in found] == [("eu/", 50), ("us/", 20)]
    assert combined([zone.summary for zone in found]).members == 70


def test_a_summary_counts_each_member_once_and_its_parts_add_up() -> None:
    book = meshed(6)
    at = lose(book, 5, range(5))
    snapshot = book.snapshot(at)
    links = mesh_links(snapshot)
    found = summary(
        snapshot, links, [], zone="eu/", aggregators=[book[0]], addresses=["10.0.0.0:1"], interval_s=30.0, rings=4
    )
    assert (found.members, found.healthy, found.down) == (6, 5, 1)
    assert found.members == sum(found.counted[1:])
    assert found.regions[0].members == 6
    assert Sketch.of(found.latency).count == len(links)
    assert found.throughput_bytes_s is None  # nobody measured any
    assert abs(distinct([found, found]) - 6) < 3


def test_a_summary_counts_a_machine_once_however_many_agents_measure_it() -> None:
    book = meshed(6)
    metrics = Metrics(SystemMetrics(cpu=9000, memory_used_kib=50, memory_total_kib=100))
    for number in range(6):
        host = HostTokens(b"a" * 8) if number < 4 else None
        book.say(number, Profile((f"10.0.0.{number}:1",), "eu", "1.0", 0, host=host), at=0.5)
        book.say(number, Report(INTERVAL_MS, (Check(0),) * 5, metrics=metrics), at=0.5)
    found = summary(book.snapshot(1.0), [], [], zone="", aggregators=[book[0]], addresses=[], interval_s=30.0, rings=4)
    assert found.members == 6
    assert (Sketch.of(found.cpu).count, Sketch.of(found.memory).count) == (3, 3)


def test_sketches_of_zones_merge_and_sums_add_up() -> None:
    one, other = (seen(name, 10, 1, book=BOOK) for name in ("eu/", "us/"))
    slow, fast = Sketch(), Sketch()
    slow.add(0.2, 3)
    fast.add(0.01, 3)
    one, other = (
        replace(one, latency=slow.to_body(), throughput_bytes_s=5, node_throughput_bytes_s=3),
        replace(other, latency=fast.to_body()),
    )
    whole = combined([one, other])
    assert Sketch.of(whole.latency).count == 6
    assert (whole.throughput_bytes_s, whole.node_throughput_bytes_s) == (5, 3)
    told = whole_metrics(one, [other])
    assert told is not None
    assert (told.zones, told.total_peers, told.throughput_bytes_s, told.cpu_ratio) == (2, 20, 5, None)
    assert told.link_rtt_s is not None
    assert (told.link_rtt_s.peers, told.link_rtt_s.peak) == (6, 0.2)
    assert told.link_rtt_s.mean == pytest.approx(0.105)
    assert told.link_rtt_s.p95 == pytest.approx(0.2, rel=0.01)
    assert whole_metrics(one, []) is None


def test_whoever_spoke_before_half_the_zone_died_is_not_named_and_who_goes_on_contradicting_is() -> None:
    after = [(number, seen("eu/", 50, 1, 2, 3, down=25, book=BOOK)) for number in (1, 2)]
    contradictions, late = Contradictions(), told(*after, HONEST[2])
    [zone] = contradictions.lasting(zones(late, 1.0), 1.0)
    assert (zone.summary.down, zone.disagreeing) == (25, ())
    [zone] = contradictions.lasting(zones(told(*after, (3, after[0][1])), 30.0), 30.0)
    assert zone.disagreeing == ()
    # Whoever is contradicted at every look is named in the end, and no longer once it agrees.
    for now, named in ((31.0, ()), (75.0, ()), (76.5, (BOOK[3],))):
        [zone] = contradictions.lasting(zones(late, now), now)
        assert zone.disagreeing == named
    [zone] = contradictions.lasting(zones(told(*HONEST), 80.0), 80.0)
    assert zone.disagreeing == ()
