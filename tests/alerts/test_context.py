"""What stands around alerts, read from a ledger."""

import pytest
from msgspec.structs import replace

from alarms import partition
from ledgers import WALL_S, Book, lose, meshed
from maps import join, tell
from peerscope.alerts.context import Context, context_of, labels_with_version
from peerscope.alerts.model import Alert
from peerscope.records.bodies import Profile
from peerscope.records.hosts import HostTokens
from peerscope.views.links import mesh_links


def around(book: Book, now: float, *alerts: Alert, before: Context | None = None) -> Context:
    snapshot = book.snapshot(now)
    return context_of(snapshot, mesh_links(snapshot), alerts, before)


def test_everybody_has_a_region_a_version_and_links_both_ways() -> None:
    book = meshed(4)
    book.introduce(3, at=1.0, region=None)
    found = around(book, 1.5)
    names = [book[number].hex() for number in range(4)]
    assert found.regions == dict.fromkeys(names[:3], "eu") | {names[3]: None}
    assert found.versions["agent"] == dict.fromkeys(names, "1.0")
    assert found.links[names[0]] == {other: pytest.approx(0.001) for other in names[1:]}
    assert names[0] in found.links[names[3]]


def test_who_said_goodbye_is_not_there() -> None:
    book = meshed(4)
    book.introduce(3, at=1.0, left=True)
    found = around(book, 1.5)
    assert book[3].hex() not in found.regions
    assert book[3].hex() not in found.links[book[0].hex()]


def test_the_dead_keep_the_links_of_their_last_report() -> None:
    book = meshed(6)
    at = lose(book, 5, range(5))
    found = around(book, at)
    assert book.snapshot(at).verdict(book[5]).value == "down"
    assert found.links[book[5].hex()].keys() == {book[number].hex() for number in range(5)}


def test_the_version_of_a_node_stands_under_its_name() -> None:
    book = meshed(2)
    labels = (("node_version", "0.9"), ("rack", "7"))
    book.say(1, Profile(("10.0.0.1:1",), "eu", "1.0", 1_700_000_000_000, node="beam", labels=labels), at=1.0)
    assert around(book, 1.5).versions["beam"] == {book[1].hex(): "0.9"}


def test_peers_of_one_machine_share_its_name_and_unknown_ones_have_none() -> None:
    book = meshed(4)
    for number, boot in ((0, b"1" * 8), (1, b"1" * 8), (2, b"2" * 8)):
        profile = Profile((f"10.0.0.{number}:1",), "eu", "1.0", 0, host=HostTokens(boot))
        book.say(number, profile, at=1.0)
    hosts = around(book, 1.5).hosts
    assert hosts[book[0].hex()] == hosts[book[1].hex()] != hosts[book[2].hex()]
    assert book[3].hex() not in hosts


def test_a_prefix_is_that_of_a_public_address() -> None:
    book = meshed(3)
    book.say(1, Profile(("192.168.0.9:1", "8.8.4.4:1"), "eu", "1.0", 0), at=1.0)
    book.say(2, Profile(("8.8.4.9:1",), "eu", "1.0", 0, left=True), at=1.0)
    assert around(book, 1.5).prefixes == {book[1].hex(): "8.8.4.0/24"}


def test_the_links_of_nodes_join_their_peers_both_ways() -> None:
    book = Book()
    for number in range(4):
        join(book, number, node="beam", node_id=f"node{number}")
    tell(book, 0, overlay=[("node1", 2000), ("node2", None), ("stranger", 5), ("node0", 1)])
    tell(book, 1, overlay=[("node0", 4000)])
    tell(book, 3)
    one, other, third = (book[number].hex() for number in range(3))
    assert around(book, 1.0).overlay == {
        one: {other: pytest.approx(0.003), third: None},
        other: {one: pytest.approx(0.003)},
        third: {one: None},
    }


def test_a_node_that_died_keeps_the_neighbours_that_it_had() -> None:
    book = meshed(6)
    for number in (4, 5):
        join(book, number, node="beam", node_id=f"node{number}", at=0.5)
    tell(book, 5, range(5), overlay=[("node4", 1000)], at=0.5)
    at = lose(book, 5, range(5))
    assert book.snapshot(at).verdict(book[5]).value == "down"
    assert around(book, at).overlay == {
        book[4].hex(): {book[5].hex(): 0.001},
        book[5].hex(): {book[4].hex(): 0.001},
    }


def test_nodes_of_two_kinds_with_one_name_are_two() -> None:
    book = Book()
    join(book, 0, node="beam", node_id="same")
    join(book, 1, node="kubo", node_id="other")
    tell(book, 1, overlay=[("same", 1)])
    assert around(book, 1.0).overlay == {}


def test_a_new_version_replaces_the_old_label_and_an_unknown_one_leaves_it() -> None:
    labels = (("node_version", "0.9"), ("rack", "7"))
    assert dict(labels_with_version(labels, "1.0")) == {"rack": "7", "node_version": "1.0"}
    assert labels_with_version(labels, None) == labels
    assert labels_with_version(labels_with_version((), "1.0"), "1.0") == (("node_version", "1.0"),)


def test_a_group_has_its_members_and_keeps_them_when_it_is_back() -> None:
    book = meshed(10)
    at = 6.0
    for number in range(6):
        book.report(number, *(other for other in range(6) if other != number), at=at)
        book.accuse(number, range(6, 10), at=at, silence_s=5.0)
    (group,) = book.snapshot(at).partitions
    about = partition(f"group-{group.peers[0].hex()[:16]}", at)
    found = around(book, at, about)
    assert found.groups == {about.id: tuple(peer.hex() for peer in group.peers)}
    healed = meshed(10)
    over = replace(about, state="resolved", resolved_at=WALL_S + 9.0)
    assert around(healed, 1.0, over, before=found).groups == found.groups
    assert around(healed, 1.0, over).groups == {}
