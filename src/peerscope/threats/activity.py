"""Recent activity of the monitored node: counters over time, which give the sums of any window.

Every five seconds the running totals are stored, for an hour. The sum of a window is the difference of two of them. So
it costs the same for windows of any length and activity.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from math import isfinite

from msgspec import Struct

from peerscope.records.measures import COUNT_MAX

STEP_S = 5.0
WINDOW_S_MAX = 3600.0
STEPS_MAX = int(WINDOW_S_MAX / STEP_S) + 2
COUNTERS = (
    "opened",
    "closed",
    "messages",
    "bytes",
    "errors",
    "puts",
    "lookups",
    "judged",
    "inconsistent",
    "forged",
    "replayed",
)
_INDEX = {name: index for index, name in enumerate(COUNTERS)}


class Sums(Struct, frozen=True):
    """Activity in one window."""

    seconds: float
    opened: float = 0
    closed: float = 0
    messages: float = 0
    bytes: float = 0
    errors: float = 0
    puts: float = 0
    lookups: float = 0
    judged: float = 0
    """Lookups with a known answer to whether all nodes returned the same."""
    inconsistent: float = 0
    """Lookups whose nodes returned different values."""
    forged: float = 0
    """Records of other peers with a wrong signature."""
    replayed: float = 0
    """Records older than ours."""


class Signal(Struct, frozen=True):
    """A number that signatures can test."""

    value: Callable[[Sums], float | None]
    """None without any activity to compute it from."""
    samples: Callable[[Sums], float]
    """Number of events behind it."""
    is_count: bool = False
    unit: str = ""


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


SIGNALS: dict[str, Signal] = {
    "connections_opened": Signal(lambda s: s.opened, lambda s: s.opened, True, "new connections"),
    "connection_events": Signal(
        lambda s: s.opened + s.closed, lambda s: s.opened + s.closed, True, "connections opened and closed"
    ),
    "dht_puts": Signal(lambda s: s.puts, lambda s: s.puts, True, "puts"),
    "dht_lookups": Signal(lambda s: s.lookups, lambda s: s.lookups, True, "lookups"),
    "messages": Signal(lambda s: s.messages, lambda s: s.messages, True, "messages"),
    "message_bytes_mean": Signal(lambda s: _ratio(s.bytes, s.messages), lambda s: s.messages, unit="bytes a message"),
    "throughput_bytes_s": Signal(
        lambda s: s.bytes / s.seconds if s.messages else None, lambda s: s.messages, unit="bytes/s"
    ),
    "error_ratio": Signal(lambda s: _ratio(s.errors, s.messages), lambda s: s.messages, unit="of messages failed"),
    "inconsistent_ratio": Signal(
        lambda s: _ratio(s.inconsistent, s.judged), lambda s: s.judged, unit="of lookups with values that differ"
    ),
    "forged_records": Signal(lambda s: s.forged, lambda s: s.forged, True, "records with a wrong signature"),
    "replayed_records": Signal(lambda s: s.replayed, lambda s: s.replayed, True, "records older than ours"),
}


class Activity:
    """Running totals, stored every five seconds for an hour."""

    def __init__(self, now: float) -> None:
        self.since = now
        """When counting began."""
        self._totals = [0.0] * len(COUNTERS)
        # Only steps with activity: the step, and the totals at its beginning.
        self._steps = [int(now // STEP_S)]
        self._marks: list[tuple[float, ...]] = [tuple(self._totals)]

    def count(self, now: float, **amounts: float) -> None:
        """Add amounts to `COUNTERS`. Amounts that are not positive and finite are ignored."""
        step = int(now // STEP_S)
        if step > self._steps[-1]:
            self._steps.append(step)
            self._marks.append(tuple(self._totals))
            if len(self._steps) > 2 * STEPS_MAX:
                del self._steps[:STEPS_MAX], self._marks[:STEPS_MAX]
        for name, amount in amounts.items():
            if isfinite(amount) and amount > 0:
                self._totals[_INDEX[name]] += min(amount, COUNT_MAX)

    def sums(self, window_s: float, now: float) -> Sums:
        """Activity in the last `window_s` seconds, interpolated within the first step."""
        begins = (now - window_s) / STEP_S
        first = int(begins // 1)
        at, after = self._totals_at(first), self._totals_at(first + 1)
        outside = [old + (begins - first) * (new - old) for old, new in zip(at, after, strict=True)]
        return Sums(window_s, *(round(new - old, 6) for new, old in zip(self._totals, outside, strict=True)))

    def _totals_at(self, first: int) -> Sequence[float]:
        """The totals at the beginning of a step."""
        at = bisect_left(self._steps, first)
        return self._marks[at] if at < len(self._steps) else self._totals
