"""The HTTP server: takes in as many connections as may be open, and no more than file descriptors are left for.

The agent needs descriptors for itself: sources, state, history, /proc, messages to people. So connections of strangers
leave it a reserve. uvloop's own server takes in whatever knocks, and knows of no TLS handshake that does not end.
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
from peerscope.web.protocols import HEAD_BYTES_MAX, FirmSocket, PatientProtocol

CONNECTIONS_MAX = 512
DESCRIPTORS_KEPT = 96
"""Of the limit, for everything else: an agent alone holds 21, and opens some more for each look and question."""
HANDSHAKE_S = 10.0
"""For the TLS handshake."""
RETRY_INTERVAL_S = 1.0
"""Before the next try where nobody can be taken in: without a pause a full table would be a busy loop."""
GONE_TURNS = 8
"""Of the event loop, within which a connection that was cut off is gone."""


@runtime_checkable
class Guest(Protocol):
    """A connection that was taken in."""

    transport: asyncio.Transport

    @property
    def waits_since(self) -> float | None:
        """Loop time since when it has not said what it wants; None for one that has."""


class Entrance:
    """To one server, through any number of listening sockets."""

    def __init__(
        self,
        guest: Callable[[], asyncio.Protocol],
        guests: Collection[object],
        failure_log: FailureLog,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`guest`: makes the protocol of a connection. `guests`: those taken in, for as long as they are open."""
        self._guest = guest
        self._guests = guests
        self._failure_log = failure_log
        self._tls = tls
        self._shaking: dict[asyncio.Task[None], float] = {}
        """Handshakes, oldest first, and the loop time at which they began."""

    async def run(self, listening: socket.socket) -> None:
        """Take connections in until cancelled."""
        loop = asyncio.get_running_loop()
        listening.setblocking(False)
        try:
            while True:
                try:
                    connection, _ = await loop.sock_accept(listening)
                except ConnectionError:  # it went while it waited
                    continue
                except OSError as error:
                    self._failure_log.failed("a connection to the dashboard", error)
                    self._drop_one()
                    await asyncio.sleep(RETRY_INTERVAL_S)
                    continue
                if not await self._has_room():
                    connection.close()
                    continue
                task = loop.create_task(self._take_in(connection))
                self._shaking[task] = loop.time()
                task.add_done_callback(partial(self._ended, connection))
        finally:
            for task in list(self._shaking):
                task.cancel()

    async def _take_in(self, connection: socket.socket) -> None:
        """Until its protocol has it, which is after the handshake."""
        await asyncio.get_running_loop().connect_accepted_socket(
            self._guest, connection, ssl=self._tls, ssl_handshake_timeout=HANDSHAKE_S if self._tls else None
        )

    def _ended(self, connection: socket.socket, task: asyncio.Task[None]) -> None:
        del self._shaking[task]
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or error is not None:
            connection.close()
        if isinstance(error, Exception) and not isinstance(error, OSError):  # ssl.SSLError is one, TimeoutError too
            self._failure_log.failed("a connection to the dashboard", error)

    async def _has_room(self) -> bool:
        """Whether one more may come in, if need be for one that has kept us waiting."""
        if self._is_full() and self._drop_one():
            for _ in range(GONE_TURNS):
                await asyncio.sleep(0)
                if not self._is_full():
                    break
        return not self._is_full()

    def _is_full(self) -> bool:
        return len(self._guests) + len(self._shaking) >= connections_max()

    def _drop_one(self) -> bool:
        """Cut off whoever has waited the longest without a request or in a handshake. False if nobody has."""
        waiting = [(one.waits_since, one) for one in self._guests if isinstance(one, Guest)]
        since, guest = min(((at, one) for at, one in waiting if at is not None), key=itemgetter(0), default=(inf, None))
        task, began = next(iter(self._shaking.items()), (None, inf))
        if task is not None and began < since:
            return task.cancel()
        if guest is None:
            return False
        guest.transport.abort()
        return True


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


def connections_max(descriptors: int | None = None) -> int:
    """Connections that may be open at a time. `descriptors`: the limit of this process, if not what the system says.

    All but a reserve, yet at least a quarter: a dashboard that answers nobody helps nobody.
    """
    if descriptors is None:
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if descriptors < 0:  # RLIM_INFINITY
        return CONNECTIONS_MAX
    return max(1, min(CONNECTIONS_MAX, max(descriptors // 4, descriptors - DESCRIPTORS_KEPT)))
