"""Network coordinates: the round-trip time between any two peers, also those that never measured it.

Vivaldi with height (Dabek, Cox, Kaashoek, Morris: "Vivaldi: a decentralized network coordinate system", 2004): a peer's
place is a point in a small Euclidean space plus a height for its access line. Between any two peers stands a spring as
long as the time they measured; each measurement moves a peer a little towards where its springs are at rest, further
the less it trusts itself and the more it trusts the other. The constants, the filter of latencies and the adjustment
are those of Serf's `coordinate` package.

Two things differ, since our peers ping a few fixed neighbours and not everybody in turn, and since some lie:

- Four measured pairs per peer leave the springs too loose: neighbours fit and strangers do not. So peers visit random
  others (`visits.py`), remember what they measured there, and repeat one remembered measurement with each new one.
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
from peerscope.records.identity import PeerId

RTT_S_MAX = 10.0
"""Nothing on earth takes longer; a coordinate that predicts more is a lie."""
ERROR_MAX = 1.5
HEIGHT_S_MIN = 10e-6
HEIGHT_S_FIRST = 0.005
"""Heights grow and shrink by shares of themselves; one that starts near zero stays there for long."""
PACE = 0.25
"""Share of the way that a peer which trusts itself not at all goes with one measurement (the paper's c_c and c_e)."""
FILTER = 3
"""Round trips per neighbour of which the median counts: one that was held up does not."""
LANDMARKS_MAX = 64
"""Measured peers to remember: the neighbours, and those visited last."""
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
NEWS_RATIO = 0.04
NEWS_ERROR = 500
"""A place is worth telling a neighbour again once it moved by this share of the way to it, or its error by 0.05.
Measured: telling each move costs twice the bytes and gains a tenth of a percent."""


class CoordinateConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The space of latencies, and how a peer finds its place in it."""

    dimensions: int = 3  # measured: two are slower at the start, more gain nothing
    """Of the space, beside the height. All peers of a network need the same: places in other spaces are refused."""
    visit_interval_s: float = 10.0  # measured: 5 s is not much sooner, and 16 kB of QUIC a visit
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


def is_news(place: Coordinate, sent: Coordinate, rtt_s: float) -> bool:
    """Is a place far enough from what was told of it before, for somebody this far away?"""
    moved_us = dist(place.vector_us, sent.vector_us) + abs(place.height_us - sent.height_us)
    return moved_us > NEWS_RATIO * rtt_s * 1e6 or abs(place.error - sent.error) > NEWS_ERROR


class Landmark:
    """A peer by which to find one's own place: where it said it is, and how far that was."""

    __slots__ = ("_rtts_s", "coordinate")

    def __init__(self) -> None:
        self.coordinate: Coordinate | None = None
        self._rtts_s: deque[float] = deque(maxlen=FILTER)

    def measured(self, rtt_s: float) -> None:
        """One more round trip."""
        self._rtts_s.append(rtt_s)

    @property
    def rtt_s(self) -> float | None:
        """The median of the last round trips; None before the first."""
        return median(self._rtts_s) if self._rtts_s else None


class Coordinates:
    """This peer's own place. All times in seconds."""

    def __init__(self, config: CoordinateConfig, rng: Random) -> None:
        self._rng = rng
        self._landmarks: dict[PeerId, Landmark] = {}
        """Those measured last, the latest at the end."""
        self._vector_s = [0.0] * config.dimensions
        self._height_s = HEIGHT_S_FIRST
        self._error = ERROR_MAX
        self._misses_s: deque[float] = deque(maxlen=WINDOW)
        self._misfit_s = MISFIT_S_FIRST

    def current(self) -> Coordinate | None:
        """Our place, in whole microseconds; None before the first measurement."""
        if not self._landmarks:
            return None
        return Coordinate(
            tuple([round(x * 1e6) for x in self._vector_s]),
            round(self._height_s * 1e6),
            round(self._error * RATIO_ONE),
            round(sum(self._misses_s) / max(1, len(self._misses_s)) / 2 * 1e6),
        )

    def observed(self, peer: PeerId, theirs: Coordinate | None, rtt_s: float | None) -> None:
        """Take in what one exchange brought: where a peer is, if it said so, and how long the way there took.

        Raises `RemoteError` ("impossible-coordinate", "impossible-rtt") and stays where it is if that cannot be.
        """
        landmark = self._landmarks.get(peer) or Landmark()
        if theirs is not None:
            self._check(theirs)
            landmark.coordinate = theirs
            self._remember(peer, landmark)
        if not rtt_s:  # zero is too short for the clock that measured it, and says nothing
            return
        if not 0.0 < rtt_s <= RTT_S_MAX:
            raise RemoteError("impossible-rtt", f"{rtt_s} s; must be above 0 and at most {RTT_S_MAX:g}")
        landmark.measured(rtt_s)
        self._remember(peer, landmark)
        self._attend(landmark)
        self._attend(self._rng.choice(list(self._landmarks.values())))

    def reported(self, peer: PeerId, theirs: Coordinate | None) -> None:
        """A report of the peer says where it is: good to know if we once measured the way there.

        A place that cannot be is passed over: the record is true, and others may live in another space.
        """
        landmark = self._landmarks.get(peer)
        if landmark is not None and theirs is not None and self._is_possible(theirs):
            landmark.coordinate = theirs

    def remembers(self, peer: PeerId) -> bool:
        """The way to this peer was measured, not too long ago."""
        return peer in self._landmarks

    def _remember(self, peer: PeerId, landmark: Landmark) -> None:
        self._landmarks.pop(peer, None)
        self._landmarks[peer] = landmark
        if len(self._landmarks) > LANDMARKS_MAX:
            del self._landmarks[next(iter(self._landmarks))]

    def _attend(self, landmark: Landmark) -> None:
        rtt_s = landmark.rtt_s
        if landmark.coordinate is not None and rtt_s is not None:
            self._move(landmark.coordinate, rtt_s)

    def _check(self, theirs: Coordinate) -> None:
        if not self._is_possible(theirs):
            wish = f"{len(self._vector_s)} dimensions, within {RTT_S_MAX:g} s of the origin"
            raise RemoteError("impossible-coordinate", f"{theirs}; must have {wish}")

    def _is_possible(self, theirs: Coordinate) -> bool:
        """Of our space, and not absurdly far from its middle, which gravity keeps near the origin."""
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
