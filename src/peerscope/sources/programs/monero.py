"""A Monero node, asked by the RPC of monerod: `get_info`, `get_connections` and `get_net_stats`.

Checked with monerod 0.18.0. A restricted RPC (`--restricted-rpc`, `--rpc-restricted-bind-port`) answers only
`get_info`. It fills its counts of connections with 0 and its version with "". Both are unknown here, and so are bytes.

monerod does not give its own address or its own peer id, so its id is the option `address`, as others dial it. Its
neighbours are the addresses that it dialled; of the others it sees a random port.

How late and how wrong the node may be:
- `block_height` is its own "height", the number of blocks, one more than that of the newest.
- `target_height` is 0 where the node knows no longer chain, so a node without peers has a `sync_lag` of 0.
- It knows no round trips. A connection's "height" stays that of the first meeting for a long time.
- A killed peer is gone at once, a frozen one after three minutes (measured: 176 s).
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct, structs

from peerscope.errors import ConfigError, SourceError
from peerscope.records.bodies import OverlayLink
from peerscope.records.measures import COUNT_MAX, Measure, NodeMetrics
from peerscope.sources.base import Reading
from peerscope.sources.digest import DigestEndpoint
from peerscope.sources.endpoint import OPTIONS, decoded
from peerscope.sources.json_rpc import HEADERS, METHOD_NOT_FOUND, ask, result
from peerscope.sources.neighbours import is_address
from peerscope.sources.place import parse_place

EXAMPLE = "http://127.0.0.1:18081"
ADVICE = "is monerod running, without --no-rpc?"
RPC, STATISTICS = "/json_rpc", "/get_net_stats"

Count = Annotated[int, Meta(ge=0, le=COUNT_MAX)]
Word = Annotated[str, Meta(max_length=300)]


class MoneroInfo(Struct, frozen=True):
    """The node itself."""

    status: Word
    height: Count
    target_height: Count = 0
    synchronized: bool | None = None
    restricted: bool = False
    incoming_connections_count: Count | None = None
    outgoing_connections_count: Count | None = None
    tx_pool_size: Count | None = None
    white_peerlist_size: Count | None = None
    grey_peerlist_size: Count | None = None
    nettype: Word = ""
    version: Word = ""


class MoneroConnection(Struct, frozen=True):
    """One connection."""

    address: Word = ""
    incoming: bool = False
    state: Word = ""


class _MoneroConnections(Struct, frozen=True):
    connections: Annotated[tuple[MoneroConnection, ...], Meta(max_length=10_000)] | None = None
    """Left out by monerod without any."""


class MoneroTraffic(Struct, frozen=True):
    """Bytes since the start."""

    total_bytes_in: Count
    total_bytes_out: Count


class MoneroSource:
    """One node's RPC as a source."""

    def __init__(self, argument: str) -> None:
        """`argument`: `URL#address=HOST:PORT&user=NAME&password_file=PATH`. Raises `ConfigError`."""
        place = parse_place(argument, OPTIONS | {"address"})
        self._address = place.options.get("address")
        if self._address is not None and not is_address(self._address):
            raise ConfigError(f"address={self._address} is no HOST:PORT")
        place = structs.replace(place, address=place.address or EXAMPLE)
        self._rpc = DigestEndpoint(place, EXAMPLE, advice=ADVICE)

    async def read(self) -> Reading:
        """Read chain, connections and bytes. Raises `SourceError`."""
        info = result(ask(self._rpc, RPC, "get_info"), MoneroInfo, "get_info")
        if info.status != "OK":
            raise SourceError(f"monerod answers {info.status[:40]!r}: it is still starting, or stops")
        connections = None if info.restricted else self._connections(info)
        statistics = None if info.restricted else self._statistics()
        dialled = [one.address for one in connections or () if not one.incoming and is_address(one.address)]
        return Reading(
            node="monero",
            node_id=self._address,
            version=info.version[:64] or None,
            metrics=NodeMetrics(
                active_connections=None if connections is None else len(connections),
                p2p_peers=None if connections is None else sum(one.state == "normal" for one in connections),
                received_bytes=statistics.total_bytes_in if statistics else None,
                sent_bytes=statistics.total_bytes_out if statistics else None,
            ),
            overlay=tuple(OverlayLink(address) for address in sorted(set(dialled))),
            addresses=(self._address,) if self._address else (),
            measures=(Measure("block_height", info.height, "blocks"), Measure("sync_lag", _lag(info), "blocks")),
            details=_details(info),
        )

    async def close(self) -> None:
        """Nothing stays open."""

    def _connections(self, info: MoneroInfo) -> tuple[MoneroConnection, ...] | None:
        answer = ask(self._rpc, RPC, "get_connections")
        if answer.error is not None and answer.error.code == METHOD_NOT_FOUND:
            return None
        found = result(answer, _MoneroConnections, "get_connections").connections
        has_some = bool(info.incoming_connections_count or info.outgoing_connections_count)
        return () if found is None and not has_some else found

    def _statistics(self) -> MoneroTraffic | None:
        """None from a node that does not count them."""
        try:
            page = self._rpc.post(STATISTICS, msgspec.json.encode({}), headers=HEADERS)
        except SourceError as error:
            if " answers 404 " in str(error):
                return None
            raise
        return decoded(page, MoneroTraffic, STATISTICS)


def _lag(info: MoneroInfo) -> int | None:
    """Blocks behind; None if the node neither knows a longer chain nor calls itself synchronized."""
    if info.target_height > info.height:
        return info.target_height - info.height
    return 0 if info.synchronized else None


def _details(info: MoneroInfo) -> dict[str, float | str | None]:
    known: dict[str, float | str | None] = {
        "network": info.nettype[:64],
        "transactions_waiting": None if info.tx_pool_size is None else float(info.tx_pool_size),
    }
    if info.restricted:
        return known | {"rpc": "restricted"}
    numbers = {
        "incoming": info.incoming_connections_count,
        "outgoing": info.outgoing_connections_count,
        "white_list": info.white_peerlist_size,
        "grey_list": info.grey_peerlist_size,
    }
    return known | {name: None if value is None else float(value) for name, value in numbers.items()}
