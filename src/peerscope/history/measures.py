"""Series of what nodes name themselves: their names, and their columns in the file.

A node may name any measure, so their columns have no fixed numbers. The file keeps a table of them: one number for each
kind of node, name, unit and kind of measure. A series of one peer is `measure:NAME`. Those of the network are made when
they are read, from the values of all peers: `measure_median:NAME`, `measure_min:NAME` and `measure_max:NAME`. A name
may end in `@NODE`, the kind of the nodes; without it, the one that was last seen counts.
"""

from __future__ import annotations

import re
import sqlite3
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from statistics import median
from typing import Literal, NamedTuple

from peerscope.history.columns import UNKNOWN, Column, is_known, mean
from peerscope.history.schema import MEASURE_VERSION
from peerscope.history.series import PEAK_COLUMNS, Series

MEASURE_COLUMNS = range(64, PEAK_COLUMNS)
"""Their numbers: above those of fixed series, and below those of peaks."""
REST_S = 1800
"""Shortest time that a number stays unused between two measures, so that no mean mixes them."""
SAVED_EVERY_S = 900
VALUE_MAX = 1e38
STATISTICS: dict[str, Callable[[Sequence[float]], float]] = {"median": median, "min": min, "max": max}
FORMS: dict[str, tuple[Literal["network", "peer"], str]] = {
    "measure:NAME": ("peer", "a value that the node names itself"),
    **{f"measure_{statistic}:NAME": ("network", f"{statistic} over all nodes") for statistic in STATISTICS},
}
"""Scope and description of the series that each measure has. They have its unit."""
_PATTERN = re.compile(r"measure(?:_(median|min|max))?:([a-z][a-z0-9_]{0,47})(?:@([^\n]{1,64}))?\Z")


class MeasureKey(NamedTuple):
    """All that values of one column share."""

    node: str
    """Kind of the nodes."""
    name: str
    unit: str
    is_counter: bool
    """The values are increases per second."""

    @property
    def shown_unit(self) -> str:
        """The unit of the values."""
        return f"{self.unit or 1}/s" if self.is_counter else self.unit or "count"


class MeasureSeries(Series, frozen=True):
    """One measure over time, of one peer or of the network."""

    name_of_measure: str = ""
    node: str = ""
    """Empty for any."""
    statistic: str = ""
    """How values of all peers become one; empty for a series of one peer."""

    def fits(self, key: MeasureKey) -> bool:
        """Whether a column belongs to this series."""
        return key.name == self.name_of_measure and self.node in ("", key.node)

    def of(self, column: Sequence[float], place: int) -> float:
        """The value in a column: that of one peer, or the statistic of all that are known."""
        if not self.statistic:
            return column[place] if place < len(column) else UNKNOWN
        known = [value for value in column if is_known(value)]
        return STATISTICS[self.statistic](known) if known else UNKNOWN


def measure_series(name: str) -> MeasureSeries | None:
    """The series with this name; None if it is no name of a measure."""
    found = _PATTERN.match(name)
    if found is None:
        return None
    statistic, measure, node = found.groups(default="")
    scope, text = FORMS[f"measure_{statistic}:NAME" if statistic else "measure:NAME"]
    return MeasureSeries(name, "count", text, scope, 0, mean, 0, 0, measure, node, statistic)


def columns_of(rows: Sequence[Mapping[MeasureKey, float]]) -> dict[MeasureKey, Column[float]]:
    """One column for each measure, with one value for each row; of too many those with the most values."""
    counts = Counter(key for row in rows for key in row)
    kept = sorted(counts, key=lambda key: (-counts[key], key))[: len(MEASURE_COLUMNS)]
    return {key: array("f", [_storable(row.get(key, UNKNOWN)) for row in rows]) for key in kept}


def _storable(value: float) -> float:
    """The value, if four bytes can hold it: a greater one would be read back as infinite."""
    return value if abs(value) < VALUE_MAX else UNKNOWN


class MeasureNumbers:
    """Assigns numbers of columns to measures, in a file that is open for writing."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        with closing(db.execute("SELECT number, node, name, unit, is_counter, seen FROM measure")) as found:
            rows = found.fetchall()
        self._numbers = {
            MeasureKey(node, name, unit, bool(count)): number for number, node, name, unit, count, _ in rows
        }
        self._seen = {MeasureKey(node, name, unit, bool(count)): seen for _, node, name, unit, count, seen in rows}
        self._saved_at = 0

    @property
    def used(self) -> list[int]:
        """Numbers that are in use."""
        return sorted(self._numbers.values())

    def number(self, key: MeasureKey, at: int) -> int | None:
        """The number of a measure seen at that time, if necessary that of one long gone; None if all are in use."""
        number = self._numbers.get(key)
        if number is None:
            number = self._admit(key, at)
        if number is not None:
            self._seen[key] = at
        return number

    def save(self, now: int) -> None:
        """Every quarter of an hour, save when measures were last seen."""
        if abs(now - self._saved_at) >= SAVED_EVERY_S:
            self._saved_at = now
            seen = [(self._numbers[key], at) for key, at in self._seen.items()]
            self._db.executemany("UPDATE measure SET seen = ?2 WHERE number = ?1", seen)

    def _admit(self, key: MeasureKey, at: int) -> int | None:
        free = set(MEASURE_COLUMNS) - set(self._numbers.values())
        if free:
            number = min(free)
        else:
            gone = min(self._numbers, key=lambda known: (self._seen[known], known))
            if self._seen[gone] > at - REST_S:
                return None
            number = self._numbers.pop(gone)
            del self._seen[gone]
        self._numbers[key] = number
        since = at - at % SAVED_EVERY_S
        self._db.execute("INSERT OR REPLACE INTO measure VALUES (?, ?, ?, ?, ?, ?, ?)", (number, *key, since, at))
        return number


def kept_columns(db: sqlite3.Connection, series: MeasureSeries) -> Iterator[tuple[int, int, MeasureKey]]:
    """The numbers of a series in a file, since when they hold it, and what they hold; the last seen first.

    A series of the network has one at most: values of several kinds of nodes are not put together.
    """
    if db.execute("PRAGMA user_version").fetchone()[0] < MEASURE_VERSION:
        return
    found = db.execute(
        "SELECT number, since, node, name, unit, is_counter FROM measure WHERE name = ? ORDER BY seen DESC, number",
        (series.name_of_measure,),
    )
    for number, since, node, name, unit, is_counter in found.fetchall():
        key = MeasureKey(node, name, unit, bool(is_counter))
        if series.fits(key):
            yield number, since, key
            if series.statistic:
                return
