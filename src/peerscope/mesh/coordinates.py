"""Network coordinates: the round-trip time between any two peers, also those that never measured it.

Vivaldi with height (Dabek, Cox, Kaashoek, Morris: "Vivaldi: a decentralized network coordinate system", 2004): a peer's
place is a point in a small Euclidean space plus a height for its access line. Between any two peers stands a spring as
long as the time they measured; each measurement moves a peer a little towards where its springs are at rest, further
the less it trusts itself and the more it trusts the other. The constants, the filter of latencies and the adjustment
are those of Serf's `coordinate` package.

Two things differ, since our peers ping a few fixed neighbours and not everybody in turn, and since some lie:

- Four measured pairs per peer leave the springs too loose: neighbours fit and strangers do not (`visits.py`).
- A measurement that misses by much more than a peer's measurements usually do counts for little, and one that misses
  by far more for nothing. The pull of a liar among honest neighbours does not grow with the lie: it ends.
"""

from __future__ import annotations

from collections import deque
from math import dist, hypot, sqrt
from random import Random
from statistics import median

from msgspec import Struct

from peerscope.errors import ConfigError, RemoteError
from peerscope.records.bodies import DIMENSIONS_MAX, RATIO_ONE, Coordinate

RTT_S_MAX = 10.0
"""Nothing on earth takes longer; a coordinate that predicts more is a lie."""
ERROR_MAX = 1.5
HEIGHT_S_MIN = 10e-6
PACE = 0.25
"""Share of the way that a peer which trusts itself not at all goes with one measurement (the paper's c_c and c_e)."""
FILTER = 3
"""Round trips per neighbour of which the median counts: one that was held up does not."""
WINDOW = 20
"""Measurements over which the adjustment is the mean."""
MISFIT_S_FIRST = 0.25
MISFIT_PACE = 0.05
GRAVITY = 1e-4
"""Share of its way to the origin that each step also goes: springs alone would let the whole network drift."""
COUNTS = 2.0
"""How many times the usual misfit a measurement may count for at most."""
ABSURD = 6.0
"""A measurement that misses by so many times the usual misfit moves nothing. It makes the usual misfit grow, though:
where all misses are large, since we ourselves have moved, they count again after some seconds."""
MOVED_S = 0.0005
MOVED_RATIO = 0.05
"""A coordinate is told again once it moved by half a millisecond, or its error by a twentieth."""


class CoordinateConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The space of latencies, and how a peer finds its place in it."""

    dimensions: int = 4
    """Of the space, beside the height. All peers of a network need the same: places in other spaces are refused."""
    visit_interval_s: float = 5.0
    """Between visits to random peers in the first minutes; 0 for none. Lower finds the place sooner."""
    visit_interval_s_max: float = 60.0
    """Between visits later on. Each is one connection of a few pings."""

    def __post_init__(self) -> None:
        if not 2 <= self.dimensions <= DIMENSIONS_MAX:
            raise ConfigError(f"coordinates.dimensions is {self.dimensions}; must lie between 2 and {DIMENSIONS_MAX}")
        if self.visit_interval_s and not 0.5 <= self.visit_interval_s <= 86_400:
            raise ConfigError(
                f"coordinates.visit_interval_s is {self.visit_interval_s}; must lie between 0.5 and 86400, or be 0"
            )
        if not self.visit_interval_s <= self.visit_interval_s_max <= 86_400:
            raise ConfigError(
                f"coordinates.visit_interval_s_max is {self.visit_interval_s_max}; must lie between "
                f"coordinates.visit_interval_s {self.visit_interval_s} and 86400"
            )


def estimate_s(one: Coordinate, other: Coordinate) -> float | None:
    """Seconds of round-trip time between two places; None where their spaces differ.

    The adjustments count only while they leave a positive time (Serf's `coordinate` package does the same).
    """
    if len(one.vector_us) != len(other.vector_us):
        return None
    plain_us = dist(one.vector_us, other.vector_us) + one.height_us + other.height_us
    adjusted_us = plain_us + one.adjustment_us + other.adjustment_us
    return (adjusted_us if adjusted_us > 0 else plain_us) / 1e6


class Landmark:
    """What a peer keeps of one neighbour to find its own place by. Lives as long as their link."""

    __slots__ = ("_rtts_s", "_told", "_untold", "coordinate")

    def __init__(self) -> None:
        self.coordinate: Coordinate | None = None
        """Where the neighbour said it is."""
        self._rtts_s: deque[float] = deque(maxlen=FILTER)
        self._told: Coordinate | None = None
        self._untold = 0

    def filtered_s(self, rtt_s: float) -> float:
        """The median of the last round trips, with this one."""
        self._rtts_s.append(rtt_s)
        return median(self._rtts_s)

    def news(self, ours: Coordinate | None) -> Coordinate | None:
        """Our coordinate if the neighbour needs to hear it: it moved, or the datagram may have been lost."""
        self._untold += 1
        if ours is self._told and self._untold < 16:
            return None
        self._told, self._untold = ours, 0
        return ours


class Coordinates:
    """This peer's own place. All times in seconds."""

    def __init__(self, config: CoordinateConfig, rng: Random) -> None:
        self._rng = rng
        self._vector_s = [0.0] * config.dimensions
        self._height_s = HEIGHT_S_MIN
        self._error = ERROR_MAX
        self._misses_s: deque[float] = deque(maxlen=WINDOW)
        self._misfit_s = MISFIT_S_FIRST
        self._current: Coordinate | None = None

    def current(self) -> Coordinate | None:
        """Our place, in whole microseconds; None before the first measurement. The same object until it moved."""
        if not self._misses_s:
            return None
        told = self._current
        if told is None or self._has_moved(told):
            self._current = Coordinate(
                tuple([round(x * 1e6) for x in self._vector_s]),
                round(self._height_s * 1e6),
                round(self._error * RATIO_ONE),
                round(sum(self._misses_s) / len(self._misses_s) / 2 * 1e6),
            )
        return self._current

    def observed(self, landmark: Landmark, theirs: Coordinate | None, rtt_s: float | None) -> None:
        """Take in what one exchange brought: where a neighbour is, if it said so, and how long the way there took.

        Raises `RemoteError` ("impossible-coordinate", "impossible-rtt") and stays where it is if that cannot be.
        """
        if theirs is not None:
            self._check(theirs)
            landmark.coordinate = theirs
        if not rtt_s:  # zero is too short for the clock that measured it, and says nothing
            return
        if not 0.0 < rtt_s <= RTT_S_MAX:
            raise RemoteError("impossible-rtt", f"{rtt_s} s; must be above 0 and at most {RTT_S_MAX:g}")
        filtered_s = landmark.filtered_s(rtt_s)
        if landmark.coordinate is not None:
            self._move(landmark.coordinate, filtered_s)

    def _check(self, theirs: Coordinate) -> None:
        if len(theirs.vector_us) != len(self._vector_s):
            dimensions = f"{len(theirs.vector_us)} dimensions; ours is a space of {len(self._vector_s)}"
            raise RemoteError("impossible-coordinate", dimensions)
        far_us = hypot(*theirs.vector_us) + theirs.height_us + abs(theirs.adjustment_us)
        if far_us > RTT_S_MAX * 1e6:  # gravity keeps the middle of a network near the origin
            raise RemoteError("impossible-coordinate", f"{far_us / 1e6:.1f} s from the origin; at most {RTT_S_MAX:g}")

    def _move(self, theirs: Coordinate, rtt_s: float) -> None:
        """One step of Vivaldi (section 3.5 and 5.4 of the paper)."""
        vector_s = [x / 1e6 for x in theirs.vector_us]
        height_s = max(theirs.height_us / 1e6, HEIGHT_S_MIN)
        distance_s = dist(self._vector_s, vector_s)
        miss_s = rtt_s - (distance_s + self._height_s + height_s)
        is_absurd = abs(miss_s) > ABSURD * self._misfit_s
        most_s = COUNTS * self._misfit_s
        miss_s = max(-most_s, min(most_s, miss_s))
        self._misfit_s += (abs(miss_s) - self._misfit_s) * MISFIT_PACE
        if is_absurd:
            return
        self._misses_s.append(miss_s)

        weight = self._error / (self._error + max(theirs.error / RATIO_ONE, 1e-6))
        self._error += (min(abs(miss_s) / rtt_s, ERROR_MAX) - self._error) * PACE * weight

        step_s = PACE * weight * miss_s
        away = self._away_from(vector_s, distance_s)
        kept = 1 - GRAVITY
        self._vector_s = [x * kept + step_s * unit for x, unit in zip(self._vector_s, away, strict=True)]
        if distance_s > 0:  # the step is shared out between the plane and the heights as the prediction is
            raised_s = self._height_s + (self._height_s + height_s) * step_s / distance_s
            self._height_s = max(HEIGHT_S_MIN, min(raised_s, self._height_s + abs(step_s)))

    def _away_from(self, vector_s: list[float], distance_s: float) -> list[float]:
        """The unit vector from there to here; any direction where both stand on the same spot."""
        if distance_s > 1e-9:
            return [(x - y) / distance_s for x, y in zip(self._vector_s, vector_s, strict=True)]
        drawn = [self._rng.gauss(0.0, 1.0) for _ in self._vector_s]
        length = sqrt(sum(x * x for x in drawn)) or 1.0
        return [x / length for x in drawn]

    def _has_moved(self, told: Coordinate) -> bool:
        moved_s = dist(self._vector_s, [x / 1e6 for x in told.vector_us]) + abs(self._height_s - told.height_us / 1e6)
        return moved_s > MOVED_S or abs(self._error - told.error / RATIO_ONE) > MOVED_RATIO
