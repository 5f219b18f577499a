"""Other people's words, made fit to stand in documents.

Names reach us through a decoder that refuses control characters, but documents have stricter rules of their own: XML
1.0 (section 2.2) forbids some characters even in escaped form.
"""

from __future__ import annotations

import re
from unicodedata import combining, east_asian_width

_UNFIT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def fit(text: str) -> str:
    """The text, with a replacement mark for each character that no XML document may hold."""
    return _UNFIT.sub("\ufffd", text)


def one_line(text: str) -> str:
    """The same without line breaks and tabs."""
    return re.sub(r"[\t\n\r\x85\u2028\u2029]+", " ", fit(text))


def clipped(text: str, cells: int) -> str:
    """One line of at most so many columns, where letters of East Asian scripts take two and accents none."""
    text = one_line(text)
    if cells_of(text) <= cells:
        return text
    while cells_of(text) >= cells:
        text = text[:-1]
    return text + "…"


def cells_of(text: str) -> int:
    """How many columns a line takes, roughly."""
    return sum(0 if combining(letter) else 2 if east_asian_width(letter) in "WF" else 1 for letter in text)
