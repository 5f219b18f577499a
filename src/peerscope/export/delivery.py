"""Sends the queue on disk to the receiver: one request at a time, until each sample is taken or set aside.

`triage.py` chooses the next samples; this module reads, sends and counts them. Samples that are dated after the
network's clock are held back: a store that takes one may refuse all samples of today as too old.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import random
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec import Struct

from peerscope.export.receiver import Later, Outcome, RemoteWriteReceiver
from peerscope.export.spool import Batch, Spool
from peerscope.export.triage import Part, SentSamples, SetAside, Settled, Triage, Wait
from peerscope.export.wire import decode, named, pack
from peerscope.host.clock import monotonic
from peerscope.host.failures import backoff_s
from peerscope.host.threads import in_thread

BACKOFF_S_MIN = 0.5
BACKOFF_S_MAX = 30.0
AHEAD_S = 5.0
"""How far after the network's clock samples may be dated: we know that clock only to a few seconds."""
REASONS_MAX = 16
"""Reasons with a count of their own; all others count as `OTHER`."""
OTHER = "other"
LOG_INTERVAL_S = 600.0
"""Between two log lines about the same failure: a store may refuse some samples and take others in turn."""
UNREADABLE = "unreadable on disk"
PASSING = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN)
"""Errors of the machine, not of the file."""

log = logging.getLogger(__name__)


class Aside(Struct, frozen=True):
    """Samples that were set aside for one reason."""

    samples: int
    example: str
    """Name and date of the last one."""


class SampleDelivery:
    """Sends the samples of a queue."""

    def __init__(
        self,
        spool: Spool,
        receiver: RemoteWriteReceiver,
        samples: Counter[str],
        rng: random.Random,
        ahead_s: Callable[[], float],
    ) -> None:
        """`samples`: counts samples by outcome. `ahead_s`: how far this machine's clock is ahead of the network's."""
        self.requests: Counter[str] = Counter()
        self.aside: dict[str, Aside] = {}
        """Samples that were set aside, by reason: at most `REASONS_MAX` reasons and `OTHER`."""
        self.sent_at: float | None = None
        """Unix seconds."""
        self.held = 0
        """Samples of the queue that are held back, at the last call of `look_ahead`."""
        self.failing: str | None = None
        """Why the last request failed; None where it succeeded."""
        self._spool, self._receiver, self._rng = spool, receiver, rng
        self._samples = samples
        self._ahead_s = ahead_s
        self._triage = Triage()
        self._series: tuple[Batch, list[Any]] | None = None
        """Series of the batch whose parts were sent last."""
        self._in_flight: tuple[Part, asyncio.Future[Outcome]] | None = None
        """Outlives a cancelled `send_next`, so that nothing is sent twice."""
        self._is_logged = False
        """The log says that the receiver fails."""
        self._logged_words, self._logged_at = "", 0.0
        self._sent_at: float | None = None
        """Monotonic seconds."""

    @property
    def is_failing(self) -> bool:
        """Whether the last request failed."""
        return self._triage.failures > 0

    @property
    def sent_age_s(self) -> float | None:
        """Seconds since the receiver last took samples; None before the first."""
        return None if self._sent_at is None else monotonic() - self._sent_at

    @property
    def settled(self) -> int:
        """Samples of the queue that are done, though their batch is not."""
        return self._triage.settled

    async def send_next(self) -> bool:
        """Send one request and wait for its answer, or wait as triage demands. False if the queue is empty."""
        if self._in_flight is None:
            until_ms = self._until_ms()
            step = await in_thread(partial(self._triage.next, partial(self._look, until_ms)), "remote-write")
            if step is None:
                return False
            if isinstance(step, Wait):
                await self._wait(step)
                return True
            body = await in_thread(partial(self._body, step), "remote-write")
            if body is None:
                return True
            self._in_flight = step, in_thread(partial(self._receiver.send, body), "remote-write")
        part, sending = self._in_flight
        outcome = await asyncio.shield(sending)
        self._in_flight = None
        waits = [effect for effect in await self._note(part, outcome) if isinstance(effect, Wait)]
        for wait in waits:
            await self._wait(wait)
        return True

    async def _note(self, part: Part, outcome: Outcome) -> list[Any]:
        effects = self._triage.note(part, outcome)
        self._log(outcome)
        for effect in effects:
            match effect:
                case SentSamples(sent):
                    self._samples["sent"] += sent.samples
                    self.sent_at, self._sent_at = time.time(), monotonic()
                case SetAside(parts, words):
                    await in_thread(partial(self._set_aside, parts, words, outcome), "remote-write")
                case Settled(batch):
                    await in_thread(partial(self._spool.remove, batch), "remote-write")
        if not self._triage.is_begun(part.batch):
            await in_thread(partial(self._spool.keep, part.batch), "remote-write")
        return effects

    async def _wait(self, wait: Wait) -> None:
        await asyncio.sleep(max(wait.after_s, backoff_s(wait.failures, BACKOFF_S_MIN, BACKOFF_S_MAX, self._rng)))

    def _look(self, until_ms: float, skip: int) -> Batch | None:
        return self._spool.look(skip, until_ms)

    def _body(self, part: Part) -> bytes | None:
        """Make the request for this part; None if its file is gone or damaged.

        Such samples are counted, and triage forgets their batch.
        """
        if not self._spool.holds(part.batch):  # dropped because the queue was full, and counted there
            self._triage.forget(part.batch)
            return None
        try:
            body = self._spool.read(part.batch)
            if body is None:
                self._samples["failed"] += self._triage.forget(part.batch)
                return None
            return body if part.is_whole else pack(self._parts(part, body))
        except OSError as error:
            if error.errno in PASSING:
                raise
            self._give_up(part.batch, error)
        except ValueError as error:
            self._give_up(part.batch, error)
        return None

    def _give_up(self, batch: Batch, error: Exception) -> None:
        left = self._triage.forget(batch)
        log.warning("remote write: %s of the queue cannot be read, with %d samples: %s", batch.name, left, error)
        self._samples["failed"] += left
        self._count(UNREADABLE, left, batch.name)
        self._spool.skip(batch)

    def _parts(self, part: Part, body: bytes | None = None) -> list[Any]:
        """Raises `ValueError`."""
        if self._series is None or self._series[0] != part.batch:
            found = decode(body if body is not None else self._spool.read(part.batch) or b"")
            if len(found) != part.batch.samples:
                raise ValueError(f"it holds {len(found)} series")
            self._series = part.batch, found
        return self._series[1][part.start : part.stop]

    def _set_aside(self, part: Part, words: str, outcome: Outcome) -> None:
        try:
            series = self._parts(part)
            example = named(series[-1])
        except (ValueError, OSError, IndexError):
            example = part.batch.name
        self._samples["refused"] += part.samples
        if self._count(words, part.samples, example):
            others = f" and {part.samples - 1} others" if part.samples > 1 else ""
            reason = getattr(outcome, "reason", words)
            log.warning("remote write: samples are set aside, since %s: first %s%s", reason, example, others)

    def _count(self, words: str, samples: int, example: str) -> bool:
        """Count samples that were set aside. Returns whether the reason is new."""
        reason = words if words in self.aside or len(self.aside) < REASONS_MAX else OTHER
        before = self.aside.get(reason)
        self.aside[reason] = Aside(samples + (before.samples if before else 0), example)
        return before is None

    def _log(self, outcome: Outcome) -> None:
        kind = {"Taken": "sent", "Later": "retried"}.get(type(outcome).__name__, "refused")
        self.requests[kind] += 1
        if isinstance(outcome, Later):
            self.failing = outcome.reason
            is_known = outcome.words == self._logged_words and monotonic() - self._logged_at < LOG_INTERVAL_S
            if not self._is_logged and not is_known:
                log.warning("remote write: the receiver does not take samples, they wait: %s", outcome.reason)
                self._is_logged, self._logged_words, self._logged_at = True, outcome.words, monotonic()
        else:
            self.failing = None
            if self._is_logged:
                log.warning("remote write: the receiver takes samples again")
            self._is_logged = False

    async def look_ahead(self) -> None:
        """Count the samples that are held back. The log reports when that begins and ends."""
        before = self.held
        self.held = await in_thread(partial(self._spool.samples_after, self._until_ms()), "remote-write")
        if self.held and not before:
            log.warning(
                "remote write: samples are held back, dated after the network's clock; this machine's clock is or was "
                "wrong (%+.0f s); set it: NTP",
                self._ahead_s(),
            )
        elif before and not self.held:
            log.warning("remote write: no samples are held back any more")

    def _until_ms(self) -> float:
        return (time.time() - self._ahead_s() + AHEAD_S) * 1000
