"""`yggdrasil:SOCKET`: a Yggdrasil node beside us, asked at its admin socket.

Its neighbours are its links that are up: the layer "yggdrasil" on the map. The node counts bytes per link and forgets
them with the link, so the sums here are of what links gained while we looked: they only grow. It names no round-trip
times (yggdrasil-go 0.4), so its links have none.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

from msgspec import Meta, Struct

from peerscope.errors import ConfigError
from peerscope.records.bodies import OverlayLink
from peerscope.records.measures import NodeMetrics
from peerscope.sources.base import Reading
from peerscope.sources.yggdrasil import AdminSocket, Key, Neighbour, Word, _decoded

ENTRIES_MAX = 100_000
LinkKey = tuple[str, str]
"""Key of the other end, and the URI it is reached by: two nodes may have several links."""


class SelfPlace(Struct, frozen=True):
    """The node itself, with its place in the spanning tree."""

    key: Key
    coords: Annotated[tuple[int, ...], Meta(max_length=256)] = ()
    build_version: Word = ""


class _Entry(Struct, frozen=True):
    key: Key


class _Dht(Struct, frozen=True):
    dht: Annotated[tuple[_Entry, ...], Meta(max_length=ENTRIES_MAX)]


class NodeSocket(AdminSocket):
    """What only the node beside us is asked."""

    async def place_of_self(self) -> SelfPlace:
        """The node, and its coordinates."""
        return _decoded(await self._ask("getself"), SelfPlace)

    async def dht_entries(self) -> int:
        """How many other nodes are in its part of the distributed hash table."""
        return len(_decoded(await self._ask("getdht"), _Dht).dht)


class YggdrasilSource:
    """One node's admin socket as a source."""

    def __init__(self, place: str) -> None:
        """`place`: path of the socket, or "tcp://HOST:PORT"."""
        if not place:
            raise ConfigError("name the admin socket, as in yggdrasil:/var/run/yggdrasil.sock")
        self._admin = NodeSocket(place)
        self._links: dict[LinkKey, tuple[int, int]] = {}
        self._received_bytes = self._sent_bytes = 0

    async def read(self) -> Reading:
        """Peers, bytes, coordinates and size of the DHT. Raises `TransportError` or `RemoteError`."""
        me, peers, entries = await asyncio.gather(
            self._admin.place_of_self(), self._admin.peers(), self._admin.dht_entries()
        )
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
        """Each question has a connection of its own."""

    def _add(self, peers: list[Neighbour]) -> None:
        """Add what each link carried since the last look; one that counts less than before has started anew."""
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
