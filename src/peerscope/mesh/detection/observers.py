"""The observers of a peer: functions of the ledger.

The subject's own newest report names the neighbours that watch it. In a public network, observers behind one address
prefix have one vote together. `verdicts.py` weighs their accusations.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_network

from peerscope.records.bodies import Kind, Report
from peerscope.records.hosts import ip_of
from peerscope.records.identity import PeerId, PeerRef, ref
from peerscope.records.ledger import Ledger

EXPIRY_INTERVALS = 3
"""A report expires after so many of its own intervals, if that is soon."""
LATE_SHARE, LATE_S = 0.1, 60.0
"""A later report of a large network, where intervals are minutes: so much after its time it is missing."""

LINKS_MIN = 2
"""A subject that reported fewer links may be accused by all that lost it, so one accusation never decides."""


def voices(ledger: Ledger, observers: list[PeerId], by_prefix: bool) -> list[tuple[PeerId, ...]]:
    """The votes: one per observer, or one per address prefix, whose observers then must agree."""
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
    known = ip_of(address)
    return None if known is None else str(ip_network((known, 24 if known.version == 4 else 48), strict=False))


def quorum(observers: int) -> int:
    """A majority, and at least two where there are two; 0 without observers."""
    if observers <= 1:
        return observers
    return max(2, observers // 2 + 1)


def watchers(ledger: Ledger, subject: PeerId) -> list[PeerId]:
    """The known neighbours that the subject itself named as its observers.

    A subject that reported one link at most died, or chose silence, while it was joining. Then peers that lost it count
    too, and if it reported none, also peers that report a link with it. The next report of a living subject refutes
    them and names its own observers.
    """
    report = ledger.report(subject)
    links = report.links if report is not None else ()
    named = {peer for link in links if link.watches and (peer := ledger.find(PeerRef(link.peer))) is not None}
    if len(links) < LINKS_MIN and ledger.missed[ref(subject)]:  # only accusations are weighed
        named |= losers(ledger, subject)
        if not links:
            named |= linked(ledger, subject)
    return sorted(peer for peer in named if peer != subject and not has_left(ledger, peer))


def losers(ledger: Ledger, subject: PeerId) -> set[PeerId]:
    """Peers that publish that they lost the subject."""
    name = ref(subject)
    return {
        peer
        for peer in ledger.accusers
        if (said := ledger.observations(peer)) is not None and any(one.subject == name for one in said.lost)
    }


def linked(ledger: Ledger, subject: PeerId) -> set[PeerId]:
    """Peers that report a link with the subject."""
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
    """The observer's own unexpired report lists the link."""
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
    return now <= entry.heard_at + expiry_s(report)


def expiry_s(report: Report) -> float:
    """Seconds until a report is void without another one."""
    interval_s = report.interval_ms / 1000
    return min(EXPIRY_INTERVALS * interval_s, (1 + LATE_SHARE) * interval_s + LATE_S)


def has_left(ledger: Ledger, peer: PeerId) -> bool:
    """The peer said goodbye."""
    profile = ledger.profile(peer)
    return profile is not None and profile.left


def accused(ledger: Ledger) -> set[PeerId]:
    """All peers that any peer accuses."""
    return {subject for name in ledger.missed if (subject := ledger.find(name)) is not None}
