"""Doubts: one unanswered ping makes all observers of a peer look at once.

The observers of a peer share the work of probing it, so each alone asks seldom. An observer whose ping goes unanswered
first sends a `Doubt` to those other observers that it is linked with. Where the measured loss hardly explains the
missing answers, the doubt spreads through the network as an urgent record does. Most observers have no link in common.

A doubt is no evidence. It makes observers ask, and each judges its own link. It is not signed, so it costs little. A
liar gains little: doubts make an observer ask a peer once in `AGAIN_S`. Each neighbour may spread as many doubts as an
honest one needs, and a doubt about one peer passes a peer once in `AGAIN_S`.
"""

from __future__ import annotations

from math import inf
from random import Random

from peerscope.errors import RemoteError
from peerscope.mesh.detection.observers import watchers
from peerscope.mesh.internal_events import Doubted
from peerscope.mesh.limits.rate_limit import TokenBucket
from peerscope.mesh.messages import DOUBTED_MAX, LOAD_WIRE, Doubt
from peerscope.mesh.peer_state import PeerState
from peerscope.records.identity import PeerId, PeerRef, ref

AGAIN_S = 1.0
"""A doubt about a peer that was passed on within this time is known."""
TOGETHER_S = 0.03
"""Doubts that come within this time after the last travel in one message: when many peers die, all are doubted."""
PER_S, BURST = 0.5, 32.0
"""Doubts of one neighbour that spread: so many a second, and so many at once beside a share of the network."""
SHARE = 1 / 8
"""Share of the members that may die at once, and all be doubted."""


class Doubts:
    """Spreads the doubts of one peer, and those of others."""

    def __init__(self, state: PeerState, fanout: int, rng: Random) -> None:
        self._state = state
        self._fanout = fanout
        self._rng = rng
        self._known: dict[PeerId, float] = {}
        """When a doubt about a peer last spread through us."""
        self._asked: dict[PeerId, float] = {}
        """When a doubt last made us ask a neighbour."""
        self._buckets: dict[PeerId, TokenBucket] = {}
        self._waiting: dict[PeerId, int] = {}
        """Doubts to spread, with the hops left."""
        self._spread_at = inf
        self._spread_last = -inf

    def deadline(self) -> float:
        return self._spread_at

    def tick(self, now: float) -> None:
        """Spread what waits."""
        if now < self._spread_at:
            return
        self._spread_at, self._spread_last = inf, now
        waiting, self._waiting = self._waiting, {}
        by_hops: dict[int, list[PeerId]] = {}
        for peer, hops in waiting.items():
            by_hops.setdefault(hops, []).append(peer)
        for hops, peers in sorted(by_hops.items()):
            for at in range(0, len(peers), DOUBTED_MAX):
                self._send(peers[at : at + DOUBTED_MAX], hops)

    def raised(self, subject: PeerId, hops: int, now: float) -> None:
        """A ping of ours to this peer went unanswered. `hops`: 0 for the observers that we are linked with."""
        if hops:
            self._note(subject, hops, now)
            return
        near = set(watchers(self._state.ledger, subject))
        doubt = Doubt((ref(subject),))
        for peer in self._linked():
            if peer in near and peer != subject:
                self._state.out.send(peer, doubt)

    def heard(self, source: PeerId, doubt: Doubt, hops_max: int, now: float) -> None:
        """A neighbour doubts these peers, or passes the doubt of another on, at most as far as we would.

        Raises `RemoteError` ("doubt-too-often") beyond the limit of that neighbour.
        """
        news = []
        for name in doubt.subjects:
            subject = self._state.ledger.find(PeerRef(name))
            if subject is None or subject == self._state.me:
                continue
            if subject in self._state.links and now >= self._asked.get(subject, -inf) + AGAIN_S:
                self._asked[subject] = now
                self._state.out.emit(Doubted(subject))
            if doubt.hops and now >= self._known.get(subject, -inf) + AGAIN_S:
                news.append(subject)
        hops = min(doubt.hops, hops_max) - 1
        for subject in news:
            if not self._bucket(source, now).take(1.0, now):
                raise RemoteError("doubt-too-often", "more doubts than an honest neighbour has")
            self._note(subject, hops, now)

    def expire(self, now: float) -> None:
        """Forget neighbours that have not sent a doubt for long."""
        self._buckets = {peer: bucket for peer, bucket in self._buckets.items() if not bucket.is_full(now)}

    def closed(self, neighbour: PeerId) -> None:
        """A link is gone. Its other end may come back at once, so its limit is remembered for a while."""
        self._asked.pop(neighbour, None)

    def _note(self, subject: PeerId, hops: int, now: float) -> None:
        if len(self._known) > 2 * DOUBTED_MAX:
            self._known = {peer: at for peer, at in self._known.items() if now < at + AGAIN_S}
        self._known[subject] = now
        if hops:
            self._waiting[subject] = hops
            self._spread_at = min(self._spread_at, max(now, self._spread_last + TOGETHER_S))

    def _send(self, subjects: list[PeerId], hops: int) -> None:
        others = [peer for peer in self._linked() if peer not in subjects]
        doubt = Doubt(tuple(ref(subject) for subject in subjects), hops)
        for peer in self._rng.sample(others, min(self._fanout, len(others))):
            self._state.out.send(peer, doubt)

    def _linked(self) -> list[PeerId]:
        return [peer for peer in self._state.links.up() if self._state.links[peer].wire >= LOAD_WIRE]

    def _bucket(self, neighbour: PeerId, now: float) -> TokenBucket:
        bucket = self._buckets.get(neighbour)
        if bucket is None:
            burst = BURST + SHARE * len(self._state.neighbours.rings)
            bucket = self._buckets[neighbour] = TokenBucket(PER_S, burst, now)
        return bucket
