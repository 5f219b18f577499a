"""Network coordinates: the round-trip time between any two peers, also those that never measured it.

Vivaldi with height (Dabek, Cox, Kaashoek, Morris 2004): a peer's place is a point in a small Euclidean space plus a
height for its access line, moved a little with every ping towards where the measured times fit.
"""

from __future__ import annotations

from math import dist

from peerscope.records.bodies import Coordinate


def estimate_s(one: Coordinate, other: Coordinate) -> float | None:
    """Seconds of round-trip time between two places; None where their spaces differ.

    The adjustments count only while they leave a positive time (Serf's `coordinate` package does the same).
    """
    if len(one.vector_us) != len(other.vector_us):
        return None
    plain_us = dist(one.vector_us, other.vector_us) + one.height_us + other.height_us
    adjusted_us = plain_us + one.adjustment_us + other.adjustment_us
    return (adjusted_us if adjusted_us > 0 else plain_us) / 1e6
