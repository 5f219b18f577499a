"""Lookups of peers by name in other zones: our questions, and our answers to those of others.

Summaries name the aggregators of each zone and their addresses. Without a link to an aggregator, we connect to it as a
guest, ask, and hang up. Every record of an answer is checked like one that came by gossip. None enters our ledgers.

The subject signed its own records, so that the asker can check them. The verdict is our claim. Any greeted peer may
ask: members only, mostly guests from other zones.
"""

from __future__ import annotations

from math import inf
from random import Random

from peerscope.errors import RemoteError
from peerscope.mesh.detection.verdicts import weigh
from peerscope.mesh.events import LookedUp
from peerscope.mesh.internal_events import ConnectAsGuest, GuestDone, OwnKeyFound
from peerscope.mesh.limits.rate_limit import TokenBucket
from peerscope.mesh.membership.shared_key import OWN_QUESTION
from peerscope.mesh.messages import FOUND_MAX, Aged, Find, Found, FoundPeer, Opinion
from peerscope.mesh.peer_state import PeerState
from peerscope.mesh.zoning.lookup import Lookup, LookupAnswer, LookupSighting
from peerscope.mesh.zoning.zone_summaries import zone_summaries
from peerscope.records.bodies import Body, Kind, Profile, Report
from peerscope.records.identity import PeerId
from peerscope.records.ledger import Entry, Ledger
from peerscope.records.record import Inspector, Record
from peerscope.records.summary import Summary

OPEN_MAX = 8
"""Lookups at one time; each asks at most sixteen peers at once."""
ANSWERS_PER_S, ANSWERS_BURST = 20.0, 200.0
"""Answers to all askers together. Each has one or two kilobytes, and needs one or two verdicts."""
COUNT_MAX = 65_535


class Lookups:
    """The open lookups of one peer."""

    def __init__(self, state: PeerState, inspect: Inspector, rng: Random) -> None:
        """`inspect`: verifies a record and decodes its body."""
        self._state = state
        self._inspect = inspect
        self._rng = rng
        self._out = state.out
        self._open: dict[int, Lookup] = {}
        self._unsent: set[tuple[int, PeerId]] = set()
        """Questions to peers without a connection yet."""
        self._guest_at: set[PeerId] = set()
        """Peers to which we connect as a guest."""
        self._next_at = inf

    def ask(self, number: int, name: str, now: float) -> None:
        """Begin a lookup. A `LookedUp` follows, at once if no peer can be asked."""
        if len(self._open) >= OPEN_MAX:
            self._out.add(LookedUp(number, LookupAnswer(Ledger(), {}, (), {}, is_busy=True)))
            return
        zones: dict[str, list[PeerId]] = {}
        for zone, speaking in zone_summaries(self._state.global_ledger, now).items():
            if zone != self._state.own_zone.zone:
                zones[zone] = [claim.peer for claim in speaking]
                self._rng.shuffle(zones[zone])  # to share the load among aggregators
        self._open[number] = Lookup(name, zones, now)
        self.tick(now)

    def ask_own(self, now: float) -> None:
        """Look our own key up, unless too many lookups are open."""
        if len(self._open) < OPEN_MAX and OWN_QUESTION not in self._open:
            self.ask(OWN_QUESTION, self._state.me.hex(), now)

    def reached(self, peer: PeerId, now: float) -> None:
        """A peer sent its hello: send it our questions."""
        for number, _ in sorted(one for one in self._unsent if one[1] == peer):
            self._send(number, peer)

    def failed(self, peer: PeerId, now: float) -> None:
        """A dial failed, or a connection ended."""
        if peer in self._guest_at:
            self._drop(peer)
            self.tick(now)

    def heard(self, peer: PeerId, found: Found, now: float) -> None:
        """An answer came. Raises `RemoteError`: "unasked", or the error of its records."""
        lookup = self._open.get(found.nonce)
        if lookup is None or not lookup.is_asking(peer):
            raise RemoteError("unasked", "an answer without a question")
        try:
            lookup.answered(peer, found.zone, [self._checked(one, lookup.name, now) for one in found.peers])
        except RemoteError:
            lookup.failed(peer)
            raise
        finally:
            self._end_connection(peer)
            self.tick(now)

    def deadline(self) -> float:
        return self._next_at

    def tick(self, now: float) -> None:
        """Ask the next aggregators, and finish lookups that are done."""
        for number, lookup in list(self._open.items()):
            for peer in lookup.next(now):
                self._unsent.add((number, peer))
                self._reach(number, peer, now)
            if lookup.is_done(now):
                del self._open[number]
                self._unsent = {one for one in self._unsent if one[0] != number}
                if number == OWN_QUESTION:
                    self._out.emit(OwnKeyFound(lookup.answer()))
                else:
                    self._out.add(LookedUp(number, lookup.answer()))
                for peer in sorted(self._guest_at):
                    self._end_connection(peer)
        self._next_at = min((lookup.deadline(now) for lookup in self._open.values()), default=inf)

    def _reach(self, number: int, peer: PeerId, now: float) -> None:
        link = self._state.links.get(peer)
        if link is not None and link.greeted and link.connected and not link.lost:
            self._send(number, peer)
        elif peer not in self._guest_at:
            self._guest_at.add(peer)
            self._out.emit(ConnectAsGuest(peer, self._addresses(peer)))

    def _send(self, number: int, peer: PeerId) -> None:
        self._unsent.discard((number, peer))
        self._out.send(peer, Find(number, self._open[number].name))

    def _end_connection(self, peer: PeerId) -> None:
        """End our guest connection, unless another question needs it."""
        if peer in self._guest_at and not any(one.is_asking(peer) for one in self._open.values()):
            self._guest_at.discard(peer)
            self._out.emit(GuestDone(peer))

    def _drop(self, peer: PeerId) -> None:
        self._guest_at.discard(peer)
        self._unsent = {one for one in self._unsent if one[1] != peer}
        for lookup in self._open.values():
            lookup.failed(peer)

    def _addresses(self, peer: PeerId) -> tuple[str, ...]:
        bodies = (entry.body for entry in self._state.global_ledger.entries(peer))
        return next((body.addresses for body in bodies if isinstance(body, Summary)), ())

    def _checked(self, found: FoundPeer, name: str, now: float) -> LookupSighting:
        """Raises `RemoteError` unless the records are the profile and the report of one peer of that name."""
        records: list[tuple[Record, Body, float]] = []
        profile: Profile | None = None
        for item, kind in zip(found.records, (Profile, Report), strict=False):
            record, body = self._inspect(item.record)
            if not isinstance(body, kind) or not record.peer_id.hex().startswith(name):
                raise RemoteError("malformed-answer", "not what was asked for")
            if item.age_ms > self._state.ledger.config.remember_s * 1000:
                raise RemoteError("expired", "older than anything we remember")
            self._state.admission.check_origin(record.peer_id, body, profile, self._state.clock.wall_ms(now))
            profile = body if isinstance(body, Profile) else profile
            records.append((record, body, now - item.age_ms / 1000))
        if len({record.peer_id for record, _, _ in records}) != 1:
            raise RemoteError("malformed-answer", "not the records of one peer")
        return LookupSighting(records[0][0].peer_id, tuple(records), found.opinion)


class LookupAnswers:
    """Answers to the lookups of other peers."""

    def __init__(self, state: PeerState, now: float) -> None:
        self._state = state
        self._ledger = state.ledger
        self._bucket = TokenBucket(ANSWERS_PER_S, ANSWERS_BURST, now)

    def answer(self, question: Find, now: float) -> Found:
        """Known peers of that name, those of our own zone first. Raises `RemoteError` ("find-too-often")."""
        if not self._bucket.take(1.0, now):
            raise RemoteError("find-too-often", f"more than {ANSWERS_PER_S:g} answers a second")
        named = [peer for peer in self._ledger if peer.hex().startswith(question.name)]
        known = [(profile.zone, peer) for peer in named if (profile := self._ledger.profile(peer)) is not None]
        known.sort(key=lambda one: (one[0] != self._state.own_zone.zone, one[1]))
        found = tuple(self._found(peer, zone, now) for zone, peer in known[:FOUND_MAX])
        return Found(question.nonce, self._state.own_zone.zone, found, min(len(known) - len(found), COUNT_MAX))

    def _found(self, peer: PeerId, zone: str, now: float) -> FoundPeer:
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
