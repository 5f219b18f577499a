"""A crawled network for people and scripts: one form for ours and for foreign ones, and its Graphviz source."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated

from msgspec import Meta, Struct

from peerscope.mesh.crawling.crawler import Crawler, CrawlSighting
from peerscope.mesh.crawling.traversal import Candidates
from peerscope.mesh.detection.checks import MESSAGE_MAX, printable
from peerscope.records.identity import SHORT_HEX
from peerscope.records.measures import Count
from peerscope.records.texts import Name, Text
from peerscope.views.dot import quoted, shown

VALUES_MAX = 100
"""Values of a distribution. Peers choose their versions, so there can be as many as peers."""
REFUSED_MAX = 50_000
"""Refused addresses that a crawl counts. A liar can name as many as it likes."""
CrawledId = Annotated[Text, Meta(min_length=1)]
"""An id as its network writes it, with the address where several claim it."""
NAME_MAX = 64
"""Characters of a name that is no id; an address has at most 47."""
_HEXADECIMAL = re.compile("[0-9a-f]{20,}")


class CrawledPeer(Struct, frozen=True):
    """A peer that answered."""

    peer_id: CrawledId
    addresses: tuple[Text, ...]
    region: Name | None
    version: Text | None
    depth: Count | None
    """Links between it and the nearest peer that the crawl began with."""
    neighbours: Count
    """Links that it or the other end named."""
    keys: Count | None = None
    """Keys that a DHT node stores, where the network says so."""


class CrawledLink(Struct, frozen=True):
    """Named by `source`; `confirmed` if `target` names it too."""

    source: CrawledId
    target: CrawledId
    confirmed: bool


class Unreachable(Struct, frozen=True):
    """A peer that others named and that did not answer."""

    peer_id: CrawledId
    addresses: tuple[Text, ...]
    reason: Text


class Share(Struct, frozen=True):
    """One value of a distribution, and the number of peers that have it."""

    value: Text
    peers: Count


class CrawlCost(Struct, frozen=True):
    """Traffic and work of a crawl; null where it cannot be counted."""

    sent_packets: Count | None = None
    received_packets: Count | None = None
    sent_bytes: Count | None = None
    received_bytes: Count | None = None
    stray_packets: Count | None = None
    """Packets that answered no open question: late, repeated or forged."""
    cpu_s: float | None = None


class CrawlView(Struct, frozen=True):
    """Result of a crawl."""

    peers: tuple[CrawledPeer, ...]
    links: tuple[CrawledLink, ...]
    unreachable: tuple[Unreachable, ...]
    asked: Count
    unasked: Count
    """Peers that others named and that were not asked, or did not answer in time."""
    left_out: Count
    """Neighbours that answers did not name, or that exceeded the limit of one answer."""
    forged: Count
    """Profiles with a wrong signature."""
    stopped: Text | None
    """The limit that ended the crawl early; null if it saw the whole network."""
    seconds: float
    network: Name = "peerscope"
    """Kind of the network."""
    at: float | None = None
    """Unix seconds of the beginning."""
    versions: tuple[Share, ...] = ()
    """Versions of the peers that answered, the most frequent first."""
    errors: tuple[Share, ...] = ()
    """Reasons of the unreachable peers, the most frequent first."""
    refused: Count = 0
    """Addresses that the crawl did not dial, as the peers that named them may not name such; counted up to
    `REFUSED_MAX`."""
    cut: Count = 0
    """Peers that may have more neighbours, as a bound ended the questions to them."""
    cost: CrawlCost = CrawlCost()


def mesh_view(crawler: Crawler) -> CrawlView:
    """View of a crawled peerscope network."""
    found = {peer.hex(): sighting for peer, sighting in crawler.sightings.items()}
    survey = crawler.walk.survey()
    named: Candidates[str] = Candidates(
        depths={peer.hex(): depth for peer, depth in survey.depths.items()},
        links={(one.hex(), other.hex()): both for (one, other), both in survey.links.items()},
        unreachable={peer.hex(): reason for peer, reason in survey.unreachable.items()},
        unasked=survey.unasked,
        surplus=survey.surplus + crawler.left_out,
        stopped=survey.stopped,
        seconds=survey.seconds,
    )
    return _view(named, found, asked=crawler.walk.asked, forged=crawler.forged)


def foreign_view(survey: Candidates[str], addresses: Mapping[str, str], *, asked: int) -> CrawlView:
    """View of a crawled network of other software, with ids and addresses only."""
    return sighted_view(survey, {peer: CrawlSighting((address,)) for peer, address in addresses.items()}, asked=asked)


def sighted_view(survey: Candidates[str], found: Mapping[str, CrawlSighting], *, asked: int) -> CrawlView:
    """View of a crawled network of other software, whose peers also say which version they are."""
    return _view(survey, found, asked=asked)


def shares(values: Iterable[str]) -> tuple[Share, ...]:
    """The distribution of values: the most frequent first, all beyond `VALUES_MAX` as one."""
    counts = sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))
    rest = sum(count for _, count in counts[VALUES_MAX:])
    return (*(Share(*item) for item in counts[:VALUES_MAX]), *([Share("other", rest)] if rest else []))


def short_id(peer: str) -> str:
    """A part of a long id for people; ids of libp2p all begin alike. Addresses and other names stay whole."""
    identity, at, place = peer.partition("@")  # the place makes copies of an id differ
    if identity.startswith(("12D3KooW", "Qm", "16Uiu2HA")):
        short = identity[-SHORT_HEX:]
    else:
        short = identity[:SHORT_HEX] if _HEXADECIMAL.fullmatch(identity) else identity[:NAME_MAX]
    return short + at + place[:NAME_MAX]


def dot(view: CrawlView) -> str:
    """Graphviz source. Peers that did not answer, and links that only one end named, are dashed."""
    lines = ["digraph crawl {", "  node [shape=box, style=rounded];", "  edge [dir=none];"]
    for peer in view.peers:
        lines.append(f"  {quoted(peer.peer_id)} [label={shown(_label(peer.peer_id, peer.region))}];")
    for gone in view.unreachable:
        label = shown(_label(gone.peer_id, gone.reason))
        lines.append(f"  {quoted(gone.peer_id)} [label={label}, style=dashed];")
    for link in view.links:
        style = "" if link.confirmed else " [style=dashed]"
        lines.append(f"  {quoted(link.source)} -> {quoted(link.target)}{style};")
    return "\n".join([*lines, "}"]) + "\n"


def _view(survey: Candidates[str], found: Mapping[str, CrawlSighting], *, asked: int, forged: int = 0) -> CrawlView:
    ends: dict[str, int] = {}
    for peer in (end for pair in survey.links for end in pair):
        ends[peer] = ends.get(peer, 0) + 1
    unknown = CrawlSighting()
    peers = tuple(
        CrawledPeer(peer, seen.addresses, seen.region, seen.agent, depth, ends.get(peer, 0), seen.keys)
        for peer, depth in sorted(survey.depths.items(), key=lambda item: (item[1], item[0]))
        for seen in [found.get(peer, unknown)]
    )
    reasons = {peer: printable(reason)[:MESSAGE_MAX] for peer, reason in sorted(survey.unreachable.items())}
    gone = (Unreachable(peer, found.get(peer, unknown).addresses, reason) for peer, reason in reasons.items())
    return CrawlView(
        peers=peers,
        links=tuple(CrawledLink(*pair, confirmed=both) for pair, both in _ordered(survey.links.items())),
        unreachable=tuple(gone),
        asked=asked,
        unasked=survey.unasked,
        left_out=survey.surplus,
        forged=forged,
        stopped=survey.stopped,
        seconds=round(survey.seconds, 3),
        versions=shares(peer.version or "unknown" for peer in peers),
        errors=shares(reasons.values()),
    )


def _ordered(links: Iterable[tuple[tuple[str, str], bool]]) -> list[tuple[tuple[str, str], bool]]:
    """Links by their ends. The smaller id is the source if both ends name the link."""
    return sorted((((min(pair), max(pair)) if both else pair), both) for pair, both in links)


def _label(peer: str, more: str | None) -> str:
    return short_id(peer) + (f"\n{more}" if more else "")
