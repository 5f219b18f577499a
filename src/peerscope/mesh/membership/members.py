"""Who is a member, and who is down for so long that the living close ranks."""

from __future__ import annotations

from collections.abc import Callable

from peerscope.mesh.detection.detector import DetectorConfig
from peerscope.mesh.detection.observers import accused
from peerscope.mesh.detection.unwatched import unwatched
from peerscope.mesh.detection.verdicts import Assessment, Verdict
from peerscope.mesh.membership.neighbours import Neighbours
from peerscope.records.bodies import Profile
from peerscope.records.identity import PeerId
from peerscope.records.ledger import Entry, Ledger

REVIEW_INTERVAL_S = 5.0


class Membership:
    """Keeps the neighbourhood's rings in step with the ledger's verdicts."""

    def __init__(
        self,
        me: PeerId,
        ledger: Ledger,
        neighbours: Neighbours,
        detector: DetectorConfig,
        *,
        hold_s: float,
        by_prefix: bool = False,
        is_member: Callable[[PeerId, Profile, float], bool],
    ) -> None:
        """`is_member`: whether a peer with this profile is of our zone."""
        self._me = me
        self._is_member = is_member
        self._ledger = ledger
        self._neighbours = neighbours
        self._down_after_s = detector.down_after_s
        self._hold_s = hold_s
        self._by_prefix = by_prefix
        self._again_at = 0.0
        self._down_since: dict[PeerId, float] = {}
        self._unwatched: frozenset[PeerId] = frozenset()
        """Down by their silence alone, at the last look."""

    def stored(self, entry: Entry, now: float) -> None:
        """A record is news: its origin may be new, gone, or back."""
        peer = entry.record.peer_id
        if isinstance(entry.body, Profile) and (entry.body.left or not self._is_member(peer, entry.body, now)):
            self.forget(peer, now)
        elif isinstance(entry.body, Profile) and peer not in self._neighbours.lost:
            self._neighbours.place(peer, alive=True, now=now)
        self._unwatched -= {peer}
        if peer in self._down_since:
            self._judge(peer, self._assessment(now), now)

    def review(self, now: float) -> None:
        """Look at everybody who is accused, and now and then again at those who are down: they seldom come back
        without a word of their own, which is looked at when it comes."""
        suspects = accused(self._ledger)
        if now >= self._again_at:
            self._again_at = now + REVIEW_INTERVAL_S
            self._unwatched = unwatched(self._ledger, self._me, self._ledger, now)
            suspects |= set(self._down_since) | self._unwatched
        else:
            suspects -= set(self._down_since)
        assessment = self._assessment(now)
        for peer in sorted(suspects):
            self._judge(peer, assessment, now)

    def is_down(self, peer: PeerId) -> bool:
        """The verdict at the last look."""
        return peer in self._down_since

    def forget(self, peer: PeerId, now: float) -> None:
        """No member any more."""
        self._down_since.pop(peer, None)
        self._neighbours.forget(peer, now)

    def _assessment(self, now: float) -> Assessment:
        return Assessment(self._ledger, now, down_after_s=self._down_after_s, by_prefix=self._by_prefix)

    def _judge(self, peer: PeerId, assessment: Assessment, now: float) -> None:
        verdict = assessment.weigh(peer).verdict
        if verdict is Verdict.DOWN or (verdict is Verdict.ALIVE and peer in self._unwatched):
            since = self._down_since.setdefault(peer, now)
            if now - since >= self._hold_s and peer in self._neighbours.rings:
                self._neighbours.place(peer, alive=False, now=now)
        elif verdict is Verdict.ALIVE and self._down_since.pop(peer, None) is not None:
            self._neighbours.place(peer, alive=True, now=now)
