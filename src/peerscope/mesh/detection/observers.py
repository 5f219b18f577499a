"""Who may say that a peer is gone, and who is there to say so: functions of the ledger.

The subject's own newest report names the neighbours that watch it. In a public network, observers behind one address
prefix have one vote together. `evidence.py` weighs what the observers say.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_network

from peerscope.records.bodies import Kind
from peerscope.records.identity import PeerId, PeerRef, ref
from peerscope.records.ledger import Ledger

EXPIRY_INTERVALS = 3
"""A report is void after so many of its own intervals."""

LINKS_MIN = 2
"""Where the subject told of fewer, all who lost it may say so, so that no one is down on one word."""


def voices(ledger: Ledger, observers: list[PeerId], by_prefix: bool) -> list[tuple[PeerId, ...]]:
    """Who votes together: each alone, or those behind one address prefix, which then must agree."""
    if not by_prefix:
        return [(observer,) for observer in observers]
    groups: dict[str, list[PeerId]] = {}
    for observer in observers:
        profile = ledger.profile(observer)
        address = profile.addresses[0] if profile and profile.addresses else ""
        groups.setdefault(prefix(address) or observer.hex(), []).append(observer)
    return [tuple(group) for _, group in sorted(groups.items())]


@lru_cache(maxsize=16_384)
def prefix(address: str) -> str | None:
    """The /24 or /48 of a "host:port" address; None where the host is a name."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        network = ip_network((host, 48 if ":" in host else 24), strict=False)
    except ValueError:
        return None
    return str(network)


def quorum(observers: int) -> int:
    """A majority, and at least two where there are two; 0 where there is nobody to ask."""
    if observers <= 1:
        return observers
    return max(2, observers // 2 + 1)


def watchers(ledger: Ledger, subject: PeerId) -> list[PeerId]:
    """The neighbours that the subject itself named as watching it, as far as we know them.

    Where it told of one link at most, because it died, or chose to be silent, while it was still joining: those too who
    say themselves that they lost it; where it told of none, also those who say that they have a link with it. If it
    lives, its next report refutes the ones and names its own.
    """
    report = ledger.report(subject)
    links = report.links if report is not None else ()
    named = {peer for link in links if link.watches and (peer := ledger.find(PeerRef(link.peer))) is not None}
    if len(links) < LINKS_MIN and ledger.missed[ref(subject)]:  # while nobody accuses it, nothing is weighed
        named |= losers(ledger, subject)
        if not links:
            named |= linked(ledger, subject)
    return sorted(peer for peer in named if peer != subject and not has_left(ledger, peer))


def losers(ledger: Ledger, subject: PeerId) -> set[PeerId]:
    """Whoever says that it lost the subject."""
    name = ref(subject)
    return {
        peer
        for peer in ledger.accusers
        if (said := ledger.observations(peer)) is not None and any(one.subject == name for one in said.lost)
    }


def linked(ledger: Ledger, subject: PeerId) -> set[PeerId]:
    """Whoever says that it has a link with the subject."""
    name = ref(subject)
    return {
        peer
        for peer in ledger
        if (report := ledger.report(peer)) is not None and any(link.peer == name for link in report.links)
    }


def spoke_at(ledger: Ledger, subject: PeerId) -> float | None:
    """When the peer's newest record was issued, in local time."""
    entries = ledger.entries(subject)
    return max(entries, key=lambda entry: entry.record.version).heard_at if entries else None


def hears(ledger: Ledger, observer: PeerId, subject: PeerId, now: float) -> bool:
    """Does the observer's own unexpired report list the link?"""
    report = ledger.report(observer)
    if report is None or not is_reporting(ledger, observer, now):
        return False
    name = ref(subject)
    return any(link.peer == name for link in report.links)


def is_reporting(ledger: Ledger, peer: PeerId, now: float) -> bool:
    """Its newest report has not expired."""
    entry, report = ledger.get(peer, Kind.REPORT), ledger.report(peer)
    if entry is None or report is None:
        return False
    return now <= entry.heard_at + EXPIRY_INTERVALS * report.interval_ms / 1000


def has_left(ledger: Ledger, peer: PeerId) -> bool:
    """The peer said goodbye."""
    profile = ledger.profile(peer)
    return profile is not None and profile.left


def accused(ledger: Ledger) -> set[PeerId]:
    """Everybody whom anybody misses, rightly or not."""
    return {subject for name in ledger.missed if (subject := ledger.find(name)) is not None}
