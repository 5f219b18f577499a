"""Samples the network, writes samples and verdicts to the history, and answers questions about it.

The event loop only takes samples; a thread writes them. Samples wait in memory until then, and count in answers. While
the disk is full or read-only they wait longer, up to `MEMORY_BYTES_MAX`. The log reports that once; the agent goes on.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path

from peerscope.errors import HistoryError
from peerscope.history.availability import VerdictPage, read_availability
from peerscope.history.last_reports import LastReport, last_report
from peerscope.history.measures import MeasureKey
from peerscope.history.reader import History, Point, Question, find, read
from peerscope.history.retention import HistoryConfig, tiers
from peerscope.history.samples import SeriesSample, sample
from peerscope.history.schema import FILE, is_damage
from peerscope.history.series import NO_ROW, SERIES, Row, network_row
from peerscope.history.store import Store
from peerscope.host.clock import monotonic, stopwatch
from peerscope.host.damaged_files import put_damaged_aside
from peerscope.host.failures import FailureLog
from peerscope.records.bodies import Kind
from peerscope.records.identity import PeerId
from peerscope.views.availability import WINDOWS, Availability
from peerscope.views.health import NetworkHealth
from peerscope.views.links import layer_of
from peerscope.views.snapshot import Snapshot
from peerscope.views.trends import DAY, MINUTE_S, Minute
from peerscope.views.verdict_log import VerdictJournal, VerdictLog

FLUSH_S = 10
"""The most that a killed agent loses."""
FIRST_S = 1.0
"""The first sample is written soon after the start: an agent in a crash loop leaves a history too."""
RETRY_S = 60.0
MEMORY_BYTES_MAX = 32 * 2**20
"""Limit of the samples that wait: twelve hours of a dozen peers, twenty minutes of a thousand."""
BATCH_MAX = 24
"""Samples in one transaction; after a failure there may be thousands."""
PEERS_PER_SAMPLE = 100
"""With up to so many peers, each sample calculates the health of the network; with twice as many every second one."""
AVAILABILITY_S, AVAILABILITY_FIRST_S = 60.0, 5.0
AVAILABILITY_SHARE = 0.02
"""Part of a core that the availability for metrics may take."""
CLOSE_S = 2.0
PHASE = 0.5
"""Samples are taken in the middle of a step, so that jitter never puts two into one step and none into the next."""

log = logging.getLogger(__name__)


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
        """`snapshot`, `health`: the network now. `failure_log`: counts samples that fail. Nothing is opened yet."""
        self.trouble: str | None = None
        """Why the file cannot be written; None while it can. Holds no paths, since the whole network reads it."""
        self._config = config
        self._tiers = tiers(config)
        self._place = state / FILE
        self._snapshot, self._health = snapshot, health
        self._failure_log = failure_log or FailureLog()
        self._reports: dict[PeerId, LastReport] = {}
        self._network: Row = ()
        self._samples = 0
        self._waiting: dict[int, SeriesSample] = {}
        """Samples that are not yet written, by time."""
        self._waiting_bytes = 0
        self.measures: tuple[MeasureKey, ...] = ()
        """Measures in the last sample; those of the most peers first."""
        self._thread = ThreadPoolExecutor(1, "history")
        self._store: Store | None = None
        """Only the thread touches it."""
        self._flushing: asyncio.Task[None] | None = None
        self._retry_at = 0.0
        self._has_mended = False
        self._is_new_file = False
        """A damaged file was put aside; the verdict log does not know yet."""
        self.verdict_log: VerdictLog | None = None
        """The states of all peers; None where nobody keeps them."""
        self.availability: dict[str, list[Availability]] = {}
        """By window, a few minutes old; for metrics."""
        self._availability_s = AVAILABILITY_S

    async def run(self) -> None:
        """Sample and write until cancelled."""
        step_s = self._config.interval_s
        try:
            await asyncio.sleep(min(FIRST_S, step_s))
        finally:  # an agent that ends before then still has a sample for `close` to write
            self._take_sample(step_s)
        self._flush_soon()
        while True:
            await asyncio.sleep(step_s - (time.time() - PHASE * step_s) % step_s)
            self._take_sample(step_s)
            if self._is_due():
                self._flush_soon()

    def sample(self, at: int) -> SeriesSample:
        """Make a sample of the last reports of all peers."""
        snapshot = self._snapshot()
        peers = snapshot.peers
        if self._samples % (1 + len(peers) // PEERS_PER_SAMPLE) == 0:
            self._network = network_row(self._health())
        self._samples += 1
        if len(self._reports) > len(peers):
            self._reports = {peer: self._reports[peer] for peer in peers if peer in self._reports}
        statuses = [snapshot.statuses[peer] for peer in peers]
        last = [self._last(snapshot, peer) for peer in peers]
        rows = [NO_ROW if one is None else one.row for one in last]
        return sample(at, peers, statuses, rows, self._network, [{} if one is None else one.measures for one in last])

    def take(self, sample: SeriesSample) -> None:
        """Keep a sample for the next flush; of two of one time the later counts."""
        self.measures = tuple(sample.measures)
        self._drop(sample.at)
        self._waiting[sample.at] = sample
        self._waiting_bytes += sample.size_bytes
        while self._waiting_bytes > MEMORY_BYTES_MAX and len(self._waiting) > 1:
            self._drop(next(iter(self._waiting)))

    async def flush(self) -> None:
        """Write all samples and verdicts that wait. The log reports a failure once."""
        loop = asyncio.get_running_loop()
        page = None if self.verdict_log is None else self._page()
        while (batch := list(islice(self._waiting.values(), BATCH_MAX))) or page is not None:
            try:
                await loop.run_in_executor(self._thread, self._write, batch, page)
            except Exception as error:
                if not isinstance(error, HistoryError | sqlite3.Error | OSError):
                    log.exception("a bug: samples could not be written")
                self._fail(str(error))
                return
            for one in batch:
                if self._waiting.get(one.at) is one:
                    self._drop(one.at)
            if self.verdict_log is not None and page is not None:
                self.verdict_log.written(page.journal)
                if self._is_new_file:
                    self.verdict_log.begin_anew()
            page, self._is_new_file = None, False
        if self.trouble is not None:
            self.trouble = None
            log.warning("the history is written to %s again", self._place)

    async def close(self) -> None:
        """Write the samples that wait, for at most two seconds, and close the file."""
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
        """Read one series. Raises `HistoryError`."""
        series, peer = question.series, question.peer
        unwritten = {at: Point(one.value(series, peer), one.variant(series, peer)) for at, one in self._waiting.items()}
        place = self._place if self._place.exists() else None
        is_made = self._store is not None  # else our first write, or a migration, may just be making it
        try:
            return await asyncio.to_thread(read, place, self._tiers, question, unwritten)
        except HistoryError:
            if self.trouble is None and is_made and self._store is not None:
                raise
            return read(None, self._tiers, question, unwritten)  # from memory alone

    async def read_availability(self, sinces: Sequence[float], until: float) -> list[list[Availability]]:
        """Read availability since each of these Unix seconds. Raises `HistoryError`."""
        place = self._place if self._place.exists() else None
        is_made = self._store is not None
        page = self._page()
        try:
            return await asyncio.to_thread(read_availability, place, page, sinces, until)
        except HistoryError:
            if self.trouble is None and is_made and self._store is not None:
                raise
            return read_availability(None, page, sinces, until)

    async def refresh_availability(self) -> None:
        """Bring the values for metrics up to date, now and then; less often where that takes long."""
        while True:
            await asyncio.sleep(AVAILABILITY_FIRST_S if not self.availability else self._availability_s)
            began, until = stopwatch(), time.time()
            with suppress(HistoryError):
                found = await self.read_availability([until - span_s for span_s in WINDOWS.values()], until)
                self.availability = dict(zip(WINDOWS, found, strict=True))
            self._availability_s = max(AVAILABILITY_S, (stopwatch() - began) / AVAILABILITY_SHARE)

    async def find(self, beginning: str) -> list[PeerId]:
        """Peers in the history whose id begins so. Raises `HistoryError`."""
        return await asyncio.to_thread(find, self._place, beginning) if self._place.exists() else []

    def _page(self) -> VerdictPage:
        if self.verdict_log is None:
            return VerdictPage(VerdictJournal(), {})
        snapshot = self._snapshot()
        self.verdict_log.beat(snapshot.wall)  # up to this moment
        places = snapshot.places
        return VerdictPage(self.verdict_log.waiting(), {peer: place.region for peer, place in places.items()})

    def _take_sample(self, step_s: int) -> None:
        with self._failure_log.at("the sample for the history"):
            self.take(self.sample(int(time.time()) // step_s * step_s))

    def _flush_soon(self) -> None:
        """Flush in a task of its own, which `close` waits for."""
        self._flushing = asyncio.create_task(self.flush())

    def _is_due(self) -> bool:
        if self._flushing is not None and not self._flushing.done():
            return False
        if self.trouble is not None:
            return monotonic() >= self._retry_at
        return self._samples % max(1, FLUSH_S // self._config.interval_s) == 0

    def _last(self, snapshot: Snapshot, peer: PeerId) -> LastReport | None:
        entry = snapshot.ledger.get(peer, Kind.REPORT)
        if entry is None or snapshot.living_reports[peer] is None:
            return None
        last = self._reports.get(peer)
        if last is None or last.entry is not entry:
            self._reports[peer] = last = last_report(entry, last, layer_of(snapshot.profiles[peer]))
        return last

    def _drop(self, at: int) -> None:
        if (gone := self._waiting.pop(at, None)) is not None:
            self._waiting_bytes -= gone.size_bytes

    def _fail(self, reason: str) -> None:
        if self.trouble is None:
            log.warning("history: %s cannot be written: %s; samples wait in memory", self._place, reason)
        self.trouble = reason.replace(str(self._place), FILE)
        self._retry_at = monotonic() + RETRY_S

    def _write(self, batch: list[SeriesSample], page: VerdictPage | None = None) -> None:
        """Write a batch. A damaged file is put aside once per run: if it happens again, the disk itself fails."""
        try:
            self._put(batch, page)
        except (sqlite3.DatabaseError, zlib.error) as error:
            if self._has_mended or not is_damage(error):
                raise
            self._has_mended = True
            loss = "the history begins anew"
            if put_damaged_aside(self._place, str(error), loss, parts=("-wal", "-journal", "-shm")) is None:
                raise
            self._put(batch, page)
            self._is_new_file = True

    def _put(self, batch: list[SeriesSample], page: VerdictPage | None) -> None:
        try:
            if self._store is None:
                self._store = Store(self._place, self._config)
            self._store.write(batch, page)
        except BaseException:
            self._close()
            raise

    def _close(self) -> None:
        if self._store is not None:
            try:
                self._store.close()
            finally:
                self._store = None


async def past_day(recorder: Recorder, now: int) -> list[Minute]:
    """Read the minutes of the day before `now` (Unix seconds), so that trends outlive a restart.

    Returns none if the file cannot be read. The history holds no error ratios of the network, so they are unknown.
    """
    since = now - int(DAY * MINUTE_S)
    try:
        peers, gone, silent, latency = [
            dict((await recorder.read(Question(SERIES[name], None, since, now, int(MINUTE_S)))).samples)
            for name in ("network_peers", "network_down", "network_unknown", "network_latency_median_s")
        ]
    except HistoryError as error:
        log.warning("trends begin anew: %s", error)
        return []
    return [
        Minute(float(at), known - (gone.get(at) or 0.0) - (silent.get(at) or 0.0), latency.get(at))
        for at, known in peers.items()
        if known is not None
    ]
