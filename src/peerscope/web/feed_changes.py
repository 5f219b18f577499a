"""Differences of tables in the live feed: rows that are new or gone, and single fields of the others.

A row has a number, which names it in differences: ids take 64 digits. The number stays while the row is there, and no
other row ever gets it.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from itertools import compress
from operator import ne
from typing import Any, Generic, TypeVar

from msgspec import NODEFAULT, Struct
from msgspec.structs import astuple, fields

Key = TypeVar("Key", bound=Hashable)


class Numbers(Generic[Key]):
    """Numbers of the rows of one table."""

    def __init__(self) -> None:
        self._known: dict[Key, int] = {}
        self._next = 0

    def of(self, key: Key) -> int:
        """The number of a row, new for a row that is."""
        if (number := self._known.get(key)) is None:
            number = self._known[key] = self._next
            self._next += 1
        return number

    def keep(self, keys: Collection[Key]) -> None:
        """Forget rows that are not among these, all of which have a number. One that returns is a new row."""
        if len(self._known) != len(keys):
            self._known = {key: number for key, number in self._known.items() if key in keys}


class Row(Struct, frozen=True, gc=False, omit_defaults=True):
    """One row of a table."""

    n: int
    """Its number."""


class TableChanges(Struct, frozen=True, omit_defaults=True):
    """The changes of one table. A client removes `gone`, takes `new` in whole, then sets single fields."""

    new: tuple[Row, ...] = ()
    gone: tuple[int, ...] = ()
    fields: dict[str, list[tuple[int, Any]]] = {}
    """By field: numbers of rows and their values; null: the row has the usual value again and loses the field."""


def table_changes(before: Mapping[Key, Row], now: Mapping[Key, Row]) -> TableChanges | None:
    """The changes that make `now` out of `before`; None if there are none. All rows are of one type."""
    if before is now:
        return None
    new: list[Row] = []
    changed: list[tuple[Row, Row]] = []
    for key, row in now.items():
        was = before.get(key)
        if was is None or was.n != row.n:
            new.append(row)
        elif was != row:
            changed.append((was, row))
    stay = {row.n for row in now.values()}
    gone = tuple(row.n for row in before.values() if row.n not in stay)
    if not (new or gone or changed):
        return None
    return TableChanges(tuple(new), gone, _by_field(changed) if changed else {})


def _by_field(changed: list[tuple[Row, Row]]) -> dict[str, list[tuple[int, Any]]]:
    found: dict[str, list[tuple[int, Any]]] = {}
    usual = {one.name: one.default for one in fields(changed[0][1]) if one.default is not NODEFAULT}
    names = changed[0][1].__struct_fields__
    for was, row in changed:
        values = astuple(row)
        for name, value in compress(zip(names, values, strict=True), map(ne, astuple(was), values)):
            is_usual = name in usual and value == usual[name]
            found.setdefault(name, []).append((row.n, None if is_usual else value))
    return found
