"""Messages and bytes per second: now, by second for five minutes, by minute for an hour.

Only running totals are counted. At each full second, and at each full minute, the totals of that moment are kept in a
ring; any rate is the difference of two totals over the time that lies between them. So counting costs the same
whatever the rings hold, a quiet time is a row of equal totals, and the second and the minute that still run are divided
by the part of them that has passed.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise, repeat

from msgspec import Struct

SECONDS = 300
MINUTES = 60
CURRENT_S = 10
"""The current rate is that of so many full seconds and the one that runs."""

Totals = tuple[int, int, int, int]
"""Messages in, bytes in, messages out, bytes out."""
ZERO: Totals = (0, 0, 0, 0)


class Rate(Struct, frozen=True):
    """How much goes each way in a second."""

    messages_in_s: float
    bytes_in_s: float
    messages_out_s: float
    bytes_out_s: float


class RateSeries(Struct, frozen=True):
    """Rates of equal steps, oldest first; the last step still runs. null before counting began."""

    step_s: int
    messages_in_s: tuple[float | None, ...]
    bytes_in_s: tuple[float | None, ...]
    messages_out_s: tuple[float | None, ...]
    bytes_out_s: tuple[float | None, ...]


class ThroughputView(Struct, frozen=True):
    """What one kind of traffic amounts to."""

    observed_s: float
    """How long it has been counted."""
    messages_in: int
    bytes_in: int
    messages_out: int
    bytes_out: int
    """Since then."""
    current: Rate | None
    """Over the last ten seconds, or since counting began; null at the very beginning."""
    seconds: RateSeries
    minutes: RateSeries


class Throughput:
    """Counts one kind of traffic. Times are monotonic; one that lies in the past counts as the running second."""

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
        """Full seconds since then."""
        self._turn_at = now + 1.0
        """End of the running second."""
        self._seconds: deque[Totals] = deque([ZERO], maxlen=SECONDS)
        self._minutes: deque[Totals] = deque([ZERO], maxlen=MINUTES)
        """Totals at the beginning of each step, the running one last."""
        self.messages_in = self.bytes_in = self.messages_out = self.bytes_out = 0

    def record(self, now: float, size_bytes: int, *, sent: bool = False, messages: int = 1) -> None:
        """Count a message, or several of so many bytes together, that came in or was `sent`."""
        if now >= self._turn_at:
            self._turn(now)
        if sent:
            self.messages_out += messages
            self.bytes_out += size_bytes
        else:
            self.messages_in += messages
            self.bytes_in += size_bytes

    def rate(self, now: float, over_s: int = CURRENT_S) -> Rate | None:
        """Over the last so many full seconds and the running one, or as long as there was; None before any time."""
        now = self._reached(now)
        back = min(over_s, self._whole, SECONDS - 1)
        observed_s = now - (self._turn_at - 1.0 - back)
        if observed_s <= 0:
            return None
        return Rate(*_per_second(self._seconds[-1 - back], self._totals(), observed_s))

    def view(self, now: float) -> ThroughputView:
        """Everything, at this time."""
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
        """Let the rings reach this time; the time itself, never before the running second."""
        if now >= self._turn_at:
            self._turn(now)
        return max(now, self._turn_at - 1.0)

    def _turn(self, now: float) -> None:
        """One or more seconds are full. Nothing was counted after the first of them, so they all end alike."""
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
