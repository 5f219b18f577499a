"""One HTTP server for strangers: what a connection may cost, and how long it may take.

uvicorn waits for ever for a request that does not come to its end, and for a client that does not read its answer. Here
every phase of a connection has an end. There are only so many of them (`entrance.py`), and each says what it may
(`framing.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import socket
import ssl
from collections.abc import Iterator
from functools import lru_cache, partial
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame, Opcode

from peerscope.host.failures import FailureLog
from peerscope.web.entrance import Entrance
from peerscope.web.framing import HEAD_BYTES_MAX, StrictConnection
from peerscope.web.turns import Turns

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


class QuietServer(uvicorn.Server):
    """uvicorn without its signal handlers, since the agent has its own, and without a wake-up every tenth of a second,
    which would be a third of an idle agent's."""

    def __init__(
        self, app: Any, tls: ssl.SSLContext | None, proxies: tuple[str, ...], failure_log: FailureLog, **options: Any
    ) -> None:
        """`proxies`: addresses whose word on who asks is taken (`X-Forwarded-For`); others' is not. `looks`: counts
        connections that could not be taken in."""
        config = uvicorn.Config(
            app,
            http=PatientProtocol,
            ws=FirmSocket,
            lifespan="off",
            log_config=None,
            log_level="error",  # below that, uvicorn logs the addresses of WebSockets, which may hold the token
            access_log=False,
            ws_per_message_deflate=False,
            ws_ping_timeout=40.0,  # a large snapshot stands before the ping
            h11_max_incomplete_event_size=HEAD_BYTES_MAX,
            proxy_headers=bool(proxies),
            forwarded_allow_ips=list(proxies),
            timeout_graceful_shutdown=1,
            server_header=False,
            date_header=False,
            **options,
        )
        config.load()  # imports the rest of uvicorn: at the start, and not when there may be no descriptor for it
        super().__init__(config)
        self._tls = tls
        self._failure_log = failure_log
        self._accepting: list[asyncio.Task[None]] = []
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Close connections and end."""
        self.should_exit = True
        self._stopped.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Take connections in; the sockets listen already."""
        turns = Turns()
        entrance = Entrance(
            lambda: PatientProtocol(turns, self.config, self.server_state, app_state={}),
            self.server_state.connections,
            self._failure_log,
            self._tls,
        )
        self._accepting = [
            asyncio.create_task(self._failure_log.going("the dashboard's door", partial(entrance.run, each)))
            for each in sockets or ()
        ]
        self.servers = []
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take nobody in any more, then as uvicorn does."""
        for task in self._accepting:
            task.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        await super().shutdown(sockets)

    async def main_loop(self) -> None:
        """Nothing to do until the end."""
        await self.on_tick(0)
        await self._stopped.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None of them."""
        yield
