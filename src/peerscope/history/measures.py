"""Series of what nodes name themselves: their names, and their columns in the file.

A node may name any measure, so their columns have no fixed numbers. The file keeps a table of them: one number for each
kind of node, name, unit and kind of measure. A measure that more peers report takes the number of one that fewer do.
So one peer with many names displaces no measure of several peers, and their past stays while they are gone.

A series of one peer is `measure:NAME`. Those of the network are made when they are read, from the values of all peers:
`measure_median:NAME`, `measure_min:NAME` and `measure_max:NAME`. A name may end in `@NODE`, the kind of the nodes.
Values of two kinds or units are never put together: a series of the network shows the one that most peers reported. At
times when more peers reported another one it is unknown.
"""

from __future__ import annotations

import re
import sqlite3
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from math import exp2
from statistics import median
from typing import Literal, NamedTuple

from peerscope.history.columns import UNKNOWN, Column, is_known, mean
from peerscope.history.schema import COLUMN_BITS, MEASURE_VERSION, VALUE_STEPS_S
from peerscope.history.series import PEAK_COLUMNS, Series

MEASURE_COLUMNS = range(64, PEAK_COLUMNS)
"""Their numbers: above those of fixed series, and below those of peaks."""
REST_S = 1800
"""A measure that was not reported for so long may lose its number to one of as many peers."""
SAVED_EVERY_S = 900
PEERS_HALF_S = 604_800
"""The number of peers that reported a measure halves in that time, if so many no longer do."""
VALUE_MAX = 1e38
STATISTICS: dict[str, Callable[[Sequence[float]], float]] = {"median": median, "min": min, "max": max}
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


class Variant(NamedTuple):
    """One of the measures with one name, at one time."""

    key: MeasureKey
    peers: int
    """How many report it."""


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
    text = f"{statistic} over all nodes" if statistic else "a value that the node names itself"
    scope: Literal["network", "peer"] = "network" if statistic else "peer"
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
        self._numbers: dict[MeasureKey, int] = {}
        self._seen: dict[MeasureKey, int] = {}
        self._peers: dict[MeasureKey, float] = {}
        """How many reported it, as of the time when it was seen."""
        with closing(db.execute("SELECT number, node, name, unit, is_counter, seen, peers FROM measure")) as found:
            for number, node, name, unit, is_counter, seen, peers in found:
                key = MeasureKey(node, name, unit, bool(is_counter))
                self._numbers[key], self._seen[key], self._peers[key] = number, seen, peers
        self._saved_at = 0

    @property
    def used(self) -> list[int]:
        """Numbers that are in use."""
        return sorted(self._numbers.values())

    def number(self, key: MeasureKey, at: int, peers: int) -> int | None:
        """The number of a measure that so many peers report at that time, if necessary that of one of fewer peers.

        None if all are in use. Ask for the measures of the most peers first.
        """
        number = self._numbers.get(key)
        if number is None and peers:
            number = self._admit(key, at, peers)
        if number is not None:
            self._peers[key] = max(peers, self._weight(key, at))
            self._seen[key] = at
        return number

    def _weight(self, key: MeasureKey, at: int) -> float:
        """How many peers report it, or did. The past counts for weeks, so numbers seldom change hands."""
        passed_s = max(0, at - self._seen.get(key, at))
        return self._peers.get(key, 0.0) * exp2(-passed_s / PEERS_HALF_S)

    def save(self, now: int) -> None:
        """Every quarter of an hour, save when measures were last seen."""
        if abs(now - self._saved_at) >= SAVED_EVERY_S:
            self._saved_at = now
            seen = [(number, self._seen[key], self._peers[key]) for key, number in self._numbers.items()]
            self._db.executemany("UPDATE measure SET seen = ?2, peers = ?3 WHERE number = ?1", seen)

    def _admit(self, key: MeasureKey, at: int, peers: int) -> int | None:
        free = set(MEASURE_COLUMNS) - set(self._numbers.values())
        if free:
            number = min(free)
        else:
            gone = min(self._numbers, key=lambda known: self._claim(known, at))
            _, held, is_used, *_ = self._claim(gone, at)
            if peers < held or (peers == held and is_used):
                return None
            number = self._numbers.pop(gone)
            del self._seen[gone], self._peers[gone]
            self._forget(number, at)
        self._numbers[key] = number
        since = at - at % SAVED_EVERY_S
        self._db.execute(
            "INSERT OR REPLACE INTO measure (number, node, name, unit, is_counter, since, seen, peers)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (number, *key, since, at, peers),
        )
        return number

    def _claim(self, key: MeasureKey, at: int) -> tuple[bool, int, bool, int, MeasureKey]:
        """Order in which measures lose their numbers: those of one peer that are gone, then those of the fewest."""
        held, is_used = round(self._weight(key, at)), self._seen[key] > at - REST_S
        return is_used or held > 1, held, is_used, self._seen[key], key

    def _forget(self, number: int, at: int) -> None:
        """Drop what the measure before left in this quarter of an hour, so that no mean mixes the two."""
        for table, step_s in VALUE_STEPS_S.items():
            begin = at - at % SAVED_EVERY_S
            ids = [(second << COLUMN_BITS | number,) for second in range(begin, at + 1, step_s)]
            self._db.executemany(f"DELETE FROM {table} WHERE id = ?", ids)


def most_reported(found: Iterable[tuple[float, Variant]]) -> MeasureKey | None:
    """The measure that most peers reported, over values of so many seconds; None without any.

    The number of peers counts squared: many for a short time outweigh one for a long time.
    """
    totals: defaultdict[MeasureKey, float] = defaultdict(float)
    for seconds, (key, peers) in found:
        totals[key] += seconds * peers**2
    return min(totals, key=lambda key: (-totals[key], key), default=None)


def kept_columns(db: sqlite3.Connection, series: MeasureSeries) -> Iterator[tuple[int, int, MeasureKey]]:
    """The numbers of a series in a file, since when they hold it, and what they hold; the last seen first."""
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
