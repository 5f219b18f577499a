"""Does a series grow? The slope that half of all pairs of points exceed, which no single spike moves.

Theil (1950) and Sen (1968); the confidence interval by Kendall's variance, as in Sen, section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, sqrt
from statistics import median

Z_95 = 1.96


@dataclass(frozen=True)
class Slope:
    """Change of the value per unit of the abscissa, with its 95 % confidence interval."""

    per_unit: float
    low: float
    high: float


def theil_sen(points: Sequence[tuple[float, float]]) -> Slope:
    """At least two points at different places."""
    ordered = sorted(points)
    slopes = sorted(
        (y2 - y1) / (x2 - x1) for i, (x1, y1) in enumerate(ordered) for x2, y2 in ordered[i + 1 :] if x2 > x1
    )
    count, pairs = len(points), len(slopes)
    half = Z_95 * sqrt(count * (count - 1) * (2 * count + 5) / 18)
    low = slopes[max(0, floor((pairs - half) / 2))]
    high = slopes[min(pairs - 1, ceil((pairs + half) / 2))]
    return Slope(median(slopes), low, high)
