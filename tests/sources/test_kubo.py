"""A kubo node as a source, with answers recorded from kubo 0.43.1."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from answering import Answers, answering
from peerscope.errors import SourceError
from peerscope.records.bodies import OverlayLink
from peerscope.records.measures import Measure, NodeMetrics
from peerscope.sources.attachment import _checked
from peerscope.sources.base import Reading
from peerscope.sources.programs.kubo import KuboSource

ME, ONE, TWO = (f"12D3KooW{name * 44}" for name in "ABC")
NOBODY: dict[str, Any] = {"ID": "", "PublicKey": "", "Addresses": None, "AgentVersion": "", "Protocols": None}
PROVIDED = {"Sweep": {"closed": False, "operations": {"past": {"keys_provided": 3, "keys_failed": 1}}}, "Legacy": None}


def connection(peer: str, latency: str, direction: int = 1) -> dict[str, Any]:
    address = "/ip4/127.0.0.1/tcp/7701"
    return {"Addr": address, "Peer": peer, "Latency": latency, "Direction": direction, "Identify": NOBODY}


@pytest.fixture
def node() -> Iterator[Answers]:
    with answering() as answers:
        answers.by_path = {
            "/api/v0/id": {
                "ID": ME,
                "PublicKey": "x",
                "Addresses": [f"/ip4/127.0.0.1/tcp/4001/p2p/{ME}", f"/ip4/203.0.113.5/tcp/4001/p2p/{ME}"],
                "AgentVersion": "kubo/0.43.1",
                "Protocols": [],
            },
            "/api/v0/swarm/peers?latency=true&direction=true": {
                "Peers": [connection(TWO, "n/a"), connection(ONE, "20ms", 2), connection(ONE, "10ms")]
            },
            "/api/v0/bitswap/stat": {
                "Wantlist": [{"/": "Qm"}],
                "Peers": [],
                "BlocksReceived": 1,
                "DataReceived": 511,
                "DupBlksReceived": 0,
                "DupDataReceived": 0,
                "MessagesReceived": 1,
                "BlocksSent": 0,
                "DataSent": 0,
            },
            "/api/v0/stats/bw": {"TotalIn": 6125, "TotalOut": 4370, "RateIn": 0.5, "RateOut": 0},
            "/api/v0/stats/dht": b'{"Name":"wan","Buckets":[]}\n{"Name":"lan","Buckets":[{"Peers":[{"ID":"a"}]}]}\n',
            "/api/v0/repo/stat?size-only=true": {"RepoSize": 24738, "StorageMax": 10**10, "NumObjects": 0},
            "/api/v0/stats/provide?lan=false": PROVIDED,
            "/api/v0/stats/provide?lan=true": PROVIDED,
            "/api/v0/swarm/addrs/autonat": {"reachability": "Public"},
        }
        yield answers


def read(node: Answers) -> Reading:
    return asyncio.run(KuboSource(node.url).read())


def test_it_reads_peers_with_their_round_trips_bytes_and_blocks(node: Answers) -> None:
    reading = read(node)
    assert (reading.node, reading.node_id, reading.version) == ("kubo", ME, "0.43.1")
    assert reading.metrics == NodeMetrics(
        active_connections=3, p2p_peers=2, dht_puts=6, received_bytes=6125, sent_bytes=4370
    )
    assert reading.overlay == (OverlayLink(ONE, 10_000), OverlayLink(TWO, None))
    assert reading.latency_s == pytest.approx(0.01)
    assert reading.addresses == ("203.0.113.5:4001", "127.0.0.1:4001")
    assert reading.measures == (
        Measure("dht_nodes", 1, "nodes"),
        Measure("wantlist", 1, "blocks"),
        Measure("blocks_received", 1, "blocks", is_counter=True),
        Measure("blocks_sent", 0, "blocks", is_counter=True),
        Measure("repository", 24738, "bytes"),
    )
    assert reading.details["reachability"] == "Public"
    assert {method for method, *_ in node.asked} == {"POST"}


def test_a_peer_without_a_valid_name_takes_no_other_with_it(node: Answers) -> None:
    node.by_path["/api/v0/swarm/peers?latency=true&direction=true"]["Peers"].append({"Peer": "x\x1b" * 60})
    reading = _checked(read(node))
    assert [link.node for link in reading.overlay] == [ONE, TWO]
    assert (reading.metrics.active_connections, reading.details["names_refused"]) == (4, 1.0)


def test_a_node_alone_has_zero_peers_and_no_latency(node: Answers) -> None:
    node.by_path["/api/v0/swarm/peers?latency=true&direction=true"] = {"Peers": None}
    node.by_path["/api/v0/bitswap/stat"] = {"Wantlist": None}
    reading = read(node)
    assert (reading.metrics.active_connections, reading.metrics.p2p_peers) == (0, 0)
    assert (reading.overlay, reading.latency_s) == ((), None)


@pytest.mark.parametrize(
    "refusal", [(500, {"Message": "routing service is not a DHT"}), (404, b""), (403, b"no"), (400, b"")]
)
def test_parts_that_a_node_lacks_or_forbids_are_unknown(node: Answers, refusal: tuple[int, Any]) -> None:
    for path in ("stats/dht", "stats/provide?lan=false", "stats/provide?lan=true", "repo/stat?size-only=true"):
        node.by_path[f"/api/v0/{path}"] = refusal
    reading = read(node)
    measures = {one.name: one.value for one in reading.measures}
    assert (measures["dht_nodes"], measures["repository"], reading.metrics.dht_puts) == (None, None, None)
    assert reading.metrics.p2p_peers == 2


def test_a_node_that_is_offline_says_so_in_its_own_words(node: Answers) -> None:
    words = "this command must be run in online mode. Try running 'ipfs daemon' first."
    node.by_path["/api/v0/swarm/peers?latency=true&direction=true"] = (500, {"Message": words, "Type": "error"})
    with pytest.raises(SourceError, match="must be run in online mode"):
        read(node)


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("id", {"ID": "a\x1b[2J"}),
        ("id", {"ID": ""}),
        ("id", b'{"ID": "12D3'),
        ("id", b"<html>"),
        ("id", b"[" * 100_000),
        ("stats/bw", {"TotalIn": -1, "TotalOut": 1}),
        ("stats/bw", b'{"TotalIn": NaN, "TotalOut": 1}'),
        ("stats/bw", b'{"TotalIn": 1e300, "TotalOut": 1}'),
        ("stats/bw", {"TotalIn": 2**60, "TotalOut": 1}),
        ("stats/dht", b'{"Name":"wan","Buckets":[]}\n{"Na'),
    ],
)
def test_wrong_and_hostile_answers_are_refused(node: Answers, path: str, answer: Any) -> None:
    node.by_path[f"/api/v0/{path}"] = answer
    with pytest.raises(SourceError):
        read(node)


def test_control_characters_of_others_are_never_shown(node: Answers) -> None:
    node.by_path["/api/v0/id"] |= {"AgentVersion": "kubo/1\x1b[31m\u202e", "Addresses": ["/ip4/1.1.1.1\n/tcp/1"]}
    reading = read(node)
    assert reading.version is not None
    assert reading.version.isprintable()
    assert reading.addresses == ()


def test_an_answer_that_breaks_off_is_refused(node: Answers) -> None:
    node.short_by = 5
    with pytest.raises(SourceError, match="broke off"):
        read(node)


def test_no_daemon_is_said_with_what_to_do() -> None:
    with pytest.raises(SourceError, match="is `ipfs daemon` running"):
        asyncio.run(KuboSource("http://127.0.0.1:1").read())
