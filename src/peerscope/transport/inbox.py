"""Queues of messages that have arrived and wait for the driver.

Each peer has a queue of its own, and the queues take turns. So a peer that sends much delays only itself, and every
other peer waits one round. Pings and pongs go first, with a few places for each peer, so that a busy agent still
answers. A queue keeps messages and changes of the connection in order, so that a goodbye arrives before the end. Events
of this process go before those of the network.
"""

from __future__ import annotations

import asyncio
from collections import deque

from peerscope.core import Event
from peerscope.mesh.events import Received
from peerscope.mesh.messages import MESSAGE_BYTES_MAX
from peerscope.records.identity import PeerId

TURN_EVENTS_MAX = 16
"""Most messages to take before the next pings and connections."""
PEER_MESSAGES_MAX = 256
PEER_DATAGRAMS_MAX = 32
"""Pings of half a minute."""
PEER_BYTES_MAX = 1024 * 1024
BYTES_MAX = 16 * 1024 * 1024
"""Beyond this total, each peer may only queue one message of the greatest length."""


class Queue:
    """Messages and events of one peer."""

    __slots__ = ("events", "messages", "room", "waiting_bytes")

    def __init__(self) -> None:
        self.events: deque[Event] = deque()
        self.messages = 0
        self.waiting_bytes = 0
        self.room = asyncio.Event()


class Inbox:
    """Events on their way to the driver."""

    def __init__(self) -> None:
        self._own: deque[Event] = deque()
        self._datagrams: dict[PeerId, deque[Event]] = {}
        self._queues: dict[PeerId, Queue] = {}
        """Queues that are not empty; the next in turn is first."""
        self.waiting_bytes = 0
        """Size of all messages that wait."""
        self._arrived = asyncio.Event()

    def __len__(self) -> int:
        waiting = (*(queue.events for queue in self._queues.values()), *self._datagrams.values())
        return len(self._own) + sum(map(len, waiting))

    def own(self, event: Event) -> None:
        """Queue an event of this process."""
        self._own.append(event)
        self._arrived.set()

    def about(self, peer: PeerId, event: Event) -> None:
        """Queue a change of a peer's connection, in order with its messages."""
        self._queue(peer).events.append(event)
        self._arrived.set()

    async def put(self, event: Received) -> None:
        """Queue a message. Waits while the queue of its sender is full, which slows the sender down (flow control)."""
        queue = self._queue(event.peer)
        while self._is_full(queue):
            queue.room.clear()
            await queue.room.wait()
            queue = self._queue(event.peer)
        queue.events.append(event)
        queue.messages += 1
        queue.waiting_bytes += len(event.data)
        self.waiting_bytes += len(event.data)
        self._arrived.set()

    def put_datagram(self, event: Received) -> bool:
        """Queue a ping or pong; false if too many of its sender wait."""
        waiting = self._datagrams.setdefault(event.peer, deque())
        if len(waiting) >= PEER_DATAGRAMS_MAX:
            return False
        waiting.append(event)
        self._arrived.set()
        return True

    async def take(self, timeout_s: float) -> list[Event]:
        """Take the events of one turn; empty after `timeout_s` without any."""
        if not (self._own or self._datagrams or self._queues):
            self._arrived.clear()
            # Not `asyncio.timeout`: its cancellation costs as much as handling a message.
            alarm = asyncio.get_running_loop().call_later(min(timeout_s, 3600.0), self._arrived.set)
            try:
                await self._arrived.wait()
            finally:
                alarm.cancel()
        else:
            await asyncio.sleep(0)  # let other tasks run, even under load
        events = list(self._own)
        self._own.clear()
        for waiting in self._datagrams.values():
            events += waiting
        self._datagrams.clear()
        for _ in range(TURN_EVENTS_MAX):
            if not self._queues:
                break
            peer, queue = next(iter(self._queues.items()))
            del self._queues[peer]
            event = queue.events.popleft()
            events.append(event)
            if isinstance(event, Received):
                queue.messages -= 1
                queue.waiting_bytes -= len(event.data)
                self.waiting_bytes -= len(event.data)
            if queue.events:
                self._queues[peer] = queue  # behind the others
            queue.room.set()
        return events

    def _queue(self, peer: PeerId) -> Queue:
        queue = self._queues.get(peer)
        if queue is None:
            queue = self._queues[peer] = Queue()
        return queue

    def _is_full(self, queue: Queue) -> bool:
        most = PEER_BYTES_MAX if self.waiting_bytes < BYTES_MAX else MESSAGE_BYTES_MAX
        return queue.messages >= PEER_MESSAGES_MAX or queue.waiting_bytes >= most
