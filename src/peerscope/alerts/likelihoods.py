"""How likely a set of alerts is: under a cause that peers share, and under chance.

All functions return natural logarithms of the probability of one given set of peers. Differences between them are log
Bayes factors, so a model with a free parameter pays for its freedom by itself (Jeffreys 1939; MacKay 1992). No function
knows more than counts and times.

*Chance* does not mean that alerts are rare. Peers have bad hours in which many of them have trouble of their own. So
the number of unrelated alerts has a geometric distribution. Its mean is small in usual times. In a bad hour it is a
tenth of the network, or as much as other sorts of alerts show. Which peers have them is arbitrary.

*A shared cause* affects each of its peers with one unknown probability. Quiet peers count against it,
as in Sherlock (Bahl et al. 2007) and Shrink (Kandula et al. 2005).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, inf, lgamma, log, log1p

from msgspec import Struct

USUAL_PER_DAY = 1.0  # a guess: alerts of one sort at one peer
BAD_HOUR = 0.1  # a guess: how often unrelated alerts are looked at in a bad hour
BAD_SHARE = 0.1
"""Mean share of the network with an unrelated alert of one sort, in one window of a bad hour."""
DAY_S = 86_400.0
SPREAD_SLACK = 0.25
"""A spread of a little less than the window, by this much in its logarithm, says nothing: bad hours have edges."""
TIGHT_S_MIN = 1.0
"""Alerts that begin within a second are simultaneous, as far as measurements go."""


class Climate(Struct, frozen=True):
    """How much goes on anyway while alerts of one sort begin."""

    lasted_s: float
    window_s: float
    share: float = 0.0
    """Alerts of a middling other sort meanwhile, per peer: where all sorts are frequent, one more is no surprise."""


def log_affected(hit: int, of: int, usual: tuple[float, float]) -> float:
    """A given set of `hit` of `of` peers, each affected with one unknown probability.

    `usual`: pseudo-counts of affected and unaffected peers, the parameters of a beta distribution.
    """
    more, fewer = usual
    return log_beta(more + hit, fewer + of - hit) - log_beta(more, fewer)


def log_chance(hit: int, of: int, climate: Climate) -> float:
    """A given set of `hit` of `of` peers with unrelated alerts of one sort within this time."""
    usual = of * USUAL_PER_DAY * climate.lasted_s / DAY_S
    bad = of * max(BAD_SHARE * max(1.0, climate.lasted_s / climate.window_s), climate.share)
    count = add(log1p(-BAD_HOUR) + _log_geometric(hit, usual), log(BAD_HOUR) + _log_geometric(hit, bad))
    return count - log_choose(of, hit)


def log_any_share(hit: int, of: int) -> float:
    """A given set of peers, if each share of the network is equally likely."""
    return -log(of + 1) - log_choose(of, hit)


def log_together(times: Sequence[float], window_s: float) -> float:
    """How much likelier a shared cause makes it that alerts begin so close to each other than chance does.

    Chance spreads them over the window. A cause may need any time up to the window, or not tie them in time at all.
    `times`: sorted beginnings. The outermost tenths of ten or more do not count: a few may have another cause.
    Alerts far from the others are no evidence for it.
    """
    alerts = len(times)
    if alerts < 2:
        return 0.0
    out = alerts // 10
    spread_s = (times[alerts - 1 - out] - times[out]) / (1.0 - 2 * out / alerts)
    tight_s = min(max(spread_s, TIGHT_S_MIN), window_s)
    near = sum(times[out] - tight_s <= at <= times[alerts - 1 - out] + tight_s for at in times)
    gain = (near - 1) * max(0.0, log(window_s / tight_s) - SPREAD_SLACK) - log((alerts - 1) * log(window_s))
    return add(0.0, gain) - log(2.0)


def add(*logs: float) -> float:
    """The logarithm of a sum of probabilities."""
    most = max(logs, default=-inf)
    return most if most == -inf else most + log(sum(exp(one - most) for one in logs))


def log_beta(a: float, b: float) -> float:
    """Natural logarithm of the beta function."""
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def log_choose(n: int, k: int) -> float:
    """Natural logarithm of the binomial coefficient."""
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def _log_geometric(count: int, mean: float) -> float:
    """A count with this mean and the widest spread that one has (maximum entropy)."""
    if mean <= 0.0:
        return 0.0 if not count else -inf
    return count * (log(mean) - log1p(mean)) - log1p(mean)
