"""Revocations, and members that lost their membership.

A peer that reads revocations from a file publishes them in a record, and every member keeps all that it has seen. If
that record expires, another member publishes them again: the first in the order of ids, or after each further minute
the next one. So a few records serve all members, and no peer is essential.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf

from peerscope.errors import RemoteError
from peerscope.mesh.detection.observers import has_left
from peerscope.mesh.events import Credentials
from peerscope.mesh.internal_events import CertificateRenewed, RecordsDropped, Repeat, Restate
from peerscope.mesh.peer_state import PeerState
from peerscope.mesh.zoning.zone_summaries import zone_summaries
from peerscope.records.bodies import Certified, Kind
from peerscope.records.certificates import Certificate, Revoked
from peerscope.records.identity import PeerId
from peerscope.records.ledger import Entry

REVIEW_S = 10.0
TURN_S = 60.0
"""Each member waits so long for the one before it."""


class Revocations:
    """Our certificate, the revocations of operators, and ended memberships."""

    def __init__(self, state: PeerState) -> None:
        self._me = state.me
        self._admission = state.admission
        self._ledger = state.ledger
        self._global_ledger = state.global_ledger
        self._clock = state.clock
        self._out = state.out
        self._review_at = -inf
        self._missing_since: float | None = None

    def read(self, credentials: Credentials, now: float) -> None:
        """The files of operators were read: publish changes."""
        if self._admission.learn(credentials.revocations, self._clock.wall_ms(now)):
            self._spread()
        if credentials.certificate in (None, self._admission.certificate):
            return
        self._admission.certificate = credentials.certificate
        said = self._ledger.profile(self._me)
        if said is not None:
            self._out.emit(Restate(said, urgent=True))
        for entry in self._global_ledger.entries(self._me):
            if entry.record.kind != Kind.SUMMARY:  # a new one comes soon
                self._out.emit(Repeat(entry))
        self._out.emit(CertificateRenewed())

    def stored(self, entry: Entry, now: float) -> None:
        """A new record: it may hold revocations."""
        if isinstance(entry.body, Revoked):
            self._admission.learn(entry.body.items, self._clock.wall_ms(now))

    def review(self, now: float) -> dict[PeerId, str]:
        """Members that lost their membership, each with the reason. Drops their records for all zones.

        Call every second.
        """
        if not self._admission.asks_membership or now < self._review_at:
            return {}
        wall_ms = self._clock.wall_ms(now)
        self._admission.forget_lapsed(wall_ms)
        self._drop_void(wall_ms)
        self._take_turn(now)
        shown = {peer: said.certificate if (said := self._ledger.profile(peer)) else None for peer in self._ledger}
        found = {peer: self._void(peer, shown[peer], wall_ms) for peer in sorted(shown)}
        self._review_at = now + self._wait_s(shown.values(), wall_ms)
        self._note_lapsed(shown, found, wall_ms)
        return {peer: reason for peer, reason in found.items() if reason is not None}

    def _wait_s(self, shown: Iterable[Certificate | None], wall_ms: int) -> float:
        """Until the next review, at the next end at the latest, so that all members drop a peer together."""
        ends = [one.not_after_ms for one in shown if one is not None and one.not_after_ms >= wall_ms]
        return min(REVIEW_S, (min(ends) - wall_ms + 1) / 1000) if ends else REVIEW_S

    def _note_lapsed(
        self, shown: Mapping[PeerId, Certificate | None], found: Mapping[PeerId, str | None], wall_ms: int
    ) -> None:
        lapsed = self._admission.lapsed
        lapsed.review((peer for peer, reason in found.items() if reason is None), wall_ms)
        for peer, reason in found.items():
            certificate = shown[peer]
            if reason == "certificate-expired" and certificate is not None and not has_left(self._ledger, peer):
                lapsed.note(certificate, wall_ms)
        for one in lapsed.certificates:
            if self._admission.is_revoked(one):
                lapsed.forget(PeerId(one.subject))

    def _drop_void(self, wall_ms: int) -> None:
        entries = [entry for origin in self._global_ledger for entry in self._global_ledger.entries(origin)]
        for entry in entries:
            peer, said = entry.record.peer_id, self._ledger.profile(entry.record.peer_id)
            shown = entry.body.certificate if isinstance(entry.body, Certified) else None
            if self._void(peer, shown or (said.certificate if said else None), wall_ms) is not None:
                self._global_ledger.drop(peer, entry.record.kind)
                self._out.emit(RecordsDropped(peer))

    def _void(self, peer: PeerId, certificate: Certificate | None, wall_ms: int) -> str | None:
        if peer == self._me:
            return None
        try:
            self._admission.check(peer, certificate, wall_ms, is_known=True)
        except RemoteError as error:
            return error.reason
        return None

    def _take_turn(self, now: float) -> None:
        known = set(self._admission.revocations.values())
        published = {one for origin in self._global_ledger for one in self._said_by(origin)}
        if known <= published:
            self._missing_since = None
            return
        if self._missing_since is None:
            self._missing_since = now
        before_us = sum(peer < self._me for peer in self._ledger) + self._zones_before_ours(now)
        if now - self._missing_since >= before_us * TURN_S:
            self._spread()

    def _zones_before_ours(self, now: float) -> int:
        """Zones before ours, so that the first members of all zones do not publish together."""
        said = self._ledger.profile(self._me)
        return 0 if said is None else sum(zone < said.zone for zone in zone_summaries(self._global_ledger, now))

    def _said_by(self, origin: PeerId) -> tuple[object, ...]:
        entry = self._global_ledger.get(origin, Kind.REVOKED)
        return entry.body.items if entry is not None and isinstance(entry.body, Revoked) else ()

    def _spread(self) -> None:
        self._missing_since = None
        known = sorted(self._admission.revocations.values(), key=lambda one: one.target)
        self._out.emit(Restate(Revoked(tuple(known)), urgent=True))
