"""A kubo node (IPFS), asked by its RPC, each question a POST.

Checked with kubo 0.43.1: `id`, `swarm/peers`, `bitswap/stat`, `stats/bw`; and where the node has them `stats/dht`,
`repo/stat?size-only=true`, `stats/provide`, `swarm/addrs/autonat`. The RPC counts no DHT requests and no errors. Add
`prometheus:URL/debug/metrics/prometheus#kubo` for them, at the same port.

How late and how wrong the node may be:
- A round trip is an average of pings and of the first meeting. It may be hours old, and "n/a" before the first.
- The list has one line a connection, so one peer may have several.
- A peer that is killed is gone within a second. One that hangs stays for about 30 s.
- `stats/bw` counts streams of libp2p only, without handshakes and TCP. Bitswap counts data once, bandwidth each copy.
- `stats/dht` counts the entries of the routing tables, not the nodes that answer.
"""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct, structs

from peerscope.errors import SourceError
from peerscope.mesh.detection.checks import printable
from peerscope.records.bodies import ADDRESSES_MAX, OverlayLink
from peerscope.records.measures import COUNT_MAX, Measure, NodeMetrics
from peerscope.sources.base import Reading
from peerscope.sources.endpoint import OPTIONS, Endpoint, decoded
from peerscope.sources.faults import fault
from peerscope.sources.neighbours import duration_s, mean, multiaddress, reach, rtt_us
from peerscope.sources.place import parse_place

EXAMPLE = "http://127.0.0.1:5001"
ADVICE = "is `ipfs daemon` running, with this Addresses.API?"
API = "/api/v0/"
INBOUND = 1

Count = Annotated[int, Meta(ge=0, le=COUNT_MAX)]
PeerName = Annotated[str, Meta(min_length=1, max_length=80, pattern=r"^[0-9A-Za-z]+\Z")]
Word = Annotated[str, Meta(max_length=400)]
T = TypeVar("T")


class KuboIdentity(Struct, frozen=True, rename="pascal"):
    """The node itself."""

    id: PeerName = msgspec.field(name="ID")
    addresses: Annotated[tuple[Word, ...], Meta(max_length=1000)] | None = None
    agent_version: Word = ""


class KuboConnection(Struct, frozen=True, rename="pascal"):
    """One connection."""

    peer: str
    latency: Word = ""
    direction: int | None = None


class _Swarm(Struct, frozen=True, rename="pascal"):
    peers: Annotated[tuple[KuboConnection, ...], Meta(max_length=50_000)] | None = None


class Bitswap(Struct, frozen=True, rename="pascal"):
    """Exchange of blocks."""

    wantlist: Annotated[tuple[msgspec.Raw, ...], Meta(max_length=1_000_000)] | None = None
    blocks_received: Count = 0
    blocks_sent: Count = 0
    data_received: Count = 0
    data_sent: Count = 0
    dup_blks_received: Count = 0


class _Bandwidth(Struct, frozen=True, rename="pascal"):
    total_in: Count
    total_out: Count


class _Bucket(Struct, frozen=True, rename="pascal"):
    peers: tuple[msgspec.Raw, ...] | None = None


class _RoutingTable(Struct, frozen=True, rename="pascal"):
    name: Word
    buckets: Annotated[tuple[_Bucket, ...], Meta(max_length=1000)] | None = None


class _Repository(Struct, frozen=True, rename="pascal"):
    repo_size: Count
    storage_max: Count


class _Past(Struct, frozen=True):
    keys_provided: Count = 0
    keys_failed: Count = 0


class _Operations(Struct, frozen=True):
    past: _Past


class _Sweep(Struct, frozen=True):
    operations: _Operations


class _Provide(Struct, frozen=True, rename="pascal"):
    sweep: _Sweep | None = None


class _Reachability(Struct, frozen=True):
    reachability: Word


class KuboSource:
    """One node's RPC as a source."""

    def __init__(self, argument: str) -> None:
        """`argument`: `URL#token_file=PATH`; the token only if `API.Authorizations` is set. Raises `ConfigError`."""
        place = parse_place(argument, OPTIONS)
        self._rpc = Endpoint(structs.replace(place, address=place.address or EXAMPLE), EXAMPLE, advice=ADVICE)

    async def read(self) -> Reading:
        """Read the node, its connections, bytes, blocks and routing tables. Raises `SourceError`."""
        me = self._ask("id", KuboIdentity)
        connections = self._ask("swarm/peers?latency=true&direction=true", _Swarm).peers or ()
        bitswap = self._ask("bitswap/stat", Bitswap)
        bandwidth = self._ask("stats/bw", _Bandwidth)
        repository = self._ask_if_there("repo/stat?size-only=true", _Repository)
        past = [one for one in (self._provided("wan"), self._provided("lan")) if one is not None]
        reachability = self._ask_if_there("swarm/addrs/autonat", _Reachability)
        tables = self._routing_tables()
        rtts_s = _round_trips(connections)
        rtts_s.pop(me.id, None)
        return Reading(
            node="kubo",
            node_id=me.id,
            version=printable(me.agent_version.removeprefix("kubo/"))[:64] or None,
            metrics=NodeMetrics(
                active_connections=len(connections),
                p2p_peers=len(rtts_s),
                dht_puts=sum(one.keys_provided for one in past) if past else None,
                received_bytes=bandwidth.total_in,
                sent_bytes=bandwidth.total_out,
            ),
            overlay=tuple(OverlayLink(peer, rtt_us(rtt_s)) for peer, rtt_s in sorted(rtts_s.items())),
            latency_s=mean([rtt_s for rtt_s in rtts_s.values() if rtt_s is not None]),
            addresses=_addresses(me),
            measures=_measures(bitswap, tables, repository),
            details={
                "inbound": float(sum(one.direction == INBOUND for one in connections)),
                **{f"dht_{name}": float(nodes) for name, nodes in sorted((tables or {}).items())[:4]},
                "bitswap_received_bytes": float(bitswap.data_received),
                "bitswap_sent_bytes": float(bitswap.data_sent),
                "duplicate_blocks": float(bitswap.dup_blks_received),
                "provide_failures": float(sum(one.keys_failed for one in past)) if past else None,
                "storage_max_bytes": float(repository.storage_max) if repository else None,
                "reachability": printable(reachability.reachability)[:64] if reachability else None,
            },
        )

    async def close(self) -> None:
        """Nothing stays open."""

    def _ask(self, question: str, kind: type[T]) -> T:
        return decoded(self._rpc.post(API + question, b""), kind, self._rpc.at(API + question))

    def _ask_if_there(self, question: str, kind: type[T]) -> T | None:
        """None from a node that has no such thing, or has switched it off."""
        try:
            return self._ask(question, kind)
        except SourceError as error:
            if " answers " in str(error):  # 404, 500, or 403 for this question alone
                return None
            raise

    def _provided(self, table: str) -> _Past | None:
        """Keys put into one DHT; None from a node that does not count them. One without its WAN still has its LAN."""
        provide = self._ask_if_there(f"stats/provide?lan={str(table == 'lan').lower()}", _Provide)
        return provide.sweep.operations.past if provide is not None and provide.sweep is not None else None

    def _routing_tables(self) -> dict[str, int] | None:
        """Nodes in each table of the DHT, by its name; None if the node takes no part in it. One JSON a line."""
        question = API + "stats/dht"
        try:
            page = self._rpc.post(question, b"")
        except SourceError as error:
            if " answers " in str(error):  # 404, 500, or 403 for this question alone
                return None
            raise
        if not page.data.strip():
            return None
        try:
            tables = msgspec.json.Decoder(_RoutingTable).decode_lines(page.data)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise SourceError(
                f"{self._rpc.at(question)} does not answer with the expected JSON: {fault(error)}"
            ) from None
        return {
            printable(table.name)[:16]: sum(len(bucket.peers or ()) for bucket in table.buckets or ())
            for table in tables[:8]
        }


def _round_trips(connections: tuple[KuboConnection, ...]) -> dict[str, float | None]:
    """The shortest known round trip to each peer, in seconds."""
    found: dict[str, float | None] = {}
    for one in connections:
        rtt_s, known_s = duration_s(one.latency), found.get(one.peer)
        found[one.peer] = known_s if rtt_s is None else rtt_s if known_s is None else min(rtt_s, known_s)
    return found


def _addresses(me: KuboIdentity) -> tuple[str, ...]:
    found = [address for text in me.addresses or () if (address := multiaddress(text)) is not None]
    return tuple(sorted(dict.fromkeys(found), key=reach))[:ADDRESSES_MAX]


def _measures(bitswap: Bitswap, tables: dict[str, int] | None, repository: _Repository | None) -> tuple[Measure, ...]:
    return (
        Measure("dht_nodes", None if tables is None else sum(tables.values()), "nodes"),
        Measure("wantlist", len(bitswap.wantlist or ()), "blocks"),
        Measure("blocks_received", bitswap.blocks_received, "blocks", is_counter=True),
        Measure("blocks_sent", bitswap.blocks_sent, "blocks", is_counter=True),
        Measure("repository", repository.repo_size if repository else None, "bytes"),
    )
