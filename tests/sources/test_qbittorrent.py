"""qBittorrent's web interface: sessions, answers that hold only changes, trackers that are none, wrong passwords."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from peerscope.errors import ConfigError, SourceError
from peerscope.sources.base import Reading
from peerscope.sources.programs import qbittorrent
from peerscope.sources.programs.qbittorrent import ASKED_FOR_TRACKERS, QbittorrentSource
from scripted_node import Answered, Asked, ScriptedNode, scripted_node

DEAD = "http://dead.example:80/announce?passkey=secret"
PSEUDO = [{"url": f"** [{name}] **", "status": 4, "msg": ""} for name in ("DHT", "PeX", "LSD")]


@pytest.fixture
def node() -> Iterator[ScriptedNode]:
    with scripted_node() as node:
        yield node


class Client:
    """Answers as 4.5 does, or with the cookie of 5.2."""

    def __init__(self, cookie: str = "SID=abc/+d", password: str | None = None) -> None:
        self.cookie, self.password = cookie, password
        self.changes: dict[str, Any] = {"full_update": True, "server_state": {"dht_nodes": 3, "dl_info_data": 5}}
        self.trackers: dict[str, list[dict[str, Any]]] = {}
        self.logins = self.rid = 0

    def __call__(self, asked: Asked) -> Answered:
        place = urlsplit(asked.path)
        match place.path.removeprefix("/api/v2/"):
            case "auth/login":
                self.logins += 1
                if parse_qs(asked.body.decode())["password"] != [self.password]:
                    return Answered(b"Fails.")
                return Answered(b"Ok.", Set_Cookie=f"{self.cookie}; HttpOnly; path=/")
            case _ if self.password is not None and asked.headers["Cookie"] != self.cookie:
                return Answered(b"Forbidden", 403)
            case "app/version":
                return Answered(b"v4.5.2", Content_Type="text/plain")
            case "sync/maindata":
                self.rid += 1
                return Answered(json.dumps({"rid": self.rid} | self.changes).encode())
            case "torrents/trackers":
                found = self.trackers.get(parse_qs(place.query)["hash"][0])
                return Answered(json.dumps(found).encode(), 200) if found is not None else Answered(b"Not Found", 404)
        return Answered(b"", 404)


def torrent(seeds: int = 0, leechs: int = 0, state: str = "stalledUP") -> dict[str, Any]:
    return {"num_seeds": seeds, "num_leechs": leechs, "state": state, "name": "x", "tracker": ""}


def measures(reading: Reading) -> dict[str, Any]:
    return {one.name: one.value for one in reading.measures}


def name(number: int) -> str:
    return f"{number:040x}"


def test_an_answer_holds_only_what_changed(node: ScriptedNode) -> None:
    node.answer = client = Client()
    source = QbittorrentSource(node.url)
    client.changes["torrents"] = {name(1): torrent(2, 1), name(2): torrent(0, 4, "error")}
    first = asyncio.run(source.read())
    assert (first.version, first.metrics.p2p_peers, first.metrics.received_bytes) == ("v4.5.2", 7, 5)
    assert (first.metrics.sent_bytes, first.metrics.active_connections) == (None, None)  # absent is not zero
    client.changes = {"torrents": {name(1): {"num_seeds": 0}}, "server_state": {"up_info_data": 9}}
    second = asyncio.run(source.read())
    assert (second.metrics.p2p_peers, second.metrics.received_bytes, second.metrics.sent_bytes) == (5, 5, 9)
    assert measures(second) == {
        "dht_nodes": 3,
        "torrents": 2,
        "torrents_failing": 1,
        "trackers": 0,
        "trackers_failing": 0,
    }
    client.changes = {"torrents_removed": [name(2), name(9)]}
    assert measures(asyncio.run(source.read()))["torrents"] == 1
    client.changes = {"full_update": True}  # it has started again
    third = asyncio.run(source.read())
    assert (measures(third)["torrents"], third.metrics.received_bytes) == (0, None)
    asked = [parse_qs(urlsplit(one.path).query)["rid"] for one in node.requests if "maindata" in one.path]
    assert asked == [["0"], ["1"], ["2"], ["3"]]


def test_what_is_no_tracker_does_not_fail(node: ScriptedNode) -> None:
    node.answer = client = Client()
    client.changes["torrents"] = {name(number): torrent() for number in range(3)}
    alive = {"url": "udp://alive.example:1337", "status": 2}
    client.trackers = {
        name(0): [*PSEUDO, {"url": DEAD, "status": 4}, alive],
        name(1): [*PSEUDO, {"url": DEAD, "status": 6}, {"url": "http://new.example/a", "status": 1}],
    }  # the third one was removed meanwhile
    reading = asyncio.run(QbittorrentSource(node.url).read())
    assert (measures(reading)["trackers"], measures(reading)["trackers_failing"]) == (2, 1)
    assert reading.details["trackers_failing_hosts"] == "dead.example:80"
    assert "secret" not in repr(reading)


def test_each_reading_asks_a_few_torrents_and_all_get_their_turn(node: ScriptedNode) -> None:
    node.answer = client = Client()
    names = [name(number) for number in range(2 * ASKED_FOR_TRACKERS + 1)]
    client.changes["torrents"] = {one: torrent() for one in names}
    client.trackers = {one: [{"url": DEAD, "status": 4}] for one in names}
    source = QbittorrentSource(node.url)
    for _ in range(6):
        asyncio.run(source.read())
        client.changes = {}
    asked = [urlsplit(one.path).query for one in node.requests if "trackers" in one.path]
    assert len(asked) == 6 * ASKED_FOR_TRACKERS
    counts = [asked.count(f"hash={one}") for one in names]
    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("cookie", ["SID=abc/+d", "QBT_SID_8080=xyz"])
def test_it_logs_in_once_and_again_when_the_session_ends(node: ScriptedNode, tmp_path: Path, cookie: str) -> None:
    node.answer = client = Client(cookie, "päss & word")
    (tmp_path / "password").write_text("päss & word\n")
    source = QbittorrentSource(f"{node.url}#user=me&password_file={tmp_path / 'password'}")
    for _ in range(2):
        asyncio.run(source.read())
    assert client.logins == 1
    client.cookie = client.cookie + "2"
    asyncio.run(source.read())
    assert client.logins == 2
    asyncio.run(source.close())
    assert node.requests[-1].path == "/api/v2/auth/logout"


def test_a_refused_password_is_not_tried_until_the_address_is_banned(
    node: ScriptedNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(qbittorrent, "monotonic", lambda: now[0])
    node.answer = client = Client(password="right")
    (tmp_path / "password").write_text("wr0ng")
    source = QbittorrentSource(f"{node.url}#user=me&password_file={tmp_path / 'password'}")
    for _ in range(5):
        with pytest.raises(SourceError) as refused:
            asyncio.run(source.read())
        assert "wr0ng" not in str(refused.value)
    assert client.logins == 1
    (tmp_path / "password").write_text("right")
    now[0] += 901
    assert asyncio.run(source.read()).version == "v4.5.2"


def test_changes_without_a_beginning_are_refused(node: ScriptedNode) -> None:
    node.answer = client = Client()
    client.changes = {"torrents": {name(1): torrent(1)}}
    source = QbittorrentSource(node.url)
    for _ in range(2):
        with pytest.raises(SourceError, match="only changes"):
            asyncio.run(source.read())
    client.changes = {"full_update": True}
    assert measures(asyncio.run(source.read()))["torrents"] == 0


def test_without_a_user_it_asks_for_one(node: ScriptedNode) -> None:
    node.answer = Client(password="x")
    with pytest.raises(SourceError, match="wants a login, as in #user="):
        asyncio.run(QbittorrentSource(node.url).read())
    with pytest.raises(ConfigError, match="need each other"):
        QbittorrentSource(f"{node.url}#user=me")


@pytest.mark.parametrize(
    "changes",
    [
        {"rid": "1"},
        {"server_state": {"dht_nodes": -1}},
        {"server_state": {"dht_nodes": 1e300}},
        {"server_state": {"dl_info_data": 2**60}},
        {"torrents": {"<b>": {}}},
        {"torrents": {name(1): {"num_seeds": "1"}}},
        {"torrents": []},
    ],
)
def test_a_strange_answer_is_refused(node: ScriptedNode, changes: dict[str, Any]) -> None:
    node.answer = client = Client()
    client.changes = changes
    with pytest.raises(SourceError, match="expected JSON"):
        asyncio.run(QbittorrentSource(node.url).read())
