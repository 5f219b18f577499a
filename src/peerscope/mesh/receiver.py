"""The way in for records of other peers: checked, kept, and handed on as events.

The way of a record through this file:

1. `pushed` or `given`: may this neighbour send us records of this kind?
2. `_accept`: is it under our own key? Is it new?
3. `_admit`: its age, signature, membership, zone and origin, and the limits.
4. `_merge`: into the ledger.
5. Events: `RecordStored` for the parts that use it, then `RecordToForward`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from peerscope.errors import RemoteError
from peerscope.mesh.events import Stored
from peerscope.mesh.internal_events import (
    Accused,
    Evicted,
    OriginBack,
    OwnRecordReceived,
    RecordStored,
    RecordToForward,
)
from peerscope.mesh.limits.rate_limit import OriginLimits
from peerscope.mesh.membership.eviction import Eviction
from peerscope.mesh.messages import Aged, Push, Topic
from peerscope.mesh.peer_state import PeerState
from peerscope.mesh.zoning.remote_quota import RemoteQuota
from peerscope.records.bodies import WORLD, Body, Kind, Observations, Profile
from peerscope.records.identity import PeerId, ref
from peerscope.records.ledger import Entry, Ledger, Merge
from peerscope.records.record import Inspector, Record


class Receiver:
    """Checks and keeps records of other peers."""

    def __init__(
        self, state: PeerState, inspect: Inspector, eviction: Eviction, remote_quota: RemoteQuota, origins: OriginLimits
    ) -> None:
        """`inspect`: verifies a record and decodes its body. The last three limit the kept records."""
        self._state = state
        self._inspect = inspect
        self.eviction = eviction
        self.remote_quota = remote_quota
        self._origins = origins
        self.copies: Counter[str] = Counter()
        """Received records, pushed and announced, and the new ones among them."""
        self.hops: Counter[int] = Counter()
        """Pushed records by their number of hops to us."""

    def pushed(self, source: PeerId, push: Push, now: float) -> None:
        """A pushed record. Raises `RemoteError` if it is refused."""
        self._check_scope(source, push.record.kind)
        entry = self._accept(push.record, push.age_ms, now, source)
        self.copies["pushed"] += 1
        if entry is not None:
            self.copies["pushed news"] += 1
            self.hops[len(push.path)] += 1
            self._state.out.emit(RecordToForward(entry, source, push))

    def given(self, source: PeerId | None, item: Aged, now: float) -> None:
        """A record from a pull or a comparison with `source`, or from our own store with None.

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
        """Records of these peers were dropped."""
        for peer in peers:
            if peer not in self._state.ledger and peer not in self._state.global_ledger:
                self._origins.forget(peer)

    def expire(self, now: float) -> None:
        """Forget peers without recent records, and old records of other zones."""
        for peer in self._state.ledger.expire(now, keep=self._state.me):
            self._state.out.emit(Evicted(peer))
        self.forget_strangers(self.remote_quota.expire(now))

    def _check_scope(self, source: PeerId, kind: int) -> None:
        """Raises `RemoteError` ("other-zone") unless the neighbour may send records of this kind."""
        if kind not in WORLD and not self._state.is_near(source):
            raise RemoteError("other-zone", "records of a zone stay in it")

    def _accept(self, record: Record, age_ms: int, now: float, source: PeerId | None) -> Entry | None:
        """The entry of a new, valid record; None if it is known. Raises `RemoteError` otherwise."""
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
            if is_back and source is not None:  # its earlier records count again
                topics = tuple(Topic(name, kind) for kind in Kind if kind not in WORLD | {record.kind})
                self._state.out.emit(OriginBack(source, record.kind, topics))
            self._state.out.add(Stored(entry))
            self._state.out.emit(RecordStored(entry))
        return entry

    def _admit(self, record: Record, age_ms: int, ledger: Ledger, now: float) -> Entry | None:
        """The entry if another peer's record is true and news; None if it is known. Raises `RemoteError` otherwise.

        `age_ms`: how long ago it was issued, as far as its carriers know.
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
        # In our zone all records of a peer count while one of them is recent.
        is_global = ledger is self._state.global_ledger
        if age_s > ledger.config.remember_s and (is_global or origin not in ledger):
            raise RemoteError("expired", "older than anything we remember")
        record, body = self._inspect(record)
        profile = self._state.ledger.profile(origin)
        self._state.admission.check_origin(origin, body, profile, self._state.clock.wall_ms(now))
        self._check_zone(record, body, ledger, now)
        self._make_room(record, body, age_s, now)
        if not self._origins.allows(origin, now):
            raise RemoteError("too-much-news", "this origin has more news than anybody needs")
        return self._merge(record, body, age_s, now)

    def _check_zone(self, record: Record, body: Body, ledger: Ledger, now: float) -> None:
        """Raises `RemoteError` ("other-zone") for an unknown peer of another zone."""
        origin = record.peer_id
        if not isinstance(body, Profile) or origin in self._state.ledger:
            return
        if not self._state.own_zone.is_member(origin, body, now):
            if body.left:
                # It left in another zone, so its earlier records are not ours either.
                ledger.bury(ref(origin), record.version, now + ledger.config.remember_s)
            raise RemoteError("other-zone", f"it belongs to {body.zone!r}")

    def _make_room(self, record: Record, body: Body, age_s: float, now: float) -> None:
        """Evict peers or drop records for a new one. Raises `RemoteError` if the new one has to go itself."""
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
        """Keep a checked record; its entry, or None if it changes nothing."""
        origin, ledger = record.peer_id, self._state.ledger_of(record.kind)
        skew_s = record.issued_at - (self._state.clock.wall(now) - age_s)
        match ledger.merge(record, body, now - age_s, skew_s, now=now):
            case Merge.EQUIVOCATION:
                kept = ledger.get(origin, record.kind)
                if kept is None or kept.record != record:
                    raise RemoteError("equivocation", "two statements of one version; both are kept as proof")
                self._state.refused["equivocation"] += 1  # this one replaced the other, as at all peers
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
        """Continue above a newer record under our key that this process did not sign.

        An earlier process signed it, or another machine with our key. Raises `RemoteError` if it is not under our key.
        """
        ours = self._state.ledger_of(record.kind).get(self._state.me, record.kind)
        if ours is not None and (ours.record.version > record.version or ours.record == record):
            return
        _, body = self._inspect(record)
        self._state.out.emit(OwnRecordReceived(record, body, self._state.clock.clock_ms(now)))
        self._state.clock.outbid(record.version, now)

    def _note_accusation(self, record: Record) -> None:
        """Emit a refused accusation of us, since others may hold it. Raises `RemoteError` if it is not signed."""
        if record.kind == Kind.OBSERVATIONS:
            body = self._inspect(record)[1]
            if isinstance(body, Observations) and any(one.subject == ref(self._state.me) for one in body.lost):
                self._state.out.emit(Accused(record.peer_id, record.version))
