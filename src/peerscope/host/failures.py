"""The one place where the looks of an agent may fail: at the machine, at its files, at what others say.

A look that fails, for want of file descriptors say, ends nothing. Its values are unknown, its next turn comes as usual,
each cause stands in the log once an hour, and every failure is counted.
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
"""Before a part that failed as a whole is started again."""
SILENT_S = 3600.0
"""For so long the same cause is not logged again."""
CAUSES_MAX = 256

log = logging.getLogger(__name__)
Value = TypeVar("Value")


class FailureLog:
    """Of one agent."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds that do not go back."""
        self.failures: Counter[str] = Counter()
        """By name of the look."""
        self._clock = clock
        self._logged: dict[tuple[str, str], float] = {}

    @contextlib.contextmanager
    def at(self, name: str) -> Iterator[None]:
        """Around one look: what it raises goes no further."""
        try:
            yield
        except Exception as error:
            self.failed(name, error)

    def value(self, name: str, look: Callable[[], Value]) -> Value | None:
        """What a look returns; None where it fails."""
        with self.at(name):
            return look()
        return None

    async def going(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do work that has no end, until cancelled: when it fails, it is started again."""
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
        if isinstance(error, OSError):  # the machine's doing, and its words say it all
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
    """What two failures of one reason share, whatever file or peer they name."""
    if isinstance(error, OSError):
        return f"OSError {error.errno}"
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    where = "" if at is None else f" {at.tb_frame.f_code.co_filename}:{at.tb_lineno}"
    return f"{type(error).__name__}{where}"
