"""Numbers and durations as people write them, everywhere by the same rules: digits 0 to 9, and nothing around them.

Python's own `int` and `float` also take the digits of forty other scripts, underscores and white space. What is read so
here would be read otherwise elsewhere.
"""

from __future__ import annotations

import re

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_WHOLE = re.compile(r"[0-9]{1,18}")
_DECIMAL = re.compile(r"-?(?:[0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})(?:e-?[0-9]{1,2})?")
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhd])")


def whole(text: str) -> int | None:
    """A number of up to 18 digits; None for anything else."""
    return int(text) if _WHOLE.fullmatch(text) else None


def decimal(text: str) -> float | None:
    """A number such as 3, -0.5 or 2e-3; None for anything else, and for what is none, as nan."""
    return float(text) if _DECIMAL.fullmatch(text) else None


def duration_s(text: str) -> float | None:
    """Seconds of "90s", "1.5h", "30d"; None for anything else, or for nothing at all."""
    found = _DURATION.fullmatch(text)
    return (float(found[1]) * UNITS_S[found[2]] or None) if found else None
