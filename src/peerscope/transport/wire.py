"""One QUIC connection: how we dial it, a bounded queue out, and two readers in, both at a limited rate.

We throttle a neighbour that sends too much by reading slowly. Then QUIC makes it wait (streams), or drops its packets
early (datagrams). The rate is above the limits of `mesh.limits`, so that the core sees each peer that exceeds them.

A first packet without an answer is sent again after 1, 2, 4 and 8 seconds (RFC 9002, section 6.2). A peer that restarts
in one of these pauses would wait for its end. A neighbour that has just gone silent may be such a peer, so a dial to it
starts again a few times. Only one connection is tried at a time: the other end might write to one that we give up.

The Python side of iroh 1.2 is generated (UniFFI), and copies each byte string in a Python loop: 8 KiB take 2 ms.
`speed_up` replaces that by one `memmove`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import re
import struct
from collections import Counter, deque
from types import ModuleType
from typing import Any, Protocol

import iroh

from peerscope.errors import TransportError
from peerscope.host.addresses import is_direct, split_address
from peerscope.mesh.events import Received
from peerscope.mesh.limits.rate_limit import TokenBucket
from peerscope.mesh.messages import MESSAGE_BYTES_MAX
from peerscope.records.identity import PeerId
from peerscope.transport.sealed import DATAGRAM_BYTES_MAX, is_offer

FINISH_TIMEOUT_S = 5.0
"""Time for the other end to read our queue when we hang up. Without our goodbye it would take us for lost."""
QUEUE_MESSAGES_MAX = 1024
QUEUE_BYTES_MAX = 4 * 1024 * 1024
WRITE_BYTES = 64 * 1024
READ_BYTES = 64 * 1024
RECEIVE_WINDOW_BYTES = 512 * 1024
"""Bytes that the other end may send before we have read them: they wait in our memory."""
MESSAGES_PER_S, MESSAGES_BURST = 1_000.0, 4_000.0
DATAGRAMS_PER_S, DATAGRAMS_BURST = 400.0, 400.0
"""One datagram costs five times as much as a message of a stream."""
_LENGTH = struct.Struct(">I")


class FrameReceiver(Protocol):
    """Takes the messages that a wire reads."""

    counters: Counter[str]

    async def put(self, event: Received) -> None:
        """Take a message of the stream; waits while too many wait."""

    def came_by_quic(self, peer: PeerId) -> None:
        """Note that a datagram came by QUIC."""

    def put_datagram(self, event: Received) -> None:
        """Take a datagram; drops it while too many wait."""

    def take_offer(self, peer: PeerId, data: bytes) -> None:
        """Take a frame about pings by UDP."""

    def breached(self, peer: PeerId, reason: str) -> None:
        """Note that the peer broke the protocol."""


class Wire:
    """One connection with one peer."""

    def __init__(self, receiver: FrameReceiver, peer: PeerId, connection: iroh.Connection) -> None:
        self.peer = peer
        self._receiver = receiver
        self._connection = connection
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._filled = asyncio.Event()
        self._finishing = False
        """One of the two ends has hung up."""
        self._read_all = asyncio.Event()
        """We have read the other end's stream to its end, or need not wait for it."""
        self.opened_at = now = asyncio.get_running_loop().time()
        self._messages = TokenBucket(MESSAGES_PER_S, MESSAGES_BURST, now)
        self._datagrams = TokenBucket(DATAGRAMS_PER_S, DATAGRAMS_BURST, now)

    @property
    def queued(self) -> int:
        return len(self._queue)

    @property
    def is_relayed(self) -> bool:
        """Whether the present path goes through a relay."""
        with contextlib.suppress(iroh.IrohError):
            return any(path.is_relay for path in self._connection.paths() if path.is_selected)
        return False

    def direct(self) -> tuple[str, float] | None:
        """IP address of the other end and round-trip time in seconds; None while packets go through a relay."""
        with contextlib.suppress(iroh.IrohError):
            for path in self._connection.paths():
                if path.is_selected and path.is_ip and is_direct(path.remote_addr):
                    host = split_address(path.remote_addr, "path")[0]
                    return host.removeprefix("::ffff:"), path.rtt_ms / 1000
        return None

    def send(self, data: bytes) -> None:
        """Queue one message for the stream."""
        if len(self._queue) >= QUEUE_MESSAGES_MAX or self._queued_bytes + len(data) > QUEUE_BYTES_MAX:
            self._receiver.counters["send-queue-full"] += 1
            return
        self._queue.append(_LENGTH.pack(len(data)) + data)
        self._queued_bytes += len(data) + _LENGTH.size
        self._filled.set()

    def send_datagram(self, data: bytes) -> None:
        """Send at once or not at all."""
        try:
            self._connection.send_datagram(data)
        except iroh.IrohError:
            self._receiver.counters["datagram-unsent"] += 1

    async def run(self) -> str:
        """Read and write until the connection ends. Returns the reason."""
        with contextlib.suppress(iroh.IrohError):  # each end may open one stream, one way
            self._connection.set_max_concurrent_bi_streams(0)
            self._connection.set_max_concurrent_uni_streams(1)
            self._connection.set_receive_window(RECEIVE_WINDOW_BYTES)
        try:
            async with asyncio.TaskGroup() as group:
                for work in (self._write(), self._read_stream(), self._read_datagrams()):
                    group.create_task(work)
        except* (iroh.IrohError, TransportError) as errors:
            reason = text_of(errors.exceptions[0])
        else:
            reason = "closed"
        return reason

    async def finish(self, reason: str) -> None:
        """Wait until the other end has read our queue and ended its stream, then close.

        An acknowledgement is not enough. QUIC sends it when bytes arrive, and a close discards bytes that were not yet
        read (RFC 9000, section 10.2).
        """
        self._finishing = True
        self._filled.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FINISH_TIMEOUT_S):
                await self._read_all.wait()
        self.abort(reason)

    def abort(self, reason: str) -> None:
        """Close at once."""
        self._read_all.set()
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
                return

    async def _read_stream(self) -> None:
        stream = await self._connection.accept_uni()
        buffer = bytearray()
        while chunk := await stream.read(READ_BYTES):
            buffer += chunk
            while len(buffer) >= _LENGTH.size:
                (size,) = _LENGTH.unpack_from(buffer)
                if size > MESSAGE_BYTES_MAX:
                    self._receiver.breached(self.peer, "oversized-message")
                    raise TransportError(f"a message of {size} bytes; at most {MESSAGE_BYTES_MAX}")
                if len(buffer) < _LENGTH.size + size:
                    break
                data = bytes(memoryview(buffer)[_LENGTH.size : _LENGTH.size + size])
                del buffer[: _LENGTH.size + size]
                await self._throttle(self._messages)
                if is_offer(data):
                    self._receiver.take_offer(self.peer, data)
                elif not self._finishing:  # after we hung up, ignore further messages
                    await self._receiver.put(Received(self.peer, data))
        self._read_all.set()
        if not self._finishing:
            self._finishing = True
            self._filled.set()
            await asyncio.sleep(FINISH_TIMEOUT_S)  # the other end closes, with its reason
            raise TransportError("the peer hung up")

    async def _read_datagrams(self) -> None:
        while True:
            data = await self._connection.read_datagram()
            await self._throttle(self._datagrams)
            if self._finishing:
                continue
            if len(data) > DATAGRAM_BYTES_MAX:
                self._receiver.breached(self.peer, "oversized-datagram")
            else:
                self._receiver.came_by_quic(self.peer)
                self._receiver.put_datagram(Received(self.peer, data))

    def admits_datagram(self) -> bool:
        """Count a datagram that came by UDP; False beyond the limit, since a socket for all peers cannot wait."""
        return self._datagrams.take(1.0, asyncio.get_running_loop().time())

    def take_sealed(self, data: bytes) -> None:
        """Pass a datagram on that came by UDP."""
        if not self._finishing:
            self._receiver.put_datagram(Received(self.peer, data))

    async def _throttle(self, bucket: TokenBucket) -> None:
        wait_s = bucket.wait_s(1.0, asyncio.get_running_loop().time())
        if wait_s > 0:
            await asyncio.sleep(wait_s)


def text_of(error: BaseException) -> str:
    """The error in one line: iroh's messages are chains of causes with places in its source."""
    message = str(error.message()) if isinstance(error, iroh.IrohError) else str(error)
    lines = [line.strip() for line in message.splitlines()]
    causes = [line for line in lines if line and not line.startswith(("at ", "Caused by", "Stack backtrace"))]
    last = re.sub(r"^[0-9]+: |\s*\(?(/[^\s:]+)+\.rs(:[0-9]+)*\)?", "", causes[-1]) if causes else ""
    return last.strip() or type(error).__name__


ANEW_S = (2.0, 2.0, 2.0, 2.0, 4.0)
"""Time for each of the first connections of such a dial. The last one has the rest of the time, since a handshake takes
long on a busy machine."""


async def connect(
    endpoint: iroh.Endpoint, address: iroh.EndpointAddr, alpn: bytes, *, anew_s: tuple[float, ...] = ()
) -> iroh.Connection:
    """Connect, until cancelled. After each time of `anew_s` it gives up and starts again. Raises `IrohError`."""
    for seconds in anew_s:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await endpoint.connect(address, alpn)
    return await endpoint.connect(address, alpn)


def speed_up(module: ModuleType) -> bool:
    """Replace the writer of the generated module. Returns False, and changes nothing, if its private names differ."""
    builder: Any = getattr(module, "_UniffiRustBufferBuilder", None)
    buffer: Any = getattr(module, "_UniffiRustBuffer", None)
    if builder is None or not all(hasattr(builder, name) for name in ("write", "_reserve")):
        return False
    kinds = dict(getattr(buffer, "_fields_", ()))
    if not {"capacity", "len", "data"} <= set(kinds) or not hasattr(kinds["data"], "contents"):
        return False

    def write(self: Any, value: bytes) -> None:
        size = len(value)
        with self._reserve(size):  # may move the buffer, so read its address afterwards
            if size:
                start = ctypes.cast(self.rbuf.data, ctypes.c_void_p).value
                ctypes.memmove(start + self.rbuf.len, bytes(value), size)

    builder.write = write
    return True
