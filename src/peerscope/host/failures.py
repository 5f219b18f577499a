"""Contains the failures of an agent's periodic tasks: of the machine, its files, and records of other peers.

A failed task, for example without free file descriptors, ends nothing else. Its values are unknown, and its next run
comes as usual. Each cause is logged once an hour, and every failure is counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from random import Random
from typing import TypeVar

RESTART_INTERVAL_S = 1.0
"""Pause before a loop that failed is started again."""
SILENT_S = 3600.0
"""Time between two log lines about the same cause."""
CAUSES_MAX = 256

log = logging.getLogger(__name__)
Value = TypeVar("Value")


class FailureLog:
    """The failures of one agent."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: monotonic seconds."""
        self.failures: Counter[str] = Counter()
        """Count by name of the task."""
        self._clock = clock
        self._logged: dict[tuple[str, str], float] = {}

    @contextlib.contextmanager
    def at(self, name: str) -> Iterator[None]:
        """Contain one task: its errors are logged and counted, not raised."""
        try:
            yield
        except Exception as error:
            self.failed(name, error)

    def value(self, name: str, look: Callable[[], Value]) -> Value | None:
        """The result of a task; None if it fails."""
        with self.at(name):
            return look()
        return None

    async def going(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run an endless loop until cancelled, and start it again if it fails."""
        while True:
            with self.at(name):
                await work()
                raise RuntimeError("it ended by itself")
            await asyncio.sleep(RESTART_INTERVAL_S)

    def failed(self, name: str, error: Exception) -> None:
        """Count a failure, and log a cause that was not logged within the hour."""
        self.failures[name] += 1
        if not self._is_news((name, _cause(error))):
            return
        if isinstance(error, OSError):  # a problem of the machine: the text says enough
            log.warning("%s: %s; unknown until the next try", name, error)
        else:
            log.error("%s failed; the agent goes on without it", name, exc_info=error)

    def _is_news(self, cause: tuple[str, str]) -> bool:
        now = self._clock()
        if now < self._logged.get(cause, now):
            return False
        self._logged = {one: until for one, until in self._logged.items() if until > now}
        if len(self._logged) >= CAUSES_MAX:
            return False
        self._logged[cause] = now + SILENT_S
        return True


def backoff_s(failures: int, first_s: float, most_s: float, rng: Random) -> float:
    """Seconds to wait after some failures in a row. They double each time.

    A random part keeps the peers of a network from trying again all at once.
    """
    return min(most_s, first_s * 2.0 ** min(max(failures, 1) - 1, 16)) * rng.uniform(0.5, 1.0)


def _cause(error: Exception) -> str:
    """The part that failures of one cause share: not the file or peer that they name."""
    if isinstance(error, OSError):
        return f"OSError {error.errno}"
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    where = "" if at is None else f" {at.tb_frame.f_code.co_filename}:{at.tb_lineno}"
    return f"{type(error).__name__}{where}"
