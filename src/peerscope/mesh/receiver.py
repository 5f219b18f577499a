"""The way in for records of other peers: checked, kept, and handed on as events.

One record walks down this file, and nothing calls back up:

1. `pushed` or `given`: may this neighbour give us records of this kind?
2. `_accept`: is it a statement under our own key? Is it news?
3. `_admit`: is it young enough, signed, of a member, of our zone, is there room, and does its origin speak too often?
4. `_merge`: into the ledger.
5. Events: `RecordStored` for the parts that learn from it, then `RecordToForward`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from peerscope.errors import RemoteError
from peerscope.mesh.events import Stored
from peerscope.mesh.internal_events import Accused, Evicted, OriginBack, OwnRecordMet, RecordStored, RecordToForward
from peerscope.mesh.limits.rate_limit import Origins
from peerscope.mesh.membership.eviction import Eviction
from peerscope.mesh.messages import Aged, Push, Topic
from peerscope.mesh.peer_state import PeerState
from peerscope.mesh.zoning.remote_quota import RemoteQuota
from peerscope.records.bodies import WORLD, Body, Kind, Observations, Profile
from peerscope.records.identity import PeerId, ref
from peerscope.records.ledger import Entry, Ledger, Merge
from peerscope.records.record import Inspector, Record


class Receiver:
    """What a peer does with the records it is given."""

    def __init__(
        self, state: PeerState, inspect: Inspector, eviction: Eviction, remote_quota: RemoteQuota, origins: Origins
    ) -> None:
        """`inspect`: verifies a record and decodes its body. The last three bound what is kept."""
        self._state = state
        self._inspect = inspect
        self.eviction = eviction
        self.remote_quota = remote_quota
        self._origins = origins
        self.copies: Counter[str] = Counter()
        """Record bodies received, pushed and announced, and how many of them were news."""
        self.hops: Counter[int] = Counter()
        """Hops that urgent news took to us."""

    def pushed(self, source: PeerId, push: Push, now: float) -> None:
        """Urgent news, or what was urgent to somebody. Raises `RemoteError` if the record is refused."""
        self._check_scope(source, push.record.kind)
        entry = self._accept(push.record, push.age_ms, now, source)
        self.copies["pushed"] += 1
        if entry is not None:
            self.copies["pushed news"] += 1
            self.hops[len(push.path)] += 1
            self._state.out.emit(RecordToForward(entry, source, push))

    def given(self, source: PeerId | None, item: Aged, now: float) -> None:
        """A record that we asked for, or that `source` thinks we lack; None: kept by ourselves from an earlier time.

        Raises `RemoteError` if it is refused.
        """
        if source is not None:
            self._check_scope(source, item.record.kind)
        entry = self._accept(item.record, item.age_ms, now, source)
        self.copies["announced"] += 1
        if entry is not None:
            self.copies["announced news"] += 1
            self._state.out.emit(RecordToForward(entry, source))

    def forget(self, peer: PeerId) -> None:
        """Drop all records of a peer from the ledger of our zone."""
        if peer in self._state.ledger:
            self._state.ledger.forget(peer)
        self.eviction.forget(peer)
        self.forget_strangers((peer,))

    def forget_strangers(self, peers: Iterable[PeerId]) -> None:
        """Records of theirs are in a ledger no more."""
        for peer in peers:
            if peer not in self._state.ledger and peer not in self._state.global_ledger:
                self._origins.forget(peer)

    def expire(self, now: float) -> None:
        """Forget peers that said nothing for too long, and what is too old of other zones."""
        for peer in self._state.ledger.expire(now, keep=self._state.me):
            self._state.out.emit(Evicted(peer))
        self.forget_strangers(self.remote_quota.expire(now))

    def _check_scope(self, source: PeerId, kind: int) -> None:
        """Raises `RemoteError` ("other-zone") unless the neighbour may give us records of this kind."""
        if kind not in WORLD and not self._state.is_near(source):
            raise RemoteError("other-zone", "records of a zone stay in it")

    def _accept(self, record: Record, age_ms: int, now: float, source: PeerId | None) -> Entry | None:
        """The entry if the record is news and true; None if it is known. Raises `RemoteError` otherwise."""
        if record.peer_id == self._state.me:
            self._meet_own(record, now)
            return None
        name, ledger = ref(record.peer_id), self._state.ledger_of(record.kind)
        is_back = ledger.is_buried(name)
        try:
            entry = self._admit(record, age_ms, ledger, now)
        except RemoteError:
            self._note_accusation(record)
            raise
        if entry is not None:
            if is_back and source is not None:  # what it said before counts again
                topics = tuple(Topic(name, kind) for kind in Kind if kind not in WORLD | {record.kind})
                self._state.out.emit(OriginBack(source, record.kind, topics))
            self._state.out.add(Stored(entry))
            self._state.out.emit(RecordStored(entry))
        return entry

    def _admit(self, record: Record, age_ms: int, ledger: Ledger, now: float) -> Entry | None:
        """The entry if another peer's record is true and news; None if it is known. Raises `RemoteError` otherwise.

        `age_ms`: how long ago it was issued, as far as its carriers can tell.
        """
        origin, age_s = record.peer_id, age_ms / 1000
        ours = ledger.get(origin, record.kind)
        if ours is not None and record.version < ours.record.version:
            raise RemoteError("replayed", "an older version than ours")
        if ours is not None and ours.record == record:
            ledger.younger(origin, record.kind, now - age_s)
            return None
        age_s = min(age_s, ledger.age_s_max(origin, record.version, now))
        if ledger.is_buried(ref(origin), record.version):
            raise RemoteError("forgotten", "its origin is forgotten, and has said nothing since")
        # In our zone a peer is remembered as a whole, so of one that spoke lately everything counts.
        is_global = ledger is self._state.global_ledger
        if age_s > ledger.config.remember_s and (is_global or origin not in ledger):
            raise RemoteError("expired", "older than anything we remember")
        record, body = self._inspect(record)
        profile = self._state.ledger.profile(origin)
        self._state.admission.check_origin(origin, body, profile, self._state.clock.wall_ms(now))
        self._check_zone(record, body, ledger, now)
        self._make_room(record, body, age_s, now)
        if not self._origins.may_speak(origin, now):
            raise RemoteError("too-much-news", "this origin has more news than anybody needs")
        return self._merge(record, body, age_s, now)

    def _check_zone(self, record: Record, body: Body, ledger: Ledger, now: float) -> None:
        """Raises `RemoteError` ("other-zone") for a stranger who says that it belongs elsewhere."""
        origin = record.peer_id
        if not isinstance(body, Profile) or origin in self._state.ledger:
            return
        if not self._state.own_zone.is_member(origin, body, now):
            if body.left:
                # A peer that left another zone never moves to ours: what it said before its goodbye is not ours either.
                ledger.bury(ref(origin), record.version, now + ledger.config.remember_s)
            raise RemoteError("other-zone", f"it belongs to {body.zone!r}")

    def _make_room(self, record: Record, body: Body, age_s: float, now: float) -> None:
        """Drop what has to make room for a record. Raises `RemoteError` where the record itself has no place."""
        origin = record.peer_id
        if record.kind in WORLD:
            gone = self.remote_quota.make(origin, body, now - age_s, now)
            self.forget_strangers(gone)
            if origin in gone:
                raise RemoteError("abroad-full", f"no room for more strangers' records of kind {record.kind}")
        elif origin not in self._state.ledger:
            in_the_way = self.eviction.make_room(origin, body, now)
            if in_the_way is not None:
                self._state.ledger.forget(in_the_way)
                self._state.out.emit(Evicted(in_the_way))

    def _merge(self, record: Record, body: Body, age_s: float, now: float) -> Entry | None:
        """Keep a record that was checked; the entry, or None if it changes nothing."""
        origin, ledger = record.peer_id, self._state.ledger_of(record.kind)
        skew_s = record.issued_at - (self._state.clock.wall(now) - age_s)
        match ledger.merge(record, body, now - age_s, skew_s, now=now):
            case Merge.EQUIVOCATION:
                kept = ledger.get(origin, record.kind)
                if kept is None or kept.record != record:
                    raise RemoteError("equivocation", "two statements of one version; both are kept as proof")
                self._state.refused["equivocation"] += 1  # this one replaced ours, as everywhere else
                return kept
            case Merge.FULL:
                raise RemoteError("ledger-full", f"{len(ledger)} peers are known")
            case Merge.STORED:
                kept = ledger.get(origin, record.kind)
                assert kept is not None
                if record.kind not in WORLD:
                    self.eviction.stored(kept, now)
                return kept
            case _:
                return None

    def _meet_own(self, record: Record, now: float) -> None:
        """Continue above a record under our key that this process did not sign and that is newer than ours.

        It is of an earlier life, or of another machine with our key; of two that started in one millisecond neither is
        newer, and both go on. Raises `RemoteError` if it is not ours at all.
        """
        ours = self._state.ledger_of(record.kind).get(self._state.me, record.kind)
        if ours is not None and (ours.record.version > record.version or ours.record == record):
            return
        _, body = self._inspect(record)
        self._state.out.emit(OwnRecordMet(record, body, self._state.clock.clock_ms(now)))
        self._state.clock.outbid(record.version, now)

    def _note_accusation(self, record: Record) -> None:
        """A record that we refuse may accuse us, and others may have taken it: its author decides who gets what.

        Raises `RemoteError` if its origin did not sign it.
        """
        if record.kind == Kind.OBSERVATIONS:
            body = self._inspect(record)[1]
            if isinstance(body, Observations) and any(one.subject == ref(self._state.me) for one in body.lost):
                self._state.out.emit(Accused(record.peer_id, record.version))
