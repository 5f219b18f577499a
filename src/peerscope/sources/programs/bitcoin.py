"""A Bitcoin node, asked by its JSON-RPC in one batch.

The questions are `getblockchaininfo`, `getpeerinfo`, `getnettotals`, `getnetworkinfo`. Checked with btcd 0.25.0 itself,
which has no `getnetworkinfo`. No package registry serves Bitcoin Core: its answers are checked against its published
RPC documents, 0.16 to 30.

Bitcoin nodes have no identity, so an address stands for it. The node's id is the option `address`, or the first address
that it announces. Its neighbours are the addresses that it dialled. It sees only a random port of peers that dialled
in, so they are counted and not named.

How wrong the node may be:
- Without peers it knows no newer headers, so its `sync_lag` is 0 however old its chain is. `tip_age` shows that.
- It pings every two minutes. A round trip is as old as that, and a hung peer stays connected for 20 minutes.
  `dead_links` counts peers that have not answered a ping for 30 s.
- btcd gives pings in microseconds, and 0 before the first one. Core gives seconds, and nothing before the first.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct, structs

from peerscope.errors import ConfigError, SourceError
from peerscope.host.listeners import port_of
from peerscope.host.regular_files import read_regular
from peerscope.records.bodies import ADDRESSES_MAX, OverlayLink
from peerscope.records.measures import COUNT_MAX, Measure, NodeMetrics
from peerscope.records.texts import HostAndPort
from peerscope.sources.base import Reading
from peerscope.sources.endpoint import LOGIN, OPTIONS, Endpoint
from peerscope.sources.json_rpc import METHOD_NOT_FOUND, RpcAnswer, ask_all, result
from peerscope.sources.neighbours import is_address, mean, rtt_us
from peerscope.sources.place import parse_place

EXAMPLE = "http://127.0.0.1:8332"
ADVICE = "is bitcoind running, with server=1?"
COOKIE = "~/.bitcoin/.cookie"
CONFIG_BYTES_MAX = 1024 * 1024
UNIMPLEMENTED = -1
"""How btcd refuses a method that only Core has."""
UNANSWERED_S = 30.0
QUESTIONS = ("getblockchaininfo", "getpeerinfo", "getnettotals", "getnetworkinfo")

Count = Annotated[int, Meta(ge=0, le=COUNT_MAX)]
Number = Annotated[float, Meta(ge=0.0, le=1e12)]
Word = Annotated[str, Meta(max_length=300)]


class BitcoinChain(Struct, frozen=True):
    """Its chain of blocks."""

    blocks: Count
    headers: Annotated[int, Meta(ge=-1, le=COUNT_MAX)]
    chain: Word = ""
    time: Count | None = None
    """The newest block's, by its miner's clock: up to two hours wrong. Core has it since 23."""
    initialblockdownload: bool | None = None
    verificationprogress: float | None = None


class BitcoinPeer(Struct, frozen=True):
    """One connection."""

    addr: Word
    inbound: bool = False
    pingtime: Number | None = None
    pingwait: Number | None = None


class BitcoinTotals(Struct, frozen=True):
    """Bytes since the start."""

    totalbytesrecv: Count
    totalbytessent: Count


class AnnouncedAddress(Struct, frozen=True):
    """An address that the node announces."""

    address: Word
    port: Annotated[int, Meta(ge=0, le=65535)]


class BitcoinNetwork(Struct, frozen=True):
    """The node itself."""

    subversion: Word = ""
    localaddresses: Annotated[tuple[AnnouncedAddress, ...], Meta(max_length=1000)] = ()


Peers = Annotated[tuple[BitcoinPeer, ...], Meta(max_length=10_000)]


class BitcoinSource:
    """One node's RPC as a source."""

    def __init__(self, argument: str) -> None:
        """`argument`: `URL#cookie_file=PATH`, or `#user=NAME&password_file=PATH`. Raises `ConfigError`."""
        place = parse_place(argument, OPTIONS | {"address", "cookie_file"})
        self._address = place.options.get("address")
        if self._address is not None and not is_address(self._address):
            raise ConfigError(f"address={self._address} is no HOST:PORT")
        options = dict(place.options)
        self._own_cookie: Path | None = None
        if not options.keys() & {"cookie_file", "user", "token_file"}:
            self._own_cookie = Path(COOKIE).expanduser()
            options["cookie_file"] = str(self._own_cookie)
        self._cookie = options.get("cookie_file")
        place = structs.replace(place, address=place.address or EXAMPLE, options=options)
        self._rpc = Endpoint(place, EXAMPLE, advice=ADVICE, login=LOGIN)

    async def read(self) -> Reading:
        """Read chain, peers and bytes. Raises `SourceError`."""
        try:
            if self._own_cookie is not None:
                self._rpc.check_listener(
                    self._own_cookie, "#cookie_file=PATH", ports=_rpc_ports(self._own_cookie.parent)
                )
            answers = ask_all(self._rpc, QUESTIONS)
        except SourceError as error:
            if self._cookie is None or "cannot be read" not in str(error):
                raise
            raise SourceError(f"{error}; run as the node's user, or set rpccookieperms=group") from None
        chain = result(answers["getblockchaininfo"], BitcoinChain, "getblockchaininfo")
        peers = result(answers["getpeerinfo"], Peers, "getpeerinfo")
        totals = result(answers["getnettotals"], BitcoinTotals, "getnettotals")
        network = _network(answers["getnetworkinfo"])
        unit_s = 1.0 if network is not None else 1e-6
        announced = _announced(network, self._address)
        pings = [peer.pingtime * unit_s for peer in peers if peer.pingtime]
        outbound = [peer for peer in peers if not peer.inbound]
        return Reading(
            node="bitcoin",
            node_id=announced[0] if announced else None,
            version=(network.subversion.strip("/")[:64] if network else "") or None,
            metrics=NodeMetrics(
                active_connections=len(peers),
                p2p_peers=len(peers),
                received_bytes=totals.totalbytesrecv,
                sent_bytes=totals.totalbytessent,
            ),
            overlay=tuple(
                OverlayLink(peer.addr, rtt_us(peer.pingtime * unit_s if peer.pingtime else None))
                for peer in sorted(outbound, key=lambda peer: peer.addr)
                if is_address(peer.addr)
            ),
            latency_s=mean(pings),
            addresses=announced,
            measures=_measures(chain, peers, unit_s),
            details={
                "chain": chain.chain[:64],
                "headers": float(chain.headers),
                "outbound": float(len(outbound)),
                "inbound": float(len(peers) - len(outbound)),
                "initial_block_download": None
                if chain.initialblockdownload is None
                else float(chain.initialblockdownload),
                "verification_progress": chain.verificationprogress,
            },
        )

    async def close(self) -> None:
        """Nothing stays open."""


def _rpc_ports(folder: Path) -> set[int]:
    """Ports of the RPC in the node's settings; none where they name none."""
    try:
        lines = read_regular(folder / "bitcoin.conf", CONFIG_BYTES_MAX).decode("utf-8", "replace").split("\n")
    except OSError:
        return set()
    named = {line.partition("=")[2].strip() for line in lines if line.partition("=")[0].strip() == "rpcport"}
    return {port for one in named if (port := port_of(one)) is not None}


def _measures(chain: BitcoinChain, peers: tuple[BitcoinPeer, ...], unit_s: float) -> tuple[Measure, ...]:
    tip_age_s = None if chain.time is None else max(0, round(time.time() - chain.time))
    return (
        Measure("block_height", chain.blocks, "blocks"),
        Measure("sync_lag", max(0, chain.headers - chain.blocks), "blocks"),
        Measure("tip_age", tip_age_s, "seconds"),
        Measure("dead_links", sum((peer.pingwait or 0.0) * unit_s > UNANSWERED_S for peer in peers)),
    )


def _network(answer: RpcAnswer) -> BitcoinNetwork | None:
    """None from btcd, which has no such method."""
    if answer.error is not None and answer.error.code in (METHOD_NOT_FOUND, UNIMPLEMENTED):
        return None
    return result(answer, BitcoinNetwork, "getnetworkinfo")


def _announced(network: BitcoinNetwork | None, address: str | None) -> tuple[HostAndPort, ...]:
    found = [address] if address else []
    for local in network.localaddresses if network else ():
        host = f"[{local.address}]" if ":" in local.address else local.address
        found.append(f"{host}:{local.port}")
    reachable = [one for one in found if is_address(one) and not one.rpartition(":")[0].endswith((".onion", ".i2p"))]
    return tuple(dict.fromkeys(reachable))[:ADDRESSES_MAX]
