"""A peer that means ill, on real QUIC: joins an open network as anybody may, and then floods one victim.

For use on loopback against one's own agents only: it refuses any other address. Bounded in messages and in time.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import struct
import time
from collections.abc import Callable, Iterator
from itertools import count
from random import Random
from typing import Any, cast

import iroh
from msgspec.structs import replace

from peerscope.host.addresses import is_loopback, split_address
from peerscope.mesh.messages import (
    MESSAGE_BYTES_MAX,
    WIRE_VERSION,
    Aged,
    Announce,
    Digest,
    Hello,
    Key,
    Message,
    Ping,
    Pull,
    Push,
    Records,
    Topic,
    encode,
)
from peerscope.records.bodies import Profile
from peerscope.records.identity import Identity, PeerId, ref
from peerscope.records.record import Record, sign
from peerscope.transport.iroh import ALPN, FAST_BUFFERS, parse_ticket

BATCH_S = 0.01
PAUSE_S = 0.05
"""Before it connects again after it was hung up on."""
HALF_OPEN = 500
MUTE = 64
LENGTH = struct.Struct(">I")
Source = Iterator[bytes]


def own_record(me: Identity, number: int, version: int) -> Record:
    body = Profile((f"127.0.0.1:{1 + number % 60_000}",), None, "hostile", 0)
    return sign(me, body, version=version, wall_ms=version)


def random_bytes(me: Identity, victim: PeerId) -> Source:
    """Messages that are none."""
    rng = Random(1)
    while True:
        yield rng.randbytes(200)


def malformed(me: Identity, victim: PeerId) -> Source:
    """As long as a message may be, beginning like one."""
    while True:
        yield b"\x91\x06" + bytes(MESSAGE_BYTES_MAX - 2)


def forged(me: Identity, victim: PeerId) -> Source:
    """Goodbyes in the victim's neighbours' names, with true-looking signatures."""
    rng = Random(2)
    honest = own_record(me, 0, now_ms())
    while True:
        yield encode(Push(replace(honest, origin=rng.randbytes(32), version=now_ms()), 0, 5, ()))


def replayed(me: Identity, victim: PeerId) -> Source:
    """Sixty-four true records, the same again and again."""
    now = now_ms()
    items = tuple(Aged(own_record(me, number, now + number), 0) for number in range(64))
    message = encode(Records(items))
    while True:
        yield message


def equivocations(me: Identity, victim: PeerId) -> Source:
    """Ever new statements under one version, each truly signed."""
    version = now_ms()
    for number in count():
        yield encode(Push(own_record(me, number, version), 0, 5, ()))


def news(me: Identity, victim: PeerId) -> Source:
    """True news of ourselves without end, each passed on by whoever hears it."""
    version = now_ms()
    for number in count():
        yield encode(Push(own_record(me, number, version + number), 0, 5, ()))


def same(message: Message) -> Callable[[Identity, PeerId], Source]:
    """One message, again and again."""
    data = encode(message)

    def repeated(me: Identity, victim: PeerId) -> Source:
        while True:
            yield data

    return repeated


def pulls(me: Identity, victim: PeerId) -> Source:
    """Requests for what the victim says of itself."""
    message = encode(Pull(tuple(Topic(ref(victim), kind) for kind in range(3))))
    while True:
        yield message


def announcements(me: Identity, victim: PeerId) -> Source:
    """Records that do not exist."""
    rng = Random(3)
    while True:
        yield encode(Announce(tuple(Key(rng.randbytes(8), 0, 1 + rng.getrandbits(40)) for _ in range(64))))


def now_ms() -> int:
    return round(time.time() * 1000)


KINDS: dict[str, Callable[[Identity, PeerId], Source]] = {
    "random-bytes": random_bytes,
    "malformed": malformed,
    "forged": forged,
    "replayed": replayed,
    "pings": same(Ping(1, 1_700_000_000_000)),
    "digests": same(Digest(0, bytes(8))),
    "pulls": pulls,
    "announcements": announcements,
    "hellos": same(Hello(WIRE_VERSION, WIRE_VERSION, "peerscope", b"", 1)),
    "equivocations": equivocations,
    "news": news,
}
DATAGRAMS = {"datagrams": same(Ping(1, 1_700_000_000_000))}
OTHERS = ("oversized", "half-open", "mute")


class Hostile:
    """One attack on one victim."""

    def __init__(self, ticket: str, per_s: float, seconds: float, *, new_keys: bool) -> None:
        self.victim, addresses = parse_ticket(ticket)
        self.address = addresses[0]
        if not is_loopback(split_address(self.address, "ticket")[0]):
            raise SystemExit("only for one's own agents on loopback")
        self.per_s = per_s
        self.end = time.monotonic() + seconds
        self.new_keys = new_keys
        self.sent = 0
        self.connections = 0
        self.hung_up_on = 0
        self._me = Identity(bytes(32))
        self._endpoint: iroh.Endpoint | None = None

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.end

    async def endpoint(self) -> iroh.Endpoint:
        """With a key of its own; with a new one each time if so wanted."""
        if self._endpoint is None or self.new_keys:
            if self._endpoint is not None:
                await self._endpoint.close()
            secret = secrets.token_bytes(32)
            self._me = Identity(secret)
            self._endpoint = await bound(secret)
        return self._endpoint

    async def connect(self, address: str | None = None) -> iroh.Connection:
        addr = iroh.EndpointAddr(iroh.EndpointId.from_string(self.victim.hex()), None, [address or self.address])
        return await (await self.endpoint()).connect(addr, ALPN)

    async def flood(self, kind: str) -> None:
        """Connect, say hello, and send at the rate; again after each time it is hung up on."""
        while not self.is_over:
            try:
                async with asyncio.timeout(max(0.1, self.end - time.monotonic())):
                    connection = await self.connect()
                    self.connections += 1
                    await self._flood(connection, kind)
            except (iroh.IrohError, TimeoutError):
                self.hung_up_on += 1
                await asyncio.sleep(PAUSE_S)

    async def _flood(self, connection: iroh.Connection, kind: str) -> None:
        stream = await connection.open_uni()
        hello = encode(Hello(WIRE_VERSION, WIRE_VERSION, "peerscope", b"", now_ms()))
        await stream.write_all(framed(hello))
        source = {**KINDS, **DATAGRAMS}.get(kind, KINDS["random-bytes"])(self._me, self.victim)
        began, sent = time.monotonic(), 0
        while not self.is_over:
            due = int((time.monotonic() - began) * self.per_s) - sent
            if kind == "oversized":
                await stream.write_all(LENGTH.pack(16 * MESSAGE_BYTES_MAX) + bytes(1000))
                due = 1
            elif kind in DATAGRAMS:
                for _ in range(due):
                    connection.send_datagram(next(source))
            else:
                batch = bytearray()
                for done in range(due):
                    batch += framed(next(source))
                    if len(batch) > 256 * 1024:
                        due = done + 1
                        break
                await stream.write_all(bytes(batch))
            sent += due
            self.sent += due
            await asyncio.sleep(BATCH_S)

    async def half_open(self, count: int) -> None:
        """Handshakes that never end: what the victim answers is thrown away on the way."""
        loop = asyncio.get_running_loop()
        host, port = split_address(self.address, "ticket")
        relay, _ = await loop.create_datagram_endpoint(lambda: OneWay((host, port)), local_addr=("127.0.0.1", 0))
        address = "127.0.0.1:{}".format(relay.get_extra_info("sockname")[1])
        await self.endpoint()

        async def knock() -> None:
            with contextlib.suppress(iroh.IrohError, TimeoutError):
                async with asyncio.timeout(max(0.1, self.end - time.monotonic())):
                    self.connections += 1
                    await self.connect(address)

        await asyncio.gather(*(knock() for _ in range(count)))
        relay.close()

    async def mute(self, count: int) -> None:
        """Connections of as many peers that never say hello, again as soon as they are hung up on."""

        async def knock() -> None:
            endpoint = await bound(secrets.token_bytes(32))
            addr = iroh.EndpointAddr(iroh.EndpointId.from_string(self.victim.hex()), None, [self.address])
            while not self.is_over:
                with contextlib.suppress(iroh.IrohError, TimeoutError):
                    async with asyncio.timeout(max(0.1, self.end - time.monotonic())):
                        connection = await endpoint.connect(addr, ALPN)
                        self.connections += 1
                        await connection.closed()
                await asyncio.sleep(PAUSE_S)
            await endpoint.close()

        await asyncio.gather(*(knock() for _ in range(count)))

    async def run(self, kind: str) -> None:
        """One attack, until its time is over."""
        if kind == "half-open":
            await self.half_open(HALF_OPEN)
        elif kind == "mute":
            await self.mute(MUTE)
        else:
            await self.flood(kind)
        if self._endpoint is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2.0):
                    await self._endpoint.close()


class OneWay(asyncio.DatagramProtocol):
    """Passes packets on to the victim, and nothing back."""

    def __init__(self, victim: tuple[str, int]) -> None:
        self._victim = victim

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # of asyncio's own, but no subclass of it

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if addr != self._victim:
            self._transport.sendto(data, self._victim)


async def bound(secret: bytes) -> iroh.Endpoint:
    return await iroh.Endpoint.bind(
        iroh.EndpointOptions(
            preset=iroh.preset_minimal(),
            bind_addr="127.0.0.1:0",
            secret_key=secret,
            alpns=[ALPN],
            relay_mode=iroh.RelayMode.disabled(),
        )
    )


def framed(data: bytes) -> bytes:
    return LENGTH.pack(len(data)) + data


def attack(ticket: str, kind: str, per_s: float, seconds: float, *, new_keys: bool) -> dict[str, Any]:
    """Do one thing to one victim for so long; what was done."""
    assert FAST_BUFFERS, "sending would be too slow"
    hostile = Hostile(ticket, per_s, seconds, new_keys=new_keys)
    asyncio.run(hostile.run(kind))
    return {"kind": kind, "sent": hostile.sent, "connections": hostile.connections, "hung_up_on": hostile.hung_up_on}
