"""Crawls the BitTorrent DHT (BEP 5): asks each node for its whole table with find_node.

The walk goes by addresses, not by ids: ids are claims until a node answers for itself, and inventing them costs
nothing. So a thousand ids at one address are one question. If several addresses answer with one id, the first that
others named so has it alone. The others are written ID@HOST:PORT. So copies of an id do not rename its node.

Checked with libtorrent 2.1.1, aria2 1.36 and Transmission 3.00. libtorrent answers with confirmed entries of its
table. An entry stays there for a while after its node has died.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from itertools import islice

from msgspec import Struct
from msgspec.structs import replace

from peerscope.crawl.bencode import Value
from peerscope.crawl.dht_client import ANSWER_S, BURST, PER_NODE_S, TRIES, DhtClient, PacketCounts, UdpAddress
from peerscope.crawl.foreign import explore
from peerscope.crawl.scopes import RefusedAddresses, may_name
from peerscope.crawl.seeds import decimal_option, parse_seeds, resolved, whole_option
from peerscope.crawl.tables import TableReading
from peerscope.errors import ConfigError, RemoteError, TransportError
from peerscope.host.clock import monotonic
from peerscope.mesh.crawling.crawler import CrawlSighting
from peerscope.mesh.crawling.traversal import Candidates, Walk, WalkConfig
from peerscope.views.crawl import REFUSED_MAX, CrawlCost, CrawlView, sighted_view

ID_BYTES = 20
READING_S = 30.0
"""Time for the table of one node, half of the walk at most: what it names can only be asked after it."""
CLOSEST = 8
"""Entries of one answer (BEP 5: K)."""
NEIGHBOURS_MAX = 1024
"""Names taken from one node; libtorrent's tables have a few hundred."""
QUESTIONS_MAX = 1000
RATE_MAX = 5000.0
PROGRAMS = {"LT": "libtorrent", "TR": "Transmission", "UT": "µTorrent", "A2": "aria2", "lt": "rTorrent"}
"""Two letters of `v`; others are shown as they are."""


class MainlineOptions(Struct, frozen=True, kw_only=True):
    """How a crawl asks."""

    questions_max: int = 64
    """Questions to one node; four count a large network faster, without most of its links."""
    rate: float = 500.0
    """Packets sent per second."""
    samples: bool = False
    """Also ask with sample_infohashes how many keys a node stores."""


class MainlineCrawl:
    """State of one crawl: what the nodes at each address said of themselves."""

    def __init__(self, clients: dict[int, DhtClient], config: MainlineOptions, walk: Walk[UdpAddress]) -> None:
        self._clients = clients
        self._config = config
        self._walk = walk
        self._me = secrets.token_bytes(ID_BYTES)
        self._want: list[Value] = [b"n4" if version == 4 else b"n6" for version in sorted(clients)]
        self.ids: dict[UdpAddress, bytes] = {}
        """Ids of nodes that answered."""
        self.claims: dict[UdpAddress, bytes] = {}
        """Ids that others gave first for an address, of the addresses that the walk knows."""
        self.versions: dict[UdpAddress, str] = {}
        self.keys: dict[UdpAddress, int] = {}
        self.refused: RefusedAddresses[UdpAddress] = RefusedAddresses(REFUSED_MAX)
        """Addresses that those who named them may not send us to."""
        self.cut = 0
        """Nodes whose table may have more entries."""

    def is_as_named(self, place: UdpAddress, seeds: Collection[UdpAddress]) -> bool:
        """It answered with the id that others named first, or it was asked first."""
        return place in seeds or self.claims.get(place) == self.ids.get(place)

    async def neighbors(self, node: UdpAddress) -> Sequence[UdpAddress]:
        """Entries of a node's table. An error after its first answer ends the reading with what it has shown."""
        table = TableReading(
            bits=ID_BYTES * 8, closest=CLOSEST, questions_max=self._config.questions_max, depth_max=ID_BYTES * 8
        )
        found: dict[UdpAddress, bytes] = {}
        asked = 0
        end = self._walk.ends_by(READING_S, monotonic())
        while (question := table.next()) is not None:
            if asked and (monotonic() > end or len(found) >= NEIGHBOURS_MAX):
                table.is_cut = True
                break
            asked += 1
            depth, prefix = question
            target = prefix << (ID_BYTES * 8 - depth) | secrets.randbits(ID_BYTES * 8) >> depth
            try:
                async with asyncio.timeout(None if asked == 1 else max(0.0, end - monotonic())):
                    await asyncio.sleep(PER_NODE_S if asked > BURST else 0.0)
                    entries = await self._ask(node, target, first=asked == 1)
            except (TransportError, RemoteError, TimeoutError):
                if asked == 1:
                    raise
                table.is_cut = True
                break
            table.answered(depth, target, {int.from_bytes(identity) for _, identity in entries})
            found.update(entries)
        self.cut += table.is_cut
        for place, identity in islice(found.items(), self._walk.room):
            self.claims.setdefault(place, identity)
        return list(found)

    async def _ask(self, node: UdpAddress, target: int, *, first: bool) -> list[tuple[UdpAddress, bytes]]:
        client = self._clients[node.ip.version]
        arguments: dict[bytes, Value] = {
            b"id": self._me,
            b"target": target.to_bytes(ID_BYTES),
            b"want": self._want,
        }
        entries = self.read(node, await client.ask(node, b"find_node", arguments))
        if first and self._config.samples:
            with suppress(TransportError, RemoteError):  # older programs refuse the question, or ignore it
                answer = (await client.ask(node, b"sample_infohashes", arguments, tries=1))[b"r"]
                if isinstance(answer, dict) and isinstance(number := answer.get(b"num"), int) and 0 <= number < 1 << 31:
                    self.keys[node] = number
        return entries

    def read(self, node: UdpAddress, message: dict[bytes, Value]) -> list[tuple[UdpAddress, bytes]]:
        """The entries of an answer that may be dialled. Raises `RemoteError`."""
        answer = message[b"r"]
        assert isinstance(answer, dict)
        identity = answer.get(b"id")
        if not isinstance(identity, bytes) or len(identity) != ID_BYTES:
            raise RemoteError("bad-answer", "no id")
        entries = [*_entries(answer.get(b"nodes", b""), 4), *_entries(answer.get(b"nodes6", b""), 16)]
        self.ids[node] = identity
        if isinstance(version := message.get(b"v"), bytes) and version:
            self.versions[node] = _program(version)
        good = []
        for place, known in entries:
            if place.ip.version not in self._clients or known == self._me:  # aria2 ignores that we are read-only
                continue
            if place.port == 0 or not may_name(node.ip, place.ip):
                self.refused.add(place)
            else:
                good.append((place, known))
        return good


def mainline(specs: Sequence[str]) -> tuple[list[str], MainlineOptions]:
    """Places and options of specs `bittorrent:HOST:PORT#OPTION=VALUE`. Raises `ConfigError`."""
    places, given = parse_seeds(specs, "bittorrent", frozenset(("questions", "rate", "samples")))
    if given.get("samples", "no") not in ("yes", "no"):
        raise ConfigError(f"the option samples is {given['samples']!r}; must be yes or no")
    return places, MainlineOptions(
        questions_max=whole_option(given, "questions", MainlineOptions().questions_max, QUESTIONS_MAX),
        rate=decimal_option(given, "rate", MainlineOptions().rate, RATE_MAX),
        samples=given.get("samples") == "yes",
    )


async def crawl_bittorrent(
    places: Sequence[str],
    config: WalkConfig,
    options: MainlineOptions,
    *,
    stopping: asyncio.Event,
    progress: Callable[[Walk[UdpAddress]], None],
) -> CrawlView:
    """Map the DHT around the nodes at these places, over the versions of IP that they have.

    Raises `ConfigError` if a place has no address, `TransportError` if this machine cannot ask there.
    """
    seeds = [UdpAddress(*address) for place in places for address in await resolved(place, "bittorrent")]
    counts = PacketCounts()
    clients: dict[int, DhtClient] = {}
    patient = replace(
        config,
        neighbours_max=NEIGHBOURS_MAX,
        answer_timeout_s=READING_S + ANSWER_S * TRIES + 4.0,
        concurrency=min(config.concurrency, max(1, int(options.rate))),  # the others would wait for their turn only
    )
    try:
        for version in sorted({seed.ip.version for seed in seeds}):
            clients[version] = await DhtClient.bind(version, counts, options.rate)
        walk = Walk(seeds, patient, monotonic())
        crawl = MainlineCrawl(clients, options, walk)
        await explore(walk, crawl.neighbors, stopping=stopping, progress=progress)
    finally:
        for client in clients.values():
            client.close()
    cost = CrawlCost(
        sent_packets=counts.sent_packets,
        received_packets=counts.received_packets,
        sent_bytes=counts.sent_bytes,
        received_bytes=counts.received_bytes,
        stray_packets=counts.stray_packets,
    )
    survey = walk.survey()
    names = _names(crawl, seeds, {*survey.depths, *survey.unreachable})
    sightings = {
        name: CrawlSighting((str(place),), agent=crawl.versions.get(place), keys=crawl.keys.get(place))
        for place, name in names.items()
    }
    view = sighted_view(_renamed(survey, names), sightings, asked=walk.asked)
    return replace(view, network="bittorrent", refused=len(crawl.refused), cut=crawl.cut, cost=cost)


def _entries(compact: Value, ip_bytes: int) -> Iterator[tuple[UdpAddress, bytes]]:
    """Entries in compact form: id, address and port of each. Raises `RemoteError`."""
    size = ID_BYTES + ip_bytes + 2
    if not isinstance(compact, bytes) or len(compact) % size:
        raise RemoteError("bad-answer", "its nodes have a wrong length")
    for at in range(0, len(compact), size):
        identity, packed = compact[at : at + ID_BYTES], compact[at + ID_BYTES : at + size - 2]
        ip = IPv4Address(packed) if ip_bytes == 4 else IPv6Address(packed)
        yield UdpAddress(ip, int.from_bytes(compact[at + size - 2 : at + size])), identity


def _program(version: bytes) -> str:
    """`v` for people: the program by its two letters, then the other bytes in hexadecimal."""
    letters = version[:2].decode("ascii", "replace")
    if not letters.isalnum():
        return version[:4].hex()
    if letters == "LT" and len(version) == 4:  # 2.1.1 is 02 11
        return f"libtorrent {version[2]}.{version[3] >> 4}.{version[3] & 15}"
    return f"{PROGRAMS.get(letters, letters)} {version[2:4].hex()}".rstrip()


def _names(crawl: MainlineCrawl, seeds: Iterable[UdpAddress], settled: Collection[UdpAddress]) -> dict[UdpAddress, str]:
    """One name for each address: its id, and the address too unless it was the first with this id.

    Addresses that answered come before those that did not. Among them an address at which others named this id comes
    before the others, and then the one that was named first.
    """
    known = [place for place in dict.fromkeys([*seeds, *crawl.claims, *crawl.ids]) if place in settled]
    first = set(seeds)
    ranked = sorted(known, key=lambda place: 2 if place not in crawl.ids else not crawl.is_as_named(place, first))
    names = {place: str(place) for place in settled}
    taken: set[bytes] = set()
    for place in ranked:
        identity = crawl.ids.get(place) or crawl.claims.get(place)
        if identity is not None:
            names[place] = f"{identity.hex()}@{place}" if identity in taken else identity.hex()
            taken.add(identity)
    return names


def _renamed(survey: Candidates[UdpAddress], names: dict[UdpAddress, str]) -> Candidates[str]:
    return Candidates(
        depths={names[place]: depth for place, depth in survey.depths.items()},
        links={(names[one], names[other]): both for (one, other), both in survey.links.items()},
        unreachable={names[place]: reason for place, reason in survey.unreachable.items()},
        unasked=survey.unasked,
        surplus=survey.surplus,
        stopped=survey.stopped,
        seconds=survey.seconds,
    )
