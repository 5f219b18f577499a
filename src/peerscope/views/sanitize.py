"""Text from other peers, made safe for documents.

The decoder of names refuses control characters, but documents have stricter rules: XML 1.0 (section 2.2) forbids some
characters even in escaped form.
"""

from __future__ import annotations

import re
from unicodedata import combining, east_asian_width

_UNFIT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def fit(text: str) -> str:
    """Replace each character that no XML document may contain."""
    return _UNFIT.sub("\ufffd", text)


def one_line(text: str) -> str:
    """Do the same, and replace line breaks and tabs."""
    return re.sub(r"[\t\n\r\x85\u2028\u2029]+", " ", fit(text))


def clipped(text: str, cells: int) -> str:
    """Shorten to one line of at most so many columns. Letters of East Asian scripts take two, accents none."""
    text = one_line(text)
    if cells_of(text) <= cells:
        return text
    while cells_of(text) >= cells:
        text = text[:-1]
    return text + "…"


def cells_of(text: str) -> int:
    """Approximate columns of a line."""
    return sum(0 if combining(letter) else 2 if east_asian_width(letter) in "WF" else 1 for letter in text)
