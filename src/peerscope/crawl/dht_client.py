"""Asks nodes of the BitTorrent DHT over UDP (BEP 5): one question, one answer, within bounds.

An answer counts only if it comes from the address that was asked and repeats the random id of the question. Each
question is marked read-only (BEP 43), so nodes do not add the crawler to their tables. A question that gets lost is
asked again with a new id.

Nodes block those who ask too much: libtorrent after 50 packets within ten seconds from one address, for five minutes.
So each node gets a few questions at once and then `PER_NODE_S`. `rate` bounds all packets together.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from ipaddress import ip_address
from typing import NamedTuple, cast

from peerscope.crawl.bencode import Value, decode, encode
from peerscope.crawl.pace import Pace
from peerscope.crawl.scopes import IpAddress
from peerscope.errors import RemoteError, TransportError

ANSWER_S = 2.0
"""Time for one answer."""
TRIES = 3
"""Times a question is sent until it is answered."""
BURST = 24
"""Questions that one node gets without a pause."""
PER_NODE_S = 0.5
"""Pause between further questions to one node."""
PACKET_BYTES_MAX = 4096
RECEIVE_BUFFER_BYTES = 1 << 20


class UdpAddress(NamedTuple):
    """Where a node listens."""

    ip: IpAddress
    port: int

    def __str__(self) -> str:
        return f"{self.ip}:{self.port}" if self.ip.version == 4 else f"[{self.ip}]:{self.port}"


class PacketCounts:
    """Packets and bytes of one crawl."""

    def __init__(self) -> None:
        self.sent_packets = self.received_packets = self.sent_bytes = self.received_bytes = 0
        self.stray_packets = 0
        """Packets that answer no open question: late, repeated or forged."""


class DhtClient(asyncio.DatagramProtocol):
    """One UDP socket. `ask` raises `TransportError` without an answer, `RemoteError` for a bad one."""

    def __init__(self, counts: PacketCounts, rate: float) -> None:
        self.counts = counts
        self._pace = Pace(rate)
        self._transport: asyncio.DatagramTransport | None = None
        self._open: dict[bytes, tuple[UdpAddress, asyncio.Future[dict[bytes, Value]]]] = {}

    @classmethod
    async def bind(cls, version: int, counts: PacketCounts, rate: float) -> DhtClient:
        """A client on a free port. Raises `TransportError` if this machine has no such addresses."""
        here = ("0.0.0.0", 0) if version == 4 else ("::", 0)
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        try:
            loop = asyncio.get_running_loop()
            transport, client = await loop.create_datagram_endpoint(
                lambda: cls(counts, rate), local_addr=here, family=family
            )
        except OSError as error:
            raise TransportError(f"no socket for IPv{version}: {error}") from None
        if (bound := transport.get_extra_info("socket")) is not None:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        return client

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    async def ask(
        self, where: UdpAddress, method: bytes, arguments: dict[bytes, Value], *, tries: int = TRIES
    ) -> dict[bytes, Value]:
        """The whole answer, with its `r`."""
        for _ in range(tries):
            await self._pace.turn()
            try:
                return checked(await self._once(where, method, arguments))
            except TimeoutError:
                pass
        raise TransportError(f"no answer within {ANSWER_S:g} s, asked {tries} times")

    async def _once(self, where: UdpAddress, method: bytes, arguments: dict[bytes, Value]) -> dict[bytes, Value]:
        ticket = secrets.token_bytes(4)
        answer: asyncio.Future[dict[bytes, Value]] = asyncio.get_running_loop().create_future()
        self._open[ticket] = where, answer
        packet = encode({b"t": ticket, b"y": b"q", b"q": method, b"a": arguments, b"ro": 1})
        assert self._transport is not None
        try:
            self._transport.sendto(packet, (str(where.ip), where.port))
            self.counts.sent_packets += 1
            self.counts.sent_bytes += len(packet)
            async with asyncio.timeout(ANSWER_S):
                return await answer
        finally:
            del self._open[ticket]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)  # uvloop's is no subclass of asyncio's

    def datagram_received(self, data: bytes, sender: tuple[str, int] | tuple[str, int, int, int]) -> None:
        self.counts.received_packets += 1
        self.counts.received_bytes += len(data)
        if not self._landed(data, sender):
            self.counts.stray_packets += 1

    def _landed(self, data: bytes, sender: tuple[str, int] | tuple[str, int, int, int]) -> bool:
        """Did it answer an open question?"""
        if len(data) > PACKET_BYTES_MAX:
            return False
        try:
            message = decode(data)
        except RemoteError:
            return False
        if not isinstance(message, dict) or not isinstance(ticket := message.get(b"t"), bytes):
            return False
        where, answer = self._open.get(ticket, (None, None))
        if where is None or answer is None or answer.done():
            return False
        if (ip_address(sender[0].partition("%")[0]), sender[1]) != (where.ip, where.port):
            return False
        answer.set_result(message)
        return True


def checked(message: dict[bytes, Value]) -> dict[bytes, Value]:
    """The message of a node, if it is an answer. Raises `RemoteError`."""
    match message:
        case {b"y": b"r", b"r": dict()}:
            return message
        case {b"y": b"e", b"e": [int(number), *_]}:
            raise RemoteError("says", f"error {number}")
        case _:
            raise RemoteError("bad-answer", "no answer of BEP 5")
