"""Samples the network, has it written down, and answers.

Sampling is all that the event loop does; a thread writes. What is not yet written waits in memory, and counts in
answers. Where the file cannot be written (a full disk, one that became read-only), samples simply wait longer: as many
as memory has room for, until it can be written again. That is told once, and does not end the agent.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from msgspec import Struct

from peerscope.errors import HistoryError
from peerscope.history.reader import History, Question, find, read
from peerscope.history.retention import HistoryConfig, tiers
from peerscope.history.schema import FILE, is_damage
from peerscope.history.series import (
    NO_RATES,
    NO_ROW,
    RATE_S_MIN,
    Counters,
    Row,
    SeriesSample,
    counters,
    network_row,
    rates,
    row,
    sample,
)
from peerscope.history.store import Store
from peerscope.host.clock import monotonic
from peerscope.host.damaged_files import put_damaged_aside
from peerscope.host.failures import FailureLog
from peerscope.records.bodies import Kind, Report
from peerscope.records.identity import PeerId
from peerscope.records.ledger import Entry
from peerscope.views.health import NetworkHealth
from peerscope.views.snapshot import Snapshot

FLUSH_S = 10
"""What a killed agent loses at most."""
FIRST_S = 1.0
"""After the start the first sample is taken and written at once: an agent in a crash loop leaves a history too."""
RETRY_S = 60.0
MEMORY_BYTES_MAX = 32 * 2**20
"""Of samples that wait: twelve hours of a dozen peers, twenty minutes of a thousand."""
BATCH_MAX = 24
"""Samples in one transaction; after a failure there may be thousands."""
PEERS_PER_LOOK = 100
"""The whole network's health is worked out for every sample, with so many peers for every second one, and so on."""
CLOSE_S = 2.0
PHASE = 0.5
"""Where in a step it is sampled: in the middle, so that no jitter makes two of one step and none of the next."""

log = logging.getLogger(__name__)


class AnswerToQuery(Struct, frozen=True):
    """What a peer last said."""

    entry: Entry
    row: Row
    counted: Counters
    counted_at: float
    rates: tuple[float, ...]


class Recorder:
    """The history of one agent."""

    def __init__(
        self,
        config: HistoryConfig,
        state: Path,
        snapshot: Callable[[], Snapshot],
        health: Callable[[], NetworkHealth],
        failure_log: FailureLog | None = None,
    ) -> None:
        """`moment`, `health`: how to look at the network now. `looks`: counts those that
        fail. Nothing is opened yet."""
        self.trouble: str | None = None
        """Why the file cannot be written, while that is so; without paths, for the whole network reads it."""
        self._config = config
        self._tiers = tiers(config)
        self._place = state / FILE
        self._snapshot, self._health = snapshot, health
        self._guard = failure_log or FailureLog()
        self._told: dict[PeerId, AnswerToQuery] = {}
        self._network: Row = ()
        self._failure_log = 0
        self._waiting: dict[int, SeriesSample] = {}
        """Samples that are not written, by time."""
        self._waiting_bytes = 0
        self._thread = ThreadPoolExecutor(1, "history")
        self._store: Store | None = None
        """Only the thread touches it."""
        self._flushing: asyncio.Task[None] | None = None
        self._retry_at = 0.0
        self._has_mended = False

    async def run(self) -> None:
        """Sample and write until cancelled."""
        step_s = self._config.interval_s
        try:
            await asyncio.sleep(min(FIRST_S, step_s))
        finally:  # one that is asked to end before has something for `close` to write
            self._look(step_s)
        self._flush_soon()
        while True:
            await asyncio.sleep(step_s - (time.time() - PHASE * step_s) % step_s)
            self._look(step_s)
            if self._is_due():
                self._flush_soon()

    def sample(self, at: int) -> SeriesSample:
        """What all peers say now."""
        snapshot = self._snapshot()
        peers = snapshot.peers
        if self._failure_log % (1 + len(peers) // PEERS_PER_LOOK) == 0:
            self._network = network_row(self._health())
        self._failure_log += 1
        if len(self._told) > len(peers):
            self._told = {peer: self._told[peer] for peer in peers if peer in self._told}
        statuses = [snapshot.statuses[peer] for peer in peers]
        return sample(at, peers, statuses, [self._row(snapshot, peer) for peer in peers], self._network)

    def take(self, sample: SeriesSample) -> None:
        """Have it written with the next flush; of two of one time the later counts."""
        self._drop(sample.at)
        self._waiting[sample.at] = sample
        self._waiting_bytes += sample.size_bytes
        while self._waiting_bytes > MEMORY_BYTES_MAX and len(self._waiting) > 1:
            self._drop(next(iter(self._waiting)))

    async def flush(self) -> None:
        """Have everything written that waits; where that fails, say so once."""
        loop = asyncio.get_running_loop()
        while batch := list(islice(self._waiting.values(), BATCH_MAX)):
            try:
                await loop.run_in_executor(self._thread, self._write, batch)
            except Exception as error:
                if not isinstance(error, HistoryError | sqlite3.Error | OSError):
                    log.exception("a bug: samples could not be written")
                self._fail(str(error))
                return
            for one in batch:
                if self._waiting.get(one.at) is one:
                    self._drop(one.at)
        if self.trouble is not None:
            self.trouble = None
            log.warning("the history is written to %s again", self._place)

    async def close(self) -> None:
        """Write what waits, if that can be done within two seconds, and let go of the file."""
        try:
            async with asyncio.timeout(CLOSE_S):
                if self._flushing is not None:
                    await self._flushing
                await self.flush()
                await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        except TimeoutError:
            log.warning("the history could not be written to %s in time", self._place)
        self._thread.shutdown(wait=False)

    async def read(self, question: Question) -> History:
        """One series. Raises `HistoryError`."""
        unwritten = {at: one.value(question.series, question.peer) for at, one in self._waiting.items()}
        place = self._place if self._place.exists() else None
        is_made = self._store is not None  # else it may be half made just now: by our first write, or by a migration
        try:
            return await asyncio.to_thread(read, place, self._tiers, question, unwritten)
        except HistoryError:
            if self.trouble is None and is_made and self._store is not None:
                raise
            return read(None, self._tiers, question, unwritten)  # what memory has

    async def find(self, beginning: str) -> list[PeerId]:
        """Peers that are remembered here, though perhaps nowhere else. Raises `HistoryError`."""
        return await asyncio.to_thread(find, self._place, beginning) if self._place.exists() else []

    def _look(self, step_s: int) -> None:
        with self._guard.at("the sample for the history"):
            self.take(self.sample(int(time.time()) // step_s * step_s))

    def _flush_soon(self) -> None:
        """In a task of its own, which `close` waits for."""
        self._flushing = asyncio.create_task(self.flush())

    def _is_due(self) -> bool:
        if self._flushing is not None and not self._flushing.done():
            return False
        if self.trouble is not None:
            return monotonic() >= self._retry_at
        return self._failure_log % max(1, FLUSH_S // self._config.interval_s) == 0

    def _row(self, snapshot: Snapshot, peer: PeerId) -> Row:
        entry = snapshot.ledger.get(peer, Kind.REPORT)
        if entry is None or snapshot.living_reports[peer] is None:
            return NO_ROW
        told = self._told.get(peer)
        if told is None or told.entry is not entry:
            self._told[peer] = told = _told(entry, told)
        return told.row

    def _drop(self, at: int) -> None:
        if (gone := self._waiting.pop(at, None)) is not None:
            self._waiting_bytes -= gone.size_bytes

    def _fail(self, reason: str) -> None:
        if self.trouble is None:
            log.warning("history: %s cannot be written: %s; it is kept in memory meanwhile", self._place, reason)
        self.trouble = reason.replace(str(self._place), FILE)
        self._retry_at = monotonic() + RETRY_S

    def _write(self, batch: list[SeriesSample]) -> None:
        """A damaged file is put aside once in the life of an agent: where it happens again, the disk is in trouble."""
        try:
            self._put(batch)
        except (sqlite3.DatabaseError, zlib.error) as error:
            if self._has_mended or not is_damage(error):
                raise
            self._has_mended = True
            loss = "the history begins anew"
            if put_damaged_aside(self._place, str(error), loss, parts=("-wal", "-journal", "-shm")) is None:
                raise
            self._put(batch)

    def _put(self, batch: list[SeriesSample]) -> None:
        try:
            if self._store is None:
                self._store = Store(self._place, self._config)
            self._store.write(batch)
        except BaseException:
            self._close()
            raise

    def _close(self) -> None:
        if self._store is not None:
            try:
                self._store.close()
            finally:
                self._store = None


def _told(entry: Entry, before: AnswerToQuery | None) -> AnswerToQuery:
    """What a report says, with the rates since the one before it; times are ours, not the peer's."""
    report = entry.body
    assert isinstance(report, Report)
    counted, counted_at = counters(report), entry.heard_at
    speeds: tuple[float, ...] = NO_RATES
    if before is not None:
        passed_s = entry.heard_at - before.counted_at
        if passed_s >= RATE_S_MIN:
            speeds = rates(before.counted, counted, passed_s)
        else:
            counted, counted_at, speeds = before.counted, before.counted_at, before.rates
    return AnswerToQuery(entry, row(report, speeds), counted, counted_at, speeds)
