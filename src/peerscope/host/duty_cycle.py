"""How often to look, where looking is work: less often on a machine that has no time for it.

A look at the whole network takes milliseconds where a core is free, and a hundred times as long by the clock where many
wait for one. Whoever then goes on at the usual pace keeps that machine from the work that would end the crowd.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

SHARE = 0.1


class DutyCycle:
    """Of one kind of look."""

    def __init__(self, share: float = SHARE, clock: Callable[[], float] = time.monotonic) -> None:
        """`share`: part of the time that it may take, by the clock. `clock`: seconds that do not go back."""
        self._share = share
        self._clock = clock
        self._took_s = 0.0

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
        """Around the look, however it ends."""
        began = self._clock()
        try:
            yield
        finally:
            self._took_s = self._clock() - began

    def wait_s(self, usual_s: float) -> float:
        """Seconds until the next look: `usual_s`, or longer after one that took long."""
        return max(usual_s, self._took_s * (1 / self._share - 1))
