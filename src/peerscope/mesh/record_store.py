"""The way into the ledger: records of others, checked once; our own, signed with a version that never goes back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from peerscope.errors import RemoteError
from peerscope.mesh.limits.rate_limit import LimitConfig, Origins
from peerscope.mesh.membership.admission import Admission
from peerscope.mesh.membership.eviction import Eviction
from peerscope.mesh.membership.shared_key import SharedKey
from peerscope.mesh.zoning.remote_quota import RemoteQuota
from peerscope.records.bodies import WORLD, Body, Observations, Profile, kind_of
from peerscope.records.identity import PeerId, Signer, ref
from peerscope.records.ledger import Entry, Ledger, Merge
from peerscope.records.record import VERSION_MAX, Inspector, Record, sign


class RecordStore:
    """Signs, verifies, and keeps."""

    def __init__(
        self,
        signer: Signer,
        inspect: Inspector,
        ledger: Ledger,
        global_ledger: Ledger,
        refused: Counter[str],
        wall_offset_s: float,
        admission: Admission,
        eviction: Eviction,
        remote_quota: RemoteQuota,
        shared_key: SharedKey,
        limits: LimitConfig,
        evict: Callable[[PeerId, float], None],
        check_zone: Callable[[PeerId, Body, float], None],
    ) -> None:
        """`evict`: called with a peer that has to make room, and the time; forgets it altogether. `check_zone`: called
        with the origin, the body and the time of a record; raises `RemoteError` unless we should keep it."""
        self._check_zone = check_zone
        self.me: PeerId = signer.peer_id
        self._wall_offset_s = wall_offset_s
        self._clock_offset_s = wall_offset_s
        """Turns monotonic into version clock. It only grows: a wall clock set back does not stop the version clock,
        by which others date our life."""
        self._signer = signer
        self._inspect = inspect
        self._ledger = ledger
        self._global_ledger = global_ledger
        self._refused = refused
        self._admission = admission
        self._eviction = eviction
        self._remote_quota = remote_quota
        self._shared_key = shared_key
        self._origins = Origins(limits)
        self._evict = evict
        self._version = 0

    def wall(self, now: float) -> float:
        """Unix seconds at `now`, by our own wall clock."""
        return now + self._wall_offset_s

    def set_wall(self, offset_s: float) -> None:
        """The wall clock was read: Unix seconds minus monotonic seconds."""
        self._wall_offset_s = offset_s
        self._clock_offset_s = max(self._clock_offset_s, offset_s)

    def wall_ms(self, now: float) -> int:
        """Our wall clock in milliseconds since 1970."""
        return max(1, round(self.wall(now) * 1000))

    def wall_us(self, now: float) -> int:
        """The same in microseconds, as pushes carry it."""
        return min(max(0, round(self.wall(now) * 1e6)), VERSION_MAX)

    def clock_ms(self, now: float) -> int:
        """Our version clock: wall milliseconds that never go backwards and never stand still."""
        return min(max(self._version, round((now + self._clock_offset_s) * 1000), 1), VERSION_MAX)

    def ahead_ms(self, now: float) -> int:
        """How far the version clock runs ahead of the wall clock."""
        return max(0, self.clock_ms(now) - self.wall_ms(now))

    def sign(self, body: Body, now: float) -> Record:
        """A new statement of ours, above all before it."""
        self._version = max(self._version + 1, self.clock_ms(now))
        return sign(self._signer, body, version=self._version, wall_ms=self.wall_ms(now))

    def ledger_of(self, kind: int) -> Ledger:
        """Where records of this kind are kept."""
        return self._global_ledger if kind in WORLD else self._ledger

    def publish(self, body: Body, now: float) -> Entry:
        """Sign a statement, with our certificate where it shows one, and keep it."""
        body = self._shared_key.signed(self._admission.certified(body), now)
        ledger = self.ledger_of(kind_of(body))
        merge = ledger.merge(self.sign(body, now), body, now)
        entry = ledger.get(self.me, kind_of(body))
        assert merge is Merge.STORED
        assert entry is not None
        return entry

    def accept(self, record: Record, age_ms: int, now: float) -> Entry | None:
        """The entry if another peer's record is true and news; None if it is known. Raises `RemoteError` otherwise.

        `age_ms`: how long ago it was issued, as far as its carriers can tell.
        """
        origin, age_s = record.peer_id, age_ms / 1000
        ledger = self.ledger_of(record.kind)
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
        if age_s > ledger.config.remember_s and (ledger is self._global_ledger or origin not in ledger):
            raise RemoteError("expired", "older than anything we remember")
        record, body = self._inspect(record)
        self._admission.check_origin(origin, body, self._ledger.profile(origin), self.wall_ms(now))
        try:
            self._check_zone(origin, body, now)
        except RemoteError:
            if isinstance(body, Profile) and body.left:
                # Who left another zone never moves to ours: what it said before its goodbye is not ours to keep either.
                ledger.bury(ref(origin), record.version, now + ledger.config.remember_s)
            raise
        if ledger is self._global_ledger:
            gone = self._remote_quota.make(origin, body, now - age_s, now)
            self.forget_strangers(gone)
            if origin in gone:
                raise RemoteError("abroad-full", f"no room for more strangers' records of kind {record.kind}")
        elif origin not in ledger:
            in_the_way = self._eviction.make_room(origin, body, now)
            if in_the_way is not None:
                self._evict(in_the_way, now)
        if not self._origins.may_speak(origin, now):
            raise RemoteError("too-much-news", "this origin has more news than anybody needs")
        skew_s = record.issued_at - (self.wall(now) - age_s)
        match ledger.merge(record, body, now - age_s, skew_s, now=now):
            case Merge.EQUIVOCATION:
                kept = ledger.get(origin, record.kind)
                if kept is None or kept.record != record:
                    raise RemoteError("equivocation", "two statements of one version; both are kept as proof")
                self._refused["equivocation"] += 1  # this one replaced ours, as everywhere else
                return kept
            case Merge.FULL:
                raise RemoteError("ledger-full", f"{len(ledger)} peers are known")
            case Merge.STORED:
                kept = ledger.get(origin, record.kind)
                assert kept is not None
                if ledger is self._ledger:
                    self._eviction.stored(kept, now)
                return kept
            case _:
                return None

    def forget(self, peer: PeerId) -> None:
        """It is in our zone's ledger no more."""
        self._eviction.forget(peer)
        self.forget_strangers((peer,))

    def forget_strangers(self, peers: Iterable[PeerId]) -> None:
        """Records of theirs are in a ledger no more."""
        for peer in peers:
            if peer not in self._ledger and peer not in self._global_ledger:
                self._origins.forget(peer)

    def accuses_us(self, record: Record) -> bool:
        """A record that we did not take in says that its origin misses us. Raises `RemoteError` if it is not true."""
        body = self._inspect(record)[1]
        return isinstance(body, Observations) and any(one.subject == ref(self.me) for one in body.lost)

    def is_behind(self, record: Record, now: float) -> bool:
        """A record under our key that this process did not sign is newer than what we say on its topic: continue above
        it. It is of an earlier life, or of another machine with our key; of two that started in one millisecond neither
        is newer, and both go on.

        Raises `RemoteError` if it is not ours at all.
        """
        ours = self.ledger_of(record.kind).get(self.me, record.kind)
        if ours is not None and (ours.record.version > record.version or ours.record == record):
            return False
        _, body = self._inspect(record)
        if isinstance(body, Profile):
            self._shared_key.met(record, body, self.clock_ms(now), now)
        self.outbid(record.version, now)
        return True

    def outbid(self, version: int, now: float) -> None:
        """Say nothing more that is not above this version."""
        self._version = max(self._version, version)
        self._clock_offset_s = max(self._clock_offset_s, version / 1000 - now)
