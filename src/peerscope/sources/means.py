"""Means of a node's latencies, which it exports as running sums and counts, and the last one with its age.

A node without traffic has no mean over the last few seconds. The last mean stays for ten minutes, and its age is known.

Each series counts by itself, and only if it was there at the last look too. A series may come back after a page without
it, or begin anew with the node. It must not add all messages of the node's whole life.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from peerscope.records.measures import MEASURE_US_MAX

MEAN_AGE_S_MAX = 600.0
"""After that a mean says nothing of the node any more. A guess."""
MEAN_S_MAX = MEASURE_US_MAX / 1e6


class LastMean:
    """The last known mean."""

    def __init__(self) -> None:
        self._mean_s: float | None = None
        self._at = 0.0

    def note(self, mean_s: float | None, now: float) -> None:
        """Take a mean over the time since the last look; None, or none that can be a latency, changes nothing."""
        if mean_s is not None and 0 <= mean_s <= MEAN_S_MAX:
            self._mean_s, self._at = mean_s, now

    def at(self, now: float) -> tuple[float | None, float | None]:
        """The mean, and its age; no age if it is of now, neither if it is too old."""
        if self._mean_s is None or now - self._at > MEAN_AGE_S_MAX:
            return None, None
        return self._mean_s, now - self._at or None


class RunningMean:
    """The mean over the time between two looks, from running sums and counts."""

    def __init__(self) -> None:
        self._before: Mapping[Hashable, tuple[float, float]] = {}
        self._last = LastMean()

    def note(self, totals: Mapping[Hashable, tuple[float, float]], unit_s: float, now: float) -> None:
        """Take the (sum, count) of each series."""
        gained, gained_count = 0.0, 0.0
        for series, (summed, counted) in totals.items():
            before = self._before.get(series)
            if before is not None and counted > before[1] and summed >= before[0]:
                gained += summed - before[0]
                gained_count += counted - before[1]
        self._before = dict(totals)
        self._last.note(gained * unit_s / gained_count if gained_count else None, now)

    def note_mean(self, mean_s: float | None, now: float) -> None:
        """Take a mean that the node calculates itself."""
        self._last.note(mean_s, now)

    def at(self, now: float) -> tuple[float | None, float | None]:
        """The last mean, and its age."""
        return self._last.at(now)
