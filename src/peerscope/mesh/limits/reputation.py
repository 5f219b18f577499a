"""Reputation of neighbours: a score for each, which grows with offences and fades.

Only the peer at the other end of a connection is blamed, and only for its own messages. The transport proves its id, so
no peer can get another one banned. A record without a valid signature of its origin blames the neighbour that passed it
on.

`WEIGHTS` lists all offences. Nothing counts that an older or newer agent, a slow network or a race may cause. A body
that we cannot read may be of a newer version. A replayed record came late; a message before its hello may have
overtaken it. The rate limits stop a neighbour that sends too much of these.

A neighbour is warned at 20, and throttled to a quarter of the usual limits at 40. At 100 it is dropped and banned: a
minute the first time, twice as long each further time, at most an hour. Scores halve every minute. A ban is forgotten
after six hours without a further one.
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
"""Score of one offence, by its reason."""

WARN_AT, THROTTLE_AT, BAN_AT = 20.0, 40.0, 100.0
HALF_LIFE_S = 60.0
BAN_S, BAN_S_MAX = 60.0, 3_600.0
FORGIVE_S = 6 * 3_600.0
THROTTLED_SHARE = 0.25
"""Share of the usual limits for a throttled neighbour."""
PEERS_MAX = 1_024
"""Neighbours remembered. Keys cost nothing, so the least important are forgotten first."""


class ReputationLevel(StrEnum):
    """Levels of reputation, the worst last."""

    GOOD = "good"
    WARNED = "warned"
    THROTTLED = "throttled"
    BANNED = "banned"


class Reputation(Struct, frozen=True):
    """The reputation of one neighbour, for views."""

    peer: PeerId
    score: float
    standing: ReputationLevel
    reasons: dict[str, int]
    """Offences by reason, since its reputation was last good."""
    banned_s: float | None
    """Remaining seconds of its ban; None without one."""


class NeighbourHistory:
    """The score, limits and bans of one neighbour."""

    __slots__ = ("allowance", "at", "banned_until", "bans", "reasons", "score")

    def __init__(self, allowance: Allowance, now: float) -> None:
        self.allowance = allowance
        self.at = now
        """Time of `score`."""
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
        """The buckets of the neighbour, and its share of the usual limits."""
        known = self._of(peer, now)
        share = THROTTLED_SHARE if known.reasons and self._score(known, now) >= THROTTLE_AT else 1.0
        return known.allowance, share

    def blame(self, peer: PeerId, reason: str, now: float) -> bool:
        """Note an offence; True if the neighbour is banned for it now."""
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
        known = self._known.get(peer)
        return known is not None and now < known.banned_until

    def all(self, now: float) -> list[Reputation]:
        """Neighbours whose reputation is not good, the worst first."""
        found = [self._judged(peer, known, now) for peer, known in self._known.items()]
        bad = [one for one in found if one.standing is not ReputationLevel.GOOD]
        order = list(ReputationLevel)
        return sorted(bad, key=lambda one: (-order.index(one.standing), -one.score, one.peer))

    def review(self, now: float) -> None:
        """Forget neighbours with a good score, full buckets and no recent ban."""
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
        """The importance of remembering it."""
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
