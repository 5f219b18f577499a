"""Peers without observers: their observers died with them, or restarted since.

**Orphans.** A peer whose observers died with it has no accuser. So every peer looks now and then for members that
stopped reporting together with all of their observers, and dials each of them. A survivor answers, which also joins
survivors that lost each other. A peer that does not answer is reported as "unwatched".

**Unwatched.** Only an observer that had a link may accuse. When all observers of a dead peer have restarted, no accuser
is left, and the dead get no new links. Such a peer is down by its own silence. Its last report has expired long ago,
and no unexpired report lists a link with it. More peers report than are silent like it, so we are not the one that is
cut off or slept. Like all verdicts this is a function of the ledger alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from peerscope.mesh.detection.links import Links
from peerscope.mesh.detection.observers import has_left, is_reporting, spoke_at, watchers
from peerscope.records.bodies import Kind, Observation
from peerscope.records.identity import PeerId, ref
from peerscope.records.ledger import Ledger

INTERVAL_S = 5.0
"""Interval of the search. Reports take longer than that to expire."""
ANSWER_TIMEOUT_S = 9.0
"""A dialled peer without an answer for so long is reported."""
DIALS_MAX = 16
"""Dials per search: after a disaster one machine has many to try."""
UNHEARD_S = 60.0
"""A peer with an expired report is judged once all its records are so old. A peer that wakes up has heard the living
again by then."""


class Orphans:
    """The search of one peer for orphans."""

    def __init__(self, me: PeerId, ledger: Ledger, links: Links, now: float) -> None:
        self._me = me
        self._ledger = ledger
        self._links = links
        self._began_at = now
        self._next_at = now + INTERVAL_S
        self._dialled: dict[PeerId, float] = {}
        self._due: list[PeerId] = []
        self._gone: list[PeerId] = []

    def review(self, now: float) -> bool:
        """Search, when it is time; True if the list of gone peers changed."""
        if now < self._next_at:
            return False
        self._next_at = now + INTERVAL_S
        found = orphaned(self._ledger, self._me, now, since=self._began_at)
        quiet = [peer for peer in found if peer not in self._links]
        self._dialled = {peer: self._dialled[peer] for peer in quiet if peer in self._dialled}
        self._due = [peer for peer in quiet if peer not in self._dialled][:DIALS_MAX]
        self._dialled |= dict.fromkeys(self._due, now)
        before = self._gone
        self._gone = [peer for peer in quiet if now - self._dialled.get(peer, now) >= ANSWER_TIMEOUT_S]
        return self._gone != before

    def to_dial(self) -> list[PeerId]:
        """Peers to dial now, each once."""
        due, self._due = self._due, []
        return due

    def observations(self, now: float) -> list[Observation]:
        """Observations of the gone peers: how long no record of theirs has come."""
        found = []
        for peer in self._gone:
            entries = self._ledger.entries(peer)
            if entries:
                newest = max(entries, key=lambda entry: entry.record.version)
                silence_ms = max(0, round((now - newest.heard_at) * 1000))
                found.append(Observation(ref(peer), newest.record.version, silence_ms, "unwatched"))
        return found


def orphaned(ledger: Ledger, me: PeerId, now: float, *, since: float) -> list[PeerId]:
    """Peers heard after `since` that stopped reporting together with all their observers."""
    return [
        peer
        for peer in sorted(ledger)
        if peer != me
        and not is_reporting(ledger, peer, now)
        and (report := ledger.report(peer)) is not None
        and (spoke_at(ledger, peer) or 0.0) >= since
        and not has_left(ledger, peer)
        and report.links
        and not any(watcher == me or is_reporting(ledger, watcher, now) for watcher in watchers(ledger, peer))
    ]


def unwatched(ledger: Ledger, me: PeerId, peers: Iterable[PeerId], now: float) -> frozenset[PeerId]:
    """The peers, of `peers` without standing accusations, that are down by their silence alone."""
    silent = {peer for peer in peers if peer != me and _is_silent(ledger, peer, now)}
    if not silent:
        return frozenset()
    reports = [
        report
        for peer in ledger
        if peer == me or is_reporting(ledger, peer, now)
        if (report := ledger.report(peer)) is not None
    ]
    heard = {link.peer for report in reports for link in report.links}
    found = frozenset(peer for peer in silent if ref(peer) not in heard)
    return found if len(reports) > len(found) else frozenset()


def _is_silent(ledger: Ledger, peer: PeerId, now: float) -> bool:
    """It reported once, its report expired, and all its records are old."""
    if is_reporting(ledger, peer, now) or ledger.get(peer, Kind.REPORT) is None or has_left(ledger, peer):
        return False
    return all(now - entry.heard_at > UNHEARD_S for entry in ledger.entries(peer))
