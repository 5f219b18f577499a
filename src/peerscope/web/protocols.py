"""HTTP/1.1 and WebSockets with limits on the size and the time of each phase of a connection.

uvicorn waits without end for an incomplete request, and for a client that does not read its answer.

h11 limits incomplete heads only, so a head of any length passes in one piece. It accepts two equal `Content-Length`
headers, and any beside `Transfer-Encoding`, where a proxy may have counted by the other (RFC 9112, 6.3).
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
from functools import lru_cache
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame, Opcode

from peerscope.web.limits import Turns

HEAD_BYTES_MAX = 16 * 1024
"""Limit for a request line with all headers, and for the framing of one chunk of a body."""
REFUSED_BYTES_MAX = 4 * 2**20
"""Bytes of a body that the server still reads after its answer, so that the client gets to the answer."""
_LENGTH = re.compile(rb"(?im)^(content-length|transfer-encoding)[ \t]*:[ \t]*(.*?)[ \t]*\r?$")
_FOLDED = re.compile(rb"\n[ \t]")
_COUNTED = re.compile(rb"[0-9]{1,18}")
TIMEOUT_S = {h11.IDLE: 10.0, h11.SEND_BODY: 30.0}
"""Seconds for a whole head and for a whole body. A new byte does not restart the time."""
ANSWER_S = 60.0
"""Seconds to make an answer and for the client to read it."""
READ_BYTES_MIN = 64 * 1024
"""A client that reads less of an answer within `ANSWER_S` counts as one that reads nothing."""
LINGER_S = 10.0
"""Seconds for a client to read the last messages before its WebSocket closes."""
FRAGMENTS_MAX = 8
"""Fragments in one message to a WebSocket. Empty ones never reach a limit in bytes."""


log = logging.getLogger(__name__)


class StrictConnection(h11.Connection):
    """The server's end of one connection."""

    def __init__(self) -> None:
        super().__init__(h11.SERVER, HEAD_BYTES_MAX)
        self._refused = 0

    def next_event(self) -> Any:
        """As in h11, but raises `RemoteProtocolError` also beyond a limit and for a head with two lengths."""
        is_head = self.their_state is h11.IDLE
        before = self.trailing_data[0] if is_head else b""
        waiting = len(before) if is_head else self._waiting
        event = super().next_event()
        if event is h11.NEED_DATA or event is h11.PAUSED:
            return event
        framing = waiting - self._waiting - (len(event.data) if isinstance(event, h11.Data) else 0)
        if framing > HEAD_BYTES_MAX:
            raise h11.RemoteProtocolError("more than 16 kB of framing", error_status_hint=431)
        if isinstance(event, h11.Request):
            self._refused = 0
            _check_lengths(before[:framing])
        if isinstance(event, h11.Data) and self.our_state in (h11.DONE, h11.MUST_CLOSE):
            self._refused += len(event.data) + framing
            if self._refused > REFUSED_BYTES_MAX:
                raise h11.RemoteProtocolError("a body that does not end after its answer")
        return event

    @property
    def _waiting(self) -> int:
        """Number of unread bytes; `trailing_data` would copy them."""
        return len(self._receive_buffer)


class HttpProtocol(H11Protocol):
    """One HTTP connection with a timeout on each phase."""

    def __init__(self, turns: Turns, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.conn = StrictConnection()
        self._turns = turns

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._phase: tuple[object, object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._unread: float = math.inf
        self._is_upgraded = False
        self._began_at = self.loop.time()
        self._check_phase()
        transport.pause_reading()
        entering = self.loop.create_task(self._enter())
        entering.add_done_callback(self.tasks.discard)
        self.tasks.add(entering)

    async def _enter(self) -> None:
        await self._turns.wait()
        if not self.transport.is_closing() and not self.flow.read_paused:
            self.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read bytes, which may end a phase."""
        super().data_received(data)
        self._check_phase()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._check_phase()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection over to `WebSocketProtocol`."""
        self._is_upgraded = True
        self._stop()
        super().handle_websocket_upgrade(event)

    @property
    def waits_since(self) -> float | None:
        """Loop time since which it has sent no complete request; None if it has."""
        is_awaited = self.conn.their_state is h11.IDLE and not self.transport.is_closing()
        return self._began_at if is_awaited else None

    def send_400_response(self, msg: str) -> None:
        """Refuse an invalid request; once an answer has begun, close the connection instead."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def _check_phase(self) -> None:
        phase = (self.conn.their_state, self.cycle)
        if phase == self._phase or self._is_upgraded:
            return
        self._stop()
        self._phase, self._unread, self._began_at = phase, math.inf, self.loop.time()
        self._arm()

    def _arm(self) -> None:
        self._timer = self.loop.call_later(TIMEOUT_S.get(self.conn.their_state, ANSWER_S), self._on_timeout)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timeout(self) -> None:
        """Abort the connection, unless the client is still reading a long answer."""
        unread = self.transport.get_write_buffer_size()
        if unread and self._unread - unread >= READ_BYTES_MIN:
            self._unread = unread
            self._arm()
        else:
            self.transport.abort()


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """One WebSocket that is aborted if the client does not read."""

    def data_received(self, data: bytes) -> None:
        """Read bytes, of which the first hold the whole handshake."""
        if self.conn.parser_exc is not None:
            return
        super().data_received(data)
        if not self.handshake_initiated:
            self.transport.abort()

    def handle_parser_exception(self) -> None:
        """Abort before the handshake is complete, since uvicorn would fail to send a close frame then."""
        log.debug("a client of the feed broke the protocol: %s", self.conn.parser_exc or "a text is not UTF-8")
        if self.conn.close_sent is None:
            self.transport.abort()
        else:
            super().handle_parser_exception()

    def send_receive_event_to_app(self) -> None:
        """Pass on a message. Text that is not UTF-8 ends the connection; uvicorn would log a traceback."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.frames = []
                self.conn.send_close(CloseCode.INVALID_DATA)
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    def pause_writing(self) -> None:
        """Stop reading from a client that does not read, since its pings would want pongs."""
        super().pause_writing()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.read_paused:
            self.transport.resume_reading()

    def handle_cont(self, event: Frame) -> None:
        """Count the fragments of a message."""
        if len(self.frames) >= FRAGMENTS_MAX:
            self.transport.abort()
            return
        super().handle_cont(event)

    def keepalive_timeout(self) -> None:
        """Abort without a pong: closing would wait until the client has read everything."""
        super().keepalive_timeout()
        self.transport.abort()

    async def send(self, message: Any) -> None:
        """Send a message of the application. A text for many clients is framed once."""
        text = message.get("text") if message["type"] == "websocket.send" else None
        if text is not None and self.handshake_complete:
            await self.writable.wait()
            if self.disconnected or self.close_sent:
                raise ClientDisconnected
            self.transport.write(_framed(text))
            return
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = True  # uvicorn would log the refusal as an error of the application

    async def run_asgi(self) -> None:
        """Serve, then close with a time limit."""
        try:
            await super().run_asgi()
        finally:
            self.loop.call_later(LINGER_S, self.transport.abort)


@lru_cache(maxsize=2)
def _framed(text: str) -> bytes:
    """One unmasked frame, whose bytes all connections share."""
    return Frame(Opcode.TEXT, text.encode()).serialize(mask=False)


def _check_lengths(head: bytes) -> None:
    """Raise `RemoteProtocolError` unless the head states the length of the body at most once and plainly."""
    if _FOLDED.search(head):
        raise h11.RemoteProtocolError("a folded header")
    stated = _LENGTH.findall(head)
    if len(stated) > 1:
        raise h11.RemoteProtocolError("the length is stated twice")
    for name, value in stated:
        if name.lower() == b"content-length" and not _COUNTED.fullmatch(value):
            raise h11.RemoteProtocolError("the length is not a number")
