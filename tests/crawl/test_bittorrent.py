"""A crawl of the BitTorrent DHT among nodes that lie, are silent, or are no nodes. Real ones are in tests/e2e."""

import asyncio
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from threading import Thread

import pytest

from peerscope.crawl.bencode import Value, decode, encode
from peerscope.crawl.bittorrent import MainlineOptions, crawl_bittorrent, mainline
from peerscope.errors import ConfigError
from peerscope.mesh.crawling.traversal import WalkConfig
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
        config = WalkConfig(peers_max=limit, timeout_s=20.0)
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


def test_an_id_that_two_addresses_claim_stands_with_both() -> None:
    seed, clone = FakeNode(), FakeNode()
    seed.names(clone)
    clone.identity = seed.identity
    with serving(seed, clone):
        view = crawled(seed.place)
    assert {peer.peer_id for peer in view.peers} == {f"{seed.identity.hex()}@{node.place}" for node in (seed, clone)}


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
