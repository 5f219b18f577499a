"""Peers whose observers all died with them: tried directly, and then reported by whoever survived.

A peer whose observers died with it is accused by nobody. So every peer looks now and then for members that stopped
reporting together with all of their observers. It dials each of them. A survivor answers, which also joins survivors
that lost each other. A peer that does not answer either is reported as "unwatched".
"""

from __future__ import annotations

from peerscope.mesh.detection.links import Links
from peerscope.mesh.detection.observers import orphaned
from peerscope.records.bodies import Observation
from peerscope.records.identity import PeerId, ref
from peerscope.records.ledger import Ledger

INTERVAL_S = 5.0
"""How often we look. Reports take longer than that to expire."""
ANSWER_TIMEOUT_S = 9.0
"""After so long without an answer to our dial a peer is reported."""
DIALS_MAX = 16
"""Dials at each look: after a disaster there are many to try, and one machine to try them."""


class Orphans:
    """What one peer found out about those whom nobody watches."""

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
        """Look, when it is time; True if those who are gone are others than before."""
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
        """Peers to try now, each once."""
        due, self._due = self._due, []
        return due

    def observations(self, now: float) -> list[Observation]:
        """What we have to say of those who are gone: how long we have heard nothing of them through others."""
        found = []
        for peer in self._gone:
            entries = self._ledger.entries(peer)
            if entries:
                newest = max(entries, key=lambda entry: entry.record.version)
                silence_ms = max(0, round((now - newest.heard_at) * 1000))
                found.append(Observation(ref(peer), newest.record.version, silence_ms, "unwatched"))
        return found
