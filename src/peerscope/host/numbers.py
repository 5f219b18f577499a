"""Parses numbers and durations of people by one set of rules: only digits 0 to 9, and nothing around them.

Python's own `int` and `float` also take digits of forty other scripts, underscores and white space. Other programs
would read such text differently.
"""

from __future__ import annotations

import re

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_WHOLE = re.compile(r"[0-9]{1,18}")
_DECIMAL = re.compile(r"-?(?:[0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})(?:e-?[0-9]{1,2})?")
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhd])")


def whole(text: str) -> int | None:
    """Parse a number of up to 18 digits; None for anything else."""
    return int(text) if _WHOLE.fullmatch(text) else None


def decimal(text: str) -> float | None:
    """Parse a number such as 3, -0.5 or 2e-3; None for anything else, also for nan."""
    return float(text) if _DECIMAL.fullmatch(text) else None


def duration_s(text: str) -> float | None:
    """Parse "90s", "1.5h", "30d" to seconds; None for anything else, and for 0."""
    found = _DURATION.fullmatch(text)
    return (float(found[1]) * UNITS_S[found[2]] or None) if found else None
