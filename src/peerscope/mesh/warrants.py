"""Membership over time: revocations are passed on for as long as they matter, and who has lost the right to be here is
forgotten.

Every member keeps all revocations it has seen. They spread in a record of whoever read them from a file. Should that
record be gone one day, another member says them again: the first in the order of ids, and after each further minute in
vain the next one. So a few carry them for all, and no single one has to live.
"""

from __future__ import annotations

from math import inf

from msgspec.structs import replace

from peerscope.errors import RemoteError
from peerscope.mesh.admission import Admission
from peerscope.mesh.events import Credentials
from peerscope.mesh.register import Register
from peerscope.mesh.sessions import Sessions
from peerscope.mesh.voice import Voice
from peerscope.records.bodies import Body, Kind, Profile
from peerscope.records.certificates import Revoked
from peerscope.records.identity import PeerId
from peerscope.records.ledger import Ledger

REVIEW_S = 10.0
TURN_S = 60.0
"""How long the next one waits for the one before it."""


class Warrants:
    """Our certificate, what operators revoked, and what follows from time passing."""

    def __init__(
        self, admission: Admission, ledger: Ledger, register: Register, sessions: Sessions, voice: Voice
    ) -> None:
        self._admission = admission
        self._ledger = ledger
        self._register = register
        self._sessions = sessions
        self._voice = voice
        self._review_at = -inf
        self._untold_since: float | None = None

    def certified(self, body: Body) -> Body:
        """What we say of ourselves, with the certificate we have."""
        if isinstance(body, Profile) and body.certificate != self._admission.certificate:
            return replace(body, certificate=self._admission.certificate)
        return body

    def read(self, credentials: Credentials, now: float) -> None:
        """The operator's files were read: tell what is new in them."""
        if self._admission.learn(credentials.revocations, self._register.wall_ms(now)):
            self._tell(now)
        if credentials.certificate in (None, self._admission.certificate):
            return
        self._admission.certificate = credentials.certificate
        said = self._ledger.profile(self._register.me)
        if said is not None:
            self._voice.publish(self.certified(said), now, urgent=True)
        self._sessions.renew(now)

    def review(self, now: float) -> list[PeerId]:
        """Members that are none any more: expired, or revoked. Call every second."""
        if not self._admission.asks_membership or now < self._review_at:
            return []
        self._review_at = now + REVIEW_S
        wall_ms = self._register.wall_ms(now)
        self._admission.forget_lapsed(wall_ms)
        self._take_turn(now)
        return [peer for peer in sorted(self._ledger) if peer != self._register.me and self._is_void(peer, wall_ms)]

    def _is_void(self, peer: PeerId, wall_ms: int) -> bool:
        said = self._ledger.profile(peer)
        try:
            self._admission.check(peer, said.certificate if said else None, wall_ms, is_known=True)
        except RemoteError:
            return True
        return False

    def _take_turn(self, now: float) -> None:
        known = set(self._admission.revocations.values())
        told = {one for origin in self._ledger for one in self._said_by(origin)}
        if known <= told:
            self._untold_since = None
            return
        if self._untold_since is None:
            self._untold_since = now
        before_us = sum(peer < self._register.me for peer in self._ledger)
        if now - self._untold_since >= before_us * TURN_S:
            self._tell(now)

    def _said_by(self, origin: PeerId) -> tuple[object, ...]:
        entry = self._ledger.get(origin, Kind.REVOKED)
        return entry.body.items if entry is not None and isinstance(entry.body, Revoked) else ()

    def _tell(self, now: float) -> None:
        self._untold_since = None
        known = sorted(self._admission.revocations.values(), key=lambda one: one.target)
        self._voice.publish(Revoked(tuple(known)), now, urgent=True)
