"""HTTP/1.1 and WebSockets for strangers: what one connection may send, and how long each phase of it may take.

uvicorn waits for ever for a request that does not come to its end, and for a client that does not read its answer. Here
every phase of a connection has an end.

h11 bounds what is not complete yet: a head of any length that comes in one piece passes. Of two equal lengths it
forgets one, and beside `Transfer-Encoding` any: a proxy in front may have counted by the other (RFC 9112, 6.3).
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
"""A request line and all headers together; as much for what frames one piece of a body."""
REFUSED_BYTES_MAX = 4 * 2**20
"""Of a body that goes on although it is answered: read past, so that its sender gets to the answer."""
_LENGTH = re.compile(rb"(?im)^(content-length|transfer-encoding)[ \t]*:[ \t]*(.*?)[ \t]*\r?$")
_FOLDED = re.compile(rb"\n[ \t]")
_COUNTED = re.compile(rb"[0-9]{1,18}")
TIMEOUT_S = {h11.IDLE: 10.0, h11.SEND_BODY: 30.0}
"""For a whole head, and for a whole body; a phase does not begin anew with each byte."""
ANSWER_S = 60.0
"""For an answer to be made and read."""
READ_BYTES_MIN = 64 * 1024
"""Who reads less of an answer within one such phase is taken for one that reads nothing."""
LINGER_S = 10.0
"""For the other end to read what was sent before a WebSocket was closed."""
FRAGMENTS_MAX = 8
"""Of one message to a WebSocket. Empty fragments have no length that would add up to a limit."""


log = logging.getLogger(__name__)


class StrictConnection(h11.Connection):
    """The server's end of one connection."""

    def __init__(self) -> None:
        super().__init__(h11.SERVER, HEAD_BYTES_MAX)
        self._refused = 0

    def next_event(self) -> Any:
        """As h11's. Raises `RemoteProtocolError` too for what is beyond a limit, and for a head with two lengths."""
        is_head = self.their_state is h11.IDLE
        before = self.trailing_data[0] if is_head else b""
        waiting = len(before) if is_head else self._waiting
        event = super().next_event()
        if event is h11.NEED_DATA or event is h11.PAUSED:
            return event
        framing = waiting - self._waiting - (len(event.data) if isinstance(event, h11.Data) else 0)
        if framing > HEAD_BYTES_MAX:
            raise h11.RemoteProtocolError("more than 16 kB around what is said", error_status_hint=431)
        if isinstance(event, h11.Request):
            self._refused = 0
            _check_lengths(before[:framing])
        if isinstance(event, h11.Data) and self.our_state in (h11.DONE, h11.MUST_CLOSE):
            self._refused += len(event.data) + framing
            if self._refused > REFUSED_BYTES_MAX:
                raise h11.RemoteProtocolError("a body without end, though it is answered")
        return event

    @property
    def _waiting(self) -> int:
        """Bytes that are not read yet; `trailing_data` would copy them."""
        return len(self._receive_buffer)


class PatientProtocol(H11Protocol):
    """One HTTP connection that is cut off when it takes too long."""

    def __init__(self, turns: Turns, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.conn = StrictConnection()
        self._turns = turns

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request."""
        super().connection_made(transport)
        self._phase: tuple[object, object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._unread: float = math.inf
        self._is_upgraded = False
        self._began_at = self.loop.time()
        self._look()
        transport.pause_reading()
        entering = self.loop.create_task(self._enter())
        entering.add_done_callback(self.tasks.discard)
        self.tasks.add(entering)

    async def _enter(self) -> None:
        await self._turns.mine()
        if not self.transport.is_closing() and not self.flow.read_paused:
            self.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes in; they may have ended a phase."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """An answer is written; wait for the next request."""
        super().on_response_complete()
        self._look()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """From here on `FirmSocket` looks after the connection."""
        self._is_upgraded = True
        self._stop()
        super().handle_websocket_upgrade(event)

    @property
    def waits_since(self) -> float | None:
        """Loop time since when it has not said what it wants; None for one that has."""
        is_awaited = self.conn.their_state is h11.IDLE and not self.transport.is_closing()
        return self._began_at if is_awaited else None

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request; where an answer has begun, hang up instead of beginning another."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def _look(self) -> None:
        phase = (self.conn.their_state, self.cycle)
        if phase == self._phase or self._is_upgraded:
            return
        self._stop()
        self._phase, self._unread, self._began_at = phase, math.inf, self.loop.time()
        self._arm()

    def _arm(self) -> None:
        self._timer = self.loop.call_later(TIMEOUT_S.get(self.conn.their_state, ANSWER_S), self._too_late)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_late(self) -> None:
        """The end of this connection, unless a long answer is still being read."""
        unread = self.transport.get_write_buffer_size()
        if unread and self._unread - unread >= READ_BYTES_MIN:
            self._unread = unread
            self._arm()
        else:
            self.transport.abort()


class FirmSocket(WebSocketsSansIOProtocol):
    """One WebSocket that is cut off when its other end does not read."""

    def data_received(self, data: bytes) -> None:
        """Take bytes in; the first ones hold the whole handshake."""
        if self.conn.parser_exc is not None:
            return
        super().data_received(data)
        if not self.handshake_initiated:
            self.transport.abort()

    def handle_parser_exception(self) -> None:
        """It broke the protocol; before the handshake is done there is no way to tell it, and uvicorn would stumble."""
        log.debug("a client of the feed broke the protocol: %s", self.conn.parser_exc or "a text that is no UTF-8")
        if self.conn.close_sent is None:
            self.transport.abort()
        else:
            super().handle_parser_exception()

    def send_receive_event_to_app(self) -> None:
        """A whole message; a text that is none ends the connection, which uvicorn would log with a traceback."""
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
        """Hear nothing more of one that does not read: pings, say, that would want pongs."""
        super().pause_writing()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """It reads again."""
        super().resume_writing()
        if not self.read_paused:
            self.transport.resume_reading()

    def handle_cont(self, event: Frame) -> None:
        """One more fragment of a message."""
        if len(self.frames) >= FRAGMENTS_MAX:
            self.transport.abort()
            return
        super().handle_cont(event)

    def keepalive_timeout(self) -> None:
        """No pong came: closing would wait until the other end has read everything."""
        super().keepalive_timeout()
        self.transport.abort()

    async def send(self, message: Any) -> None:
        """Pass on what the application says; a text that goes to many is framed once."""
        text = message.get("text") if message["type"] == "websocket.send" else None
        if text is not None and self.handshake_complete:
            await self.writable.wait()
            if self.disconnected or self.close_sent:
                raise ClientDisconnected
            self.transport.write(_framed(text))
            return
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = True  # it was refused, which uvicorn would call an error of the application

    async def run_asgi(self) -> None:
        """Serve, then close, and not wait for ever until that is done."""
        try:
            await super().run_asgi()
        finally:
            self.loop.call_later(LINGER_S, self.transport.abort)


@lru_cache(maxsize=2)
def _framed(text: str) -> bytes:
    """One unmasked frame; the connections that send it share its bytes."""
    return Frame(Opcode.TEXT, text.encode()).serialize(mask=False)


def _check_lengths(head: bytes) -> None:
    """Raise `RemoteProtocolError` unless the length of the body is stated once at most, and plainly."""
    if _FOLDED.search(head):
        raise h11.RemoteProtocolError("a folded header")
    stated = _LENGTH.findall(head)
    if len(stated) > 1:
        raise h11.RemoteProtocolError("the length is stated twice")
    for name, value in stated:
        if name.lower() == b"content-length" and not _COUNTED.fullmatch(value):
            raise h11.RemoteProtocolError("the length is no number")
