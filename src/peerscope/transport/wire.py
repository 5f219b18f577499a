"""One QUIC connection: a bounded queue out, two readers in, both at a bounded pace.

Reading slowly is how a neighbour that sends too much is throttled: what we do not read, QUIC does not let it send
(streams), or drops before it costs us anything (datagrams). The pace lies above what `mesh.limits` allows, so that the
core sees who does not keep to its limits.
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
from peerscope.mesh.events import Received
from peerscope.mesh.limits.rate_limit import TokenBucket
from peerscope.mesh.messages import MESSAGE_BYTES_MAX
from peerscope.records.identity import PeerId

FINISH_TIMEOUT_S = 5.0
"""For what is queued when we hang up to be read. Whoever does not hear that we mean to takes us for lost."""
QUEUE_MESSAGES_MAX = 1024
QUEUE_BYTES_MAX = 4 * 1024 * 1024
WRITE_BYTES = 64 * 1024
READ_BYTES = 64 * 1024
RECEIVE_WINDOW_BYTES = 512 * 1024
"""What the other end may send before we have read it: it waits in our memory."""
DATAGRAM_BYTES_MAX = 512
"""Pings and pongs have at most some 120."""
MESSAGES_PER_S, MESSAGES_BURST = 1_000.0, 4_000.0
DATAGRAMS_PER_S, DATAGRAMS_BURST = 400.0, 400.0
"""Reading one costs five times as much as a message of a stream."""
_LENGTH = struct.Struct(">I")


class FrameReceiver(Protocol):
    """Takes what a wire reads."""

    counters: Counter[str]

    async def put(self, event: Received) -> None:
        """A message of the stream; waits while too many do."""

    def put_datagram(self, event: Received) -> None:
        """A datagram; dropped while too many wait."""

    def breached(self, peer: PeerId, reason: str) -> None:
        """The peer sent what is not even handed on."""


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
        """One of the ends has hung up."""
        self._read_all = asyncio.Event()
        """The other end has ended its stream, and we have read it; or there is no more to wait for."""
        now = asyncio.get_running_loop().time()
        self._messages = TokenBucket(MESSAGES_PER_S, MESSAGES_BURST, now)
        self._datagrams = TokenBucket(DATAGRAMS_PER_S, DATAGRAMS_BURST, now)

    @property
    def queued(self) -> int:
        return len(self._queue)

    @property
    def is_relayed(self) -> bool:
        """The path that is used now goes through a relay."""
        with contextlib.suppress(iroh.IrohError):
            return any(path.is_relay for path in self._connection.paths() if path.is_selected)
        return False

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
        """Read and write until the connection ends; why it did."""
        with contextlib.suppress(iroh.IrohError):  # each end opens one stream, one way, and no more
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
        """Let what is queued be read, then close: the other end ends its stream when it has read ours.

        An acknowledgement would not do. QUIC gives it as soon as bytes arrive, and what has not been read when the
        connection closes is lost (RFC 9000, section 10.2).
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
                await self._keep_pace(self._messages)
                if not self._finishing:  # we have hung up: what still comes is not heard
                    await self._receiver.put(Received(self.peer, data))
        self._read_all.set()
        if not self._finishing:
            self._finishing = True
            self._filled.set()
            await asyncio.sleep(FINISH_TIMEOUT_S)  # the other end closes, and says why
            raise TransportError("the peer hung up")

    async def _read_datagrams(self) -> None:
        while True:
            data = await self._connection.read_datagram()
            await self._keep_pace(self._datagrams)
            if self._finishing:
                continue
            if len(data) > DATAGRAM_BYTES_MAX:
                self._receiver.breached(self.peer, "oversized-datagram")
            else:
                self._receiver.put_datagram(Received(self.peer, data))

    async def _keep_pace(self, bucket: TokenBucket) -> None:
        wait_s = bucket.wait_s(1.0, asyncio.get_running_loop().time())
        if wait_s > 0:
            await asyncio.sleep(wait_s)


def text_of(error: BaseException) -> str:
    """What went wrong, in one line: iroh's messages are chains of causes with places in its own source."""
    message = str(error.message()) if isinstance(error, iroh.IrohError) else str(error)
    lines = [line.strip() for line in message.splitlines()]
    causes = [line for line in lines if line and not line.startswith(("at ", "Caused by", "Stack backtrace"))]
    last = re.sub(r"^[0-9]+: |\s*\(?(/[^\s:]+)+\.rs(:[0-9]+)*\)?", "", causes[-1]) if causes else ""
    return last.strip() or type(error).__name__


ANEW_S = (2.0, 2.0, 2.0, 2.0, 4.0)
"""How long the first connections of such a dial are tried. The last one has the rest of the time: on a machine that is
behind, a handshake takes long."""


async def connect(
    endpoint: iroh.Endpoint, address: iroh.EndpointAddr, alpn: bytes, *, anew_s: tuple[float, ...] = ()
) -> iroh.Connection:
    """A connection that stands. Waits until cancelled, but after each of the times `anew_s` it gives up and begins
    another one. Raises `IrohError`."""
    for seconds in anew_s:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await endpoint.connect(address, alpn)
    return await endpoint.connect(address, alpn)


def speed_up(module: ModuleType) -> bool:
    """Replace the writer of the generated module; False if it does not look as expected."""
    builder: Any = getattr(module, "_UniffiRustBufferBuilder", None)
    buffer: Any = getattr(module, "_UniffiRustBuffer", None)
    if builder is None or not all(hasattr(builder, name) for name in ("write", "_reserve")):
        return False
    kinds = dict(getattr(buffer, "_fields_", ()))
    if not {"capacity", "len", "data"} <= set(kinds) or not hasattr(kinds["data"], "contents"):
        return False

    def write(self: Any, value: bytes) -> None:
        size = len(value)
        with self._reserve(size):  # may move the buffer, so its address is asked for afterwards
            if size:
                start = ctypes.cast(self.rbuf.data, ctypes.c_void_p).value
                ctypes.memmove(start + self.rbuf.len, bytes(value), size)

    builder.write = write
    return True
