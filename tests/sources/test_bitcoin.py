"""A Bitcoin node as a source.

No package registry serves Bitcoin Core. Its answers here have the form of its published RPC documents (0.16 to 30). The
answers of btcd are recorded from btcd 0.25.0.
"""

import asyncio
import base64
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from answering import Answers, answering
from peerscope.errors import ConfigError, SourceError
from peerscope.records.bodies import OverlayLink
from peerscope.records.measures import NodeMetrics
from peerscope.sources import own_secrets
from peerscope.sources.base import Reading
from peerscope.sources.programs.bitcoin import BitcoinSource

CORE: dict[str, Any] = {
    "getblockchaininfo": {
        "chain": "main",
        "blocks": 900_000,
        "headers": 900_020,
        "bestblockhash": "00" * 32,
        "time": 1_700_000_000,
        "mediantime": 1_699_999_000,
        "verificationprogress": 0.99,
        "initialblockdownload": False,
        "warnings": [],
    },
    "getpeerinfo": [
        {
            "id": 1,
            "addr": "203.0.113.7:8333",
            "addrbind": "10.0.0.1:50000",
            "network": "ipv4",
            "inbound": False,
            "pingtime": 0.05,
            "minping": 0.04,
            "connection_type": "outbound-full-relay",
        },
        {"id": 2, "addr": "[2001:db8::7]:8333", "inbound": False, "pingwait": 45.0},
        {"id": 3, "addr": "198.51.100.9:50123", "inbound": True, "pingtime": 0.15, "pingwait": 2.0},
    ],
    "getnettotals": {"totalbytesrecv": 2055, "totalbytessent": 5698, "timemillis": 1_700_000_000_000},
    "getnetworkinfo": {
        "version": 290000,
        "subversion": "/Satoshi:29.0.0/",
        "localaddresses": [
            {"address": "abcdefghijklmnop.onion", "port": 8333, "score": 4},
            {"address": "2001:db8::1", "port": 8333, "score": 1},
            {"address": "203.0.113.1", "port": 8333, "score": 1},
        ],
    },
}
BTCD: dict[str, Any] = {
    "getblockchaininfo": {"chain": "simnet", "blocks": 10, "headers": 10, "difficulty": 1, "pruned": False},
    "getpeerinfo": [
        {"id": 1, "addr": "127.0.0.1:7900", "inbound": False, "pingtime": 0},
        {"id": 2, "addr": "127.0.0.1:7901", "inbound": False, "pingtime": 1500.0},
    ],
    "getnettotals": {"totalbytesrecv": 5698, "totalbytessent": 2055},
    "getnetworkinfo": None,
}


def batch(results: dict[str, Any]) -> Any:
    """A node that answers a batch, in another order than it was asked."""

    def one(question: dict[str, Any]) -> dict[str, Any]:
        result = results[question["method"]]
        error = {"code": -1, "message": "Command unimplemented"} if result is None else None
        return {"jsonrpc": "1.0", "result": result, "error": error, "id": question["id"]}

    return lambda questions: [one(question) for question in reversed(questions)]


@pytest.fixture
def node() -> Iterator[Answers]:
    with answering() as answers:
        answers.by_path[""] = answers.by_path["/"] = batch(CORE)
        yield answers


def read(node: Answers, cookie: Path, options: str = "") -> Reading:
    if not cookie.exists():
        cookie.write_text("__cookie__:0123abcd")
    return asyncio.run(BitcoinSource(f"{node.url}#cookie_file={cookie}{options}").read())


def test_it_reads_chain_peers_and_bytes_of_core(node: Answers, tmp_path: Path) -> None:
    reading = read(node, tmp_path / "cookie")
    assert (reading.node, reading.node_id) == ("bitcoin", "[2001:db8::1]:8333")
    assert (reading.version, reading.addresses) == ("Satoshi:29.0.0", ("[2001:db8::1]:8333", "203.0.113.1:8333"))
    assert reading.metrics == NodeMetrics(active_connections=3, p2p_peers=3, received_bytes=2055, sent_bytes=5698)
    assert reading.overlay == (OverlayLink("203.0.113.7:8333", 50_000), OverlayLink("[2001:db8::7]:8333", None))
    assert reading.latency_s == pytest.approx(0.1)
    measures = {one.name: one.value for one in reading.measures}
    age = measures.pop("tip_age")
    assert isinstance(age, int)
    assert abs(age - (time.time() - 1_700_000_000)) < 10
    assert measures == {"block_height": 900_000, "sync_lag": 20, "dead_links": 1}
    assert reading.details["inbound"] == 1.0
    sent = node.asked[0][3]["Authorization"]
    assert sent == f"Basic {base64.b64encode(b'__cookie__:0123abcd').decode()}"


def test_btcd_has_no_version_and_pings_in_microseconds(node: Answers, tmp_path: Path) -> None:
    node.by_path["/"] = node.by_path[""] = batch(BTCD)
    reading = read(node, tmp_path / "cookie", "&address=127.0.0.1:7902")
    assert (reading.node_id, reading.version, reading.addresses) == ("127.0.0.1:7902", None, ("127.0.0.1:7902",))
    assert reading.overlay == (OverlayLink("127.0.0.1:7900", None), OverlayLink("127.0.0.1:7901", 1500))
    assert {one.name: one.value for one in reading.measures}["tip_age"] is None


def test_a_fresh_node_without_peers_and_headers_is_no_failure(node: Answers, tmp_path: Path) -> None:
    chain = CORE["getblockchaininfo"] | {"blocks": 0, "headers": -1}
    node.by_path["/"] = node.by_path[""] = batch(
        CORE | {"getpeerinfo": [], "getblockchaininfo": chain, "getnetworkinfo": {"subversion": "/Satoshi:29.0.0/"}}
    )
    reading = read(node, tmp_path / "cookie")
    assert (reading.metrics.active_connections, reading.overlay, reading.latency_s) == (0, (), None)
    assert (reading.node_id, reading.addresses) == (None, ())
    assert {one.name: one.value for one in reading.measures}["sync_lag"] == 0


def test_a_node_that_still_starts_says_so_in_its_own_words(node: Answers, tmp_path: Path) -> None:
    warming = {"code": -28, "message": "Loading block index…"}
    node.by_path["/"] = node.by_path[""] = lambda questions: [
        {"result": None, "error": warming, "id": one["id"]} for one in questions
    ]
    with pytest.raises(SourceError, match="Loading block index"):
        read(node, tmp_path / "cookie")
    node.by_path["/"] = node.by_path[""] = (500, {"result": None, "error": warming, "id": None})
    with pytest.raises(SourceError, match="answers 500 Loading block index"):
        read(node, tmp_path / "cookie")


def test_a_cookie_that_cannot_be_read_is_said_with_what_to_do(node: Answers, tmp_path: Path) -> None:
    source = BitcoinSource(f"{node.url}#cookie_file={tmp_path / 'none'}")
    with pytest.raises(SourceError, match="rpccookieperms=group"):
        asyncio.run(source.read())


def test_the_own_cookie_goes_to_its_owner_at_its_own_port_only(
    node: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".bitcoin"
    folder.mkdir()
    with pytest.raises(SourceError, match="rpccookieperms=group"):
        asyncio.run(BitcoinSource(node.url).read())
    (folder / ".cookie").write_text("__cookie__:0123abcd")
    assert asyncio.run(BitcoinSource(node.url).read()).node == "bitcoin"
    asked = len(node.asked)
    (folder / "bitcoin.conf").write_text("server=1\nrpcport = 8332\n")
    with pytest.raises(SourceError, match=r"#cookie_file=PATH.*name port 8332"):
        asyncio.run(BitcoinSource(node.url).read())
    (folder / "bitcoin.conf").unlink()
    for uids in (frozenset({os.geteuid() + 7}), None):
        monkeypatch.setattr(own_secrets, "owner_uids", lambda host, port, uids=uids: uids)
        with pytest.raises(SourceError, match=r"no secret is used without #cookie_file=PATH"):
            asyncio.run(BitcoinSource(node.url).read())
    with pytest.raises(SourceError, match="not on this machine"):
        asyncio.run(BitcoinSource("http://192.0.2.1:8332").read())
    assert len(node.asked) == asked


def test_a_cookie_is_read_again_after_a_restart_of_the_node(node: Answers, tmp_path: Path) -> None:
    cookie = tmp_path / "cookie"
    cookie.write_text("__cookie__:old")
    source = BitcoinSource(f"{node.url}#cookie_file={cookie}")
    node.by_path["/"] = node.by_path[""] = (401, b"")
    with pytest.raises(SourceError, match="does not accept these credentials"):
        asyncio.run(source.read())
    cookie.write_text("__cookie__:new")
    node.by_path["/"] = node.by_path[""] = batch(CORE)
    assert asyncio.run(source.read()).metrics.p2p_peers == 3
    assert node.asked[-1][3]["Authorization"] == f"Basic {base64.b64encode(b'__cookie__:new').decode()}"


@pytest.mark.parametrize(
    ("method", "result"),
    [
        ("getblockchaininfo", {"blocks": -5, "headers": 1}),
        ("getblockchaininfo", {"blocks": 2**70, "headers": 1}),
        ("getblockchaininfo", []),
        ("getblockchaininfo", None),
        ("getpeerinfo", [{"addr": "x", "pingtime": -1.0}]),
        ("getpeerinfo", [{"addr": "x" * 1000}]),
        ("getnettotals", {"totalbytesrecv": "many", "totalbytessent": 0}),
    ],
)
def test_wrong_and_hostile_results_are_refused(node: Answers, tmp_path: Path, method: str, result: Any) -> None:
    node.by_path["/"] = node.by_path[""] = batch(CORE | {method: result})
    with pytest.raises(SourceError, match=method):
        read(node, tmp_path / "cookie")


def test_neighbours_with_strange_addresses_are_counted_and_not_named(node: Answers, tmp_path: Path) -> None:
    strange = [{"addr": addr, "inbound": False} for addr in ("a\x1b[2J:1", "1.2.3.4", "1.2.3.4:99999", "")]
    node.by_path["/"] = node.by_path[""] = batch(CORE | {"getpeerinfo": strange})
    reading = read(node, tmp_path / "cookie")
    assert (reading.metrics.p2p_peers, reading.overlay) == (4, ())


@pytest.mark.parametrize("answer", [b"", b"[]x", b"{}", b"<html>login</html>"])
def test_an_answer_that_is_no_batch_is_refused(node: Answers, tmp_path: Path, answer: bytes) -> None:
    node.by_path["/"] = node.by_path[""] = answer
    with pytest.raises(SourceError):
        read(node, tmp_path / "cookie")


def test_no_node_is_said_with_what_to_do(tmp_path: Path) -> None:
    cookie = tmp_path / "cookie"
    cookie.write_text("a:b")
    with pytest.raises(SourceError, match="is bitcoind running"):
        asyncio.run(BitcoinSource(f"http://127.0.0.1:1#cookie_file={cookie}").read())


@pytest.mark.parametrize("argument", ["#address=nowhere", "#address=h:0", "ftp://h", "http://u:p@h", "#cookie=x"])
def test_wrong_arguments_are_refused(argument: str) -> None:
    with pytest.raises(ConfigError):
        BitcoinSource(argument)
