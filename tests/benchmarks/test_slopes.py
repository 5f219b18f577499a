"""Slopes: found through noise and spikes, and not where there is none."""

import sys
from pathlib import Path
from random import Random

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from slopes import theil_sen


def test_a_line_has_its_slope() -> None:
    slope = theil_sen([(float(x), 3.0 * x + 7) for x in range(20)])
    assert (slope.per_unit, slope.low, slope.high) == pytest.approx((3.0, 3.0, 3.0))


def test_a_few_spikes_move_nothing() -> None:
    points = [(float(x), 5.0 + (1000.0 if x in (7, 20) else 0.0)) for x in range(30)]
    assert theil_sen(points).per_unit == 0.0


@pytest.mark.parametrize("seed", range(10))
def test_a_leak_is_told_from_noise(seed: int) -> None:
    rng = Random(seed)
    noise = [(float(x), rng.gauss(100, 5)) for x in range(60)]
    leak = [(x, y + 2 * x) for x, y in noise]
    assert theil_sen(leak).low > 1.0
    assert abs(theil_sen(noise).per_unit) < 0.2


def test_the_interval_holds_the_slope_about_as_often_as_it_says() -> None:
    rng = Random(4711)
    hits = 0
    for _ in range(300):
        slope = theil_sen([(float(x), 0.5 * x + rng.gauss(0, 3)) for x in range(25)])
        hits += slope.low <= 0.5 <= slope.high
    assert 0.90 <= hits / 300 <= 0.99
