"""A Yggdrasil node, asked at its admin socket: one JSON request, one JSON answer (yggdrasil-go 0.4, `src/admin`).

`getself` and `getpeers` describe the node itself. `debug_remotegetpeers` makes it ask another node of the network, by
public key, for six seconds at most. Nodes answer that unless they were built without it. Keys are 64 hexadecimal
digits; the address follows from the key.

As a source (`yggdrasil:SOCKET`), the links that are up form the layer "yggdrasil" on the map. The node counts bytes per
link and forgets them with the link. So the source adds up the growth of each link, and its sums only grow. The node
gives no round-trip times (yggdrasil-go 0.4), so these links have none.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from peerscope.errors import ConfigError, RemoteError, TransportError
from peerscope.host.addresses import split_address
from peerscope.records.bodies import OverlayLink
from peerscope.records.measures import NodeMetrics
from peerscope.sources.base import Reading

TIMEOUT_S = 8.0
"""Longer than the node waits for others, since its own message says more."""
ANSWER_BYTES_MAX = 1024 * 1024
ENTRIES_MAX = 100_000
_PRINTABLE = r"^[\x20-\x7e]*\Z"

Key = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Address = Annotated[str, Meta(pattern=r"^[0-9a-f:]{2,39}\Z")]
Word = Annotated[str, Meta(max_length=120, pattern=_PRINTABLE)]
T = TypeVar("T")


class Self(Struct, frozen=True):
    """The node itself."""

    key: Key
    address: Address | None = None
    build_version: Word = ""
    coords: Annotated[tuple[int, ...], Meta(max_length=256)] = ()
    """Place of the node in the spanning tree."""


class Neighbour(Struct, frozen=True):
    """One link of the node."""

    key: Key
    address: Address
    remote: Word = ""
    """URI of the other end."""
    bytes_recvd: int | None = None
    bytes_sent: int | None = None
    uptime: float | None = None
    """Seconds."""


class _Peers(Struct, frozen=True):
    peers: Annotated[tuple[Neighbour, ...], Meta(max_length=4096)]


class _Keys(Struct, frozen=True):
    keys: Annotated[tuple[Key, ...], Meta(max_length=10_000)]


class _Entry(Struct, frozen=True):
    key: Key


class _Dht(Struct, frozen=True):
    dht: Annotated[tuple[_Entry, ...], Meta(max_length=ENTRIES_MAX)]


class _Answer(Struct, frozen=True):
    status: Word
    response: msgspec.Raw = msgspec.Raw(b"null")
    error: Annotated[str, Meta(max_length=400, pattern=_PRINTABLE)] = ""


class AdminSocket:
    """Asks one node. Every method raises `TransportError` (no answer) or `RemoteError` (an invalid answer)."""

    def __init__(self, place: str) -> None:
        """`place`: path of a unix socket, "unix://PATH", "tcp://HOST:PORT" or "HOST:PORT"."""
        self.place = place

    async def self(self) -> Self:
        """The node itself."""
        return _decoded(await self._ask("getself"), Self)

    async def peers(self) -> tuple[Neighbour, ...]:
        """Its links that are up."""
        return _decoded(await self._ask("getpeers"), _Peers).peers

    async def dht_entries(self) -> int:
        """Count the other nodes in this node's part of the distributed hash table."""
        return len(_decoded(await self._ask("getdht"), _Dht).dht)

    async def remote_peers(self, key: str) -> tuple[str, tuple[str, ...]]:
        """The address of another node, and the keys of its neighbours, from its own answer."""
        address, answer = await self._ask_remote("debug_remotegetpeers", key, _Keys)
        return address, answer.keys

    async def _ask_remote(self, request: str, key: str, kind: type[T]) -> tuple[str, T]:
        found = _decoded(await self._ask(request, {"key": key}), dict[Address, kind])  # type: ignore[valid-type]
        if len(found) != 1:
            raise RemoteError("malformed-answer", f"{request} named {len(found)} nodes instead of one")
        return next(iter(found.items()))

    async def _ask(self, request: str, arguments: Mapping[str, str] | None = None) -> msgspec.Raw:
        question = msgspec.json.encode({"request": request, "arguments": arguments or {}})
        try:
            async with asyncio.timeout(TIMEOUT_S):
                data = await self._exchange(question)
        except TimeoutError:
            raise TransportError(f"no answer within {TIMEOUT_S:g} s") from None
        answer = _decoded(data, _Answer)
        if answer.status != "success":
            raise TransportError(f"yggdrasil says: {answer.error or 'an error'}")
        return answer.response

    async def _exchange(self, question: bytes) -> bytes:
        """Read one JSON document. The node keeps the connection open, so we look for the end of the document."""
        try:
            reader, writer = await self._connect()
        except OSError as error:
            text = error.strerror or str(error)
            raise TransportError(f"no Yggdrasil admin socket at {self.place}: {text}") from None
        data = bytearray()
        try:
            writer.write(question)
            while chunk := await reader.read(65536):
                data += chunk
                if len(data) > ANSWER_BYTES_MAX:
                    raise RemoteError("oversized-answer", f"more than {ANSWER_BYTES_MAX} bytes")
                if data.rstrip().endswith(b"}") and _is_complete(data):
                    return bytes(data)
        except OSError as error:
            raise TransportError(f"{self.place} broke off: {error.strerror or error}") from None
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        raise RemoteError("malformed-answer", "it ended before the answer was complete")

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        scheme, separator, rest = self.place.partition("://")
        place = rest if separator else self.place
        if scheme == "unix" or (not separator and "/" in place):
            return await asyncio.open_unix_connection(place)
        host, port = split_address(place, "the admin socket")
        return await asyncio.open_connection(host, port)


def _is_complete(data: bytearray) -> bool:
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except msgspec.DecodeError:
        return False
    return True


def _decoded(data: Any, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # ValueError: invalid UTF-8
        raise RemoteError("malformed-answer", f"not what Yggdrasil says: {error}") from None


LinkKey = tuple[str, str]
"""Key and URI of the other end: two nodes may have several links."""


class YggdrasilSource:
    """One node's admin socket as a source."""

    def __init__(self, place: str) -> None:
        """`place`: path of the socket, or "tcp://HOST:PORT"."""
        if not place:
            raise ConfigError("name the admin socket, as in yggdrasil:/var/run/yggdrasil.sock")
        self._admin = AdminSocket(place)
        self._links: dict[LinkKey, tuple[int, int]] = {}
        self._received_bytes = self._sent_bytes = 0

    async def read(self) -> Reading:
        """Read peers, bytes, coordinates and the size of the DHT. Raises `TransportError` or `RemoteError`."""
        me, peers, entries = await asyncio.gather(self._admin.self(), self._admin.peers(), self._admin.dht_entries())
        others = [peer for peer in peers if peer.key != me.key]
        self._add(others)
        keys = sorted({peer.key for peer in others})
        uptimes = [peer.uptime for peer in others if peer.uptime is not None]
        return Reading(
            node="yggdrasil",
            node_id=me.key,
            version=me.build_version if me.build_version not in ("", "unknown") else None,
            metrics=NodeMetrics(
                active_connections=len(others),
                p2p_peers=len(keys),
                received_bytes=self._received_bytes,
                sent_bytes=self._sent_bytes,
            ),
            overlay=tuple(OverlayLink(key) for key in keys),
            details={
                "coordinates": str(list(me.coords))[:64],
                "dht_entries": float(entries),
                "oldest_link_s": max(uptimes, default=None),
            },
        )

    async def close(self) -> None:
        """Nothing stays open: each request has a connection of its own."""

    def _add(self, peers: list[Neighbour]) -> None:
        """Add the growth of each link. A link that counts less than before has restarted."""
        links: dict[LinkKey, tuple[int, int]] = {}
        for peer in peers:
            key = (peer.key, peer.remote)
            now = (max(0, peer.bytes_recvd or 0), max(0, peer.bytes_sent or 0))
            before = self._links.get(key, (0, 0))
            self._received_bytes += _gained(before[0], now[0])
            self._sent_bytes += _gained(before[1], now[1])
            links[key] = now
        self._links = links


def _gained(before: int, now: int) -> int:
    return now - before if now >= before else now
