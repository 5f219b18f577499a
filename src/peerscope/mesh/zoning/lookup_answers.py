"""Answering who asks for a peer by name (`Find`): what it said of itself, and what the evidence here says of it.

The subject's own records are signed by it, so that the asker can check them; the verdict is our word. Whoever has been
greeted may ask: members only, as visitors from other zones mostly (`inquiries.py`).
"""

from __future__ import annotations

from peerscope.errors import RemoteError
from peerscope.mesh.detection.verdicts import weigh
from peerscope.mesh.limits.rate_limit import TokenBucket
from peerscope.mesh.messages import TOLD_MAX, Aged, Find, Found, FoundPeer, Opinion
from peerscope.mesh.peer_state import PeerState
from peerscope.records.bodies import Kind
from peerscope.records.identity import PeerId
from peerscope.records.ledger import Entry

ANSWERS_PER_S, ANSWERS_BURST = 20.0, 200.0
"""To all askers together: an answer has one or two kilobytes, and makes us weigh one or two peers."""
COUNT_MAX = 65_535


class LookupAnswers:
    """What one peer knows of those of its zone, by name."""

    def __init__(self, state: PeerState, now: float) -> None:
        self._state = state
        self._ledger = state.ledger
        self._bucket = TokenBucket(ANSWERS_PER_S, ANSWERS_BURST, now)

    def answer(self, question: Find, now: float) -> Found:
        """Whom we know of that name, those of our own zone first. Raises `RemoteError` ("find-too-often")."""
        if not self._bucket.take(1.0, now):
            raise RemoteError("find-too-often", f"more than {ANSWERS_PER_S:g} answers a second")
        named = [peer for peer in self._ledger if peer.hex().startswith(question.name)]
        known = [(profile.zone, peer) for peer in named if (profile := self._ledger.profile(peer)) is not None]
        known.sort(key=lambda one: (one[0] != self._state.own_zone.zone, one[1]))
        told = tuple(self._told(peer, zone, now) for zone, peer in known[:TOLD_MAX])
        return Found(question.nonce, self._state.own_zone.zone, told, min(len(known) - len(told), COUNT_MAX))

    def _told(self, peer: PeerId, zone: str, now: float) -> FoundPeer:
        profile, report = (self._ledger.get(peer, kind) for kind in (Kind.PROFILE, Kind.REPORT))
        records = tuple(_aged(entry, now) for entry in (profile, report) if entry is not None)
        return FoundPeer(records, self._opinion(peer, now) if zone == self._state.own_zone.zone else None)

    def _opinion(self, peer: PeerId, now: float) -> Opinion:
        by_prefix = self._state.admission.config.public
        found = weigh(self._ledger, peer, now, down_after_s=self._state.detector.down_after_s, by_prefix=by_prefix)
        accused_by, observers = len(found.accusations), len(found.observers)
        return Opinion(found.verdict.value, accused_by, observers, found.accusing, found.voices, found.quorum)


def _aged(entry: Entry, now: float) -> Aged:
    return Aged(entry.record, max(0, round((now - entry.heard_at) * 1000)))
