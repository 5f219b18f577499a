"""What has arrived and waits for its turn.

Each peer has a queue of its own, and they take turns: whoever sends the most waits for itself, and everybody else waits
one round. Pings and pongs go before all, so that an agent that is behind still answers; there too, each peer has a few
places. A queue holds messages and what became of the connection in the order in which they came, so that a goodbye is
heard before the end. Events of this process's own never wait behind the network's.
"""

from __future__ import annotations

import asyncio
from collections import deque

from peerscope.core import Event
from peerscope.mesh.events import Received
from peerscope.mesh.messages import MESSAGE_BYTES_MAX
from peerscope.records.identity import PeerId

TURN_EVENTS_MAX = 16
"""Pings are answered, and new connections taken, after so many messages at most."""
PEER_MESSAGES_MAX = 256
PEER_DATAGRAMS_MAX = 32
"""Pings of half a minute."""
PEER_BYTES_MAX = 1024 * 1024
BYTES_MAX = 16 * 1024 * 1024
"""When so much waits in all, each peer may still have one message of the longest kind waiting."""


class Queue:
    """What one peer has sent."""

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
        """Those with something in them, whose turn is next first."""
        self.waiting_bytes = 0
        """Of all messages that wait."""
        self._arrived = asyncio.Event()

    def __len__(self) -> int:
        waiting = (*(queue.events for queue in self._queues.values()), *self._datagrams.values())
        return len(self._own) + sum(map(len, waiting))

    def own(self, event: Event) -> None:
        """An event of this process's own."""
        self._own.append(event)
        self._arrived.set()

    def about(self, peer: PeerId, event: Event) -> None:
        """Something became of a peer's connection; in order with what it sent."""
        self._queue(peer).events.append(event)
        self._arrived.set()

    async def put(self, event: Received) -> None:
        """A message; waits while much of its sender waits already, which slows the sender down (flow control)."""
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
        """A ping or pong; false if too many of its sender wait."""
        waiting = self._datagrams.setdefault(event.peer, deque())
        if len(waiting) >= PEER_DATAGRAMS_MAX:
            return False
        waiting.append(event)
        self._arrived.set()
        return True

    async def take(self, timeout_s: float) -> list[Event]:
        """What waits, up to a turn's worth; empty after `timeout_s` without anything."""
        if not (self._own or self._datagrams or self._queues):
            self._arrived.clear()
            # Not `asyncio.timeout`: its cancellation costs as much as handling a message.
            alarm = asyncio.get_running_loop().call_later(min(timeout_s, 3600.0), self._arrived.set)
            try:
                await self._arrived.wait()
            finally:
                alarm.cancel()
        else:
            await asyncio.sleep(0)  # however busy we are, others run too
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
