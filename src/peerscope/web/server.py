"""The HTTP server, with a limit on open connections.

The agent needs file descriptors for itself: sources, state, history, /proc, notifications. Connections of clients leave
it a reserve. uvloop's own server accepts any number, and does not time out TLS handshakes.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import ssl
from collections.abc import Callable, Collection, Iterator
from functools import partial
from math import inf
from operator import itemgetter
from typing import Any, Protocol, runtime_checkable

import uvicorn

from peerscope.host.failures import FailureLog
from peerscope.web.limits import Turns
from peerscope.web.protocols import HEAD_BYTES_MAX, HttpProtocol, WebSocketProtocol

CONNECTIONS_MAX = 512
DESCRIPTORS_KEPT = 96
"""Descriptors reserved for the agent: it holds 21 and opens some more for each measurement and request."""
HANDSHAKE_S = 10.0
"""Seconds for the TLS handshake."""
RETRY_INTERVAL_S = 1.0
"""Pause after a failed accept. Without it, a full table of descriptors makes a busy loop."""
GONE_TURNS = 8
"""Turns of the event loop within which an aborted connection is gone."""


@runtime_checkable
class OpenConnection(Protocol):
    """An accepted connection."""

    transport: asyncio.Transport

    @property
    def waits_since(self) -> float | None:
        """Loop time since which it has sent no complete request; None if it has."""


class Acceptor:
    """Accepts the connections of one server from any number of listening sockets."""

    def __init__(
        self,
        make_protocol: Callable[[], asyncio.Protocol],
        connections: Collection[object],
        failure_log: FailureLog,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`connections`: the open ones."""
        self._make_protocol = make_protocol
        self._connections = connections
        self._failure_log = failure_log
        self._tls = tls
        self._handshakes: dict[asyncio.Task[None], float] = {}
        """TLS handshakes with the loop time of their start, oldest first."""

    async def run(self, listening: socket.socket) -> None:
        """Accept connections until cancelled."""
        loop = asyncio.get_running_loop()
        listening.setblocking(False)
        try:
            while True:
                try:
                    connection, _ = await loop.sock_accept(listening)
                except ConnectionError:  # the client closed it first
                    continue
                except OSError as error:
                    self._failure_log.failed("a connection to the dashboard", error)
                    self._drop_one()
                    await asyncio.sleep(RETRY_INTERVAL_S)
                    continue
                if not await self._has_capacity():
                    connection.close()
                    continue
                task = loop.create_task(self._take_in(connection))
                self._handshakes[task] = loop.time()
                task.add_done_callback(partial(self._ended, connection))
        finally:
            for task in list(self._handshakes):
                task.cancel()

    async def _take_in(self, connection: socket.socket) -> None:
        """Shake hands, then give the connection to its protocol."""
        await asyncio.get_running_loop().connect_accepted_socket(
            self._make_protocol, connection, ssl=self._tls, ssl_handshake_timeout=HANDSHAKE_S if self._tls else None
        )

    def _ended(self, connection: socket.socket, task: asyncio.Task[None]) -> None:
        del self._handshakes[task]
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or error is not None:
            connection.close()
        if isinstance(error, Exception) and not isinstance(error, OSError):  # ssl.SSLError is one, TimeoutError too
            self._failure_log.failed("a connection to the dashboard", error)

    async def _has_capacity(self) -> bool:
        """Make room for one more connection, if need be by aborting an idle one. False if there is none."""
        if self._is_full() and self._drop_one():
            for _ in range(GONE_TURNS):
                await asyncio.sleep(0)
                if not self._is_full():
                    break
        return not self._is_full()

    def _is_full(self) -> bool:
        return len(self._connections) + len(self._handshakes) >= connections_max()

    def _drop_one(self) -> bool:
        """Abort the connection that has been longest without a request or in a handshake. False if there is none."""
        waiting = [(one.waits_since, one) for one in self._connections if isinstance(one, OpenConnection)]
        since, idle = min(((at, one) for at, one in waiting if at is not None), key=itemgetter(0), default=(inf, None))
        task, began = next(iter(self._handshakes.items()), (None, inf))
        if task is not None and began < since:
            return task.cancel()
        if idle is None:
            return False
        idle.transport.abort()
        return True


class HttpServer(uvicorn.Server):
    """uvicorn without signal handlers, which the agent has itself, and without its ten wake-ups a second, which are a
    third of an idle agent's."""

    def __init__(
        self, app: Any, tls: ssl.SSLContext | None, proxies: tuple[str, ...], failure_log: FailureLog, **options: Any
    ) -> None:
        """`proxies`: trusted addresses, whose `X-Forwarded-For` names the client."""
        config = uvicorn.Config(
            app,
            http=HttpProtocol,
            ws=WebSocketProtocol,
            lifespan="off",
            log_config=None,
            log_level="error",  # at lower levels, uvicorn logs the URLs of WebSockets, which may hold the token
            access_log=False,
            ws_per_message_deflate=False,
            ws_ping_timeout=40.0,  # a large snapshot may precede the ping
            h11_max_incomplete_event_size=HEAD_BYTES_MAX,
            proxy_headers=bool(proxies),
            forwarded_allow_ips=list(proxies),
            timeout_graceful_shutdown=1,
            server_header=False,
            date_header=False,
            **options,
        )
        config.load()  # imports the rest of uvicorn now, while there are descriptors for it
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
        """Accept connections; the sockets listen already."""
        turns = Turns()
        acceptor = Acceptor(
            lambda: HttpProtocol(turns, self.config, self.server_state, app_state={}),
            self.server_state.connections,
            self._failure_log,
            self._tls,
        )
        self._accepting = [
            asyncio.create_task(self._failure_log.going("the dashboard's connections", partial(acceptor.run, each)))
            for each in sockets or ()
        ]
        self.servers = []
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, then shut down as uvicorn does."""
        for task in self._accepting:
            task.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        await super().shutdown(sockets)

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self._stopped.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def connections_max(descriptors: int | None = None) -> int:
    """Limit on open connections: all descriptors but a reserve, and at least a quarter of them.

    `descriptors`: the limit of this process; default: the system's.
    """
    if descriptors is None:
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if descriptors < 0:  # RLIM_INFINITY
        return CONNECTIONS_MAX
    return max(1, min(CONNECTIONS_MAX, max(descriptors // 4, descriptors - DESCRIPTORS_KEPT)))
