"""What a request may say of itself holds in whatever pieces its bytes arrive; two lengths are refused."""

import contextlib
import logging
import socket
from itertools import pairwise
from urllib.parse import urlsplit

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from live import PATIENCE_S, Agent
from peerscope.web import protocols
from peerscope.web.protocols import HEAD_BYTES_MAX, StrictConnection

GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /api/v1/telemetry HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def head_of(size: int, begin: bytes = GET) -> bytes:
    """A whole head of so many bytes."""
    return begin + b"X: " + b"y" * (size - len(begin) - 7) + b"\r\n\r\n"


GOOD = {
    "short": GET + b"\r\n",
    "as long as may be": head_of(HEAD_BYTES_MAX),
    "a body": POST + b"Content-Length: 3\r\n\r\n\n\n\n",
    "chunks": POST + CHUNKED + b"\r\n1\r\n\n\r\n2;name=value\r\n\n\n\r\n0\r\nX: y\r\n\r\n",
    "line feeds alone": b"POST / HTTP/1.1\nHost: localhost\nContent-Length: 1\n\n\n",
    "a length that other headers speak of": POST
    + b"X-Content-Length: 7\r\nContent-Length: 1\r\nX: Content-Length: 2\r\n\r\n\n",
}
TWO_LENGTHS = {
    "twice the same": b"Content-Length: 2\r\nContent-Length: 2\r\n",
    "twice, not the same": b"Content-Length: 2\r\nContent-Length: 0\r\n",
    "apart, and in other letters": b"content-LENGTH:2\r\nX: y\r\nCONTENT-length:\t2\r\n",
    "a list": b"Content-Length: 2, 2\r\n",
    "a list over two lines": b"Content-Length: 2\r\n , 2\r\n",
    "a length and chunks": b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
    "chunks and a length": b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
    "chunks twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "another coding and chunks": b"Transfer-Encoding: identity, chunked\r\n",
    "a sign": b"Content-Length: +2\r\n",
    "another base": b"Content-Length: 0x2\r\n",
    "other digits": "Content-Length: ٢\r\n".encode(),
    "a space before the colon": b"Content-Length : 2\r\n",
}
BAD = {
    **{name: POST + lengths + b"\r\n\n\n" for name, lengths in TWO_LENGTHS.items()},
    "a byte too long": head_of(HEAD_BYTES_MAX + 1),
    "much too long": head_of(5 * HEAD_BYTES_MAX),
    "a long name of a chunk": POST + CHUNKED + b"\r\n1;" + b"x" * HEAD_BYTES_MAX + b"\r\n\n\r\n0\r\n\r\n",
    "much after the last chunk": POST + CHUNKED + b"\r\n0\r\nX: " + b"y" * HEAD_BYTES_MAX + b"\r\n\r\n",
}


def read(pieces: list[bytes]) -> tuple[bytes, bool] | None:
    """The body, and whether it came to its end; None where the request is refused."""
    connection, body, is_whole = StrictConnection(), b"", False
    try:
        for piece in pieces:
            connection.receive_data(piece)
            while (event := connection.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
                body += bytes(event.data) if isinstance(event, h11.Data) else b""
                is_whole = is_whole or isinstance(event, h11.EndOfMessage)
    except h11.RemoteProtocolError:
        return None
    return body, is_whole


def cut(request: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % len(request) for place in places), len(request)]
    return [request[begin:end] for begin, end in pairwise(edges) if begin < end]


@pytest.mark.parametrize("name", GOOD)
def test_a_good_request_is_read_whole_and_byte_by_byte(name: str) -> None:
    request = GOOD[name]
    found = read([request])
    assert found is not None
    assert found[1]
    assert read([request[at : at + 1] for at in range(len(request))]) == found


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_refused_whole_and_byte_by_byte(name: str) -> None:
    request = BAD[name]
    assert read([request]) is None
    if len(request) <= 2 * HEAD_BYTES_MAX:
        assert read([request[at : at + 1] for at in range(len(request))]) is None


@given(st.sampled_from(sorted(GOOD | BAD)), st.lists(st.integers(0, 2**20), max_size=8))
def test_no_way_to_cut_a_request_makes_another_of_it(name: str, places: list[int]) -> None:
    request = (GOOD | BAD)[name]
    assert read(cut(request, places)) == read([request])


def test_a_head_too_long_is_refused_behind_a_good_request_too() -> None:
    connection = StrictConnection()
    connection.receive_data(GOOD["short"] + BAD["much too long"])
    assert isinstance(connection.next_event(), h11.Request)
    assert isinstance(connection.next_event(), h11.EndOfMessage)
    connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
    connection.send(h11.EndOfMessage())
    connection.start_next_cycle()
    with pytest.raises(h11.RemoteProtocolError, match="16 kB"):
        connection.next_event()


def test_a_body_that_nobody_wants_is_read_past_for_so_long_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocols, "REFUSED_BYTES_MAX", 100)
    connection = StrictConnection()
    connection.receive_data(POST + CHUNKED + b"\r\n")
    assert isinstance(connection.next_event(), h11.Request)
    connection.send(h11.Response(status_code=413, headers=[("content-length", "0")]))
    connection.send(h11.EndOfMessage())
    for _ in range(17):
        connection.receive_data(b"1\r\n\n\r\n")
        assert isinstance(connection.next_event(), h11.Data)
    connection.receive_data(b"1\r\n\n\r\n")
    with pytest.raises(h11.RemoteProtocolError, match="after its answer"):
        connection.next_event()


# -- a real agent --


def answers(agent: Agent, *pieces: bytes) -> bytes:
    """Everything that the agent says until it hangs up."""
    place, said = urlsplit(agent.http), b""
    with socket.create_connection((place.hostname, place.port), PATIENCE_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                connection.sendall(piece)
            while chunk := connection.recv(65536):
                said += chunk
    return said


@pytest.mark.parametrize("name", TWO_LENGTHS)
def test_a_request_with_two_lengths_is_refused_and_its_connection_closed(
    agent: Agent, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    said = answers(agent, BAD[name] + GET + b"\r\n")
    assert said.startswith(b"HTTP/1.1 400 ")
    assert said.count(b"HTTP/1.1 ") == 1  # what follows is nobody's request
    assert b"connection: close" in said.lower()
    assert [one for one in caplog.records if one.levelno >= logging.WARNING] == []


def test_a_request_is_answered_however_it_is_cut(agent: Agent) -> None:
    request = GET + b"Connection: close\r\n\r\n"
    assert answers(agent, *(request[at : at + 1] for at in range(len(request)))).startswith(b"HTTP/1.1 200 ")


def test_a_head_too_long_is_refused_in_one_piece_too(agent: Agent) -> None:
    assert answers(agent, BAD["a byte too long"])[:13] in (b"HTTP/1.1 400 ", b"")  # it may hang up before we hear it
    assert answers(agent, head_of(HEAD_BYTES_MAX, GET + b"Connection: close\r\n")).startswith(b"HTTP/1.1 200 ")


def test_a_body_that_breaks_after_its_answer_leaves_nothing_in_the_log(
    agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    refused = b"POST /nothing HTTP/1.1\r\nHost: localhost\r\n" + CHUNKED + b"\r\n"
    place = urlsplit(agent.http)
    with socket.create_connection((place.hostname, place.port), PATIENCE_S) as connection:
        connection.sendall(refused)
        assert connection.recv(65536).startswith(b"HTTP/1.1 4")
        connection.sendall(b"no chunk\r\n")
        with contextlib.suppress(ConnectionError):
            while connection.recv(65536):
                pass
    assert [one for one in caplog.records if one.levelno >= logging.WARNING] == []
