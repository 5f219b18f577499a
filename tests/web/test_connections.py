"""Connections that want too much: half-open, endless, unread, too many. They end, and everybody else is answered."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import h11
import httpx
import psutil
import pytest
from websockets.sync.client import connect

from live import PATIENCE_S, Agent, client, running, until
from peerscope.web import protocols, server
from peerscope.web.limits import BODY_BYTES_MAX
from peerscope.web.protocols import HEAD_BYTES_MAX

SHORT_S = 0.3
HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
HANDSHAKE = (
    b"GET /dashboard HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


@pytest.fixture
def impatient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    """An agent that waits only a moment for everything."""
    monkeypatch.setattr(protocols, "TIMEOUT_S", {h11.IDLE: SHORT_S, h11.SEND_BODY: SHORT_S})
    monkeypatch.setattr(protocols, "ANSWER_S", SHORT_S)
    monkeypatch.setattr(protocols, "LINGER_S", SHORT_S)
    with running(tmp_path) as agent:
        yield agent


@contextlib.contextmanager
def dialled(agent: Agent, *, receive_bytes: int | None = None) -> Iterator[socket.socket]:
    """A connection that may be given little room for what it does not read."""
    place = urlsplit(agent.http)
    with socket.socket() as connection:
        if receive_bytes is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        connection.settimeout(PATIENCE_S)
        connection.connect((place.hostname, place.port))
        yield connection


def rest(connection: socket.socket) -> bytes:
    """Everything until the other end hangs up, politely or not."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while chunk := connection.recv(65536):
            data += chunk
    return data


def drip(connection: socket.socket, data: bytes) -> None:
    """A byte now and then, for as long as the other end takes them."""
    with contextlib.suppress(ConnectionError):
        while True:
            connection.sendall(data)
            connection.settimeout(SHORT_S / 10)
            try:
                if not connection.recv(4096):
                    return
            except TimeoutError:
                pass


def answers(agent: Agent) -> bool:
    with client(agent) as asking:
        return asking.get("/api/v1/self").status_code == 200


def open_connections(agent: Agent) -> int:
    """Connections to the agent's port that this machine has, as the agent's process sees them."""
    port = urlsplit(agent.http).port
    return sum(
        one.laddr.port == port and one.status == psutil.CONN_ESTABLISHED
        for one in psutil.Process().net_connections("tcp")
        if one.laddr
    )


@pytest.mark.parametrize("said", [b"", HEAD, b"GET"], ids=["nothing", "half a head", "half a word"])
def test_a_request_that_does_not_come_is_not_waited_for(impatient: Agent, said: bytes) -> None:
    with dialled(impatient) as connection:
        connection.sendall(said)
        assert rest(connection) == b""


@pytest.mark.parametrize(
    ("head", "more"),
    [
        (HEAD, b"X: y\r\n"),
        (b"POST /api/v1/telemetry HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n", b"\n"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n\n\r\n"),
        (HEAD + b"\r\n" + HEAD, b"X: y\r\n"),
    ],
    ids=["head", "body", "a body that nobody wants", "second head"],
)
def test_to_send_a_little_now_and_then_does_not_help(impatient: Agent, head: bytes, more: bytes) -> None:
    with dialled(impatient) as connection:
        connection.sendall(head)
        drip(connection, more)
    assert answers(impatient)


def test_an_answer_that_nobody_reads_is_given_up(impatient: Agent, caplog: pytest.LogCaptureFixture) -> None:
    before = open_connections(impatient)
    with dialled(impatient, receive_bytes=1) as connection:
        for _ in range(40):
            connection.sendall(b"GET /static/vendor/preact.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 4)
        until(lambda: open_connections(impatient) > before, "it is there")
        until(lambda: open_connections(impatient) == before, "it was cut off")
    assert answers(impatient)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_a_long_answer_that_is_read_slowly_comes_whole(impatient: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocols, "READ_BYTES_MIN", 1)
    text = "x" * 4_000_000
    monkeypatch.setattr(impatient.monitor, "self_view", lambda: text)
    with dialled(impatient, receive_bytes=65536) as connection:
        connection.sendall(b"GET /api/v1/self HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        data = b""
        while chunk := connection.recv(32768):
            data += chunk
            with contextlib.suppress(TimeoutError):
                impatient.loop.run(asyncio.sleep(SHORT_S / 50))
    assert data.endswith(text.encode() + b'"')


def test_a_head_without_end_is_refused(agent: Agent) -> None:
    much = b"y" * (2 * HEAD_BYTES_MAX)
    for head in (HEAD + b"X: " + much, HEAD.replace(b"/healthz", b"/" + much), HEAD.replace(b" HTTP", b"?a=" + much)):
        with dialled(agent) as connection:
            connection.sendall(head)
            assert rest(connection)[:12] in (b"HTTP/1.1 400", b"")  # it may hang up before we have said it all
        assert answers(agent)


@pytest.mark.parametrize("path", ["/api/v1/telemetry", "/api/v1/health", "/nothing", "/"])
@pytest.mark.parametrize("method", ["POST", "DELETE", "GET"])
def test_a_body_that_is_too_long_is_refused_before_it_is_sent(agent: Agent, method: str, path: str) -> None:
    with dialled(agent) as connection:
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {10**12}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_a_route_takes_as_much_as_it_says_and_the_others_little(agent: Agent) -> None:
    def chunks(total: int) -> Iterator[bytes]:
        for at in range(0, total, 10_000):
            yield b" " * min(10_000, total - at)

    with client(agent) as asking:
        assert asking.post("/api/v1/telemetry", content=chunks(5 * 1024 * 1024)).status_code == 413
        assert asking.request("GET", "/api/v1/health", content=b" " * BODY_BYTES_MAX).status_code == 200
        assert asking.request("GET", "/api/v1/health", content=b" " * (BODY_BYTES_MAX + 1)).status_code == 413


@pytest.mark.parametrize("piece", [50, 1000, 10_000, BODY_BYTES_MAX, 2 * BODY_BYTES_MAX])
def test_a_body_has_its_limit_in_whatever_pieces_it_comes(agent: Agent, piece: int) -> None:
    def post(total: int) -> int:
        pieces = (b" " * min(piece, total - at) for at in range(0, total, piece))
        headers = {"content-type": "application/json", "x-peerscope": "1"}
        with client(agent) as asking:
            return asking.post("/api/v1/silences", content=pieces, headers=headers).status_code

    assert post(BODY_BYTES_MAX) == 400  # it is no JSON
    assert post(BODY_BYTES_MAX + 1) == 413


def test_half_open_connections_make_room_for_those_who_ask(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "CONNECTIONS_MAX", 20)
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(dialled(agent)) for _ in range(100)]
        for connection in crowd[::2]:
            connection.sendall(HEAD)
        for _ in range(5):
            assert answers(agent)
        until(lambda: open_connections(agent) <= 20, "the oldest were cut off")
        assert rest(crowd[0]) == b""
        with connect(f"ws{agent.http.removeprefix('http')}/dashboard", proxy=None) as feed:
            assert "snapshot" in feed.recv(timeout=PATIENCE_S)


def test_five_hundred_half_open_connections_keep_nobody_out(agent: Agent) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(500):
            connection = stack.enter_context(dialled(agent))
            if number % 2:
                connection.sendall(HEAD)
        assert answers(agent)


# -- WebSockets --


def test_a_page_that_does_not_answer_pings_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    quick = server.uvicorn.Config
    monkeypatch.setattr(
        server.uvicorn,
        "Config",
        lambda *a, **k: quick(*a, **k | {"ws_ping_interval": 0.1, "ws_ping_timeout": 0.1}),
    )
    with running(tmp_path, web={"update_interval_s": 0.1}) as agent:
        before = open_connections(agent)
        monkeypatch.setattr(agent.monitor, "self_view", lambda: "x" * 1_000_000)
        with dialled(agent, receive_bytes=1) as connection:
            connection.sendall(HANDSHAKE)
            until(lambda: open_connections(agent) > before, "it is there")
            until(lambda: open_connections(agent) == before, "it was cut off")
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def frame(opcode: int, payload: bytes = b"", *, is_last: bool = True) -> bytes:
    """As a client sends it, with a mask of zeros."""
    return bytes((opcode | 0x80 * is_last, 0x80 | len(payload))) + bytes(4) + payload


MANNERS: dict[str, Callable[[int], bytes]] = {
    "talks": lambda _: frame(1, b"hello") * 100,
    "pings": lambda _: frame(9, b"x" * 125) * 100,
    "sends fragments of nothing": lambda number: (
        frame(0 if number else 1, is_last=False) + frame(0, is_last=False) * 99
    ),
    "sends noise": lambda _: b"\xff" * 5000,
}


@pytest.mark.parametrize("manner", MANNERS)
def test_a_page_that_says_a_lot_and_reads_nothing_costs_little(
    impatient: Agent, manner: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Either it is cut off, or nobody hears what it says."""
    with dialled(impatient, receive_bytes=1) as connection:
        connection.sendall(HANDSHAKE)
        connection.settimeout(SHORT_S)
        with contextlib.suppress(ConnectionError, TimeoutError):
            for number in range(10_000):
                connection.sendall(MANNERS[manner](number))
            raise AssertionError("the agent took a million frames in")
        assert answers(impatient)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


BROKEN_FRAMES = {
    "no mask": b"\x81\x01x",
    "a bit that means nothing": b"\xc1\x80" + bytes(4),
    "a kind that there is not": b"\x83\x80" + bytes(4),
    "a ping in parts": b"\x09\x80" + bytes(4),
    "a ping too long": b"\x89\xfe\x00\x7e" + bytes(4 + 126),
    "a part of nothing": b"\x80\x80" + bytes(4),
    "a message within a message": b"\x01\x80" + bytes(4) + b"\x81\x80" + bytes(4),
    "a length beyond any": b"\x81\xff" + b"\xff" * 8 + bytes(4),
    "a text that is none": b"\x81\x81" + bytes(4) + b"\xff",
    "a text that is none, in parts": b"\x01\x81" + bytes(4) + b"\xff" + b"\x80\x80" + bytes(4),
    "an end of one byte": b"\x88\x81" + bytes(4) + b"x",
    "an end that must not be sent": b"\x88\x82" + bytes(4) + (1005).to_bytes(2, "big"),
    "an end whose reason is no text": b"\x88\x83" + bytes(4) + (1000).to_bytes(2, "big") + b"\xff",
    "an end, and more": b"\x88\x82" + bytes(4) + (1000).to_bytes(2, "big") + b"\x81\x80" + bytes(4),
}

ENDS = {"an end, and more"}
"""Of these the broken part comes after the end, and nobody listens any more."""


@pytest.mark.parametrize("how", ["whole", "byte by byte"])
@pytest.mark.parametrize("broken", BROKEN_FRAMES)
def test_a_broken_frame_ends_its_connection_and_leaves_no_traceback(
    agent: Agent, broken: str, how: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(protocols, "LINGER_S", SHORT_S)
    data = BROKEN_FRAMES[broken]
    with dialled(agent) as connection, caplog.at_level(logging.DEBUG):
        connection.sendall(HANDSHAKE)
        assert connection.recv(65536).startswith(b"HTTP/1.1 101 ")
        with contextlib.suppress(ConnectionError):
            for piece in [data] if how == "whole" else [data[at : at + 1] for at in range(len(data))]:
                connection.sendall(piece)
        rest(connection)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING or record.exc_info] == []
    ours = [record for record in caplog.records if record.name == protocols.__name__]
    assert len(ours) == (broken not in ENDS)


BAD_HANDSHAKES = {
    "method": HANDSHAKE.replace(b"GET", b"POST"),
    "version": HANDSHAKE.replace(b"13\r\n", b"12\r\n"),
    "key": HANDSHAKE.replace(b"AAAAAA==", b"?"),
    "path": HANDSHAKE.replace(b"/dashboard", b"/nothing"),
    "path of something else": HANDSHAKE.replace(b"/dashboard", b"/api/v1/self"),
    "star": HANDSHAKE.replace(b"/dashboard", b"*"),
    "whole address": HANDSHAKE.replace(b"/dashboard", b"http://evil.example/dashboard"),
    "body": HANDSHAKE.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\nhello"),
    "other protocol": HANDSHAKE.replace(b"websocket", b"h2c"),
    "two hosts": HANDSHAKE.replace(b"\r\n\r\n", b"\r\nHost: evil.example\r\n\r\n"),
}


@pytest.mark.parametrize("wrong", BAD_HANDSHAKES)
def test_a_handshake_that_is_none_is_refused_without_a_word_in_the_log(
    impatient: Agent, wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    with dialled(impatient) as connection:
        connection.sendall(BAD_HANDSHAKES[wrong])
        assert b" 101 " not in rest(connection).partition(b"\r\n")[0]
    assert answers(impatient)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_many_requests_at_once_are_all_answered(agent: Agent) -> None:
    async def ask() -> list[int]:
        async with httpx.AsyncClient(base_url=agent.http, trust_env=False, timeout=PATIENCE_S) as asking:
            found = await asyncio.gather(*[asking.get("/api/v1/health") for _ in range(200)])
        return [answer.status_code for answer in found]

    assert asyncio.run(ask()) == [200] * 200
