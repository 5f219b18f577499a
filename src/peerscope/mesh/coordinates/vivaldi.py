"""Network coordinates: estimates of the round-trip time between any two peers, measured or not.

This is Vivaldi with height (Dabek, Cox, Kaashoek, Morris: "Vivaldi: a decentralized network coordinate system", 2004).
A coordinate is a point in a small Euclidean space plus a height for the access line. A spring between two peers is as
long as the time they measured. Each measurement moves a peer a little towards rest: further the less it trusts itself
and the more it trusts the other. The constants, the latency filter and the adjustment are those of Serf's `coordinate`
package.

Two things differ, since our peers ping a few fixed neighbours, and since some lie:

- Four measured pairs per peer leave the springs too loose: neighbours fit and strangers do not. So peers sample random
  others (`sampling.py`), and repeat one remembered measurement with each new one.
- A measurement that misses by much more than usual counts for little, and one that misses by far more for nothing. The
  pull of a liar among honest neighbours does not grow with the lie: it ends.
"""

from __future__ import annotations

from collections import deque
from math import dist, hypot, sqrt
from random import Random
from statistics import median

from msgspec import Struct

from peerscope.errors import ConfigError, RemoteError
from peerscope.records.bodies import DIMENSIONS_MAX, RATIO_ONE, Coordinate
from peerscope.records.identity import PeerId

RTT_S_MAX = 10.0
"""Nothing on earth takes longer: a coordinate that predicts more is a lie."""
ERROR_MAX = 1.5
HEIGHT_S_MIN = 10e-6
HEIGHT_S_FIRST = 0.005
"""Heights grow and shrink by shares of themselves: one near zero stays there for long."""
PACE = 0.25
"""Share of the way per measurement, for a peer without any trust in itself (the paper's c_c and c_e)."""
FILTER = 3
"""Round trips per neighbour; their median counts."""
LANDMARKS_MAX = 64
"""Measured peers to remember: the neighbours, and the latest samples."""
WINDOW = 20
"""Measurements over which the adjustment is the mean."""
MISFIT_S_FIRST = 0.25
MISFIT_PACE = 0.05
GRAVITY = 1e-4
"""Share of its way to the origin that each step also goes, so that the whole network does not drift."""
COUNTS = 2.0
"""A measurement counts for at most so many times the usual misfit."""
ABSURD = 6.0
"""A measurement that misses by so many times the usual misfit moves nothing. It still makes the usual misfit grow: when
we ourselves have moved, measurements count again after some seconds."""
NEWS_RATIO = 0.04
NEWS_ERROR = 500
"""A coordinate goes to a neighbour again once it moved by this share of the RTT, or its error by 0.05. Measured: to
send each move costs twice the bytes and gains a tenth of a percent."""


class CoordinateConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The space of latencies, and the sampling."""

    dimensions: int = 3  # measured: two are slower at the start, more gain nothing
    """Dimensions beside the height. Peers refuse coordinates of other spaces, so all need the same number."""
    visit_interval_s: float = 10.0  # measured: 5 s is not much sooner, and a sample costs 16 kB of QUIC
    """Between samples of random peers in the first minutes; 0 for none. Lower finds the coordinate sooner."""
    visit_interval_s_max: float = 60.0
    """Between samples later on. Each is one connection of a few pings."""

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
    """Seconds of round-trip time between two coordinates; None where their spaces differ.

    The adjustments count only while they leave a positive time (Serf's `coordinate` package does the same).
    """
    if len(one.vector_us) != len(other.vector_us):
        return None
    plain_us = dist(one.vector_us, other.vector_us) + one.height_us + other.height_us
    adjusted_us = plain_us + one.adjustment_us + other.adjustment_us
    return (adjusted_us if adjusted_us > 0 else plain_us) / 1e6


def is_news(place: Coordinate, sent: Coordinate, rtt_s: float) -> bool:
    """Has our coordinate moved far enough since we `sent` it, for a peer at this RTT?"""
    moved_us = dist(place.vector_us, sent.vector_us) + abs(place.height_us - sent.height_us)
    return moved_us > NEWS_RATIO * rtt_s * 1e6 or abs(place.error - sent.error) > NEWS_ERROR


class Landmark:
    """A measured peer: its coordinate and its last round trips."""

    __slots__ = ("_rtts_s", "coordinate")

    def __init__(self) -> None:
        self.coordinate: Coordinate | None = None
        self._rtts_s: deque[float] = deque(maxlen=FILTER)

    def measured(self, rtt_s: float) -> None:
        self._rtts_s.append(rtt_s)

    @property
    def rtt_s(self) -> float | None:
        """The median of the last round trips; None before the first."""
        return median(self._rtts_s) if self._rtts_s else None


class Coordinates:
    """The coordinate of this peer. All times in seconds."""

    def __init__(self, config: CoordinateConfig, rng: Random) -> None:
        self._rng = rng
        self._landmarks: dict[PeerId, Landmark] = {}
        """The last measured peers, the latest at the end."""
        self._vector_s = [0.0] * config.dimensions
        self._height_s = HEIGHT_S_FIRST
        self._error = ERROR_MAX
        self._misses_s: deque[float] = deque(maxlen=WINDOW)
        self._misfit_s = MISFIT_S_FIRST

    def current(self) -> Coordinate | None:
        """Our coordinate, in whole microseconds; None before the first measurement."""
        if not self._landmarks:
            return None
        return Coordinate(
            tuple([round(x * 1e6) for x in self._vector_s]),
            round(self._height_s * 1e6),
            round(self._error * RATIO_ONE),
            round(sum(self._misses_s) / max(1, len(self._misses_s)) / 2 * 1e6),
        )

    def observed(self, peer: PeerId, theirs: Coordinate | None, rtt_s: float | None) -> None:
        """Add one exchange: the coordinate of a peer, if it sent one, and the RTT.

        Raises `RemoteError` ("impossible-coordinate", "impossible-rtt") and moves nothing if that cannot be.
        """
        landmark = self._landmarks.get(peer) or Landmark()
        if theirs is not None:
            self._check(theirs)
            landmark.coordinate = theirs
            self._remember(peer, landmark)
        if not rtt_s:  # zero is below the resolution of the clock
            return
        if not 0.0 < rtt_s <= RTT_S_MAX:
            raise RemoteError("impossible-rtt", f"{rtt_s} s; must be above 0 and at most {RTT_S_MAX:g}")
        landmark.measured(rtt_s)
        self._remember(peer, landmark)
        self._use(landmark)
        self._use(self._rng.choice(list(self._landmarks.values())))

    def reported(self, peer: PeerId, theirs: Coordinate | None) -> None:
        """Note the coordinate of a report, if we measured that peer.

        An impossible coordinate is no offence: the record is true, and its origin may use another space.
        """
        landmark = self._landmarks.get(peer)
        if landmark is not None and theirs is not None and self._is_possible(theirs):
            landmark.coordinate = theirs

    def remembers(self, peer: PeerId) -> bool:
        """We have a measurement of this peer."""
        return peer in self._landmarks

    def _remember(self, peer: PeerId, landmark: Landmark) -> None:
        self._landmarks.pop(peer, None)
        self._landmarks[peer] = landmark
        if len(self._landmarks) > LANDMARKS_MAX:
            del self._landmarks[next(iter(self._landmarks))]

    def _use(self, landmark: Landmark) -> None:
        rtt_s = landmark.rtt_s
        if landmark.coordinate is not None and rtt_s is not None:
            self._move(landmark.coordinate, rtt_s)

    def _check(self, theirs: Coordinate) -> None:
        if not self._is_possible(theirs):
            wish = f"{len(self._vector_s)} dimensions, within {RTT_S_MAX:g} s of the origin"
            raise RemoteError("impossible-coordinate", f"{theirs}; must have {wish}")

    def _is_possible(self, theirs: Coordinate) -> bool:
        """It is in our space, and not absurdly far from the origin, near which gravity keeps us."""
        if len(theirs.vector_us) != len(self._vector_s):
            return False
        return hypot(*theirs.vector_us) + theirs.height_us + abs(theirs.adjustment_us) <= RTT_S_MAX * 1e6

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
        if distance_s > 0:  # shared between plane and heights as in the prediction
            raised_s = self._height_s + (self._height_s + height_s) * step_s / distance_s
            self._height_s = max(HEIGHT_S_MIN, min(raised_s, self._height_s + abs(step_s)))

    def _away_from(self, vector_s: list[float], distance_s: float) -> list[float]:
        """The unit vector from there to here; a random direction where both are at the same point."""
        if distance_s > 1e-9:
            return [(x - y) / distance_s for x, y in zip(self._vector_s, vector_s, strict=True)]
        drawn = [self._rng.gauss(0.0, 1.0) for _ in self._vector_s]
        length = sqrt(sum(x * x for x in drawn)) or 1.0
        return [x / length for x in drawn]
