"""Keys that wait for neighbours, and how they travel: along with a ping or a pong, or in a message of their own.

News that are not urgent wait for the next ping, in either direction. A neighbour that pulled the last version of a
record from us gets the next one whole, without a key before it. So a tree grows for each origin, as in Plumtree (Leitao
et al. 2007). A neighbour that has it from elsewhere says so, or announces it itself, and gets keys again.

Pings are datagrams, which may be lost. The load of a ping waits again until the pong comes, and that of a pong until
the next ping shows that it came.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from peerscope.mesh.messages import KEYS_MAX, Aged, Announce, Key, Load, Topic
from peerscope.records.identity import PeerId, PeerRef
from peerscope.records.ledger import Entry, Ledger

RecordName = tuple[PeerRef, int]
"""Origin and kind."""
LOAD_BYTES_MAX = 960
"""A ping with its load fits into a datagram of 1,200 bytes, the least that QUIC promises."""
KEY_BYTES, RECORD_BYTES = 24, 140
"""Sizes of a key, and of a record beside its body."""
TOPIC_BYTES = 13
SPARE_MAX = 64


class Waiting:
    """News that wait for one neighbour."""

    __slots__ = ("flush_at", "keys", "riding", "spare", "whole")

    def __init__(self) -> None:
        self.keys: dict[RecordName, int] = {}
        """Versions that the neighbour has not heard of."""
        self.riding: dict[RecordName, int] = {}
        """Those in the last load, until the neighbour shows that it came."""
        self.whole: set[RecordName] = set()
        """The neighbour gets these records whole: it pulled the last version from us."""
        self.spare: dict[RecordName, None] = {}
        """Records that the neighbour sent in vain."""
        self.flush_at = inf
        """When the keys go in a message of their own."""


class Batches:
    """News that wait for each neighbour."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._of: dict[PeerId, Waiting] = {}
        self._flush_at = inf
        """The first of all batches: asked for at every turn, and seldom another."""

    def __iter__(self) -> Iterator[PeerId]:
        return iter(self._of)

    def __contains__(self, neighbour: PeerId) -> bool:
        return neighbour in self._of

    def __bool__(self) -> bool:
        return bool(self._of)

    def open(self, neighbour: PeerId) -> None:
        self._of.setdefault(neighbour, Waiting())

    def close(self, neighbour: PeerId) -> None:
        self._of.pop(neighbour, None)
        self._plan()

    def deadline(self) -> float:
        return self._flush_at

    def add(self, neighbour: PeerId, name: RecordName, version: int, flush_at: float) -> None:
        """Let a key wait for this neighbour, until `flush_at` at most."""
        batch = self._of[neighbour]
        batch.keys[name] = version
        batch.flush_at = min(batch.flush_at, flush_at)
        self._flush_at = min(self._flush_at, flush_at)

    def has(self, neighbour: PeerId, name: RecordName, version: int) -> None:
        """The neighbour has this version of a record, and not from us."""
        batch = self._of.get(neighbour)
        if batch is None:
            return
        for waiting in (batch.keys, batch.riding):
            if waiting.get(name, version + 1) <= version:
                del waiting[name]
                batch.whole.discard(name)
        if not batch.keys:
            self._at_rest(batch)

    def pulled(self, neighbour: PeerId, name: RecordName) -> None:
        """The neighbour pulled a record from us: the next version goes whole."""
        if neighbour in self._of:
            self._of[neighbour].whole.add(name)

    def spared(self, neighbour: PeerId, name: RecordName) -> None:
        """The neighbour gets this record from elsewhere."""
        if neighbour in self._of:
            self._of[neighbour].whole.discard(name)

    def in_vain(self, neighbour: PeerId, name: RecordName) -> None:
        """The neighbour sent a whole record that we held: say so with the next load."""
        if neighbour in self._of and len(self._of[neighbour].spare) < SPARE_MAX:
            self._of[neighbour].spare[name] = None

    def forget(self, origin: PeerRef) -> None:
        """No record of this peer is kept any more."""
        for batch in self._of.values():
            for kept in (batch.keys, batch.riding, batch.spare):
                for name in [name for name in kept if name[0] == origin]:
                    del kept[name]
            batch.whole = {name for name in batch.whole if name[0] != origin}

    def arrived(self, neighbour: PeerId) -> None:
        """The neighbour shows that our last load came."""
        if neighbour in self._of:
            self._of[neighbour].riding.clear()

    def load(self, neighbour: PeerId, now: float, room: int = LOAD_BYTES_MAX) -> tuple[Load | None, list[Entry]]:
        """The load to send now, in `room` bytes (None if nothing waits), and whole records for which it has no room.

        Keys that find no room wait on.
        """
        batch = self._of.get(neighbour)
        if batch is None:
            return None, []
        if batch.riding:
            batch.keys, batch.riding = {**batch.riding, **batch.keys}, {}
        if not batch.keys and not batch.spare:
            return None, []
        spare = [*batch.spare][: room // (2 * TOPIC_BYTES)]
        room -= TOPIC_BYTES * len(spare)
        whole = {name: entry for name in batch.keys if name in batch.whole and (entry := self._entry(name)) is not None}
        names = [name for name in batch.keys if name not in whole][: room // KEY_BYTES]
        keys = tuple(Key(origin, kind, batch.keys[origin, kind]) for origin, kind in names)
        room -= KEY_BYTES * len(keys)
        records: list[Aged] = []
        rest: list[Entry] = []
        for name, entry in whole.items():
            size = RECORD_BYTES + len(entry.record.body)
            if size > room:
                rest.append(entry)
                del batch.keys[name]
                continue
            room -= size
            names.append(name)
            records.append(Aged(entry.record, age_ms(entry, now)))
        for name in names:
            batch.riding[name] = batch.keys.pop(name)
        if not batch.keys:
            self._at_rest(batch)
        for name in spare:
            del batch.spare[name]
        return Load(keys, tuple(records), tuple(Topic(*name) for name in spare)), rest

    def due(self, now: float) -> Iterator[tuple[PeerId, Announce]]:
        """Keys that have waited long enough, as messages."""
        for neighbour, batch in self._of.items():
            if now < batch.flush_at:
                continue
            batch.flush_at = inf
            keys = [Key(origin, kind, version) for (origin, kind), version in batch.keys.items()]
            batch.keys = {}
            for at in range(0, len(keys), KEYS_MAX):
                yield neighbour, Announce(tuple(keys[at : at + KEYS_MAX]))
        self._plan()

    def _at_rest(self, batch: Waiting) -> None:
        """Nothing waits for this neighbour."""
        is_first, batch.flush_at = batch.flush_at <= self._flush_at < inf, inf
        if is_first:
            self._plan()

    def _plan(self) -> None:
        self._flush_at = min((batch.flush_at for batch in self._of.values()), default=inf)

    def _entry(self, name: RecordName) -> Entry | None:
        peer = self._ledger.find(name[0])
        return None if peer is None else self._ledger.get(peer, name[1])


def size_of(load: Load | None) -> int:
    """Bytes of a load, at most."""
    if load is None:
        return 0
    bodies = sum(RECORD_BYTES + len(item.record.body) for item in load.records)
    return bodies + KEY_BYTES * len(load.keys) + TOPIC_BYTES * len(load.spare)


def age_ms(entry: Entry, now: float) -> int:
    """Milliseconds since the record was issued, as far as its carriers know."""
    return max(0, round((now - entry.heard_at) * 1000))
