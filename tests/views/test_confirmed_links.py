"""Links between nodes: confirmed by both ends, by one, contradicted, or to a node without an agent.

Each test tries to make an edge count that is none, or to hide one that is there.
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgers import GOOD, INTERVAL_MS, Book, lose, meshed
from maps import FAR, NEAR, join, tell
from peerscope.alerts.context import context_of
from peerscope.records.bodies import OVERLAY_MAX, OverlayLink, Report
from peerscope.views import topology as map_module
from peerscope.views.dot import to_dot
from peerscope.views.svg import to_svg
from peerscope.views.topology import LayerView, Topology, topology


def network(**lists: str) -> Book:
    """Peers p0, p1, ... with nodes a, b, ...; each lists the nodes named by its letters."""
    book = Book()
    for number, (node, listed) in enumerate(lists.items()):
        join(book, number, node="ygg", node_id=node)
        tell(book, number, overlay=[(name, 1000) for name in listed])
    return book


def edges(found: Topology, book: Book, *kinds: str) -> dict[str, str | None]:
    """By the names of the two ends: numbers of peers, or names of nodes. `kinds`: of links, by default all."""
    names = {book[number].hex(): str(number) for number in range(12)}
    return {
        "-".join(sorted(names.get(end, end) for end in (link.source, link.target))): link.confirmed
        for link in found.links
        if not kinds or link.kind in kinds
    }


def test_an_edge_has_the_word_of_both_ends_of_one_or_is_contradicted() -> None:
    book = network(a="bcd", b="a", c="b", d="")
    found = topology(book.snapshot(1.0))
    assert edges(found, book) == {"0-1": "both", "0-2": "contradicted", "0-3": "one", "1-2": "contradicted"}
    assert found.layers == (LayerView("ygg", 4, 0, 0, 1, 1, 2, 0),)


def test_a_contradicted_edge_has_no_time_not_even_an_estimated_one_but_keeps_the_claim() -> None:
    book = network(a="b", b="z")
    tell(book, 0, overlay=[("b", 5000)], coordinate=NEAR, at=1.0)
    tell(book, 1, overlay=[("z", None)], coordinate=FAR, at=1.0)
    link = next(one for one in topology(book.snapshot(1.0)).links if one.confirmed == "contradicted")
    assert (link.rtt_s, link.estimated) == (None, False)
    assert sorted((link.source_rtt_s, link.target_rtt_s), key=str) == [0.005, None]


def test_a_liar_beside_many_nodes_gets_no_edge_that_counts() -> None:
    book = network(a="b", b="ac", c="b", d="abc")
    found = topology(book.snapshot(1.0))
    assert {name: word for name, word in edges(found, book).items() if "3" in name} == dict.fromkeys(
        ("0-3", "1-3", "2-3"), "contradicted"
    )
    assert found.layers[0].confirmed == 2
    around = context_of(book.snapshot(1.0), ()).overlay
    assert book[3].hex() not in around
    assert around.keys() == {book[number].hex() for number in range(3)}


def test_a_list_that_was_cut_contradicts_nobody() -> None:
    book = network(a="b", b="")
    for full, cut in ((OVERLAY_MAX, False), (3, True)):
        overlay = tuple(OverlayLink(f"n{number}") for number in range(full))
        book.say(1, Report(INTERVAL_MS, (GOOD,), overlay=overlay, overlay_cut=cut), at=full / 10)
        assert edges(topology(book.snapshot(5.0)), book)["0-1"] == "one"


def test_a_report_that_is_old_or_of_another_network_contradicts_nobody() -> None:
    book = network(a="b", b="c")
    tell(book, 0, overlay=[("b", 1000)], at=15.0)
    assert edges(topology(book.snapshot(16.0)), book) == {"0-1": "one"}  # that of b is void by now
    book = network(a="b", b="c")
    join(book, 1, node="kubo", node_id="b", at=1.0)
    assert edges(topology(book.snapshot(2.0)), book) == {"0-ygg:b": "foreign", "1-kubo:c": "foreign"}


def test_nodes_without_an_agent_are_of_the_layer_and_beyond_the_bound_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_module, "FOREIGN_MAX", 3)
    book = network(a="bxyzuv", b="axy", c="xm")
    found = topology(book.snapshot(1.0))
    assert [peer.short_id for peer in found.peers if not peer.monitored] == ["m", "x", "y"]
    (layer,) = found.layers
    assert (layer.foreign, layer.hidden, layer.to_foreign, layer.confirmed) == (6, 3, 9, 1)
    ends = {end for link in found.links for end in (link.source, link.target)}
    assert ends == {peer.peer_id for peer in found.peers}


def test_a_node_that_two_peers_claim_is_neithers_and_says_so() -> None:
    book = network(a="x", b="a")
    join(book, 2, node="ygg", node_id="b")
    tell(book, 2, overlay=[("a", 1000)])
    tell(book, 0, overlay=[("b", 1000)], at=0.5)
    found = topology(book.snapshot(1.0))
    assert edges(found, book) == {"0-1": "one", "0-2": "one", "0-ygg:b": "one"}
    (node,) = (peer for peer in found.peers if not peer.monitored)
    assert node.claimed_by == tuple(sorted(book[number].hex()[:16] for number in (1, 2)))
    assert "2 peers claim" in to_svg(found)
    assert "claimed by 2 peers" in to_dot(found)


def test_nobody_takes_the_node_of_a_peer_that_is_gone() -> None:
    """Neither does its next life under another key, until the network forgets the first: no report proves it."""
    for is_left in (False, True):
        book = meshed(6)
        for number, name in enumerate("aab"):  # 1 claims the node of 0, and lists b as that did
            join(book, number, node="ygg", node_id=name, at=0.1)
        now = lose(book, 0, [1, 2, 3, 4, 5])
        if is_left:
            join(book, 0, node="ygg", node_id="a", left=True, at=now)
        tell(book, 1, [2, 3, 4, 5], overlay=[("b", 1000)], at=now + 0.1)
        tell(book, 2, [1, 3, 4, 5], overlay=[("a", 1000)], at=now + 0.1)
        snapshot = book.snapshot(now + 0.2, me=3)
        assert edges(topology(snapshot), book, "overlay") == {"1-2": "one", "2-ygg:a": "one"}
        assert book[1].hex() not in context_of(snapshot, ()).overlay
        (node,) = (peer for peer in topology(snapshot).peers if not peer.monitored)
        assert len(node.claimed_by) == 2
        book.ledger.forget(book[0])
        assert edges(topology(book.snapshot(now + 0.2, me=3)), book, "overlay") == {"1-2": "both"}


def test_a_peer_that_went_takes_no_node_from_a_living_one() -> None:
    book = meshed(6)
    for number, name in enumerate("aab"):
        join(book, number, node="ygg", node_id=name, at=0.1)
    now = lose(book, 0, [1, 2, 3, 4, 5])
    tell(book, 1, [2, 3, 4, 5], overlay=[("b", 1000)], at=now + 0.1)
    tell(book, 2, [1, 3, 4, 5], overlay=[("a", 1000)], at=now + 0.1)
    assert "contradicted" not in edges(topology(book.snapshot(now + 0.2, me=3)), book).values()


def test_a_peer_that_does_not_know_the_name_of_its_node_is_not_contradicted() -> None:
    book = network(a="b", b="a", c="a")
    join(book, 1, node="ygg", node_id=None, at=0.5)  # its source answered, but not yet with the name
    join(book, 2, node="ygg", node_id="b", at=0.5)  # a liar takes the name that the first end lists
    found = edges(topology(book.snapshot(1.0)), book)
    assert found["0-1"] == "one"
    assert found["0-2"] == "both"  # nothing shows that the name is another's


def test_the_first_of_two_living_claimants_keeps_no_more_than_the_second() -> None:
    book = network(a="bc", b="a", c="a")
    assert set(edges(topology(book.snapshot(1.0)), book).values()) == {"both"}
    join(book, 3, node="ygg", node_id="b", at=1.0)
    tell(book, 3, overlay=[("a", 1000)], at=1.0)
    found = edges(topology(book.snapshot(2.0)), book)
    assert found == {"0-1": "one", "0-2": "both", "0-3": "one", "0-ygg:b": "one"}


def test_pictures_show_what_is_unconfirmed() -> None:
    found = topology(network(a="b", b="z").snapshot(1.0))
    assert "unconfirmed: the other end does not list it" in to_dot(found)
    assert 'label="unconfirmed"' in to_dot(found)
    assert "not listed by its other end" in to_svg(found)


lists = st.dictionaries(st.integers(0, 5), st.sets(st.sampled_from("abcdefxy")), min_size=2)


@given(lists, st.integers(0, 5))
def test_an_edge_is_confirmed_exactly_if_both_ends_list_it_whatever_a_liar_lists(
    said: dict[int, set[str]], liar: int
) -> None:
    book, nodes = Book(), dict(enumerate("abcdef"))
    for number, listed in said.items():
        join(book, number, node="ygg", node_id=nodes[number])
        tell(book, number, overlay=[(name, None) for name in sorted(listed)])
    honest: dict[str, Any] = edges(topology(book.snapshot(1.0)), book)
    for name, word in honest.items():
        one, other = name.split("-")
        if other.startswith("ygg:"):
            assert word == "foreign"
            continue
        low, high = nodes[int(other)] in said[int(one)], nodes[int(one)] in said[int(other)]
        assert (word == "both") is (low and high)
        assert (word == "contradicted") is (low is not high and bool(said[int(one)] if high else said[int(other)]))
    if liar in said:
        tell(book, liar, overlay=[(name, None) for name in "abcdef"], at=0.5)
        after = edges(topology(book.snapshot(1.0)), book)
        others = {name: word for name, word in after.items() if str(liar) not in name.split("-")}
        assert others == {name: word for name, word in honest.items() if str(liar) not in name.split("-")}
        for name, word in after.items():
            if word == "both" and str(liar) in name.split("-"):
                other = next(end for end in name.split("-") if end != str(liar))
                assert nodes[liar] in said[int(other)]
