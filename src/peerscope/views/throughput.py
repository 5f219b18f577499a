"""Messages and bytes per second: now, by second for five minutes, by minute for an hour.

Counting adds to running totals only. A ring keeps the totals at each full second, another one at each full minute. A
rate is the difference of two totals over the time between them. So the cost of counting does not depend on the rings,
and a quiet time is a row of equal totals. The running second and minute count with the part of them that has passed.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise, repeat

from msgspec import Struct

SECONDS = 300
MINUTES = 60
CURRENT_S = 10
"""The current rate is over so many full seconds and the running one."""

Totals = tuple[int, int, int, int]
"""Messages in, bytes in, messages out, bytes out."""
ZERO: Totals = (0, 0, 0, 0)


class Rate(Struct, frozen=True):
    """Traffic per second, each way."""

    messages_in_s: float
    bytes_in_s: float
    messages_out_s: float
    bytes_out_s: float


class RateSeries(Struct, frozen=True):
    """Rates of equal steps, oldest first; the last step still runs. They are null before counting began."""

    step_s: int
    messages_in_s: tuple[float | None, ...]
    bytes_in_s: tuple[float | None, ...]
    messages_out_s: tuple[float | None, ...]
    bytes_out_s: tuple[float | None, ...]


class ThroughputView(Struct, frozen=True):
    """Totals and rates of one kind of traffic."""

    observed_s: float
    """Time since counting began."""
    messages_in: int
    bytes_in: int
    messages_out: int
    bytes_out: int
    current: Rate | None
    """Over the last ten seconds, or since counting began; null at the very beginning."""
    seconds: RateSeries
    minutes: RateSeries


class Throughput:
    """Counts one kind of traffic. Times are monotonic; a past one counts as the running second."""

    __slots__ = (
        "_began",
        "_minutes",
        "_seconds",
        "_turn_at",
        "_whole",
        "bytes_in",
        "bytes_out",
        "messages_in",
        "messages_out",
    )

    def __init__(self, now: float) -> None:
        self._began = now
        self._whole = 0
        """Full seconds since counting began."""
        self._turn_at = now + 1.0
        """End of the running second."""
        self._seconds: deque[Totals] = deque([ZERO], maxlen=SECONDS)
        self._minutes: deque[Totals] = deque([ZERO], maxlen=MINUTES)
        """Totals at the beginning of each step, the running one last."""
        self.messages_in = self.bytes_in = self.messages_out = self.bytes_out = 0

    def record(self, now: float, size_bytes: int, *, sent: bool = False, messages: int = 1) -> None:
        """Count one message in or out, or several of so many bytes together."""
        if now >= self._turn_at:
            self._turn(now)
        if sent:
            self.messages_out += messages
            self.bytes_out += size_bytes
        else:
            self.messages_in += messages
            self.bytes_in += size_bytes

    def rate(self, now: float, over_s: int = CURRENT_S) -> Rate | None:
        """Rate over the last so many full seconds and the running one, if there were as many; None at the beginning."""
        now = self._reached(now)
        back = min(over_s, self._whole, SECONDS - 1)
        observed_s = now - (self._turn_at - 1.0 - back)
        if observed_s <= 0:
            return None
        return Rate(*_per_second(self._seconds[-1 - back], self._totals(), observed_s))

    def view(self, now: float) -> ThroughputView:
        """All totals and rates at this time."""
        now = self._reached(now)
        running_s = now - (self._turn_at - 1.0)
        return ThroughputView(
            now - self._began,
            *self._totals(),
            current=self.rate(now),
            seconds=self._series(self._seconds, SECONDS, 1, running_s),
            minutes=self._series(self._minutes, MINUTES, 60, self._whole % 60 + running_s),
        )

    def _series(self, ring: deque[Totals], steps: int, step_s: int, running_s: float) -> RateSeries:
        rates: list[tuple[float | None, ...]] = [(None,) * 4] * (steps - len(ring))
        rates += (_per_second(earlier, later, step_s) for earlier, later in pairwise(ring))
        rates.append(_per_second(ring[-1], self._totals(), running_s) if running_s > 0 else (None,) * 4)
        return RateSeries(step_s, *zip(*rates, strict=True))

    def _reached(self, now: float) -> float:
        """Advance the rings to this time, and return it, but never a time before the running second."""
        if now >= self._turn_at:
            self._turn(now)
        return max(now, self._turn_at - 1.0)

    def _turn(self, now: float) -> None:
        """Record the end of one or more seconds. Nothing was counted after the first, so all have equal totals."""
        passed = int(now - self._turn_at) + 1
        totals, minutes = self._totals(), (self._whole + passed) // 60 - self._whole // 60
        self._seconds.extend(repeat(totals, min(passed, SECONDS)))
        self._minutes.extend(repeat(totals, min(minutes, MINUTES)))
        self._whole += passed
        self._turn_at = self._began + self._whole + 1

    def _totals(self) -> Totals:
        return self.messages_in, self.bytes_in, self.messages_out, self.bytes_out


def _per_second(earlier: Totals, later: Totals, seconds: float) -> tuple[float, ...]:
    return tuple((after - before) / seconds for before, after in zip(earlier, later, strict=True))
