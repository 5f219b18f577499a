"""What is usual for one peer: median and spread of what it did before, by robust means.

The median and the median absolute deviation hardly move while less than half of what they are made of is an attack.
Counts vary with their own size, and so are compared by their square roots (Anscombe 1948: then one deviation is one,
whatever the count); sizes and rates vary by factors, and so by their logarithms.

What exceeds the usual does not become usual at once: it waits until it ends, or until it has lasted so long (an hour)
that it is how things are now.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from math import log1p, sqrt
from statistics import median

from msgspec import Struct

KEPT_MAX = 1440
"""Windows remembered: a day of minutes."""
HELD_MAX = 60
"""An hour of minutes."""
SIGMA = 1.4826
"""Standard deviations in one median absolute deviation, of a normal distribution."""
COUNT_SPREAD = 1.0
FACTOR_SPREAD = 0.1
"""Nothing is steadier than this: a peer that did the very same for ten minutes may do a tenth more in the next."""


class Compared(Struct, frozen=True):
    """A value beside what is usual."""

    usual: float
    """The median."""
    times: float
    """The value in multiples of it."""
    deviations: float
    """How many robust standard deviations the value lies above it."""
    high: float
    """What one window in a hundred exceeded."""
    windows: int
    """How many the baseline is made of."""


class Baseline:
    """The windows of the last day, of one signal of one peer."""

    def __init__(self, *, is_count: bool) -> None:
        self._is_count = is_count
        self._values: deque[float] = deque()
        self._sorted: list[float] = []
        self._held: list[float] = []

    def __len__(self) -> int:
        return len(self._values)

    def add(self, value: float) -> None:
        """One more window that was as usual; those held back before it turn out to have been a burst."""
        for one in (*self._held, value):
            self._keep(one)
        self._held.clear()

    def hold(self, value: float) -> None:
        """One window that exceeded the usual; after an hour of them they are the usual."""
        self._held.append(value)
        if len(self._held) >= HELD_MAX:
            for one in self._held:
                self._keep(one)
            self._held.clear()

    def compare(self, value: float) -> Compared | None:
        """None where nothing is known yet."""
        if not self._sorted:
            return None
        usual = median(self._sorted)
        scaled = sorted(abs(self._scale(one) - self._scale(usual)) for one in self._sorted)
        spread = max(SIGMA * median(scaled), COUNT_SPREAD if self._is_count else FACTOR_SPREAD)
        return Compared(
            usual=usual,
            times=value / usual if usual else float("inf") if value else 1.0,
            deviations=(self._scale(value) - self._scale(usual)) / spread,
            high=self._sorted[min(len(self._sorted) - 1, len(self._sorted) * 99 // 100)],
            windows=len(self._sorted),
        )

    def _scale(self, value: float) -> float:
        return 2 * sqrt(value + 0.375) if self._is_count else log1p(value)

    def _keep(self, value: float) -> None:
        if len(self._values) >= KEPT_MAX:
            del self._sorted[bisect_left(self._sorted, self._values.popleft())]
        self._values.append(value)
        insort(self._sorted, value)
