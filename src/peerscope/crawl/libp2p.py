"""Crawls a libp2p network with Kademlia: asks each node for its whole table with FIND_NODE.

Each connection proves the id of its node, so ids are no claims here. Addresses are: the crawl dials only plain TCP
over IP, and only addresses that the node which named them may name. Nodes answer with the entries next to the SHA-256
of a key. So `Preimages` holds a key for each part of the table.

Checked with js-libp2p 3.3 with kad-dht 16.4, and kubo 0.43.1. A js-libp2p node leaves out entries without a known
address.
"""

from __future__ import annotations

import asyncio
import secrets
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from itertools import islice

from msgspec import Struct
from msgspec.structs import replace

from peerscope.crawl.dialer import ANSWER_S, Dialer
from peerscope.crawl.foreign import explore
from peerscope.crawl.multiaddr import TcpAddress, kad_id, seed, tcp_address
from peerscope.crawl.pace import Pace
from peerscope.crawl.scopes import RefusedAddresses, may_name
from peerscope.crawl.seeds import decimal_option, ips, parse_seeds, whole_option
from peerscope.crawl.tables import TableReading
from peerscope.errors import ConfigError, RemoteError, TransportError
from peerscope.host.clock import monotonic
from peerscope.mesh.crawling.crawler import CrawlSighting
from peerscope.mesh.crawling.traversal import Walk, WalkConfig
from peerscope.views.crawl import REFUSED_MAX, CrawlView, sighted_view

BITS = 256
CLOSEST = 20
"""Entries of one answer (Kademlia's K in libp2p)."""
DEPTH_MAX = 12
"""Leading bits of a hash that a question chooses. Tables share more bits only in networks of over 80,000 nodes."""
NEIGHBOURS_MAX = 1024
ADDRESSES_MAX = 8
"""Addresses of one peer that are dialled."""
READING_S = 30.0
"""Time for the table of one node, half of the walk at most: what it names can only be asked after it."""
AGENT_CHARACTERS_MAX = 64
QUESTIONS_MAX = 1000
RATE_MAX = 5000.0


class Libp2pOptions(Struct, frozen=True, kw_only=True):
    """How a crawl asks."""

    protocol: str = "/ipfs/kad/1.0.0"
    dialer: str | None = None
    """Folder of the program that dials, if not the one in the source tree."""
    questions_max: int = 64
    """Questions to one node."""
    rate: float = 200.0
    """Dials and questions per second."""


class Preimages:
    """Keys by the first bits of their SHA-256."""

    def __init__(self) -> None:
        self._keys: dict[int, bytes] = {}
        while len(self._keys) < 1 << DEPTH_MAX:
            key = secrets.token_bytes(32)
            self._keys.setdefault(int.from_bytes(sha256(key).digest()) >> (BITS - DEPTH_MAX), key)

    def find(self, depth: int, prefix: int) -> bytes:
        """A key whose hash begins with these bits."""
        rest = DEPTH_MAX - depth
        return self._keys[prefix << rest | secrets.randbits(rest)]


class Libp2pCrawl:
    """State of one crawl: what is known of each peer, by its id."""

    def __init__(self, dialer: Dialer, options: Libp2pOptions, walk: Walk[str]) -> None:
        self._dialer = dialer
        self._options = options
        self._walk = walk
        self._pace = Pace(options.rate)
        self._preimages = Preimages()
        self.addresses: dict[str, dict[TcpAddress, None]] = {}
        """Those that may be dialled, of the peers that the walk knows."""
        self.agents: dict[str, str] = {}
        self.refused: RefusedAddresses[TcpAddress] = RefusedAddresses(REFUSED_MAX)
        self.cut = 0

    async def neighbors(self, peer: str) -> Sequence[str]:
        """Entries of a peer's table. An error after its first answer ends the reading with what it has shown."""
        addresses = list(self.addresses.get(peer, ()))[:ADDRESSES_MAX]
        if not addresses:
            raise TransportError("has no address that can be dialled")
        await self._pace.turn()
        answer = await self._dialer.dial(peer, [f"{address}/p2p/{peer}" for address in addresses])
        try:
            if answer.agent:
                self.agents[peer] = _printable(answer.agent)
            remote = tcp_address(answer.remote or "", peer) or addresses[0]
            return await self._table(peer, remote)
        finally:
            self._dialer.hang_up(peer)

    async def _table(self, peer: str, remote: TcpAddress) -> list[str]:
        table = TableReading(bits=BITS, closest=CLOSEST, questions_max=self._options.questions_max, depth_max=DEPTH_MAX)
        found: dict[str, dict[TcpAddress, None]] = {}
        has_answered, end = False, self._walk.ends_by(READING_S, monotonic())
        while (question := table.next()) is not None:
            if has_answered and (monotonic() > end or len(found) >= NEIGHBOURS_MAX):
                table.is_cut = True
                break
            key = self._preimages.find(*question)
            try:
                async with asyncio.timeout(max(0.0, end - monotonic()) if has_answered else None):
                    await self._pace.turn()
                    entries = await self._dialer.find(peer, b64encode(key).decode())
            except (TransportError, RemoteError, TimeoutError):
                if not has_answered:
                    raise
                table.is_cut = True
                break
            has_answered = True
            known = {name: place for name, _ in entries if (place := kad_id(name)) is not None}
            table.answered(question[0], int.from_bytes(sha256(key).digest()), set(known.values()))
            for name, texts in entries:
                if name in known and name != peer:
                    self._learn(found.setdefault(name, {}), name, texts, remote)
        self.cut += table.is_cut
        for name, addresses in islice(found.items(), self._walk.room):
            own = self.addresses.setdefault(name, {})
            own.update(dict.fromkeys(islice(addresses, max(0, ADDRESSES_MAX - len(own)))))
        return list(found)

    def _learn(self, known: dict[TcpAddress, None], peer: str, texts: Sequence[str], source: TcpAddress) -> None:
        """Keep the addresses of a peer that `source` may name."""
        for text in texts:
            address = tcp_address(text, peer)
            if address is None or len(known) >= ADDRESSES_MAX:
                continue
            if may_name(source.ip, address.ip):
                known[address] = None
            else:
                self.refused.add(address)


def libp2p_seeds(specs: Sequence[str]) -> tuple[list[str], Libp2pOptions]:
    """Multiaddrs and options of specs `libp2p:MULTIADDR#OPTION=VALUE`. Raises `ConfigError`."""
    places, given = parse_seeds(specs, "libp2p", frozenset(("protocol", "dialer", "questions", "rate")))
    for place in places:
        if seed(place) is None:
            raise ConfigError(
                f"{place!r} is no multiaddr of TCP with an id, as /ip4/127.0.0.1/tcp/4001/p2p/12D3KooW..."
            )
    protocol = given.get("protocol", Libp2pOptions().protocol)
    if not protocol.startswith("/") or not protocol.isascii() or not protocol.isprintable() or len(protocol) > 120:
        raise ConfigError(f"the option protocol is {protocol!r}; must be the id of a protocol, as /ipfs/kad/1.0.0")
    return places, Libp2pOptions(
        protocol=protocol,
        dialer=given.get("dialer"),
        questions_max=whole_option(given, "questions", Libp2pOptions().questions_max, QUESTIONS_MAX),
        rate=decimal_option(given, "rate", Libp2pOptions().rate, RATE_MAX),
    )


async def crawl_libp2p(
    places: Sequence[str],
    config: WalkConfig,
    options: Libp2pOptions,
    *,
    stopping: asyncio.Event,
    progress: Callable[[Walk[str]], None],
) -> CrawlView:
    """Map the network around the nodes at these multiaddrs. Raises `ConfigError` if it cannot begin."""
    starts = await _starts(places)
    async with await Dialer.start(options.dialer, options.protocol) as dialer:
        patient = replace(
            config,
            neighbours_max=NEIGHBOURS_MAX,
            answer_timeout_s=READING_S + 2 * ANSWER_S,
            concurrency=min(config.concurrency, max(1, int(options.rate))),
        )
        walk = Walk(starts, patient, monotonic())
        crawl = Libp2pCrawl(dialer, options, walk)
        crawl.addresses = {peer: dict.fromkeys(addresses) for peer, addresses in starts.items()}
        await explore(walk, crawl.neighbors, stopping=stopping, progress=progress)
    sightings = {
        peer: CrawlSighting(tuple(map(str, crawl.addresses.get(peer, ()))), agent=crawl.agents.get(peer))
        for peer in {*crawl.addresses, *starts}
    }
    view = sighted_view(walk.survey(), sightings, asked=walk.asked)
    return replace(view, network="libp2p", refused=len(crawl.refused), cut=crawl.cut)


async def _starts(places: Sequence[str]) -> Mapping[str, list[TcpAddress]]:
    starts: dict[str, list[TcpAddress]] = {}
    for place in places:
        if (found := seed(place)) is not None:
            peer, host, port = found
            starts.setdefault(peer, []).extend(TcpAddress(ip, port) for ip in await ips(host))
    return starts


def _printable(agent: str) -> str:
    """The agent version of a peer in one short line."""
    return "".join(character for character in agent if character.isprintable())[:AGENT_CHARACTERS_MAX]
