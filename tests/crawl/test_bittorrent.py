"""A crawl of the BitTorrent DHT among nodes that lie, are silent, or are no nodes. Real ones are in tests/e2e."""

import asyncio
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from threading import Thread
from time import sleep

import pytest

from peerscope.crawl.bencode import Value, decode, encode
from peerscope.crawl.bittorrent import MainlineCrawl, MainlineOptions, crawl_bittorrent, mainline
from peerscope.crawl.dht_client import DhtClient, PacketCounts, UdpAddress
from peerscope.errors import ConfigError
from peerscope.host.clock import monotonic
from peerscope.mesh.crawling.traversal import Walk, WalkConfig
from peerscope.views.crawl import CrawlView, Share

Answer = Callable[[dict[bytes, Value], tuple[str, int]], list[tuple[bytes, socket.socket | None]]]
"""Packets for a question; each goes out from another socket where one is given."""
Packet = Callable[["FakeNode", dict[bytes, Value]], bytes]


class FakeNode:
    """A socket that answers as it is told."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.identity = secrets.token_bytes(20)
        self.entries: list[tuple[bytes, str, int]] = []
        self.version: bytes | None = b"XY\x01\x02"
        self.questions: list[dict[bytes, Value]] = []
        self.answer: Answer = lambda question, _: [(self.reply(question), None)]
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.host, self.port = self.socket.getsockname()[:2]
        self.place = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    def names(self, *others: "FakeNode") -> None:
        self.entries += [(other.identity, other.host, other.port) for other in others]

    def reply(self, question: dict[bytes, Value], **changes: Value) -> bytes:
        arguments = question[b"a"]
        assert isinstance(arguments, dict)
        target = arguments[b"target"]
        assert isinstance(target, bytes)
        near = sorted(self.entries, key=lambda entry: int.from_bytes(entry[0]) ^ int.from_bytes(target))[:8]
        packed = [(i, ip_address(h).packed, p.to_bytes(2)) for i, h, p in near]
        answer: dict[bytes, Value] = {
            b"id": self.identity,
            b"nodes": b"".join(i + h + p for i, h, p in packed if len(h) == 4),
            b"nodes6": b"".join(i + h + p for i, h, p in packed if len(h) == 16),
        }
        answer |= {name.encode(): value for name, value in changes.items()}
        message: dict[bytes, Value] = {b"t": question[b"t"], b"y": b"r", b"r": answer}
        return encode(message | ({} if self.version is None else {b"v": self.version}))

    def serve(self) -> None:
        while True:
            data, sender = self.socket.recvfrom(2048)
            if data == b"end":
                return
            question = decode(data)
            assert isinstance(question, dict)
            self.questions.append(question)
            for packet, through in self.answer(question, sender):
                (through or self.socket).sendto(packet, sender)


@contextmanager
def serving(*nodes: FakeNode) -> Iterator[None]:
    threads = [Thread(target=node.serve) for node in nodes]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for node, thread in zip(nodes, threads, strict=True):
            node.socket.sendto(b"end", (node.host, node.port))
            thread.join()
            node.socket.close()


def crawled(
    *places: str, limit: int = 100, timeout_s: float = 20.0, options: MainlineOptions | None = None
) -> CrawlView:
    async def run() -> CrawlView:
        config = WalkConfig(peers_max=limit, timeout_s=timeout_s)
        fast = options or MainlineOptions(rate=5000.0)
        return await crawl_bittorrent(places, config, fast, stopping=asyncio.Event(), progress=lambda _: None)

    return asyncio.run(run())


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peerscope.crawl.dht_client.ANSWER_S", 0.2)
    monkeypatch.setattr("peerscope.crawl.bittorrent.PER_NODE_S", 0.0)


def test_nodes_are_mapped_with_ids_versions_and_links() -> None:
    one, two, three = FakeNode(), FakeNode(), FakeNode()
    one.names(two, three)
    two.names(one)
    three.version = None
    with serving(one, two, three):
        view = crawled(one.place)
    assert {peer.peer_id: peer.addresses for peer in view.peers} == {
        node.identity.hex(): (node.place,) for node in (one, two, three)
    }
    assert {(link.source, link.target, link.confirmed) for link in view.links} == {
        (*sorted((one.identity.hex(), two.identity.hex())), True),
        (one.identity.hex(), three.identity.hex(), False),
    }
    assert view.versions == (Share("XY 0102", 2), Share("unknown", 1))
    assert (view.network, view.unreachable, view.refused, view.cut) == ("bittorrent", (), 0, 0)
    assert view.cost.sent_packets == view.cost.received_packets == len(one.questions + two.questions + three.questions)
    for question in one.questions + two.questions + three.questions:
        assert (question[b"q"], question[b"ro"]) == (b"find_node", 1)


def test_nodes_of_ip_version_6_are_mapped() -> None:
    one, two = FakeNode("::1"), FakeNode("::1")
    one.names(two)
    with serving(one, two):
        view = crawled(one.place)
    assert [peer.addresses for peer in view.peers] == [(one.place,), (two.place,)]


def test_one_node_alone_that_names_itself() -> None:
    alone = FakeNode()
    alone.names(alone)
    with serving(alone):
        view = crawled(alone.place)
    assert [peer.neighbours for peer in view.peers] == [0]
    assert view.links == ()


def test_a_silent_seed_is_asked_three_times() -> None:
    silent = FakeNode()
    silent.answer = lambda _, __: []
    with serving(silent):
        view = crawled(silent.place)
    assert view.peers == ()
    assert [(gone.peer_id, gone.reason) for gone in view.unreachable] == [
        (silent.place, "no answer within 0.2 s, asked 3 times")
    ]
    assert len({question[b"t"] for question in silent.questions}) == 3  # a new random id each time


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (lambda node, asked: encode(asked), "bad-answer: no answer of BEP 5"),  # an echo service
        (lambda node, asked: node.reply(asked, id=b"short"), "bad-answer: no id"),
        (lambda node, asked: node.reply(asked, nodes=b"x" * 25), "bad-answer: its nodes have a wrong length"),
        (lambda node, asked: node.reply(asked, nodes=7), "bad-answer: its nodes have a wrong length"),
        (lambda node, asked: encode({b"t": asked[b"t"], b"y": b"e", b"e": [203, b"\x1b[2J"]}), "says: error 203"),
        (lambda node, asked: encode({b"t": asked[b"t"], b"y": b"e", b"e": 7}), "bad-answer: no answer of BEP 5"),
        (lambda node, asked: b"HTTP/1.1 400 Bad Request\r\n\r\n", "no answer within 0.2 s, asked 3 times"),
        (lambda node, asked: node.reply(asked)[:-5], "no answer within 0.2 s, asked 3 times"),
        (lambda node, asked: encode({b"t": b"else", b"y": b"r"}), "no answer within 0.2 s, asked 3 times"),
    ],
    ids=["echo", "id", "length", "type", "error", "no error", "http", "cut", "ticket"],
)
def test_a_seed_that_speaks_something_else(packet: Packet, reason: str) -> None:
    other = FakeNode()
    other.answer = lambda question, _: [(packet(other, question), None)]
    with serving(other):
        view = crawled(other.place)
    assert view.peers == ()
    assert view.errors == (Share(reason, 1),)


def test_an_answer_from_another_address_does_not_count() -> None:
    node, liar = FakeNode(), FakeNode()
    forged = encode({b"t": b"", b"y": b"r"})
    node.answer = lambda question, _: [
        (liar.reply(question), liar.socket),
        (node.reply(question), None),
        (forged, None),
    ]
    with serving(node, liar):
        view = crawled(node.place)
    assert [peer.peer_id for peer in view.peers] == [node.identity.hex()]
    assert view.cost.stray_packets is not None
    assert view.cost.stray_packets >= 1  # what comes after the end of the crawl is not counted


def test_a_thousand_invented_nodes_cost_the_limit_at_most_and_honest_ones_come_first() -> None:
    seed, liar, honest = FakeNode(), FakeNode(), [FakeNode() for _ in range(5)]
    seed.names(liar, *honest)
    liar.entries = [(secrets.token_bytes(20), "127.0.0.1", port) for port in range(1, 1001)]
    with serving(seed, liar, *honest):
        view = crawled(seed.place, limit=60)
    assert {peer.peer_id for peer in view.peers} == {node.identity.hex() for node in (seed, liar, *honest)}
    assert view.asked == 60
    assert view.stopped == "60 peers were asked"
    assert sum(share.peers for share in view.errors) == len(view.unreachable) == 53


def test_a_thousand_ids_at_one_address_are_one_question() -> None:
    seed, liar = FakeNode(), FakeNode()
    seed.entries = [(secrets.token_bytes(20), liar.host, liar.port) for _ in range(1000)]
    with serving(seed, liar):
        view = crawled(seed.place)
    assert [peer.peer_id for peer in view.peers] == [seed.identity.hex(), liar.identity.hex()]
    assert (len(view.links), view.cut) == (1, 1)  # the bound ended the questions to the seed


def test_of_two_addresses_with_one_id_the_first_has_it_alone() -> None:
    seed, clone = FakeNode(), FakeNode()
    seed.names(clone)
    clone.identity = seed.identity
    with serving(seed, clone):
        view = crawled(seed.place)
    assert {peer.peer_id for peer in view.peers} == {seed.identity.hex(), f"{seed.identity.hex()}@{clone.place}"}


def test_copies_of_ids_do_not_rename_the_nodes_that_were_copied() -> None:
    """A liar's extra ports answer with the ids of honest nodes, and the liar names them so."""
    honest = [FakeNode() for _ in range(4)]
    liar, copies = FakeNode(), [FakeNode() for _ in range(4)]
    for one in honest:
        one.names(*[other for other in honest if other is not one], liar)
    for copy, of in zip(copies, honest, strict=True):
        copy.identity = of.identity
    liar.names(*copies)
    with serving(*honest, liar, *copies):
        view = crawled(honest[0].place)
    names = {peer.addresses[0]: peer.peer_id for peer in view.peers}
    assert {node.place: names[node.place] for node in (*honest, liar)} == {
        node.place: node.identity.hex() for node in (*honest, liar)
    }
    assert {names[node.place] for node in copies} == {f"{node.identity.hex()}@{node.place}" for node in copies}


def test_a_node_that_answers_with_another_id_than_named_does_not_take_it() -> None:
    seed, liar, honest = FakeNode(), FakeNode(), FakeNode()
    seed.entries = [(bytes(20), liar.host, liar.port)]
    liar.identity = honest.identity
    liar.names(honest)
    with serving(seed, liar, honest):
        view = crawled(seed.place)
    assert {peer.addresses[0]: peer.peer_id for peer in view.peers}[honest.place] == honest.identity.hex()


def endless(delay_s: float = 0.0) -> FakeNode:
    """A node that invents eight entries next to each target, all at its own address, and eight that are refused."""
    node = FakeNode()

    def answer(question: dict[bytes, Value], _: tuple[str, int]) -> list[tuple[bytes, socket.socket | None]]:
        arguments = question[b"a"]
        assert isinstance(arguments, dict)
        target = arguments[b"target"]
        assert isinstance(target, bytes)
        port = len(node.questions)
        near = [(target[:10] + secrets.token_bytes(10), node.host, node.port) for _ in range(8)]
        refused = [(secrets.token_bytes(20), f"224.0.0.{number}", port) for number in range(8)]
        packed = b"".join(i + ip_address(h).packed + p.to_bytes(2) for i, h, p in near + refused)
        sleep(delay_s)
        return [(node.reply(question, nodes=packed), None)]

    node.answer = answer
    return node


def test_a_table_without_end_counts_with_what_it_has_shown_when_time_is_over() -> None:
    liar = endless(delay_s=0.05)
    with serving(liar):
        view = crawled(liar.place, timeout_s=1.5)
    assert [peer.peer_id for peer in view.peers] == [liar.identity.hex()]
    assert (view.cut, view.unasked) == (1, 0)
    assert view.seconds < 1.5


def test_a_node_that_is_late_when_time_is_over_counts_with_what_it_has_shown() -> None:
    liar = endless()
    answer = liar.answer
    liar.answer = lambda question, sender: answer(question, sender) if len(liar.questions) < 10 else []
    with serving(liar):
        view = crawled(liar.place, timeout_s=0.7)
    assert ([peer.peer_id for peer in view.peers], view.cut) == ([liar.identity.hex()], 1)


def test_a_seed_without_end_leaves_time_for_those_that_it_names() -> None:
    seed, honest = endless(delay_s=0.05), FakeNode()
    answer = seed.answer

    def named_first(question: dict[bytes, Value], sender: tuple[str, int]) -> list[tuple[bytes, socket.socket | None]]:
        return [(seed.reply(question), None)] if len(seed.questions) == 1 else answer(question, sender)

    seed.entries = [(secrets.token_bytes(20), honest.host, honest.port) for _ in range(8)]
    seed.answer = named_first
    with serving(seed, honest):
        view = crawled(seed.place, timeout_s=3.0)
    assert {peer.peer_id for peer in view.peers} == {seed.identity.hex(), honest.identity.hex()}
    assert view.seconds < 2.5


def test_what_liars_invent_is_kept_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peerscope.crawl.bittorrent.REFUSED_MAX", 20)
    liar = endless()
    with serving(liar):
        view = crawled(liar.place)
    assert (len(view.peers), view.refused) == (1, 20)


def test_names_beyond_the_walk_are_not_kept() -> None:
    seed = FakeNode()
    seed.entries = [(secrets.token_bytes(20), "127.0.0.1", port) for port in range(1, 500)]

    async def run() -> MainlineCrawl:
        client = await DhtClient.bind(4, PacketCounts(), 5000.0)
        where = UdpAddress(ip_address(seed.host), seed.port)
        walk = Walk([where], WalkConfig(neighbours_max=30), monotonic())
        crawl = MainlineCrawl({4: client}, MainlineOptions(), walk)
        assert len(await crawl.neighbors(where)) > 30
        client.close()
        return crawl

    with serving(seed):
        assert len(asyncio.run(run()).claims) == 30


def test_addresses_that_nobody_may_name_are_counted_and_not_dialled() -> None:
    seed = FakeNode()
    hosts = ("224.0.0.1", "169.254.169.254", "0.0.0.0", "255.255.255.255", "169.254.0.9")
    seed.entries = [(secrets.token_bytes(20), host, 80) for host in hosts] + [(secrets.token_bytes(20), seed.host, 0)]
    with serving(seed):
        view = crawled(seed.place)
    assert (view.refused, view.asked, view.unreachable) == (6, 1, ())


def test_a_node_that_falls_silent_keeps_what_it_has_shown() -> None:
    seed = FakeNode()
    seed.entries = [(secrets.token_bytes(20), "127.0.0.1", port) for port in range(1, 100)]
    seed.answer = lambda question, _: [(seed.reply(question), None)] if len(seed.questions) < 3 else []
    with serving(seed):
        view = crawled(seed.place)
    assert [peer.peer_id for peer in view.peers] == [seed.identity.hex()]
    assert 8 <= len(view.unreachable) < 30
    assert view.cut == 1


def test_the_number_of_keys_comes_with_samples() -> None:
    able, old = FakeNode(), FakeNode()
    able.names(old)
    able.answer = lambda question, _: [(able.reply(question, num=7), None)]
    silent = lambda question: question[b"q"] == b"sample_infohashes"  # noqa: E731
    old.answer = lambda question, _: [] if silent(question) else [(old.reply(question), None)]
    with serving(able, old):
        view = crawled(able.place, options=MainlineOptions(samples=True))
    assert [peer.keys for peer in view.peers] == [7, None]


def test_options_of_a_spec() -> None:
    places, options = mainline(["bittorrent:a:1#questions=4&rate=10.5", "bittorrent:b:2#samples=yes"])
    assert places == ["a:1", "b:2"]
    assert options == MainlineOptions(questions_max=4, rate=10.5, samples=True)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("bittorrent:a:1#rate=0", "rate"),
        ("bittorrent:a:1#rate=nan", "rate"),
        ("bittorrent:a:1#questions=1001", "questions"),
        ("bittorrent:a:1#samples=maybe", "samples"),
        ("bittorrent:a:1#fast", "'fast' is no option"),
        ("bittorrent:a:1#speed=1", "is no option"),
        ("yggdrasil:/a", "not of the network bittorrent"),
    ],
)
def test_a_wrong_option_is_named(spec: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        mainline([spec])


@pytest.mark.parametrize("place", ["", "127.0.0.1", "127.0.0.1:0", "a b:1", ":1"])
def test_a_place_that_is_no_address_is_named(place: str) -> None:
    with pytest.raises(ConfigError):
        crawled(place)
