"""Asks one source in turns, limits its time, and validates its answers.

A source is foreign code that talks to a foreign program. It runs in a thread with an event loop of its own, so that a
source that blocks holds up only itself. After any failure the values are unknown and the check gives the reason. The
next attempt follows after half an interval to an interval, and the pauses double up to a minute.
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
from msgspec.structs import astuple, replace

from peerscope.errors import NotYetError, PeerscopeError, SourceError
from peerscope.host.clock import monotonic
from peerscope.host.failures import backoff_s
from peerscope.mesh.detection.checks import MESSAGE_MAX, failed, printable
from peerscope.records.bodies import OVERLAY_MAX, Check, OverlayLink, Status
from peerscope.records.measures import COUNT_MAX, Measure, NodeMetrics
from peerscope.sources.base import Reading, Source
from peerscope.sources.faults import fault
from peerscope.sources.mapping import AMOUNT_MAX
from peerscope.sources.neighbours import RTT_US_MAX, is_overlay_id, refusing
from peerscope.sources.place import shown

BACKOFF_S_MAX = 60.0
CLOSE_S = 1.0
LOOP_DESCRIPTORS = 3
ANSWERS = Check(Status.HEALTHY)

log = logging.getLogger(__name__)


class Attachment:
    """One source, as the agent sees it."""

    def __init__(self, name: str, source: Source, *, interval_s: float, limit_s: float, rng: Random) -> None:
        """`name`: its spec. `interval_s`: between requests while it answers. `limit_s`: time for each request."""
        self.name = shown(name)
        """For people."""
        self.failures = 0
        """Failures in a row, up to now."""
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
        """The name without the argument."""
        return self.name.partition(":")[0]

    def current(self) -> Reading | None:
        """The last answer; None before the first, and from a failure until the next answer."""
        return self._reading

    def check(self) -> Check | None:
        """Whether the source answers, and if not why. None before the first answer or failure."""
        return self._check

    async def run(self) -> None:
        """Ask until cancelled, then close the source."""
        while self._loop is None:
            try:
                self._loop = _loop_in_thread(f"source {self.name}")
            except (OSError, RuntimeError) as error:  # the system has no file descriptors or no threads left
                self._failed(f"cannot be asked: {error}")
                await asyncio.sleep(self._wait_s())
        try:
            while True:
                await self._turn()
                await asyncio.sleep(self._wait_s())
        finally:
            loop, self._loop = self._loop, None
            await self._close(loop)

    async def once(self) -> Reading:
        """Ask one time, and close the source. Raises `SourceError`."""
        try:
            self._loop = loop = _loop_in_thread(f"source {self.name}")
        except (OSError, RuntimeError) as error:
            raise SourceError(f"cannot be asked: {error}") from None
        try:
            return await self._ask()
        finally:
            self._loop = None
            await self._close(loop)

    async def _turn(self) -> None:
        try:
            reading = await self._ask()
        except NotYetError as error:
            self._reading, self._check = None, failed(str(error))
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
        """Ask once. Raises `SourceError` for any failure."""
        assert self._loop is not None
        if self._asked is None or self._asked.done():  # never ask a source that still hangs
            self._asked = asyncio.run_coroutine_threadsafe(_read(self._source), self._loop)
        waiting = asyncio.wrap_future(self._asked)
        waiting.add_done_callback(_look_at)
        done, _ = await asyncio.wait({waiting}, timeout=self._limit_s)
        if not done:
            self._asked.cancel()  # a source that waits in asyncio ends, and can be asked again
            raise SourceError(f"has not answered for {self._limit_s:g} s")
        try:
            return _checked(waiting.result())
        except asyncio.CancelledError:
            raise SourceError("the source gave up by itself") from None

    async def _close(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close the source. The thread of a source that hangs ends with the process."""
        closing = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_close(self._source), loop))
        closing.add_done_callback(_look_at)
        await asyncio.wait({closing}, timeout=CLOSE_S)


def _checked(answer: object) -> Reading:
    """Validate the types of an answer. A number out of range is unknown, a neighbour without a valid name left out."""
    if not isinstance(answer, Reading):
        raise SourceError(f"answered {type(answer).__name__} instead of a Reading")
    try:
        return msgspec.convert(msgspec.to_builtins(_bounded(answer)), Reading)
    except Exception as error:  # any part may have any type
        raise SourceError(f"answered nonsense: {fault(error)}") from None


def _bounded(answer: Reading) -> Reading:
    """The same with numbers in range. Strangers may choose the names of neighbours, so no name spoils the others."""
    links = [link for link in answer.overlay if not isinstance(link.node, str) or is_overlay_id(link.node)]
    details = refusing(answer.details, len(answer.overlay) - len(links))
    return replace(
        answer,
        metrics=NodeMetrics(*(_in_range(value, 0, COUNT_MAX) for value in astuple(answer.metrics))),
        overlay=tuple(OverlayLink(one.node, _in_range(one.rtt_us, 0, RTT_US_MAX)) for one in links[:OVERLAY_MAX]),
        measures=tuple(replace(one, value=_amount(one)) for one in answer.measures),
        details=details,
    )


def _amount(one: Measure) -> Any:
    if isinstance(one.value, float):
        return _in_range(one.value, 0.0 if one.is_counter else -AMOUNT_MAX, AMOUNT_MAX)
    return _in_range(one.value, 0 if one.is_counter else -COUNT_MAX, COUNT_MAX)


def _in_range(value: Any, least: float, most: float) -> Any:
    """None for a number out of range, NaN included; anything else unchanged."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return None if is_number and not least <= value <= most else value


async def _read(source: Source) -> Reading:
    try:
        return await source.read()
    except NotYetError:
        raise
    except PeerscopeError as error:
        raise SourceError(str(error) or type(error).__name__) from None
    except asyncio.CancelledError:
        raise
    except (Exception, SystemExit) as error:  # SystemExit would end the loop of the source
        log.debug("a source failed", exc_info=error)
        raise SourceError(f"failed: {type(error).__name__}: {error}") from None


async def _close(source: Source) -> None:
    """Cancel the tasks of a source, close it, and end its loop."""
    if at_work := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in at_work:
            task.cancel()
        await asyncio.wait(at_work, timeout=CLOSE_S)
    try:
        await source.close()
    except (Exception, SystemExit) as error:
        log.debug("a source failed to close", exc_info=error)
    loop = asyncio.get_running_loop()
    loop.call_soon(loop.stop)  # not at once: the result of this call must still reach the caller


def _look_at(future: asyncio.Future[Any]) -> None:
    """Read the error of a late answer, so that asyncio does not log it."""
    if not future.cancelled():
        future.exception()


def _loop_in_thread(name: str) -> asyncio.AbstractEventLoop:
    """Start an event loop in a thread. Raises OSError and RuntimeError without free descriptors and threads."""
    with contextlib.ExitStack() as room:  # a loop that gets only some of its descriptors writes to standard error
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
