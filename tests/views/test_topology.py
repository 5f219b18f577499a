"""The map: both ends of each link merged, strangers hollow, what is stale gone, and where the network would split."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgers import Book, lose, meshed
from maps import FAR, NEAR, barbell, join, tell
from peerscope.records.bodies import LinkReading, Report, Status
from peerscope.records.identity import ref
from peerscope.views.links import MergedLink
from peerscope.views.topology import Topology, TopologyCache, TopologyPeer, topology


def link_of(found: Topology, one: str, other: str) -> MergedLink:
    (link,) = (link for link in found.links if {link.source, link.target} == {one, other})
    return link


def strangers(found: Topology) -> list[TopologyPeer]:
    return [peer for peer in found.peers if not peer.monitored]


def test_each_end_keeps_its_own_reading_beside_the_merged_one() -> None:
    book = Book()
    book.introduce(0, 1)
    book.report(0, 1, rtt_us=10_000, loss=100)
    book.report(1, 0, rtt_us=30_000, loss=500)
    (link,) = topology(book.snapshot(1.0)).links
    assert (link.source, link.target) == (book[0].hex(), book[1].hex())
    assert (link.layer, link.kind, link.reported_by, link.estimated) == ("mesh", "mesh", "both", False)
    assert (link.rtt_s, link.source_rtt_s, link.target_rtt_s) == (pytest.approx(0.02), 0.01, 0.03)
    assert (link.loss_ratio, link.source_loss_ratio, link.target_loss_ratio) == (0.05, 0.01, 0.05)


def test_a_link_that_one_end_tells_of_says_which() -> None:
    book = Book()
    book.introduce(0, 1)
    book.report(1, 0)
    (link,) = topology(book.snapshot(1.0)).links
    assert (link.reported_by, link.source_rtt_s, link.target_rtt_s) == ("target", None, 0.001)


def test_time_that_nobody_measured_is_what_coordinates_say_and_otherwise_null() -> None:
    book = Book()
    book.introduce(0, 1, 2)
    tell(book, 0, [1, 2], coordinate=NEAR, rtt_us=None)
    tell(book, 1, coordinate=FAR)
    tell(book, 2)
    found = topology(book.snapshot(1.0))
    guessed = link_of(found, book[0].hex(), book[1].hex())
    assert (guessed.rtt_s, guessed.estimated, guessed.source_rtt_s) == (pytest.approx(0.052), True, None)
    unknown = link_of(found, book[0].hex(), book[2].hex())
    assert (unknown.rtt_s, unknown.estimated) == (None, False)
    tell(book, 1, [0], coordinate=FAR, rtt_us=9000, at=1.0)
    measured = link_of(topology(book.snapshot(1.0)), book[0].hex(), book[1].hex())
    assert (measured.rtt_s, measured.estimated) == (0.009, False)


def test_links_and_strangers_expire_with_the_report_that_names_them() -> None:
    book = meshed(3)
    book.say(0, Report(5000, (), (LinkReading(b"stranger", 1000),)), at=1.0)
    found = topology(book.snapshot(2.0))
    (stranger,) = strangers(found)
    assert (stranger.peer_id, stranger.status, stranger.verdict) == (b"stranger".hex(), "unknown", None)
    found = topology(book.snapshot(15.5))  # three intervals after the reports of 1 and 2
    assert [{link.source, link.target} for link in found.links] == [{book[0].hex(), b"stranger".hex()}]
    found = topology(book.snapshot(17.0))
    assert (found.links, strangers(found), len(found.peers)) == ((), [], 3)


def test_a_stranger_that_tells_who_it_is_becomes_a_peer_with_the_same_links() -> None:
    book = Book()
    survey = TopologyCache()
    book.introduce(0)
    book.report(0, 1)
    before = survey.at(book.snapshot(1.0))
    assert [peer.peer_id for peer in strangers(before)] == [ref(book[1]).hex()]
    book.introduce(1)
    after = survey.at(book.snapshot(1.0))
    assert strangers(after) == []
    assert [(link.source, link.target) for link in after.links] == [(book[0].hex(), book[1].hex())]


def test_who_is_down_keeps_its_place_without_links_and_who_left_has_none() -> None:
    book = meshed(6)
    now = lose(book, 0, [2, 3, 4, 5])
    book.introduce(1, at=now, left=True)
    found = topology(book.snapshot(now, me=2))
    assert {peer.peer_id: peer.status for peer in found.peers}[book[0].hex()] == "down"
    assert book[1].hex() not in {peer.peer_id for peer in found.peers}
    assert {end for link in found.links for end in (link.source, link.target)} == {book[n].hex() for n in (2, 3, 4, 5)}
    assert found.components == (tuple(book[n].hex() for n in (2, 3, 4, 5)),)


def test_nodes_of_monitored_peers_join_the_peers_and_others_are_hollow() -> None:
    book = Book()
    join(book, 0, node="yggdrasil", node_id="ygg0")
    join(book, 1, node="yggdrasil", node_id="ygg1")
    tell(book, 0, overlay=[("ygg1", 7000), ("ygg9", None)])
    tell(book, 1, overlay=[("ygg0", 9000)])
    found = topology(book.snapshot(1.0))
    known = link_of(found, book[0].hex(), book[1].hex())
    assert (known.layer, known.kind, known.rtt_s) == ("yggdrasil", "overlay", 0.008)
    far = link_of(found, book[0].hex(), "yggdrasil:ygg9")
    assert (far.rtt_s, far.reported_by) == (None, "source")
    (stranger,) = strangers(found)
    assert (stranger.peer_id, stranger.short_id, stranger.layer) == ("yggdrasil:ygg9", "ygg9", "yggdrasil")
    assert found.components == ((book[0].hex(),), (book[1].hex(),))  # only the mesh holds the mesh together


def test_a_node_is_only_known_by_name_in_its_own_network() -> None:
    book = Book()
    join(book, 0, node="yggdrasil", node_id="a")
    join(book, 1, node="beam", node_id="b")
    tell(book, 0, overlay=[("b", None), ("a", None)])  # of itself it says nothing
    found = topology(book.snapshot(1.0))
    assert [peer.peer_id for peer in strangers(found)] == ["yggdrasil:b"]
    assert len(found.links) == 1


def test_a_node_that_calls_itself_mesh_does_not_hold_the_mesh_together() -> None:
    book = Book()
    join(book, 0, node="mesh", node_id="a")
    join(book, 1, node="mesh", node_id="b")
    tell(book, 0, overlay=[("b", 1000)])
    tell(book, 1)
    found = topology(book.snapshot(1.0))
    assert [(link.layer, link.kind) for link in found.links] == [("overlay", "overlay")]
    assert len(found.components) == 2


def test_the_middle_of_a_barbell_splits_the_network_and_so_do_its_links() -> None:
    book = barbell()
    found = topology(book.snapshot(1.0))
    assert found.articulation_peers == tuple(book[n].hex() for n in (3, 4, 5))
    assert found.bridges == ((book[3].hex(), book[4].hex()), (book[4].hex(), book[5].hex()))
    assert [len(part) for part in found.components] == [9]
    assert found.regions == {
        "side-0": tuple(book[n].hex() for n in (0, 1, 2, 3)),
        "side-5": tuple(book[n].hex() for n in (5, 6, 7, 8)),
    }


def test_a_second_way_around_and_a_failure_change_what_splits_the_network() -> None:
    book, survey = barbell(), TopologyCache()
    survey.at(book.snapshot(0.5))
    book.report(0, 1, 2, 3, 8, at=1.0)
    book.report(8, 5, 6, 7, 0, at=1.0)
    found = survey.at(book.snapshot(1.0))
    assert (found.articulation_peers, found.bridges) == ((), ())
    book = barbell()
    book.introduce(4, at=1.0, left=True)
    found = survey.at(book.snapshot(1.0))
    assert [len(part) for part in found.components] == [4, 4]
    assert (found.articulation_peers, found.bridges) == ((), ())


def test_strangers_do_not_split_the_network() -> None:
    book = meshed(3)
    links = (LinkReading(b"stranger", 1), LinkReading(ref(book[1]), 1), LinkReading(ref(book[2])))
    book.say(0, Report(5000, (), links), at=0.5)  # after the one it has: of equals either might be kept
    found = topology(book.snapshot(1.0))
    assert (found.articulation_peers, found.bridges, len(strangers(found))) == ((), (), 1)


def test_where_nothing_changed_the_map_is_the_same_object() -> None:
    book, survey = barbell(), TopologyCache()
    first = survey.at(book.snapshot(1.0))
    assert survey.at(book.snapshot(2.0)) is first
    book.report(0, 1, at=2.0, worst=Status.DEGRADED)
    second = survey.at(book.snapshot(2.0))
    assert second is not first
    assert second.components is first.components or second.components == first.components


numbers = st.integers(0, 5)
steps: st.SearchStrategy[tuple[Any, ...]] = st.one_of(
    st.tuples(st.just("join"), numbers, st.sampled_from([None, "eu", "us"]), st.sampled_from([None, "a", "b"])),
    st.tuples(st.just("leave"), numbers),
    st.tuples(st.just("tell"), numbers, st.sets(st.integers(0, 7)), st.sets(st.sampled_from("abc")), st.booleans()),
    st.tuples(st.just("accuse"), numbers, st.sets(numbers)),
    st.tuples(st.just("forget"), numbers),
    st.tuples(st.just("wait"), st.sampled_from([0.5, 5.0, 20.0])),
)


@given(st.lists(steps, max_size=25))
def test_a_map_kept_up_to_date_equals_one_from_nothing(history: list[tuple[Any, ...]]) -> None:
    book, survey, now = Book(), TopologyCache(), 0.0
    for step in history:
        now += 0.1
        match step:
            case ("join", number, region, node):
                join(book, number, region=region, node=node and "ygg", node_id=node, at=now)
            case ("leave", number):
                book.introduce(number, at=now, left=True)
            case ("tell", number, others, nodes, measured):
                overlay = [(node, 1000) for node in sorted(nodes)]
                rtt_us, place = (1000, None) if measured else (None, (NEAR, FAR)[number % 2])
                tell(book, number, sorted(others), overlay=overlay, rtt_us=rtt_us, coordinate=place, at=now)
            case ("accuse", number, subjects):
                book.accuse(number, sorted(subjects - {number}), at=now, silence_s=6.0)
            case ("forget", number) if book[number] in book.ledger:
                book.ledger.forget(book[number])
            case ("wait", seconds):
                now += seconds
        snapshot = book.snapshot(now)
        assert survey.at(snapshot) == topology(snapshot)


def test_what_nobody_says_any_more_is_forgotten() -> None:
    book, survey = Book(), TopologyCache()
    join(book, 0, node="ygg", node_id="a")
    for turn in range(3):
        book.say(0, Report(5000, (), (LinkReading(bytes((turn,)) * 8, 1000),)), at=float(turn + 1))
        survey.at(book.snapshot(turn + 1.0))
        assert len(survey.links._about) == 1
    book.ledger.forget(book[0])
    assert survey.at(book.snapshot(4.0)) == Topology((), (), {}, (), (), (), ())
    assert (survey.links._about, survey.links._ends, survey.links._links) == ({}, {}, {})
