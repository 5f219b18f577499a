"""Tails of distributions against sums by hand, and the corrections that many looks need."""

from itertools import pairwise
from math import exp, factorial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.threats.chance import (
    belief,
    binomial_tail,
    discoveries,
    exceeded,
    fisher,
    poisson_tail,
    urn_tail,
    wilson_lower,
)

chances = st.floats(0.0, 1.0)


@pytest.mark.parametrize(("count", "expected"), [(0, 3.0), (1, 0.1), (3, 3.0), (9, 3.0), (2, 7.5)])
def test_the_poisson_tail_is_what_the_terms_add_up_to(count: int, expected: float) -> None:
    below = sum(exp(-expected) * expected**k / factorial(k) for k in range(count))
    assert poisson_tail(count, expected) == pytest.approx(1 - below)


def test_a_far_tail_keeps_its_digits() -> None:
    assert poisson_tail(30, 1.0) == pytest.approx(exp(-1) / factorial(30), rel=0.05)
    assert 0.0 < poisson_tail(1100, 1000.0) < 0.002
    assert poisson_tail(1_000_000, 1000.0) == 0.0


@given(st.integers(0, 500), st.floats(0.0, 300.0))
def test_more_events_are_never_likelier(count: int, expected: float) -> None:
    assert 0.0 <= poisson_tail(count + 1, expected) <= poisson_tail(count, expected) + 1e-12 <= 1.0 + 1e-9


def test_the_other_tails() -> None:
    assert urn_tail(1, 1, 1, 4) == pytest.approx(0.25)
    assert urn_tail(2, 2, 1, 4) == pytest.approx(1 / 4 * 2 / 5)
    assert urn_tail(3, 9, 2, 2) == 1.0
    assert urn_tail(3, 40, 1, 100_000) == pytest.approx(0.0, abs=1e-9)
    assert binomial_tail(2, 3, 0.5) == 0.5
    assert wilson_lower(6, 20) == pytest.approx(0.1455, abs=1e-3)  # by R: prop.test(6, 20, correct=FALSE)
    assert wilson_lower(0, 0) == 0.0
    assert fisher((0.05,)) == pytest.approx(0.05)
    assert fisher((0.1, 0.1)) == pytest.approx(0.056, abs=1e-3)


def test_discoveries_are_those_of_the_paper() -> None:
    """The example of Benjamini and Hochberg 1995, section 4.1: four of fifteen at 0.05."""
    told = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528]
    found = discoveries([*told, 0.7590, 1.0])
    assert sum(share <= 0.05 for share in found) == 4


@given(st.lists(chances, max_size=30))
def test_a_correction_only_ever_doubts_more_and_keeps_the_order(told: list[float]) -> None:
    found = discoveries(told)
    assert all(p - 1e-12 <= share <= 1.0 for p, share in zip(told, found, strict=True))
    ordered = [share for _, share in sorted(zip(told, found, strict=True))]
    assert all(one <= other + 1e-12 for one, other in pairwise(ordered))


def test_belief_grows_as_chance_shrinks_and_never_is_certain() -> None:
    sure = [belief(p) for p in (1.0, 0.1, 1e-3, 1e-4, 1e-6, 1e-12)]
    assert sure == sorted(sure)
    assert sure[2] < 0.5 < sure[3] < 0.95 < sure[5] <= 1.0
    assert [exceeded(count, 1000) for count in (0, 900, 1001, 1100)] == sorted(
        exceeded(count, 1000) for count in (0, 900, 1001, 1100)
    )
    assert exceeded(1001, 1000) == pytest.approx(0.5, abs=0.05)
