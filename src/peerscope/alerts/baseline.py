"""What is usual here: the median of the last day, one value a minute.

A median does not follow a spike, and a day of it hardly follows an hour of trouble, so that a rise stays a rise while
it lasts.
"""

from __future__ import annotations

from collections import deque
from math import inf
from statistics import median

STEP_S = 60.0
STEPS_MIN = 10
"""Minutes with data before anything is called usual."""
STEPS_MAX = 1440
STEP_VALUES_MAX = 120


class UsualLevel:
    """One quantity's usual value. `now` is monotonic seconds."""

    def __init__(self) -> None:
        self.usual: float | None = None
        """None until it was measured in ten minutes."""
        self._minutes: deque[float] = deque(maxlen=STEPS_MAX)
        self._minute: list[float] = []
        self._ends_at = inf

    def note(self, value: float | None, now: float) -> None:
        """It was measured just now, or could not be."""
        if now >= self._ends_at:
            self._minutes.append(median(self._minute))
            self._minute, self._ends_at = [], inf
            if len(self._minutes) >= STEPS_MIN:
                self.usual = median(self._minutes)
        if value is None:
            return
        if not self._minute:
            self._ends_at = now + STEP_S
        if len(self._minute) < STEP_VALUES_MAX:
            self._minute.append(value)
