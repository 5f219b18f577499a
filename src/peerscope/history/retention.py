"""How long values are kept, and in which steps: raw, by the minute, by the quarter of an hour.

Both coarser steps are made from raw values, so that a mean is never a mean of means. Values are dropped in small
pieces, oldest first: by age, and if the file grows too large, the finest step first. The last half hour of raw values
goes last: coarser values are still made from it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from msgspec import Struct

from peerscope.errors import ConfigError
from peerscope.history.columns import Column, folded, from_packed, from_plain, is_known, mean, packed, plain, rounded
from peerscope.history.measures import MEASURE_COLUMNS
from peerscope.history.schema import COLUMN_BITS, PAGE_BYTES
from peerscope.history.series import COLUMNS

RAW = "raw"
MIB = 2**20
MAX_BYTES_MIN = 16 * MIB
RESERVE_BYTES_MIN = 4 * MIB
RAW_KEPT_S = 1800
ROWS_PER_SAMPLE = 4 * (len(COLUMNS) + len(MEASURE_COLUMNS))
"""Rows of one resolution to drop for each new sample: more than it brings. Each also passes through the journal."""
PASSES_MAX = 4


class HistoryConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the history on this peer's disk."""

    enabled: bool = True
    max_bytes: int = 512 * MIB
    """Limit of the file and its journal. Beyond it, the oldest values of the finest step are dropped first."""
    interval_s: int = 5
    """Step of raw values; a divisor of 60. Reports come no more often."""
    raw_s: int = 3600
    """Seconds that raw values are kept."""
    minute_s: int = 86_400
    """Seconds that means by the minute are kept."""
    quarter_s: int = 2_592_000
    """Seconds that means by the quarter of an hour are kept."""

    def __post_init__(self) -> None:
        if self.max_bytes < MAX_BYTES_MIN:
            raise ConfigError(f"history.max_bytes is {self.max_bytes}; must be {MAX_BYTES_MIN} (16 MiB) or more")
        if self.interval_s < 1 or 60 % self.interval_s:
            raise ConfigError(f"history.interval_s is {self.interval_s}; must divide 60: 1, 2, 3, 4, 5, 6, 10, ...")
        if not RAW_KEPT_S <= self.raw_s <= self.minute_s <= self.quarter_s:
            raise ConfigError(
                f"history.raw_s, minute_s and quarter_s are {self.raw_s}, {self.minute_s} and {self.quarter_s}; "
                f"none may be below {RAW_KEPT_S} or below the one before it"
            )


class Tier(Struct, frozen=True):
    """One resolution."""

    name: str
    """Also the name of its table."""
    step_s: int
    keep_s: int
    encode: Callable[[Column[float]], bytes]
    decode: Callable[[bytes], Column[float]]


def tiers(config: HistoryConfig) -> tuple[Tier, Tier, Tier]:
    """The three resolutions, finest first. Raw values are written most and dropped first, so they stay unpacked."""
    return (
        Tier(RAW, config.interval_s, config.raw_s, plain, from_plain),
        Tier("minute", 60, config.minute_s, packed, from_packed),
        Tier("quarter", 900, config.quarter_s, packed, from_packed),
    )


def put(db: sqlite3.Connection, tier: Tier, at: int, number: int, column: Column[float]) -> None:
    """Store a column in place of the one before. A column without any known value is not stored."""
    if any(map(is_known, column)):
        key = at << COLUMN_BITS | number
        db.execute(f"INSERT OR REPLACE INTO {tier.name} VALUES (?, ?)", (key, tier.encode(column)))


def columns(
    db: sqlite3.Connection, tier: Tier, number: int, begin: int, end: int
) -> Iterator[tuple[int, Column[float]]]:
    """Yield (at, column) from `begin` until before `end`, in order of time."""
    # Look up each possible row: a scan would read the pages of the other columns too. Raw values may have been written
    # with another interval.
    step_s = 1 if tier.name == RAW else tier.step_s
    first, last = -(-begin // step_s) * step_s, end - 1
    found = db.execute(
        "WITH RECURSIVE grid(at) AS (SELECT ?1 WHERE ?1 <= ?2 UNION ALL SELECT at + ?3 FROM grid WHERE at + ?3 <= ?2) "
        f"SELECT grid.at, data FROM grid CROSS JOIN {tier.name} ON id = grid.at << {COLUMN_BITS} | ?4",
        (first, last, step_s, number),
    )
    for at, data in found:
        yield at, tier.decode(data)


def fold(db: sqlite3.Connection, raw: Tier, tier: Tier, at: int, measures: Iterable[int] = ()) -> None:
    """Make the row of each column that begins at `at` from raw values, again if it exists.

    `measures`: numbers of the columns that are no fixed series.
    """
    fixed = ((series.base, series.column, series.fold) for series in COLUMNS)
    for base, number, how in chain(fixed, ((number, number, mean) for number in measures)):
        found = [column for _, column in columns(db, raw, base, at, at + tier.step_s)]
        if found:
            put(db, tier, at, number, rounded(folded(found, how)))


def unfolded(db: sqlite3.Connection, tier: Tier) -> set[int]:
    """Find windows of a coarser tier that hold raw values and that the writer had not made when it last ended."""
    shift = f">> {COLUMN_BITS}"
    (newest,) = db.execute(f"SELECT ifnull(max(id) {shift}, 0) FROM {tier.name}").fetchone()
    found = db.execute(
        f"SELECT DISTINCT (id {shift}) / ?1 * ?1 FROM raw WHERE id >= ?2",
        (tier.step_s, newest + tier.step_s << COLUMN_BITS),
    )
    return {at for (at,) in found}


def thin(db: sqlite3.Connection, kept: tuple[Tier, Tier, Tier], samples: int, newest: int, max_bytes: int) -> None:
    """Drop values that are too old, counted from the newest sample, and values that do not fit.

    Each call drops a little more than came: a clock that jumps ahead for a while costs little, and nothing stalls.
    """
    rows = samples * ROWS_PER_SAMPLE
    for tier in kept:
        _drop(db, tier, newest - tier.keep_s, rows)
    raw, minute, quarter = kept
    for _ in range(PASSES_MAX):
        if used_bytes(db) <= max_bytes - reserve_bytes(max_bytes):
            break
        pieces = ((raw, newest - RAW_KEPT_S), (minute, newest), (quarter, newest), (raw, newest))
        if not any(_drop(db, tier, before, rows) for tier, before in pieces):
            break


def shrink(db: sqlite3.Connection, max_bytes: int) -> None:
    """Return some free pages to the disk if the limit was lowered; otherwise SQLite uses them again."""
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    if pages * PAGE_BYTES > max_bytes:
        db.executescript("PRAGMA incremental_vacuum(256)")  # `execute` would stop after the first page


def used_bytes(db: sqlite3.Connection) -> int:
    """Size of the file without its free pages."""
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    (free,) = db.execute("PRAGMA freelist_count").fetchone()
    return int(pages - free) * PAGE_BYTES


def reserve_bytes(max_bytes: int) -> int:
    """Space for the journal and for what one transaction adds before it drops."""
    return max(RESERVE_BYTES_MIN, max_bytes // 16)


def _drop(db: sqlite3.Connection, tier: Tier, before: int, rows: int) -> int:
    """Drop up to `rows` of the oldest rows that begin before this time. Returns how many."""
    oldest = f"SELECT id FROM {tier.name} WHERE id < ? ORDER BY id LIMIT {rows}"
    return db.execute(f"DELETE FROM {tier.name} WHERE id IN ({oldest})", (before << COLUMN_BITS,)).rowcount
