"""Stands between one source and the agent: asks it in turn, bounds its time, believes nothing.

A source is somebody else's code that talks to somebody else's program. It runs in a thread with an event loop of its
own, so that one that blocks holds up nothing but itself. Whatever goes wrong, the values are unknown from then on, the
check says why, and the source is asked again: after half an interval to an interval, then twice that, up to a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from concurrent.futures import Future
from random import Random
from typing import Any

import msgspec

from peerscope.errors import PeerscopeError, SourceError
from peerscope.host.clock import monotonic
from peerscope.host.failures import backoff_s
from peerscope.mesh.detection.checks import MESSAGE_MAX, printable
from peerscope.records.bodies import OVERLAY_MAX, Check, Status
from peerscope.sources.base import Reading, Source

BACKOFF_S_MAX = 60.0
CLOSE_S = 1.0
LOOP_DESCRIPTORS = 3
ANSWERS = Check(Status.HEALTHY)

log = logging.getLogger(__name__)


class Attachment:
    """One source, as the agent sees it."""

    def __init__(self, name: str, source: Source, *, interval_s: float, limit_s: float, rng: Random) -> None:
        """`name`: for people. `interval_s`: between questions while it answers; `limit_s`: what each may take."""
        self.name = name
        self.failures = 0
        """In a row, up to now."""
        self.answered_at: float | None = None
        """Monotonic time of the last answer."""
        self._source = source
        self._interval_s = interval_s
        self._limit_s = limit_s
        self._rng = rng
        self._reading: Reading | None = None
        self._check: Check | None = None
        self._asked: Future[Reading] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def kind(self) -> str:
        """Its name without the argument."""
        return self.name.partition(":")[0]

    def current(self) -> Reading | None:
        """The last answer; None before the first, and from a failure until the next."""
        return self._reading

    def check(self) -> Check | None:
        """Whether it answers, and if not why. None before the first question was answered, or failed."""
        return self._check

    async def run(self) -> None:
        """Ask until cancelled, then let the source go."""
        while self._loop is None:
            try:
                self._loop = _loop_in_thread(f"source {self.name}")
            except (OSError, RuntimeError) as error:  # no file descriptors, or no threads, are to be had
                self._failed(f"cannot be asked: {error}")
                await asyncio.sleep(self._wait_s())
        try:
            while True:
                await self._turn()
                await asyncio.sleep(self._wait_s())
        finally:
            loop, self._loop = self._loop, None
            await self._close(loop)

    async def _turn(self) -> None:
        try:
            reading = await self._ask()
        except SourceError as error:
            self._failed(str(error))
        else:
            if self.failures:
                log.info("source %s answers again", self.name)
            self._reading, self._check, self.failures = reading, ANSWERS, 0
            self.answered_at = monotonic()

    def _failed(self, reason: str) -> None:
        if not self.failures:
            log.warning("source %s: %s", self.name, reason)
        self.failures += 1
        self._reading = None
        self._check = Check(Status.UNHEALTHY, None, printable(reason)[:MESSAGE_MAX])

    def _wait_s(self) -> float:
        if not self.failures:
            return self._interval_s
        return backoff_s(self.failures, self._interval_s, BACKOFF_S_MAX, self._rng)

    async def _ask(self) -> Reading:
        """Raises `SourceError`, whatever happened."""
        assert self._loop is not None
        if self._asked is None or self._asked.done():  # one that hangs is not asked twice at a time
            self._asked = asyncio.run_coroutine_threadsafe(_read(self._source), self._loop)
        waiting = asyncio.wrap_future(self._asked)
        waiting.add_done_callback(_look_at)
        done, _ = await asyncio.wait({waiting}, timeout=self._limit_s)
        if not done:
            self._asked.cancel()  # a source that waits properly ends by this, and can be asked anew
            raise SourceError(f"has not answered for {self._limit_s:g} s")
        try:
            return _checked(waiting.result())
        except asyncio.CancelledError:
            raise SourceError("the source gave up by itself") from None

    async def _close(self, loop: asyncio.AbstractEventLoop) -> None:
        """As far as it lets us: the thread of one that hangs ends with the process."""
        closing = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_close(self._source), loop))
        closing.add_done_callback(_look_at)
        await asyncio.wait({closing}, timeout=CLOSE_S)


def _checked(answer: object) -> Reading:
    """The reading, if it is one and keeps to its limits; a longer list of neighbours is cut."""
    if not isinstance(answer, Reading):
        raise SourceError(f"answered {type(answer).__name__} instead of a Reading")
    try:
        shorter = msgspec.structs.replace(answer, overlay=tuple(answer.overlay)[:OVERLAY_MAX])
        return msgspec.convert(msgspec.to_builtins(shorter), Reading)
    except Exception as error:  # its parts may be anything
        raise SourceError(f"answered nonsense: {error}") from None


async def _read(source: Source) -> Reading:
    try:
        return await source.read()
    except PeerscopeError as error:
        raise SourceError(str(error) or type(error).__name__) from None
    except asyncio.CancelledError:
        raise
    except (Exception, SystemExit) as error:  # SystemExit would end the loop that we ask in
        log.debug("a source failed", exc_info=error)
        raise SourceError(f"failed: {type(error).__name__}: {error}") from None


async def _close(source: Source) -> None:
    """End what it still does, close it, and end its loop."""
    if at_work := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in at_work:
            task.cancel()
        await asyncio.wait(at_work, timeout=CLOSE_S)
    try:
        await source.close()
    except (Exception, SystemExit) as error:
        log.debug("a source failed to close", exc_info=error)
    loop = asyncio.get_running_loop()
    loop.call_soon(loop.stop)  # not at once: whoever waits for us must still be told that we are done


def _look_at(future: asyncio.Future[Any]) -> None:
    """An answer that came too late is nobody's any more, and asyncio complains of errors that nobody looked at."""
    if not future.cancelled():
        future.exception()


def _loop_in_thread(name: str) -> asyncio.AbstractEventLoop:
    """Raises OSError and RuntimeError where no descriptors and no threads are to be had."""
    with contextlib.ExitStack() as room:  # a loop that gets only some of its descriptors complains on standard error
        for _ in range(LOOP_DESCRIPTORS):
            room.enter_context(open(os.devnull, "rb"))
    loop = asyncio.new_event_loop()

    def work() -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            loop.close()

    try:
        threading.Thread(target=work, name=name, daemon=True).start()
    except RuntimeError:
        loop.close()
        raise
    return loop
