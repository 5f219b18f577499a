"""The admin socket's client against nodes that answer wrongly, slowly, too much, or not at all."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from peerscope.errors import PeerscopeError, RemoteError, TransportError
from peerscope.sources.programs import yggdrasil
from peerscope.sources.programs.yggdrasil import ANSWER_BYTES_MAX, AdminSocket, Neighbour, Self

KEY, OTHER = "ab" * 32, "cd" * 32
ADDRESS = "201:7a:c5bc:1952:3281:302d:de23:9fa4"
SELF = {"build_name": "x", "build_version": "0.4.7", "key": KEY, "address": ADDRESS, "coords": [], "subnet": "3::/64"}
PEER = {"address": ADDRESS, "key": OTHER, "port": 1, "remote": "tls://127.0.0.1:1", "bytes_recvd": 5, "uptime": 4.4}


def success(response: Any) -> bytes:
    return json.dumps({"status": "success", "request": None, "response": response}, indent=2).encode() + b"\n"


@contextlib.asynccontextmanager
async def answering(place: Path, answer: bytes, *, ends: bool = False) -> AsyncIterator[AdminSocket]:
    """A node that says this, whatever it is asked; like the real one it keeps the connection open."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read(4096)
            for at in range(0, len(answer), 50_000):
                writer.write(answer[at : at + 50_000])
                await writer.drain()
            if not ends:
                await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(serve, place / "admin")
    try:
        yield AdminSocket(str(place / "admin"))
    finally:
        server.close()


def asked(place: Path, answer: bytes, ask: Callable[[AdminSocket], Awaitable[Any]], *, ends: bool = False) -> Any:
    async def scenario() -> Any:
        async with answering(place, answer, ends=ends) as admin:
            return await ask(admin)

    return asyncio.run(scenario())


def test_the_answers_are_read(tmp_path: Path) -> None:
    assert asked(tmp_path, success(SELF), AdminSocket.self) == Self(KEY, ADDRESS, "0.4.7")
    (peer,) = asked(tmp_path, success({"peers": [PEER]}), AdminSocket.peers)
    assert peer == Neighbour(OTHER, ADDRESS, "tls://127.0.0.1:1", 5, None, 4.4)
    assert (peer.is_up, peer.rtt_us, peer.inbound) == (True, None, None)
    remote = success({ADDRESS: {"keys": [KEY, OTHER]}})
    assert asked(tmp_path, remote, lambda admin: admin.remote_peers(OTHER)) == (ADDRESS, (KEY, OTHER))


# As 0.5.14 answered on loopback.
LINK_05 = {
    "remote": "tls://127.0.0.1:46701",
    "up": True,
    "inbound": False,
    "address": ADDRESS,
    "key": OTHER,
    "port": 1,
    "priority": 0,
    "cost": 1,
    "bytes_recvd": 2356,
    "bytes_sent": 2121,
    "uptime": 14.428264094,
    "latency": 880000,
}
NOT_UP_05 = {
    "remote": "tls://127.0.0.1:1",
    "up": False,
    "inbound": False,
    "key": "",
    "port": 0,
    "priority": 0,
    "cost": 0,
    "last_error_time": 2042145167,
    "last_error": "dial tcp 127.0.0.1:1: connect: connection refused",
}


def test_a_link_that_is_not_up_spoils_no_other(tmp_path: Path) -> None:
    linked, missing = asked(tmp_path, success({"peers": [LINK_05, NOT_UP_05]}), AdminSocket.peers)
    assert (linked.is_up, linked.rtt_us, linked.cost, linked.inbound) == (True, 880, 1, False)
    assert (missing.is_up, missing.last_error) == (False, NOT_UP_05["last_error"])


@pytest.mark.parametrize(
    ("latency", "rtt_us"),
    [
        ({"latency": 880_000}, 880),
        ({"latency_ms": 880_000}, 880),  # the name in 0.5.9; nanoseconds all the same
        ({}, None),
        ({"latency": 0}, None),
        ({"latency": -5}, None),
        ({"latency": 2**62}, None),
    ],
)
def test_a_latency_is_in_nanoseconds_under_either_name(latency: dict[str, int], rtt_us: int | None) -> None:
    assert Neighbour(OTHER, **latency).rtt_us == rtt_us


def test_a_node_without_neighbours_names_none(tmp_path: Path) -> None:
    answer = success({ADDRESS: {}})
    assert asked(tmp_path, answer, lambda admin: admin.remote_peers(OTHER)) == (ADDRESS, ())
    with pytest.raises(RemoteError, match="malformed-answer"):
        asked(tmp_path, success({ADDRESS: {"list": []}}), lambda admin: admin.remote_peers(OTHER))


GARBAGE = {
    "no JSON": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "other JSON": b"[1, 2]",
    "an answer to something else": success({"list": []}),
    "a key that is none": success({**SELF, "key": "zz" * 32}),
    "a key with a terminal's commands": success({**SELF, "key": "\x1b[31m" + KEY}),
    "an address that is none": success({**SELF, "address": "<script>"}),
    "nested without end": b"[" * 100_000,
    "half an answer": success(SELF)[:-20],
    "nothing": b"",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_an_error_that_says_so(name: str, tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="malformed-answer"):
        asked(tmp_path, GARBAGE[name], AdminSocket.self, ends=True)


def test_an_answer_without_end_is_cut_off(tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="oversized-answer"):
        asked(tmp_path, b'{"status": "' + bytes(ANSWER_BYTES_MAX + 1), AdminSocket.self)


def test_an_error_of_the_node_is_told(tmp_path: Path) -> None:
    answer = json.dumps({"status": "error", "error": "timeout", "request": None, "response": None}).encode()
    with pytest.raises(TransportError, match="yggdrasil says: timeout"):
        asked(tmp_path, answer, lambda admin: admin.remote_peers(KEY))


def test_who_stays_silent_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yggdrasil, "TIMEOUT_S", 0.05)
    with pytest.raises(TransportError, match=r"no answer within 0\.05 s"):
        asked(tmp_path, b"", AdminSocket.self)


@pytest.mark.parametrize("place", ["/nowhere/yggdrasil.sock", "unix:///nowhere/yggdrasil.sock", "tcp://127.0.0.1:1"])
def test_where_nobody_listens_is_told(place: str) -> None:
    with pytest.raises(TransportError, match="no Yggdrasil admin socket at"):
        asyncio.run(AdminSocket(place).self())


def test_a_place_that_is_none_is_told() -> None:
    with pytest.raises(PeerscopeError, match="host:port"):
        asyncio.run(AdminSocket("nonsense").self())


def test_an_answer_in_small_pieces_is_put_together(tmp_path: Path) -> None:
    keys = [f"{number:064x}" for number in range(3000)]
    _, found = asked(tmp_path, success({ADDRESS: {"keys": keys}}), lambda admin: admin.remote_peers(KEY))
    assert list(found) == keys
