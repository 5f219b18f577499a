"""The ledger: the newest record per (origin, kind).

It is a last-writer-wins map, so merging is commutative, associative and idempotent: a join semilattice (Shapiro et al.
2011, "Conflict-free replicated data types"). Peers with the same records agree, in whatever order these arrived. Two
different records of equal version are an equivocation: every peer keeps the one with the smaller digest, and both as
proof.

Rules of this file:
1. Only verified records come in; the caller has decoded the body.
2. `heard_at` is local time, less the age that the record had when it came. Carriers state that age unsigned, so the
   origin's version clock bounds it, and the smallest age that any carrier states counts. Nobody compares two wall
   clocks.
3. Everything is bounded: origins, kinds per origin, proofs, buried peers.
4. A *buried* peer is forgotten, and has a tombstone: no record that it issued before brings it back, although others
   may still carry one. Its next record removes the tombstone, and then its older ones count again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from enum import Enum
from math import inf

from msgspec import Struct
from msgspec.structs import replace

from peerscope.errors import ConfigError
from peerscope.records.bodies import Body, Kind, Observation, Observations, Profile, Report
from peerscope.records.identity import PeerId, PeerRef, ref
from peerscope.records.record import Record

BUCKETS = 256
PROOFS_MAX = 256
AGE_STEP_S = 0.05
"""A smaller age of a known record replaces the known age if it differs by more than this."""
BURIED_S = 3_600.0
"""A peer that was silent for `remember_s` stays buried for so long: carriers state slightly different ages of its last
records."""
TOGETHER_S = 60.0
"""Peers whose last records lie so close together are forgotten at once. As long as between two looks."""


class LedgerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of the ledger."""

    origins_max: int = 10_000
    """Most peers to remember: five zones (`zone_max` is 2,000). About 4 KB of memory each."""
    remember_s: float = 86_400.0
    """How long to remember and redial a silent peer: a day, so that a network split overnight still heals by itself."""

    def __post_init__(self) -> None:
        if self.origins_max < 1 or not self.remember_s > 0:
            raise ConfigError("ledger.origins_max must be 1 or more, and ledger.remember_s above 0")


class Entry(Struct, frozen=True, gc=False):
    """A record in the ledger, with values from when it came in."""

    record: Record
    body: Body
    digest: bytes
    heard_at: float
    """Local monotonic seconds at which the record was issued, as far as its age in transit is known."""
    skew_s: float = 0.0
    """How far the origin's wall clock seemed ahead of ours (transit not subtracted if unknown)."""
    since: tuple[float, ...] = ()
    """Local times at which each observation first came here, by their order. Repeating one does not make it new, unless
    its subject refuted it in between. Age in transit does not count: the origin could invent it."""
    came_at: float = 0.0
    """Local time at which the record first came here, and so the latest at which it can have been issued."""


class Merge(Enum):
    """Result of offering a record to the ledger."""

    STORED = "stored"
    KNOWN = "known"
    OLDER = "older"
    EQUIVOCATION = "equivocation"
    FULL = "full"


class Ledger:
    """Newest records of every known peer."""

    def __init__(self, config: LedgerConfig | None = None) -> None:
        self.config = config or LedgerConfig()
        self._origins: dict[PeerId, dict[int, Entry]] = {}
        self._by_ref: dict[PeerRef, PeerId] = {}
        self._buried: dict[PeerRef, tuple[int, float]] = {}
        """Tombstones, the oldest first: the newest version that does not bring the peer back, and until when."""
        self._fingerprints = [0] * BUCKETS
        self._buckets: list[set[PeerId]] = [set() for _ in range(BUCKETS)]
        self.proofs: dict[tuple[PeerId, int, int], tuple[Record, Record]] = {}
        """(origin, kind, version) of equivocations, with both signed statements."""
        self.accusers: set[PeerId] = set()
        """Peers whose newest observations accuse others."""
        self.missed: Counter[PeerRef] = Counter()
        """Accused peers, with the number of their accusers."""
        self.refuted: Counter[PeerRef] = Counter()
        """Observers that subjects refuted again and again, with the number of these subjects."""
        self.counts: Counter[int] = Counter()
        """Records held, by kind."""
        self.revision = 0
        """Grows with every change: until then, views need not look again."""
        self.news = 0
        """Grows with every change except another report: reports come all the time and seldom change a verdict."""

    def merge(
        self, record: Record, body: Body, heard_at: float, skew_s: float = 0.0, *, now: float | None = None
    ) -> Merge:
        """Keep the newer of this record and ours. Only STORED and EQUIVOCATION change anything.

        `now`: local time of its arrival, by default `heard_at`.
        """
        origin = record.peer_id
        came_at = heard_at if now is None else now
        entries = self._origins.get(origin)
        if entries is None:
            # Links could not distinguish a second key with the same first 8 bytes: keep the first.
            if len(self._origins) >= self.config.origins_max or ref(origin) in self._by_ref:
                return Merge.FULL
            entries = self._origins[origin] = {}
            self._by_ref[ref(origin)] = origin
            self._buckets[origin[0]].add(origin)
            self._buried.pop(ref(origin), None)
        ours = entries.get(record.kind)
        if ours is None or record.version > ours.record.version:
            since = self._since(record, body, came_at, ours)
            self._put(entries, Entry(record, body, record.digest(), heard_at, skew_s, since, came_at), ours)
            return Merge.STORED
        if record.version < ours.record.version:
            return Merge.OLDER
        digest = record.digest()
        if digest == ours.digest:
            return Merge.KNOWN
        self._prove(origin, record, ours.record)
        if digest < ours.digest:
            since = self._since(record, body, came_at, None)
            self._put(entries, Entry(record, body, digest, heard_at, skew_s, since, came_at), ours)
        return Merge.EQUIVOCATION

    def younger(self, origin: PeerId, kind: int, heard_at: float) -> None:
        """Take over the smaller age that another carrier states of a record that we hold."""
        ours = self._origins[origin][kind]
        heard_at = min(heard_at, ours.came_at)
        if heard_at > ours.heard_at + AGE_STEP_S:
            self._origins[origin][kind] = replace(ours, heard_at=heard_at)
            self.revision += 1

    def age_s_max(self, origin: PeerId, version: int, now: float) -> float:
        """Seconds that a record of this version can be old, by the version clock of its origin.

        That clock never runs slower than time. So no more time passed between two records of one origin than their
        versions differ. A clock that jumps ahead makes the result too small, which only that origin can cause.
        """
        latest = max(
            (e.heard_at + (version - e.record.version) / 1000 for e in self._origins.get(origin, {}).values()),
            default=-inf,
        )
        return max(0.0, now - latest)

    def lacks(self, origin: PeerRef, kind: int, version: int) -> bool:
        """A record of this version would be news."""
        if self.is_buried(origin, version):
            return False
        peer = self._by_ref.get(origin)
        entry = self._origins[peer].get(kind) if peer is not None else None
        return entry is None or entry.record.version < version

    def get(self, origin: PeerId, kind: int) -> Entry | None:
        """The newest record of one kind, or None."""
        entries = self._origins.get(origin)
        return entries.get(kind) if entries else None

    def profile(self, peer: PeerId) -> Profile | None:
        """The peer's newest profile."""
        entry = self.get(peer, Kind.PROFILE)
        return entry.body if entry and isinstance(entry.body, Profile) else None

    def report(self, peer: PeerId) -> Report | None:
        """The peer's newest report."""
        entry = self.get(peer, Kind.REPORT)
        return entry.body if entry and isinstance(entry.body, Report) else None

    def observations(self, peer: PeerId) -> Observations | None:
        """The peer's newest accusations."""
        entry = self.get(peer, Kind.OBSERVATIONS)
        return entry.body if entry and isinstance(entry.body, Observations) else None

    def entries(self, origin: PeerId) -> tuple[Entry, ...]:
        """All records of one peer, by kind."""
        entries = self._origins.get(origin, {})
        return tuple(entries[kind] for kind in sorted(entries))

    def find(self, origin: PeerRef) -> PeerId | None:
        """The full id behind an 8-byte one."""
        return self._by_ref.get(origin)

    def __contains__(self, peer: PeerId) -> bool:
        return peer in self._origins

    def __len__(self) -> int:
        return len(self._origins)

    def __iter__(self) -> Iterator[PeerId]:
        return iter(self._origins)

    def fingerprints(self) -> tuple[int, ...]:
        """One number per 256th of the id space: equal numbers, equal records (XOR of 64-bit digests)."""
        return tuple(self._fingerprints)

    def bucket(self, index: int) -> list[Entry]:
        """All records of the peers whose id begins with this byte, in a fixed order."""
        return [entry for origin in sorted(self._buckets[index]) for entry in self.entries(origin)]

    def expire(self, now: float, *, keep: PeerId | None = None) -> list[PeerId]:
        """Forget peers that were silent for `remember_s`, except `keep` (ourselves), and return them.

        Peers that fell silent together are forgotten together. Otherwise the last ones of a group that was cut off
        would look as if they had failed one by one.
        """
        self._buried = {name: grave for name, grave in self._buried.items() if grave[1] > now}
        oldest = now - self.config.remember_s
        left_s = {
            peer: max(entry.heard_at for entry in entries.values()) - oldest
            for peer, entries in self._origins.items()
            if peer != keep
        }
        is_due = any(seconds < 0 for seconds in left_s.values())
        limit_s = min(TOGETHER_S, self.config.remember_s / 10) if is_due else 0.0
        gone = [peer for peer, seconds in left_s.items() if seconds < limit_s]
        for peer in gone:
            self.bury(ref(peer), self.newest(peer), now + BURIED_S)
            self.forget(peer)
        return gone

    def newest(self, peer: PeerId) -> int:
        """Version of the peer's newest record of any kind; 0 if it has none."""
        return max((entry.record.version for entry in self._origins.get(peer, {}).values()), default=0)

    def bury(self, peer: PeerRef, version: int, until: float) -> None:
        """Let no record up to this version bring the peer back once it is forgotten, until that monotonic time."""
        known = self._buried.pop(peer, (0, until))
        self._buried[peer] = max(known[0], version), max(known[1], until)
        if len(self._buried) > self.config.origins_max:
            del self._buried[next(iter(self._buried))]

    def unbury(self, peer: PeerRef) -> None:
        """Remove the tombstone: the peer's older records count again."""
        self._buried.pop(peer, None)

    def is_buried(self, peer: PeerRef, version: int | None = None) -> bool:
        """The peer is forgotten, and a record of this version does not bring it back."""
        grave = self._buried.get(peer)
        return grave is not None and peer not in self._by_ref and (version is None or version <= grave[0])

    def forget(self, peer: PeerId) -> None:
        """Drop all records of one peer."""
        for kind in list(self._origins[peer]):
            self.drop(peer, kind)

    def drop(self, peer: PeerId, kind: int) -> None:
        """Drop one record, and its peer if that was its last."""
        entries = self._origins[peer]
        entry = entries.pop(kind)
        self._fingerprints[peer[0]] ^= _fold(entry.digest)
        self._count(entry, -1)
        self.counts[kind] -= 1
        if isinstance(entry.body, Observations):
            self.accusers.discard(peer)
        if not entries:
            del self._origins[peer]
            del self._by_ref[ref(peer)]
            self._buckets[peer[0]].discard(peer)
        self.revision += 1
        self.news += 1

    def _put(self, entries: dict[int, Entry], entry: Entry, replaced: Entry | None) -> None:
        entries[entry.record.kind] = entry
        self.counts[entry.record.kind] += replaced is None
        change = _fold(entry.digest) ^ (_fold(replaced.digest) if replaced else 0)
        self._fingerprints[entry.record.origin[0]] ^= change
        if isinstance(entry.body, Observations):
            if entry.body.lost:
                self.accusers.add(entry.record.peer_id)
            else:
                self.accusers.discard(entry.record.peer_id)
        if replaced is not None:
            self._count(replaced, -1)
        self._count(entry, 1)
        self.revision += 1
        self.news += entry.record.kind != Kind.REPORT

    def _since(self, record: Record, body: Body, came_at: float, replaced: Entry | None) -> tuple[float, ...]:
        if not isinstance(body, Observations):
            return ()
        first: dict[tuple[bytes, int], float] = {}
        if replaced is not None and isinstance(replaced.body, Observations):
            for one, at in zip(replaced.body.lost, replaced.since, strict=True):
                subject = self._by_ref.get(PeerRef(one.subject))
                if subject is None or not self.is_refuted(subject, replaced.record, one):
                    first[one.subject, one.heard_ms] = at
        return tuple(first.get((one.subject, one.heard_ms), came_at) for one in body.lost)

    def is_refuted(self, subject: PeerId, accusation: Record, claim: Observation) -> bool:
        """The subject published after the claimed silence, by its own clock, or refuted this accusation by name."""
        entries = self._origins.get(subject, {})
        if any(entry.record.version > claim.heard_ms + claim.silence_ms for entry in entries.values()):
            return True
        report = self.report(subject)
        if report is None or not report.answers:
            return False
        name = ref(accusation.peer_id)
        return any(one.observer == name and one.version >= accusation.version for one in report.answers)

    def _count(self, entry: Entry, step: int) -> None:
        if isinstance(entry.body, Observations):
            for observation in entry.body.lost:
                _add(self.missed, PeerRef(observation.subject), step)
        elif isinstance(entry.body, Report):
            for observer in entry.body.refuted:
                _add(self.refuted, PeerRef(observer), step)

    def _prove(self, origin: PeerId, one: Record, other: Record) -> None:
        key = (origin, one.kind, one.version)
        if key not in self.proofs and len(self.proofs) < PROOFS_MAX:
            self.proofs[key] = (one, other)
            self.revision += 1
            self.news += 1


def _add(counter: Counter[PeerRef], name: PeerRef, step: int) -> None:
    counter[name] += step
    if not counter[name]:
        del counter[name]


def _fold(digest: bytes) -> int:
    return int.from_bytes(digest[:8], "big")
