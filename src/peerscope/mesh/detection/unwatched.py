"""Peers that nobody watches and nobody hears: silent for so long that nobody can call them alive.

Only an observer that had a link may accuse (`evidence.py`). When all observers of a dead peer have restarted, nobody is
left who may, and nobody ever will: the dead have no links. Such a peer is down by its own silence. Its last report has
expired long ago, no unexpired report lists a link with it, and at least as many peers report as are silent like it, so
that it is not we who are cut off or have slept. Like all verdicts this is a function of the ledger alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from peerscope.mesh.detection.observers import has_left, is_reporting
from peerscope.records.bodies import Kind
from peerscope.records.identity import PeerId, ref
from peerscope.records.ledger import Ledger

UNHEARD_S = 60.0
"""A peer whose report is void is judged once everything that it said was issued so long ago. Whoever wakes up has heard
the living again by then."""


def unwatched(ledger: Ledger, me: PeerId, peers: Iterable[PeerId], now: float) -> frozenset[PeerId]:
    """Of `peers`, whom no accusation against stands, those that are down by their silence alone as we see it."""
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
    """It reported once, its report is void, and it has said nothing on any topic for long."""
    if is_reporting(ledger, peer, now) or ledger.get(peer, Kind.REPORT) is None or has_left(ledger, peer):
        return False
    return all(now - entry.heard_at > UNHEARD_S for entry in ledger.entries(peer))
