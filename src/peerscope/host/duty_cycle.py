"""Limits the share of time for expensive reviews: on a busy machine they run less often.

A review of the whole network takes milliseconds on a free core, and a hundred times as long on a crowded one. At the
usual rate it would then keep the machine from the work that relieves it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

SHARE = 0.1


class DutyCycle:
    """The duty cycle of one kind of review."""

    def __init__(self, share: float = SHARE, clock: Callable[[], float] = time.monotonic) -> None:
        """`share`: largest share of wall time. `clock`: monotonic seconds."""
        self._share = share
        self._clock = clock
        self._took_s = 0.0

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
        """Measure one review, also if it fails."""
        began = self._clock()
        try:
            yield
        finally:
            self._took_s = self._clock() - began

    def wait_s(self, usual_s: float) -> float:
        """Seconds until the next review: `usual_s`, or more after a long one."""
        return max(usual_s, self._took_s * (1 / self._share - 1))
