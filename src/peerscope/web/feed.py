"""The live feed: a snapshot for each new client, then deltas, encoded once for all.

A delta goes out every update interval, and at once when a verdict or a link changes. A client that reads too slowly
loses its queue and gets a fresh snapshot, so that it is never behind by more than one message. Clients that start over
between two deltas share one snapshot. The event loop sends to one client at a time and runs other tasks in between.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from peerscope.agent.network_view import NetworkView
from peerscope.web.content import FeedBuilder, FeedState, delta, snapshot
from peerscope.web.limits import Turns
from peerscope.web.server import connections_max

CLIENTS_MAX = 256
TRY_LATER = 1013
"""Close code (RFC 6455, registered with IANA) when there are too many clients."""
QUEUE_MAX = 8
HEARTBEAT_S = 10.0
"""Longest time without a message. A page without messages shows that its data is old."""
SETTLE_TIMEOUT_S = 0.1
"""One delta holds all changes within this time."""
_encoder = msgspec.json.Encoder()


class Client:
    """One WebSocket: a short queue, and whether it needs a snapshot."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[str] = asyncio.Queue(QUEUE_MAX)
        self.is_behind = True

    def offer(self, message: str) -> None:
        """Queue a delta. A full queue is emptied, and the client starts over."""
        if self.queue.full():
            self.is_behind = True
            while not self.queue.empty():
                self.queue.get_nowait()
        if self.queue.empty() or not self.is_behind:
            self.queue.put_nowait(message)  # only wakes a client that is behind


class Feed:
    """Sends the state of the network to all clients."""

    def __init__(self, monitor: NetworkView) -> None:
        self._monitor = monitor
        self._clients: set[Client] = set()
        self._seq = 0
        self._builder = FeedBuilder(monitor)
        self._sent: FeedState | None = None
        self._start = ""
        """Snapshot for all clients that start over before the next delta; empty until one does."""
        self._turns = Turns()
        self._changed = asyncio.Event()
        monitor.listen(self._on_event)

    async def run(self) -> None:
        """Send deltas until cancelled. Without clients it does nothing."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(self._monitor.config.web.update_interval_s, HEARTBEAT_S)):
                    await self._changed.wait()
                    await asyncio.sleep(SETTLE_TIMEOUT_S)
            self._changed.clear()
            if not self._clients:
                continue
            with self._monitor.failure_log.at("the live feed"):
                self._update()

    async def serve(self, socket: WebSocket) -> None:
        """Serve one client until it disconnects."""
        if len(self._clients) >= min(CLIENTS_MAX, connections_max() // 2):  # leaves the other half for requests
            await socket.accept()  # refused earlier, it would get a 403 without the code to try later
            with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):
                await socket.close(TRY_LATER, "too many clients")
            return
        await socket.accept()
        if not self._clients:
            self._update()  # there were no deltas without clients
        client = Client()
        client.offer("")
        self._clients.add(client)
        writer = asyncio.create_task(self._write(socket, client))
        try:
            is_talking = (await socket.receive())["type"] != "websocket.disconnect"
        finally:
            self._clients.discard(client)
            writer.cancel()
        if is_talking:  # it should send nothing, and reading it costs time
            with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):
                await socket.close(1008, "this feed takes no messages")

    def _on_event(self, _: dict[str, Any]) -> None:
        self._changed.set()

    def _snapshot(self) -> str:
        """A snapshot as of the last delta, so that the next one applies to it. Encoded once for all clients."""
        if not self._start and self._sent is not None:
            self._start = self._message("snapshot", snapshot(self._sent))
        return self._start

    def _update(self) -> None:
        before, self._sent = self._sent, self._builder.build()
        self._seq += 1
        self._start = ""
        if before is None or not self._clients:
            return
        message = self._message("changes", delta(before, self._sent))
        for client in self._clients:
            client.offer(message)

    def _message(self, kind: str, data: dict[str, Any]) -> str:
        timestamp = self._monitor.snapshot().wall
        return _encoder.encode({"type": kind, "seq": self._seq, "timestamp": timestamp, "data": data}).decode()

    async def _write(self, socket: WebSocket, client: Client) -> None:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):
            while True:
                message = await client.queue.get()
                await self._turns.wait()
                if client.is_behind:
                    client.is_behind = False
                    message = self._snapshot()
                await socket.send_text(message)
