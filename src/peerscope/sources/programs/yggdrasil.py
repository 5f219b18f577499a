"""A Yggdrasil node, asked at its admin socket: one JSON request, one JSON answer (`src/admin` of yggdrasil-go).

Checked with 0.4.7 and 0.5.14. `getself` and `getpeers` describe the node itself. The size of its view of the network is
`getdht` in 0.4 and the field `routing_entries` of `getself` in 0.5, which has no `getdht`. Only 0.5 lists links that
are not up, with no key and their last error, and only 0.5 measures links. A node of 0.5 lists a neighbour once per
connection, so twice where both ends dialled.
Its `latency` is in nanoseconds, under the name `latency_ms` in 0.5.9. It is the round trip of the last exchange about
the spanning tree, which may be minutes ago, and includes the time to sign. 0.4 drops a neighbour that hangs after 3 s.
0.5 lists it as up until it sends something to it.

`debug_remotegetpeers` makes the node ask another one, by public key, for six seconds at most. Nodes answer that unless
they were built without it. A node without neighbours answers with no keys. A node of 0.5 without neighbours does not
reach even itself. Keys are 64 hexadecimal digits; the address follows from the key.

As a source (`yggdrasil:SOCKET`), the links that are up form the layer "yggdrasil" on the map. The node counts bytes per
link and forgets them with the link. So the source adds up the growth of each link, and its sums only grow.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from peerscope.errors import PeerscopeError, RemoteError, TransportError
from peerscope.host.addresses import split_address
from peerscope.mesh.detection.checks import printable
from peerscope.records.bodies import OverlayLink
from peerscope.records.measures import Count, Measure, NodeMetrics, run_on
from peerscope.sources.base import Reading
from peerscope.sources.faults import fault

DEFAULT_PLACE = "/var/run/yggdrasil.sock"
"""`AdminListen` of a generated configuration on Linux."""
TIMEOUT_S = 8.0
"""Longer than the node waits for others, since its own message says more."""
ANSWER_BYTES_MAX = 1024 * 1024
ENTRIES_MAX = 100_000
RTT_US_MAX = 600_000_000
LINKS_SHOWN = 8
"""Links that are not up, at most."""
SHOWN_CHARACTERS = 64
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
    """Place of the node in the spanning tree (0.4)."""
    routing_entries: Count | None = None
    """Nodes of the spanning tree that it knows (0.5)."""


class Neighbour(Struct, frozen=True):
    """One link of the node."""

    key: Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?\Z")] = ""
    """Empty while the other end is unknown."""
    address: Address | None = None
    remote: str = ""
    """URI of the other end."""
    bytes_recvd: Count | None = None
    bytes_sent: Count | None = None
    uptime: float | None = None
    """Seconds."""
    up: bool = True
    """0.4 lists only links that are up."""
    inbound: bool | None = None
    cost: Count | None = None
    rate_recvd: Count = 0
    rate_sent: Count = 0
    """Bytes in the last second (0.5); absent if there were none."""
    latency: int | None = None
    latency_ms: int | None = None
    """Nanoseconds, under either name."""
    last_error: str = ""

    @property
    def is_up(self) -> bool:
        """Both ends know each other."""
        return self.up and bool(self.key)

    @property
    def rtt_us(self) -> int | None:
        """Round trip of the link, if the node has measured it."""
        latency_ns = self.latency if self.latency is not None else self.latency_ms
        if latency_ns is None or not 0 < latency_ns <= RTT_US_MAX * 1000:
            return None
        return round(latency_ns / 1000)


class _Peers(Struct, frozen=True):
    peers: Annotated[tuple[Neighbour, ...], Meta(max_length=4096)]


class _Keys(Struct, frozen=True, forbid_unknown_fields=True):
    keys: Annotated[tuple[Key, ...], Meta(max_length=10_000)] = ()


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
        """Its links, and in 0.5 also those that are not up."""
        return _decoded(await self._ask("getpeers"), _Peers).peers

    async def dht_entries(self) -> int:
        """Count the other nodes in this node's part of the distributed hash table (0.4)."""
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
        raise RemoteError("malformed-answer", f"not what Yggdrasil says: {fault(error)}") from None


LinkKey = tuple[str, str]
"""Key and URI of the other end: two nodes may have several links."""


class YggdrasilSource:
    """One node's admin socket as a source."""

    def __init__(self, place: str) -> None:
        """`place`: path of the socket, or "tcp://HOST:PORT"; empty for the node's own default."""
        self._admin = AdminSocket(place or DEFAULT_PLACE)
        self._links: dict[LinkKey, tuple[int, int]] = {}
        self._received_bytes = self._sent_bytes = 0

    async def read(self) -> Reading:
        """Read the node and its links. Raises `TransportError` or `RemoteError` if it does not list its links.

        If it does not describe itself, those values are unknown; the detail `failed` says why.
        """
        me, peers = await asyncio.gather(_tried(self._admin.self()), _tried(self._admin.peers()))
        if isinstance(peers, PeerscopeError):  # without its links, it would look healthy and show nothing
            raise me if isinstance(me, PeerscopeError) else peers
        details: dict[str, float | str | None] = {}
        reading = Reading(node="yggdrasil")
        if isinstance(me, PeerscopeError):
            details["failed"] = _shown(f"getself: {me}")
            own_key = None
        else:
            own_key = me.key
            reading = await self._described(me, details)
        reading = self._linked(reading, [peer for peer in peers if peer.key != own_key], details)
        return msgspec.structs.replace(reading, details=details)

    async def close(self) -> None:
        """Nothing stays open: each request has a connection of its own."""

    async def _described(self, me: Self, details: dict[str, float | str | None]) -> Reading:
        entries = me.routing_entries
        if entries is None:
            answer = await _tried(self._admin.dht_entries())
            entries = None if isinstance(answer, PeerscopeError) else answer
            details |= {"coordinates": str(list(me.coords))[:SHOWN_CHARACTERS], "dht_entries": entries}
        else:
            details["routing_entries"] = entries
        return Reading(
            node="yggdrasil",
            node_id=me.key,
            version=me.build_version if me.build_version not in ("", "unknown") else None,
            measures=(Measure("dht_nodes", entries),),
        )

    def _linked(self, reading: Reading, peers: list[Neighbour], details: dict[str, float | str | None]) -> Reading:
        links = [peer for peer in peers if peer.is_up]
        self._add(links)
        rtts_us: dict[str, int | None] = {}
        for link in links:
            known = [rtt for rtt in (rtts_us.get(link.key), link.rtt_us) if rtt is not None]
            rtts_us[link.key] = min(known, default=None)
        details["oldest_link_s"] = max((link.uptime for link in links if link.uptime is not None), default=None)
        measures = reading.measures
        if any(peer.inbound is not None for peer in peers):
            measures += _dialled(peers, details)
        return msgspec.structs.replace(
            reading,
            metrics=NodeMetrics(
                active_connections=len(links),
                p2p_peers=len(rtts_us),
                received_bytes=self._received_bytes,
                sent_bytes=self._sent_bytes,
            ),
            overlay=tuple(OverlayLink(key, rtt_us) for key, rtt_us in sorted(rtts_us.items())),
            measures=measures,
        )

    def _add(self, peers: list[Neighbour]) -> None:
        """Add the growth of each link. A link that counts less than before has restarted."""
        links: dict[LinkKey, tuple[int, int]] = {}
        for peer in peers:
            key = (peer.key, peer.remote)
            now = (peer.bytes_recvd or 0, peer.bytes_sent or 0)
            before = self._links.get(key, (0, 0))
            self._received_bytes = run_on(self._received_bytes + _gained(before[0], now[0]))
            self._sent_bytes = run_on(self._sent_bytes + _gained(before[1], now[1]))
            links[key] = now
        self._links = links


def _dialled(peers: list[Neighbour], details: dict[str, float | str | None]) -> tuple[Measure, ...]:
    """Measures and details that only 0.5 knows."""
    links, missing = [peer for peer in peers if peer.is_up], [peer for peer in peers if not peer.is_up]
    details |= {
        "inbound_links": sum(peer.inbound is True for peer in links),
        "highest_cost": max((peer.cost for peer in links if peer.cost is not None), default=None),
        "received_bytes_s": sum(peer.rate_recvd for peer in links),
        "sent_bytes_s": sum(peer.rate_sent for peer in links),
    }
    for peer in missing[:LINKS_SHOWN]:
        details[_shown(f"not up: {_without_secrets(peer.remote)}")] = _shown(peer.last_error) or None
    return (
        Measure("links_configured", sum(peer.inbound is False for peer in peers)),
        Measure("dead_links", len(missing)),
    )


async def _tried(question: Awaitable[T]) -> T | PeerscopeError:
    try:
        return await question
    except PeerscopeError as error:
        return error


def _without_secrets(uri: str) -> str:
    """A peer's URI may hold a password, of the peer or of a proxy."""
    scheme, separator, rest = uri.partition("?")[0].partition("://")
    return scheme + separator + rest.rpartition("@")[2]


def _shown(text: str) -> str:
    return printable(text)[:SHOWN_CHARACTERS]


def _gained(before: int, now: int) -> int:
    return now - before if now >= before else now
