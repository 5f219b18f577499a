"""Writes samples to the file. Use it in one thread, but not in that of the event loop.

Committed samples survive a kill of the process at any moment. After an error close the store and open another one: its
memory may differ from the file.
"""

from __future__ import annotations

import sqlite3
from array import array
from bisect import insort
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType

from peerscope.history import retention
from peerscope.history.availability import VerdictPage, VerdictStore
from peerscope.history.columns import UNKNOWN, Column, known_count
from peerscope.history.measures import MeasureNumbers
from peerscope.history.retention import HistoryConfig, Tier, tiers
from peerscope.history.samples import SeriesSample
from peerscope.history.schema import open_to_write
from peerscope.history.series import NETWORK_COLUMN
from peerscope.records.identity import PeerId

PEERS_MAX = 20_000
"""Slots. A column has a value for each, so slots are reused: first those of the peers that were seen longest ago."""
SLOT_REST_S = 1800
"""Shortest time that a slot stays empty between two peers, so that no mean mixes them."""


class Store:
    """The history of one agent, opened for writing."""

    def __init__(self, place: Path, config: HistoryConfig, peers_max: int = PEERS_MAX) -> None:
        """Raises `HistoryError`, `sqlite3.Error`."""
        self._max_bytes = config.max_bytes
        self._tiers = tiers(config)
        self._db = open_to_write(place)
        try:
            self._verdicts = VerdictStore(self._db, config.max_bytes)
            self._slots = Slots(self._db, peers_max, config.quarter_s)
            self._measures = MeasureNumbers(self._db)
            self._open: dict[Tier, set[int]] = {tier: retention.unfolded(self._db, tier) for tier in self._tiers[1:]}
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def write(self, samples: Sequence[SeriesSample], page: VerdictPage | None = None) -> None:
        """Store samples and verdicts, make the coarser values that are due, drop the excess; in one transaction."""
        if not samples and page is None:
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            if page is not None:
                self._verdicts.write(page)
            if samples:
                self._write_samples(samples)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # some errors end it
                self._db.execute("ROLLBACK")
            raise
        retention.shrink(self._db, self._max_bytes)

    def close(self) -> None:
        """Close the file and merge its journal into it."""
        self._db.close()

    def _write_samples(self, samples: Sequence[SeriesSample]) -> None:
        for sample in samples:
            self._put(sample)
        newest = samples[-1].at
        for tier, windows in self._open.items():
            for at in sorted(windows - {newest - newest % tier.step_s}):
                retention.fold(self._db, self._tiers[0], tier, at, self._measures.used)
                windows.discard(at)
        self._slots.write(newest)
        self._measures.save(newest)
        retention.thin(self._db, self._tiers, len(samples), newest, self._max_bytes)

    def _put(self, sample: SeriesSample) -> None:
        raw, at = self._tiers[0], sample.at
        order = self._slots.order(sample.peers, at)
        for number, column in enumerate(sample.columns, NETWORK_COLUMN + 1):
            retention.put(self._db, raw, at, number, column if order is None else _placed(column, order))
        for key, column in sample.measures.items():
            place = self._measures.number(key, at, known_count(column))
            if place is not None:
                retention.put(self._db, raw, at, place, column if order is None else _placed(column, order))
        retention.put(self._db, raw, at, NETWORK_COLUMN, sample.network)
        for tier, windows in self._open.items():
            windows.add(at - at % tier.step_s)


class Slots:
    """Assigns peers to places in a column."""

    def __init__(self, db: sqlite3.Connection, most: int, keep_s: int) -> None:
        self._db = db
        self._most = most
        self._keep_s = keep_s
        with closing(db.execute("SELECT peer_id, slot, seen FROM peer")) as found:
            known = [(PeerId(peer), slot, seen) for peer, slot, seen in found]
        self._slots = {peer: slot for peer, slot, _ in known}
        self._seen = {peer: seen for peer, _, seen in known}
        self._free = sorted(set(range(max(self._slots.values(), default=-1) + 1)) - set(self._slots.values()))
        self._peers: tuple[PeerId, ...] = ()
        """Peers of the last sample."""
        self._refused = False
        """Some of them have no slot."""
        self._order: list[int] | None = None
        self._written_at = 0

    def order(self, peers: tuple[PeerId, ...], at: int) -> list[int] | None:
        """The index into `peers` for each slot, -1 for none; None if both have the same order."""
        if peers != self._peers or self._refused:
            for peer in peers:
                if peer not in self._slots:
                    self._admit(peer, at)
            self._peers = peers
            self._refused = any(peer not in self._slots for peer in peers)
            by_slot = {slot: index for index, peer in enumerate(peers) if (slot := self._slots.get(peer)) is not None}
            order = [by_slot.get(slot, -1) for slot in range(max(by_slot, default=-1) + 1)]
            self._order = None if order == list(range(len(peers))) else order
        for peer in peers:
            self._seen[peer] = at
        return self._order

    def write(self, now: int) -> None:
        """Every quarter of an hour, save when peers were last seen, and free the slots of forgotten ones."""
        if abs(now - self._written_at) < SLOT_REST_S // 2:
            return
        self._written_at = now
        self._seen = {peer: seen for peer, seen in self._seen.items() if peer in self._slots}
        for peer, seen in list(self._seen.items()):
            if seen < now - self._keep_s:
                self._dismiss(peer)
        self._db.executemany("UPDATE peer SET seen = ?2 WHERE peer_id = ?1", self._seen.items())

    def _admit(self, peer: PeerId, at: int) -> None:
        """Give a peer a slot, if necessary that of a peer long gone; none if all are in use."""
        if not self._free and len(self._slots) >= self._most:
            gone = min(self._slots, key=lambda known: self._seen[known])
            if self._seen[gone] > at - SLOT_REST_S:
                return
            self._dismiss(gone)
        slot = self._free.pop(0) if self._free else len(self._slots)
        self._slots[peer], self._seen[peer] = slot, at
        since = at - at % (SLOT_REST_S // 2)
        self._db.execute("INSERT INTO peer VALUES (?, ?, ?, ?)", (peer, slot, since, at))

    def _dismiss(self, peer: PeerId) -> None:
        insort(self._free, self._slots.pop(peer))
        del self._seen[peer]
        self._db.execute("DELETE FROM peer WHERE peer_id = ?", (peer,))


def _placed(column: Column[float], order: Sequence[int]) -> Column[float]:
    values = [*column, UNKNOWN]  # -1 finds the last one
    return array("f", map(values.__getitem__, order))
