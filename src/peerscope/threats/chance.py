"""How likely honest peers look like this: tails of distributions, and corrections for many tests at once.

Detections ask how often chance alone would show at least this much. If they test many groups or peers together, the
results are corrected for that (Benjamini and Hochberg 1995). A p-value is not the probability of an attack. `belief`
converts it by the bound of Sellke, Bayarri and Berger (2001), the largest that is honest, and a cautious prior.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, comb, e, erfc, exp, inf, lgamma, log, sqrt

PRIOR = 0.01
"""Share of attacks among suspicious findings, before the numbers. A guess: most surprises of a network are moves,
releases and outages."""
SIGMA = 1.4826
"""Standard deviations in one median absolute deviation, of a normal distribution."""
NEGLIGIBLE = 1e-17
NORMAL_FROM = 1e4
"""From here on a normal distribution replaces the Poisson distribution."""


def poisson_tail(count: int, expected: float) -> float:
    """The chance of `count` or more events if `expected` are expected."""
    if count <= 0:
        return 1.0
    if expected <= 0:
        return 0.0
    if expected > NORMAL_FROM or count > NORMAL_FROM:
        return 0.5 * erfc((count - 0.5 - expected) / sqrt(2 * expected)) if expected < inf else 1.0
    if count <= expected:
        return 1.0 - _poisson_sum(count - 1, expected, step=-1)
    return _poisson_sum(count, expected, step=1)


def _poisson_sum(count: int, expected: float, step: int) -> float:
    """Sum of the chances of `count`, `count + step` and so on, away from the middle, where they only fall."""
    term = exp(count * log(expected) - expected - lgamma(count + 1))
    total = term
    while term > total * NEGLIGIBLE and count > 0:
        term *= expected / (count + 1) if step > 0 else count / expected
        count += step
        total += term
    return min(1.0, total)


def urn_tail(found: int, drawn: int, marked: int, total: int) -> float:
    """The chance of `found` or more marked ones among `drawn`, if each draw adds one more of its kind.

    Polya's urn (Eggenberger and Polya 1923), with `marked` of `total` at first. For few draws it is close to Poisson.
    For many it spreads far more, because the first ones decide where the others go.
    """
    if marked >= total or found * total <= drawn * marked:
        return 1.0  # no more than expected: the exact chance does not matter
    if found > drawn or marked <= 0:
        return 0.0
    other = total - marked
    scale = lgamma(drawn + 1) - _log_beta(marked, other)
    chances = (
        scale - lgamma(k + 1) - lgamma(drawn - k + 1) + _log_beta(k + marked, drawn - k + other)
        for k in range(found, drawn + 1)
    )
    return min(1.0, sum(exp(chance) for chance in chances))


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def wilson_lower(part: int, whole: int, z: float = 1.96) -> float:
    """A lower bound of the true share, with 97.5 % confidence (Wilson 1927)."""
    if whole <= 0:
        return 0.0
    share, z2 = min(1.0, part / whole), z * z
    middle = share + z2 / (2 * whole)
    spread = z * sqrt((share * (1 - share) + z2 / (4 * whole)) / whole)
    return max(0.0, (middle - spread) / (1 + z2 / whole))


def fisher(chances: Sequence[float]) -> float:
    """One p-value of several independent ones (Fisher 1925)."""
    half = -sum(log(max(p, 1e-300)) for p in chances)
    term = total = exp(-half)
    for k in range(1, len(chances)):
        term *= half / k
        total += term
    return min(1.0, total)


def discoveries(chances: Sequence[float]) -> list[float]:
    """For each p-value the share of false ones among all that are called at its level (Benjamini and Hochberg 1995)."""
    order = sorted(range(len(chances)), key=lambda index: -chances[index])
    found, least = [1.0] * len(chances), 1.0
    for rank, index in zip(range(len(chances), 0, -1), order, strict=True):
        least = min(least, chances[index] * len(chances) / rank)
        found[index] = least
    return found


def belief(p: float, prior: float = PRIOR) -> float:
    """Upper bound of the probability that it was not chance: 0..1."""
    if p >= 1 / e:
        return prior
    bayes = -e * max(p, 1e-300) * log(max(p, 1e-300))
    return prior / (prior + (1 - prior) * bayes)


def exceeded(count: int, limit: float) -> float:
    """Confidence that the true rate exceeds `limit` after `count` events."""
    return 1.0 - poisson_tail(ceil(count), limit) if count > 0 else 0.0


def binomial_tail(part: int, whole: int, share: float) -> float:
    """The chance of `part` or more of `whole` if each has the chance `share`."""
    if part <= 0:
        return 1.0
    return min(1.0, sum(comb(whole, k) * share**k * (1 - share) ** (whole - k) for k in range(part, whole + 1)))
