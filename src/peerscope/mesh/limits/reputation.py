"""How neighbours behave: a score for each that grows with what no honest peer does, and fades.

Only the peer at the other end of a connection is ever blamed, and only for what it sent itself: its id is proved by the
transport, so nobody can be banned by others who pass its words on. A record that its origin did not sign blames the one
who passed it on, since it should have looked.

Nothing is held against anybody that an older or newer agent, a slow network or a race may cause: `WEIGHTS` lists all
that counts, and what is not listed weighs nothing. A body we cannot read may be of a newer version; a replayed record
came late; a message before its hello may have overtaken it. Whoever sends too much of such is stopped by `limits`.

Warned at 20, throttled to a quarter of the usual limits at 40, at 100 dropped and banned: a minute the first time, each
further time twice as long, at most an hour. Scores halve every minute; a ban is forgotten after six hours without a
further one.
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from math import inf

from msgspec import Struct

from peerscope.mesh.limits.rate_limit import Allowance, LimitConfig
from peerscope.records.identity import PeerId

WEIGHTS = {
    "forged": 8.0,
    "malformed-message": 5.0,
    "malformed-record": 5.0,
    "oversized-message": 20.0,
    "oversized-datagram": 5.0,
    "flooding": 0.1,
}
"""What one offence of each kind adds to a score, by the word under which it is counted."""

WARN_AT, THROTTLE_AT, BAN_AT = 20.0, 40.0, 100.0
HALF_LIFE_S = 60.0
BAN_S, BAN_S_MAX = 60.0, 3_600.0
FORGIVE_S = 6 * 3_600.0
THROTTLED_SHARE = 0.25
"""Part of the usual limits that a throttled neighbour keeps."""
PEERS_MAX = 1_024
"""Neighbours remembered; keys cost nothing, so those who mattered least are forgotten first."""


class ReputationLevel(StrEnum):
    """What a score means. Ordered by how bad it is."""

    GOOD = "good"
    WARNED = "warned"
    THROTTLED = "throttled"
    BANNED = "banned"


class Reputation(Struct, frozen=True):
    """How one neighbour behaves, as people see it."""

    peer: PeerId
    score: float
    standing: ReputationLevel
    reasons: dict[str, int]
    """How often it did what, since it was last in good standing."""
    banned_s: float | None
    """Seconds that its ban still lasts; None without one."""


class NeighbourHistory:
    """What is remembered of one neighbour."""

    __slots__ = ("allowance", "at", "banned_until", "bans", "reasons", "score")

    def __init__(self, allowance: Allowance, now: float) -> None:
        self.allowance = allowance
        self.at = now
        """When the score was last worked out."""
        self.score = 0.0
        self.reasons: Counter[str] = Counter()
        self.bans = 0
        self.banned_until = -inf


class Reputations:
    """Scores, limits and bans of all neighbours."""

    def __init__(self, limits: LimitConfig) -> None:
        self._limits = limits
        self._known: dict[PeerId, NeighbourHistory] = {}

    def allowance(self, peer: PeerId, now: float) -> tuple[Allowance, float]:
        """What the neighbour has left, and the share of the usual limits that it gets."""
        known = self._of(peer, now)
        share = THROTTLED_SHARE if known.reasons and self._score(known, now) >= THROTTLE_AT else 1.0
        return known.allowance, share

    def blame(self, peer: PeerId, reason: str, now: float) -> bool:
        """Note what a neighbour did; true if it is banned for it now."""
        weight = WEIGHTS.get(reason, 0.0)
        if not weight:
            return False
        known = self._of(peer, now)
        known.score = self._score(known, now) + weight
        known.at = now
        known.reasons[reason] += 1
        if known.score < BAN_AT or now < known.banned_until:
            return False
        if now - known.banned_until > FORGIVE_S:
            known.bans = 0
        known.banned_until = now + min(BAN_S * 2.0**known.bans, BAN_S_MAX)
        known.bans += 1
        known.score = 0.0
        return True

    def is_banned(self, peer: PeerId, now: float) -> bool:
        """It may not be linked with now."""
        known = self._known.get(peer)
        return known is not None and now < known.banned_until

    def all(self, now: float) -> list[Reputation]:
        """Everybody who is not in good standing, the worst first."""
        found = [self._judged(peer, known, now) for peer, known in self._known.items()]
        bad = [one for one in found if one.standing is not ReputationLevel.GOOD]
        order = list(ReputationLevel)
        return sorted(bad, key=lambda one: (-order.index(one.standing), -one.score, one.peer))

    def review(self, now: float) -> None:
        """Forget those of whom nothing is left to remember."""
        for peer, known in list(self._known.items()):
            if now < known.banned_until:
                continue
            if self._score(known, now) < 1.0:
                known.score = 0.0
                known.reasons.clear()
                remembers_ban = known.bans and now - known.banned_until <= FORGIVE_S
                if not remembers_ban and known.allowance.is_full(now):
                    del self._known[peer]

    def __len__(self) -> int:
        return len(self._known)

    def _of(self, peer: PeerId, now: float) -> NeighbourHistory:
        known = self._known.get(peer)
        if known is None:
            if len(self._known) >= PEERS_MAX:
                del self._known[min(self._known, key=lambda other: self._weight(self._known[other], now))]
            known = self._known[peer] = NeighbourHistory(Allowance(self._limits, now), now)
        return known

    def _weight(self, known: NeighbourHistory, now: float) -> tuple[float, float, float]:
        """What would be lost by forgetting it."""
        return max(0.0, known.banned_until - now), self._score(known, now), known.at

    def _score(self, known: NeighbourHistory, now: float) -> float:
        return known.score * 0.5 ** (max(0.0, now - known.at) / HALF_LIFE_S) if known.score else 0.0

    def _judged(self, peer: PeerId, known: NeighbourHistory, now: float) -> Reputation:
        score = self._score(known, now)
        banned_s = known.banned_until - now if now < known.banned_until else None
        if banned_s is not None:
            standing = ReputationLevel.BANNED
        else:
            levels = ((THROTTLE_AT, ReputationLevel.THROTTLED), (WARN_AT, ReputationLevel.WARNED))
            standing = next((one for least, one in levels if score >= least), ReputationLevel.GOOD)
        return Reputation(peer, round(score, 2), standing, dict(sorted(known.reasons.items())), banned_s)
