"""Reasons why a value was refused, in plain words.

msgspec names the types of Python and quotes regular expressions. Senders of telemetry may know neither.
"""

from __future__ import annotations

import re
from typing import Any, get_args

from peerscope.records.measures import MeasureName, Unit
from peerscope.records.texts import Name

KINDS = {
    "int": "a whole number",
    "float": "a number",
    "int | float": "a number",
    "str": "a text",
    "bool": "true or false",
    "bool | null": "true, false or null",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def _pattern(kind: Any) -> str:
    return repr(get_args(kind)[1].pattern)


PATTERNS = {
    _pattern(MeasureName): "must be lower case letters, digits and _, beginning with a letter",
    _pattern(Unit): "must be lower case letters, digits, _ and /",
    _pattern(Name): "must have no control characters",
}
"""Words for each pattern that an event can miss."""

_RULES = (
    ("Expected `str` of length >= 1", "must not be empty"),
    (r"Expected `str` of length <= ([0-9]+)", r"must have at most \1 characters"),
    (r"Expected `str` of length >= ([0-9]+)", r"must have at least \1 characters"),
    (r"Expected `array` of length <= ([0-9]+)", r"must have at most \1 entries"),
    (r"Expected `(?:int|float)` >= (.+)", r"must be at least \1"),
    (r"Expected `(?:int|float)` <= (.+)", r"must be at most \1"),
    ("Object missing required field `(.+)`", r"\1 is missing"),
    ("Invalid enum value (.+)", r"unknown value \1"),
)
_REGEX = re.compile("Expected `str` matching regex (.+)", re.DOTALL)
_KIND = re.compile("Expected `(.+)`, got `(.+)`")


def plain_words(text: str) -> str:
    """The reason of a `msgspec.ValidationError`, without its place; an unknown one stays as it is."""
    if (found := _REGEX.fullmatch(text)) is not None:
        return PATTERNS.get(found[1], text)
    if (found := _KIND.fullmatch(text)) is not None:
        given = "a fraction" if found[2] == "float" else _kind(found[2])
        return f"must be {_kind(found[1])}, not {given}"
    for pattern, words in _RULES:
        if (found := re.fullmatch(pattern, text, re.DOTALL)) is not None:
            return found.expand(words)
    return text


def _kind(text: str) -> str:
    """`int | float | null` becomes: a number or null."""
    word = text.removesuffix(" | null")
    return KINDS.get(text) or KINDS.get(word, word) + " or null" * (word != text)
