"""QUIC by iroh: the only file that imports it.

Each end of a connection opens one unidirectional stream and writes length-prefixed messages to it; pings travel as
datagrams. Two peers that dial each other at once end up with two connections: both are read, the newest is written
to, and a third closes the oldest, so that nobody has to agree on which one to drop.

Facts of iroh 1.2 that shaped this: a killed remote is noticed only after half a minute, so the core pings by itself;
`connect` to a dead port waits half a minute, which a crawl cuts short; errors carry their text in
`message()`; `close()` on a connection discards what was not yet acknowledged.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import struct
from collections import Counter, deque
from collections.abc import Coroutine
from typing import Any

import iroh

from peerscope.addresses import is_loopback, split_address
from peerscope.errors import ConfigError, TransportError
from peerscope.mesh.events import Connected, DialFailed, Disconnected, Event, Lane, Received
from peerscope.mesh.messages import MESSAGE_BYTES_MAX
from peerscope.records.identity import PeerId
from peerscope.transport.iroh_buffers import speed_up

FAST_BUFFERS = speed_up(iroh.iroh_ffi)
"""Bytes go to iroh in one piece; False where this iroh is not the one we know."""
ALPN = b"peerscope/1"
DIAL_TIMEOUT_S = 30.0
"""A machine that starts many agents at once takes long to shake hands. Whoever gives up begins anew at the end of the
queue, and what was begun is done for nothing: with 10 s, 200 agents on two cores got nowhere for a minute."""
DRAIN_TIMEOUT_S = 1.0
CLOSE_TIMEOUT_S = 4.0
QUEUE_MESSAGES_MAX = 1024
QUEUE_BYTES_MAX = 4 * 1024 * 1024
EVENTS_MAX = 8192
TURN_EVENTS_MAX = 64
DATAGRAMS_MAX = 1024
HANDSHAKES_MAX = 64
CONNECTIONS_MAX = 512
WRITE_BYTES = 64 * 1024
READ_BYTES = 64 * 1024
_LENGTH = struct.Struct(">I")


class IrohTransport:
    """An iroh endpoint and its connections, by peer."""

    def __init__(self, endpoint: iroh.Endpoint, bound: str, dial_timeout_s: float) -> None:
        self.counters: Counter[str] = Counter()
        self._endpoint = endpoint
        self._bound = bound
        self._dial_timeout_s = dial_timeout_s
        self._wires: dict[PeerId, list[Wire]] = {}
        self._datagrams: deque[Event] = deque()
        """Pings and pongs go before whatever else waits: an agent that is behind still answers."""
        self._events: deque[Event] = deque()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._finishing: set[asyncio.Task[None]] = set()
        self._handshakes = 0
        self._spawn(self._accept())

    @classmethod
    async def bind(cls, secret: bytes, listen: str, *, dial_timeout_s: float | None = None) -> IrohTransport:
        """An endpoint with this Ed25519 seed, on this "host:port" (port 0: any). Raises `ConfigError`."""
        options = iroh.EndpointOptions(
            preset=iroh.preset_minimal(),
            bind_addr=listen,
            secret_key=secret,
            alpns=[ALPN],
            relay_mode=iroh.RelayMode.disabled(),
        )
        try:
            endpoint = await iroh.Endpoint.bind(options)
        except iroh.IrohError as error:
            raise ConfigError(
                f"cannot listen on {listen}: {_text(error)}; choose another address or port with --listen"
            ) from error
        return cls(endpoint, _bound_socket(endpoint, listen), dial_timeout_s or DIAL_TIMEOUT_S)

    @property
    def peer_id(self) -> PeerId:
        """The endpoint's id: the public half of its key."""
        return PeerId(bytes.fromhex(str(self._endpoint.id())))

    @property
    def addresses(self) -> tuple[str, ...]:
        found = self._endpoint.addr().direct_addresses()
        if is_loopback(split_address(self._bound, "listen")[0]):  # iroh lists a second, random socket as well
            return (self._bound,)
        return tuple(address for address in found if not is_loopback(split_address(address, "address")[0])) or (
            self._bound,
        )

    @property
    def queued(self) -> int:
        outward = sum(wire.queued for wires in self._wires.values() for wire in wires)
        return len(self._events) + len(self._datagrams) + outward

    @property
    def ticket(self) -> str:
        endpoint_id = iroh.EndpointId.from_string(self.peer_id.hex())
        addr = iroh.EndpointAddr(endpoint_id, None, list(self.addresses))
        return str(iroh.EndpointTicket.from_addr(addr))

    async def receive(self, timeout_s: float) -> list[Event]:
        if not self._events and not self._datagrams:
            self._arrived.clear()
            # Not `asyncio.timeout`: its cancellation costs as much as handling a message.
            alarm = asyncio.get_running_loop().call_later(min(timeout_s, 3600.0), self._arrived.set)
            try:
                await self._arrived.wait()
            finally:
                alarm.cancel()
        else:
            await asyncio.sleep(0)  # however busy we are, others run too
        events = list(self._datagrams)
        self._datagrams.clear()
        events += (self._events.popleft() for _ in range(min(len(self._events), TURN_EVENTS_MAX)))
        self._room.set()
        return events

    def send(self, to: PeerId, data: bytes, lane: Lane) -> None:
        wires = self._wires.get(to)
        if not wires:
            self.counters["send-unconnected"] += 1
        elif lane is Lane.DATAGRAM:
            wires[-1].send_datagram(data)
        else:
            wires[-1].send(data)

    def dial(self, peer: PeerId, addresses: tuple[str, ...]) -> None:
        self._spawn(self._dial(peer, addresses))

    def hang_up(self, peer: PeerId, reason: str) -> None:
        for wire in self._wires.pop(peer, []):
            task = self._spawn(wire.finish(reason))
            self._finishing.add(task)
            task.add_done_callback(self._finishing.discard)

    async def close(self) -> None:
        wires = [wire for wires in self._wires.values() for wire in wires]
        self._wires.clear()
        if self._finishing:  # goodbyes on their way
            await asyncio.wait(self._finishing, timeout=DRAIN_TIMEOUT_S)
        for task in self._tasks:
            task.cancel()
        for wire in wires:
            wire.abort("closing")
        with contextlib.suppress(TimeoutError, iroh.IrohError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._endpoint.close()

    # -- inside ----------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def put(self, event: Event) -> None:
        """Hand the driver an event; waits while it is far behind, which slows the sender down (flow control)."""
        while len(self._events) >= EVENTS_MAX:
            self._room.clear()
            await self._room.wait()
        self.inject(event)

    def inject(self, event: Event) -> None:
        """Hand the driver an event that must not wait: one of our own, or about a connection."""
        self._events.append(event)
        self._arrived.set()

    def inject_datagram(self, event: Received) -> None:
        """Hand the driver what came as a datagram; dropped while many wait."""
        if len(self._datagrams) >= DATAGRAMS_MAX:
            self.counters["datagram-dropped"] += 1
            return
        self._datagrams.append(event)
        self._arrived.set()

    async def _dial(self, peer: PeerId, addresses: tuple[str, ...]) -> None:
        try:
            async with asyncio.timeout(self._dial_timeout_s):
                addr = iroh.EndpointAddr(iroh.EndpointId.from_string(peer.hex()), None, list(addresses))
                connection = await self._endpoint.connect(addr, ALPN)
        except (iroh.IrohError, TimeoutError) as error:
            self.counters["dial-failed"] += 1
            timed_out = isinstance(error, TimeoutError)
            self.inject(DialFailed(peer, f"no answer within {self._dial_timeout_s:g} s" if timed_out else _text(error)))
        else:
            self._adopt(peer, connection, dialled=True)

    async def _accept(self) -> None:
        while (incoming := await self._endpoint.accept_next()) is not None:
            total = sum(len(wires) for wires in self._wires.values())
            if self._handshakes >= HANDSHAKES_MAX or total >= CONNECTIONS_MAX:
                self.counters["connection-refused"] += 1
                with contextlib.suppress(iroh.IrohError):
                    await incoming.refuse()
                continue
            self._handshakes += 1
            self._spawn(self._shake_hands(incoming))

    async def _shake_hands(self, incoming: iroh.Incoming) -> None:
        try:
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                connection = await (await incoming.accept()).connect()
                peer = PeerId(bytes.fromhex(str(connection.remote_id())))
        except (iroh.IrohError, TimeoutError):
            self.counters["handshake-failed"] += 1
        else:
            self._adopt(peer, connection, dialled=False)
        finally:
            self._handshakes -= 1

    def _adopt(self, peer: PeerId, connection: iroh.Connection, *, dialled: bool) -> None:
        wire = Wire(self, peer, connection)
        wires = self._wires.setdefault(peer, [])
        wires.append(wire)
        if len(wires) > 2:
            wires.pop(0).abort("replaced")
        self.inject(Connected(peer, dialled))
        self._spawn(self._serve(wire))

    async def _serve(self, wire: Wire) -> None:
        reason = await wire.run()
        wire.abort(reason)
        wires = self._wires.get(wire.peer, [])
        if wire in wires:
            wires.remove(wire)
            if not wires:
                del self._wires[wire.peer]
                self.inject(Disconnected(wire.peer, reason))


class Wire:
    """One connection: a bounded queue out, two readers in."""

    def __init__(self, transport: IrohTransport, peer: PeerId, connection: iroh.Connection) -> None:
        self.peer = peer
        self._transport = transport
        self._connection = connection
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._filled = asyncio.Event()
        self._drained = asyncio.Event()
        self._finishing = False

    @property
    def queued(self) -> int:
        return len(self._queue)

    def send(self, data: bytes) -> None:
        """Queue one message for the stream."""
        if len(self._queue) >= QUEUE_MESSAGES_MAX or self._queued_bytes + len(data) > QUEUE_BYTES_MAX:
            self._transport.counters["send-queue-full"] += 1
            return
        self._queue.append(_LENGTH.pack(len(data)) + data)
        self._queued_bytes += len(data) + _LENGTH.size
        self._filled.set()

    def send_datagram(self, data: bytes) -> None:
        """Send at once or not at all."""
        try:
            self._connection.send_datagram(data)
        except iroh.IrohError:
            self._transport.counters["datagram-unsent"] += 1

    async def run(self) -> str:
        """Read and write until the connection ends; why it did."""
        try:
            async with asyncio.TaskGroup() as group:
                for work in (self._write(), self._read_stream(), self._read_datagrams()):
                    group.create_task(work)
        except* (iroh.IrohError, TransportError) as errors:
            reason = _text(errors.exceptions[0])
        else:
            reason = "closed"
        return reason

    async def finish(self, reason: str) -> None:
        """Let what is queued reach the peer, then close."""
        self._finishing = True
        self._filled.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                await self._drained.wait()
        self.abort(reason)

    def abort(self, reason: str) -> None:
        """Close at once."""
        self._drained.set()
        with contextlib.suppress(iroh.IrohError):
            self._connection.close(0, reason.encode()[:64])

    async def _write(self) -> None:
        stream = await self._connection.open_uni()
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._queue:
                batch = bytearray()
                while self._queue and len(batch) < WRITE_BYTES:
                    batch += self._queue.popleft()
                self._queued_bytes -= len(batch)
                await stream.write_all(bytes(batch))
            if self._finishing:
                await stream.finish()
                await stream.stopped()  # everything is acknowledged
                self._drained.set()
                return

    async def _read_stream(self) -> None:
        stream = await self._connection.accept_uni()
        buffer = bytearray()
        while chunk := await stream.read(READ_BYTES):
            buffer += chunk
            while len(buffer) >= _LENGTH.size:
                (size,) = _LENGTH.unpack_from(buffer)
                if size > MESSAGE_BYTES_MAX:
                    self._transport.counters["oversized-message"] += 1
                    raise TransportError(f"a message of {size} bytes; at most {MESSAGE_BYTES_MAX}")
                if len(buffer) < _LENGTH.size + size:
                    break
                data = bytes(memoryview(buffer)[_LENGTH.size : _LENGTH.size + size])
                del buffer[: _LENGTH.size + size]
                await self._transport.put(Received(self.peer, data))

    async def _read_datagrams(self) -> None:
        while True:
            data = await self._connection.read_datagram()
            self._transport.inject_datagram(Received(self.peer, data))


def parse_ticket(ticket: str) -> tuple[PeerId, tuple[str, ...]]:
    """Peer id and addresses of a ticket. Raises `ConfigError` if it is none."""
    try:
        addr = iroh.EndpointTicket.from_string(ticket.strip()).endpoint_addr()
    except iroh.IrohError as error:
        raise ConfigError(
            f"not a ticket: {ticket[:24]!r}... ({_text(error)}); a ticket is printed by `peerscope run` "
            "and begins with 'endpoint'"
        ) from error
    return PeerId(bytes.fromhex(str(addr.id()))), tuple(addr.direct_addresses())


def _bound_socket(endpoint: iroh.Endpoint, listen: str) -> str:
    """The socket that was asked for: iroh binds another one, on a random port, beside it."""
    host = listen.rpartition(":")[0]
    return next((s for s in endpoint.bound_sockets() if s.rpartition(":")[0] == host), listen)


def _text(error: BaseException) -> str:
    """What went wrong, in one line: iroh's messages are chains of causes with places in its own source."""
    message = str(error.message()) if isinstance(error, iroh.IrohError) else str(error)
    lines = [line.strip() for line in message.splitlines()]
    causes = [line for line in lines if line and not line.startswith(("at ", "Caused by", "Stack backtrace"))]
    last = re.sub(r"^\d+: |\s*\(?(/[^\s:]+)+\.rs(:\d+)*\)?", "", causes[-1]) if causes else ""
    return last.strip() or type(error).__name__
