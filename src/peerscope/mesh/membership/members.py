"""The members of the zone, and those that have been down for so long that the rings do without them."""

from __future__ import annotations

from collections.abc import Set

from peerscope.mesh.detection.observers import accused
from peerscope.mesh.detection.unwatched import unwatched
from peerscope.mesh.detection.verdicts import Assessment, Verdict
from peerscope.mesh.internal_events import MemberGone, MemberPlaced
from peerscope.mesh.peer_state import PeerState
from peerscope.records.bodies import Profile
from peerscope.records.identity import PeerId
from peerscope.records.ledger import Entry

REVIEW_INTERVAL_S = 5.0


class Membership:
    """Keeps the rings in step with the ledger's verdicts."""

    def __init__(self, state: PeerState, hold_s: float) -> None:
        """`hold_s`: a peer that is down stays on the rings for so long."""
        self._state = state
        self._ledger = state.ledger
        self._hold_s = hold_s
        self._again_at = 0.0
        self._down_since: dict[PeerId, float] = {}
        self._unwatched: frozenset[PeerId] = frozenset()
        """Peers down by their silence alone, at the last review."""

    def stored(self, entry: Entry, now: float) -> None:
        """A new record: its origin may be new, gone, or back."""
        peer = entry.record.peer_id
        on_rings = peer in self._state.neighbours.rings
        if isinstance(entry.body, Profile):
            if entry.body.left or not self._state.own_zone.is_member(peer, entry.body, now):
                self.forget(peer)
            elif peer not in self._state.neighbours.lost:
                self._state.out.emit(MemberPlaced(peer, alive=True))
                on_rings = True
        self._unwatched -= {peer}
        if peer in self._down_since:
            self._judge(peer, self._assessment(now), on_rings, now)

    def review(self, now: float) -> None:
        """Judge all accused peers, and now and then those that are down. Usually they come back with a record."""
        suspects = accused(self._ledger)
        if now >= self._again_at:
            self._again_at = now + REVIEW_INTERVAL_S
            self._unwatched = unwatched(self._ledger, self._state.me, self._ledger, now)
            suspects |= set(self._down_since) | self._unwatched
        else:
            suspects -= set(self._down_since)
        assessment = self._assessment(now)
        for peer in sorted(suspects):
            self._judge(peer, assessment, peer in self._state.neighbours.rings, now)

    @property
    def down(self) -> Set[PeerId]:
        """Peers with the verdict `down` at the last review."""
        return self._down_since.keys()

    def forget(self, peer: PeerId) -> None:
        """The peer is not a member any more."""
        self._down_since.pop(peer, None)
        self._state.out.emit(MemberGone(peer))

    def _assessment(self, now: float) -> Assessment:
        down_after_s, by_prefix = self._state.detector.down_after_s, self._state.admission.config.public
        return Assessment(self._ledger, now, down_after_s=down_after_s, by_prefix=by_prefix)

    def _judge(self, peer: PeerId, assessment: Assessment, on_rings: bool, now: float) -> None:
        verdict = assessment.weigh(peer).verdict
        if verdict is Verdict.DOWN or (verdict is Verdict.ALIVE and peer in self._unwatched):
            since = self._down_since.setdefault(peer, now)
            if now - since >= self._hold_s and on_rings:
                self._state.out.emit(MemberPlaced(peer, alive=False))
        elif verdict is Verdict.ALIVE and self._down_since.pop(peer, None) is not None:
            self._state.out.emit(MemberPlaced(peer, alive=True))
