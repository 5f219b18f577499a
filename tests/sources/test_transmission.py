"""Transmission's RPC: the session id, trackers that fail, and answers that are none."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from peerscope.errors import SourceError
from peerscope.sources.base import Reading
from peerscope.sources.programs.transmission import SESSION_HEADER, TransmissionSource
from scripted_node import Answered, Asked, ScriptedNode, scripted_node

DEAD, ALIVE = "http://dead.example:80/announce?passkey=secret", "udp://alive.example:1337"
OK = {"hasAnnounced": True, "lastAnnounceSucceeded": True, "lastAnnounceTimedOut": False}
BAD = OK | {"lastAnnounceSucceeded": False}


@pytest.fixture
def node() -> Iterator[ScriptedNode]:
    with scripted_node() as node:
        yield node


def torrent(status: int = 6, error: int = 0, peers: int = 0, **trackers: dict[str, Any]) -> dict[str, Any]:
    urls = {"dead": DEAD, "alive": ALIVE}
    known = [{"announce": urls[name], **one} for name, one in trackers.items()]
    return {"status": status, "error": error, "peersConnected": peers, "trackerStats": known}


class Daemon:
    """Answers as version 3.00 does, and changes its session id when asked to."""

    def __init__(self, *torrents: dict[str, Any]) -> None:
        self.session = "one"
        self.torrents = list(torrents)
        self.totals = {"uploadedBytes": 5, "downloadedBytes": 6}

    def __call__(self, asked: Asked) -> Answered:
        if asked.headers[SESSION_HEADER] != self.session:
            return Answered(b"<h1>409: Conflict</h1>", 409, **{SESSION_HEADER: self.session})
        question = json.loads(asked.body)
        known: dict[str, Any] = {
            "session-get": {"version": "3.00 (bb6b5a062e)", "dht-enabled": True},
            "session-stats": {"current-stats": self.totals},
            "torrent-get": {"torrents": self.torrents},
        }
        return Answered(json.dumps({"arguments": known[question["method"]], "result": "success"}).encode())


def read(node: ScriptedNode, answer: Any) -> Reading:
    node.answer = answer
    return asyncio.run(TransmissionSource(node.url).read())


def measures(reading: Reading) -> dict[str, Any]:
    return {one.name: one.value for one in reading.measures}


def test_the_session_id_is_taken_from_a_refusal_also_when_it_changes(node: ScriptedNode) -> None:
    node.answer = daemon = Daemon(torrent(peers=2))
    source = TransmissionSource(node.url)
    for session in ("one", "two"):
        daemon.session = session
        reading = asyncio.run(source.read())
        assert (reading.metrics.p2p_peers, reading.metrics.sent_bytes, reading.metrics.received_bytes) == (2, 5, 6)
    assert len([one for one in node.requests if one.headers[SESSION_HEADER] == "two"]) == 3  # no trackers so soon


def test_a_tracker_fails_if_it_fails_for_every_torrent(node: ScriptedNode) -> None:
    torrents = [torrent(dead=BAD, alive=BAD), torrent(dead=BAD, alive=OK), torrent(status=0, dead=OK)]
    reading = read(node, Daemon(*torrents, torrent(error=3)))
    assert measures(reading) == {"torrents": 4, "torrents_failing": 1, "trackers": 2, "trackers_failing": 1}
    assert reading.details["trackers_failing_hosts"] == "dead.example:80"
    assert "secret" not in repr(reading)


def test_a_daemon_without_torrents_has_none(node: ScriptedNode) -> None:
    reading = read(node, Daemon())
    assert measures(reading) == {"torrents": 0, "torrents_failing": 0, "trackers": 0, "trackers_failing": 0}
    assert (reading.metrics.p2p_peers, reading.details["trackers_failing_hosts"]) == (0, None)


def test_a_tracker_not_asked_yet_does_not_count(node: ScriptedNode) -> None:
    assert measures(read(node, Daemon(torrent(dead=BAD | {"hasAnnounced": False}))))["trackers"] == 0


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answered(b"", 409), "it is not Transmission"),
        (Answered(b"", 409, **{SESSION_HEADER: "x" * 300}), "it is not Transmission"),
        (Answered(b"", 409, **{SESSION_HEADER: "again"}), "refuses the session id"),
        (Answered(b"", 401), "wants credentials"),
        (Answered(b"<html>", 200, Content_Type="text/html"), "it is text/html"),
        (Answered(b'{"result":"no such method"}'), "answers no such method"),
        (Answered(b'{"result":"success","arguments":{"version":3}}'), "something else"),
        (Answered(b'{"result":"success","arguments":' + b"[" * 9999), "expected JSON"),
    ],
)
def test_an_answer_that_is_none_is_named(node: ScriptedNode, answer: Answered, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        read(node, lambda _: answer)


@pytest.mark.parametrize("value", ["-1", "1e30", "9007199254740993", '"5"', "null"])
def test_a_strange_total_is_refused(node: ScriptedNode, value: str) -> None:
    daemon = Daemon()
    daemon.totals["uploadedBytes"] = json.loads(value)
    with pytest.raises(SourceError, match="something else"):
        read(node, daemon)
