"""The hypergeometric distribution."""

from __future__ import annotations

from math import exp, lgamma


def hypergeometric_tail(found: int, drawn: int, marked: int, total: int) -> float:
    """The chance of `found` or more marked ones among `drawn` of `total`, of which `marked` are."""
    if found <= 0:
        return 1.0
    ways = _ways(total, drawn)
    possible = range(max(found, drawn - total + marked), min(marked, drawn) + 1)
    return min(1.0, sum(exp(_ways(marked, k) + _ways(total - marked, drawn - k) - ways) for k in possible))


def _ways(n: int, k: int) -> float:
    """Natural logarithm of the binomial coefficient."""
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
