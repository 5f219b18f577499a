"""Remote write: samples go to a queue on disk, and from there to the receiver, one request at a time and in order.

Two loops share the queue. One takes a sample at every full interval, at the same moment on all peers. The other sends
the oldest samples until the receiver takes them, or takes only others (`delivery.py`). So an outage of the receiver or
of this agent loses no samples as long as the queue has space. A stale mark ends a series that has no value any more.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from prometheus_client.core import Metric

from peerscope.export.config import AsideView, RemoteWriteConfig, RemoteWriteView
from peerscope.export.delivery import SampleDelivery
from peerscope.export.election import Tenure
from peerscope.export.receiver import RemoteWriteReceiver
from peerscope.export.spool import Spool
from peerscope.export.wire import STALE, Labels, Sample, encode, samples_of
from peerscope.host.threads import in_thread

FOLDER = "remote-write"
FAULT_S = 30.0
"""Pause before the next attempt after an error of this machine."""
CLOSE_S = 1.5
EARLY_RATIO = 0.1
STEP_BACK_S = 60.0
"""If the clock is set back by less, our time stands still until it catches up. If by more, it was wrong before."""

log = logging.getLogger(__name__)


def brief(reason: str) -> str:
    """Shorten a reason for all members to a status or a setting, without addresses and the receiver's text."""
    found = re.match(r"it answers \d{3}|export\.remote_write\.\w+", reason)
    return "the receiver does not answer" if found is None else found[0]


class RemoteWrite:
    """Writes the series of one peer to one receiver."""

    def __init__(
        self,
        config: RemoteWriteConfig,
        receiver: RemoteWriteReceiver,
        state: Path,
        external: Callable[[], dict[str, str]],
        is_elected: Callable[[], bool],
        collect: Callable[[bool, bool], list[Metric]],
        rng: random.Random,
        ahead_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`external`: labels of every series. `is_elected`: whether this peer should write for all now. `collect`: the
        metrics of this peer, of the network, or both. `ahead_s`: how far our clock is ahead of the network's."""
        self.samples: Counter[str] = Counter()
        """Samples by outcome: sent, refused by the receiver, dropped from a full queue, failed on disk."""
        self._config = config
        self._external = external
        self._is_wanted, self._collect, self._rng = is_elected, collect, rng
        self._spool = Spool(state / FOLDER, config.queue_bytes_max)
        self.delivery = SampleDelivery(self._spool, receiver, self.samples, rng, ahead_s)
        self._tenure = Tenure(config.interval_s / 2)  # from one sample to the next
        self._sampled: set[Labels] = set()
        """Series of the last sample."""
        self._at_ms = 0
        self._news = asyncio.Event()
        self._is_failing = False

    @property
    def is_elected(self) -> bool:
        """Whether this peer writes the series of the network."""
        return self._tenure.is_ours

    @property
    def queue_bytes(self) -> int:
        """Size of the queue on disk."""
        return self._spool.held_bytes

    @property
    def queue_samples(self) -> int:
        """Samples in the queue on disk."""
        return self._spool.samples - self.delivery.settled

    def view(self) -> RemoteWriteView:
        """The present state."""
        delivery, lost = self.delivery, self.samples["dropped"] + self.samples["failed"]
        aside = (AsideView(reason, one.samples, one.example) for reason, one in sorted(delivery.aside.items()))
        return RemoteWriteView(
            elected=self.is_elected,
            sent_samples=self.samples["sent"],
            queue_samples=self.queue_samples,
            held_samples=delivery.held,
            dropped_samples=lost,
            aside=tuple(aside),
            failing=delivery.failing,
            last_sent_age_s=delivery.sent_age_s,
        )

    @property
    def trouble(self) -> str | None:
        """Why the receiver takes no samples, in words for all members; None while it takes them."""
        failing = self.delivery.failing
        return None if failing is None else f"samples wait: {brief(failing)}"

    async def run(self) -> None:
        """Sample and send until cancelled. A disk that fails does not end the agent."""
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self._sample_always())
            parts.create_task(self._send_always())

    async def close(self) -> None:
        """End all series, and send the stale marks if the receiver takes them soon; else the next run sends them."""
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._queue([], self._now_ms())
                while not self.delivery.is_failing and await self.delivery.send_next():
                    pass
        except TimeoutError:
            pass
        except Exception:
            log.exception("remote write could not end its series")

    async def _sample_always(self) -> None:
        interval_s = self._config.interval_s
        while True:
            wait_s = interval_s - time.time() % interval_s
            if wait_s < EARLY_RATIO * interval_s:  # the timer came a little early, after the sample of this moment
                wait_s += interval_s
            await asyncio.sleep(wait_s)
            try:
                await self.sample()
            except Exception:  # no record of another peer may end the agent
                log.exception("a sample for remote write failed")

    async def sample(self) -> None:
        """Queue the value that every series has now."""
        is_ours = self._tenure.update(self._is_wanted(), time.monotonic())
        families = self._collect(is_ours or self._config.mode == "every", is_ours)
        at_ms = self._now_ms()
        if self._config.mode == "every" and families:  # all peers sample in this moment; spread their requests
            await asyncio.sleep(self._rng.uniform(0, self._config.interval_s / 2))
        await self._queue(families, at_ms)

    async def _queue(self, families: list[Metric], at_ms: int) -> None:
        samples = await in_thread(partial(samples_of, families, self._external()), "remote-write")
        ended = self._sampled - samples.keys()
        self._sampled = set(samples)
        every = [*samples.items(), *((labels, STALE) for labels in sorted(ended))]
        most = self._config.batch_samples_max
        for start in range(0, len(every), most):
            await in_thread(partial(self._put, every[start : start + most], at_ms), "remote-write")
        await self.delivery.look_ahead()
        self._news.set()

    def _put(self, batch: list[Sample], at_ms: int) -> None:
        try:
            dropped = self._spool.put(encode(batch, at_ms), len(batch), at_ms)
        except OSError as error:
            self.samples["failed"] += len(batch)
            self._fail(error)
            return
        if dropped and not self.samples["dropped"]:
            log.warning("remote write: the queue is full, the oldest samples are dropped (queue_bytes_max)")
        self.samples["dropped"] += dropped
        self._is_failing = False

    def _fail(self, error: OSError) -> None:
        if not self._is_failing:
            log.warning("remote write: its queue on disk fails, samples are lost meanwhile: %s", error)
        self._is_failing = True

    def _now_ms(self) -> int:
        """Unix milliseconds that never repeat."""
        now_ms = round(time.time() * 1000)
        if 0 <= self._at_ms - now_ms < STEP_BACK_S * 1000:
            now_ms = self._at_ms + 1
        self._at_ms = now_ms
        return now_ms

    async def _send_always(self) -> None:
        while True:
            self._news.clear()
            try:
                has_sent = await self.delivery.send_next()
            except Exception as error:
                if isinstance(error, OSError):
                    self._fail(error)
                else:
                    log.exception("remote write failed to send")
                await asyncio.sleep(FAULT_S)
                continue
            if not has_sent:
                await self._news.wait()
