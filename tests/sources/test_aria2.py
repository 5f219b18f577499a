"""aria2's JSON-RPC: numbers as strings, downloads that go away with their bytes, and its secret."""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from peerscope.errors import SourceError
from peerscope.sources import own_secrets
from peerscope.sources.base import Reading
from peerscope.sources.programs.aria2 import Aria2Source
from scripted_node import Answered, Asked, ScriptedNode, scripted_node


@pytest.fixture
def node() -> Iterator[ScriptedNode]:
    with scripted_node() as node:
        yield node


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", "")
    return tmp_path


def download(gid: str, received: int = 0, sent: int = 0, **more: Any) -> dict[str, Any]:
    known = {"gid": gid, "infoHash": "28" * 20, "connections": "2"}
    return known | {"completedLength": str(received), "uploadLength": str(sent)} | more


class Rpc:
    """Answers as aria2 1.36 does."""

    def __init__(self) -> None:
        self.known: dict[str, Any] = {
            "aria2.getVersion": {"version": "1.36.0", "enabledFeatures": ["BitTorrent"]},
            "aria2.tellActive": [],
            "aria2.tellWaiting": [],
            "aria2.tellStopped": [],
            "aria2.getPeers": [],
        }

    def __call__(self, asked: Asked) -> Answered:
        questions = json.loads(asked.body)
        replies = [{"jsonrpc": "2.0", "id": one["id"], "result": self.known[one["method"]]} for one in questions]
        return Answered(json.dumps(replies).encode(), Content_Type="application/json-rpc")


def measures(reading: Reading) -> dict[str, Any]:
    return {one.name: one.value for one in reading.measures}


def test_bytes_grow_while_downloads_come_and_go(node: ScriptedNode) -> None:
    node.answer = rpc = Rpc()
    source = Aria2Source(node.url)
    found = []
    for active in (
        [download("a", 500, 50)],  # downloaded before
        [download("a", 600, 60), download("b", 0)],
        [download("b", 40, 4)],
        [download("a", 0), download("b", 90, 9, verifiedLength="40")],  # its files are being checked
        [],
    ):
        rpc.known["aria2.tellActive"] = active
        metrics = asyncio.run(source.read()).metrics
        found.append((metrics.received_bytes, metrics.sent_bytes))
    assert found == [(0, 0), (100, 10), (140, 14), (140, 19), (140, 19)]


def test_torrents_are_told_from_other_downloads(node: ScriptedNode) -> None:
    node.answer = rpc = Rpc()
    web = {"gid": "w", "connections": "5", "completedLength": "9", "uploadLength": "0"}
    rpc.known["aria2.tellActive"] = [download("a"), web]
    rpc.known["aria2.tellWaiting"] = [{"gid": "c", "infoHash": "29" * 20}, {"gid": "d"}]
    rpc.known["aria2.tellStopped"] = [
        {"gid": "e", "infoHash": "30" * 20, "errorCode": "0"},
        {"gid": "f", "infoHash": "31" * 20, "errorCode": "9"},
    ]
    rpc.known["aria2.getPeers"] = [{"ip": "192.0.2.1", "port": "6881", "peerId": "x"}, {"ip": "192.0.2.1", "port": "1"}]
    reading = asyncio.run(Aria2Source(node.url).read())
    assert (reading.metrics.active_connections, reading.metrics.p2p_peers) == (7, 2)
    assert measures(reading) == {"torrents": 3, "torrents_failing": 1}  # nothing about trackers and the DHT


def test_a_torrent_that_ends_between_two_questions_has_no_peers(node: ScriptedNode) -> None:
    rpc = Rpc()
    rpc.known["aria2.tellActive"] = [download("a")]
    gone = b'[{"id":0,"jsonrpc":"2.0","error":{"code":1,"message":"GID a is not found"}}]'
    node.answer = lambda asked: Answered(gone) if b"getPeers" in asked.body else rpc(asked)
    assert asyncio.run(Aria2Source(node.url).read()).metrics.p2p_peers == 0


def test_the_secret_is_sent_in_the_question_and_never_shown(node: ScriptedNode, home: Path) -> None:
    refusal = [{"id": number, "error": {"code": 1, "message": "Unauthorized"}} for number in range(4)]
    node.answer = lambda _: Answered(json.dumps(refusal).encode(), 400)
    with pytest.raises(SourceError, match="wants its secret"):
        asyncio.run(Aria2Source(node.url).read())
    (home / "token").write_text("s3cret")
    (home / ".aria2").mkdir()
    (home / ".aria2/aria2.conf").write_text("dir=/tmp\nrpc-secret = own\n")
    for spec, token in ((f"{node.url}#token_file={home / 'token'}", "s3cret"), (node.url, "own")):
        with pytest.raises(SourceError, match="does not accept this secret") as refused:
            asyncio.run(Aria2Source(spec).read())
        assert json.loads(node.requests[-1].body)[0]["params"][0] == f"token:{token}"
        assert token not in str(refused.value)


def test_the_own_secret_goes_to_its_owner_at_its_own_port_only(
    node: ScriptedNode, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".aria2").mkdir()
    (home / ".aria2/aria2.conf").write_text("rpc-listen-port=6800\nrpc-secret=own\n")
    with pytest.raises(SourceError, match=r"#token_file=PATH.*name port 6800"):
        asyncio.run(Aria2Source(node.url).read())
    (home / ".aria2/aria2.conf").write_text("rpc-secret=own\n")
    monkeypatch.setattr(own_secrets, "owner_uids", lambda host, port: frozenset({os.geteuid() + 7}))
    with pytest.raises(SourceError, match=r"no secret is used without .*: user"):
        asyncio.run(Aria2Source(node.url).read())
    assert node.requests == []


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b'[{"id":0},{"id":0},{"id":0},{"id":0}]',
        b'[{"id":7},{"id":1},{"id":2},{"id":3}]',
        b'{"error":{"code":-32600}}',
        b"[" * 99999,
    ],
)
def test_an_answer_that_is_none_is_refused(node: ScriptedNode, body: bytes) -> None:
    node.answer = lambda _: Answered(body)
    with pytest.raises(SourceError):
        asyncio.run(Aria2Source(node.url).read())


@pytest.mark.parametrize("number", [5, "-5", "1e9", "", "9" * 30, "٣", None])
def test_a_number_that_is_none_is_refused(node: ScriptedNode, number: Any) -> None:
    node.answer = rpc = Rpc()
    rpc.known["aria2.tellActive"] = [download("a", connections=number)]
    with pytest.raises(SourceError, match="something else"):
        asyncio.run(Aria2Source(node.url).read())
