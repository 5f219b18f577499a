"""How long what is kept, and in which steps: raw, by the minute, by the quarter of an hour.

Coarser values are made from raw ones, both of them, so that a mean is the mean of what was measured and not of other
means. Whatever is dropped goes in small pieces, oldest first: by age, and where the file grows too large the finest
first. The last half hour of raw values goes last, for coarser ones are still to be made from it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator

from msgspec import Struct

from peerscope.errors import ConfigError
from peerscope.history.columns import Column, folded, from_packed, from_plain, is_known, packed, plain, rounded
from peerscope.history.schema import COLUMN_BITS, PAGE_BYTES
from peerscope.history.series import COLUMNS

RAW = "raw"
MIB = 2**20
MAX_BYTES_MIN = 16 * MIB
RESERVE_BYTES_MIN = 4 * MIB
RAW_KEPT_S = 1800
ROWS_PER_SAMPLE = 4 * len(COLUMNS)
"""Dropped of one resolution for each sample that comes: more than it brings. Each also passes through the journal."""
PASSES_MAX = 4


class HistoryConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept over time, on this peer's disk."""

    enabled: bool = True
    max_bytes: int = 512 * MIB
    """Of the file and its journal. Beyond, the oldest of the finest steps is dropped first."""
    interval_s: int = 5
    """Step of raw values; a divisor of 60. Reports do not come more often than this."""
    raw_s: int = 3600
    """How long raw values are kept."""
    minute_s: int = 86_400
    """How long means by the minute are kept."""
    quarter_s: int = 2_592_000
    """How long means by the quarter of an hour are kept."""

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
    """Its table."""
    step_s: int
    keep_s: int
    encode: Callable[[Column[float]], bytes]
    decode: Callable[[bytes], Column[float]]


def tiers(config: HistoryConfig) -> tuple[Tier, Tier, Tier]:
    """Finest first. Raw values are written most often and kept shortest, so they are not packed."""
    return (
        Tier(RAW, config.interval_s, config.raw_s, plain, from_plain),
        Tier("minute", 60, config.minute_s, packed, from_packed),
        Tier("quarter", 900, config.quarter_s, packed, from_packed),
    )


def put(db: sqlite3.Connection, tier: Tier, at: int, number: int, column: Column[float]) -> None:
    """Keep a column; what stood there before gives way. Nothing is stored where nothing is known."""
    if any(map(is_known, column)):
        key = at << COLUMN_BITS | number
        db.execute(f"INSERT OR REPLACE INTO {tier.name} VALUES (?, ?)", (key, tier.encode(column)))


def columns(
    db: sqlite3.Connection, tier: Tier, number: int, begin: int, end: int
) -> Iterator[tuple[int, Column[float]]]:
    """(at, column) of what is kept from `begin` until before `end`, in order of time."""
    # Row by row of those there may be: reading on from one to the next would pass the other columns' pages. Raw values
    # may be from a time with another interval.
    step_s = 1 if tier.name == RAW else tier.step_s
    first, last = -(-begin // step_s) * step_s, end - 1
    found = db.execute(
        "WITH RECURSIVE grid(at) AS (SELECT ?1 WHERE ?1 <= ?2 UNION ALL SELECT at + ?3 FROM grid WHERE at + ?3 <= ?2) "
        f"SELECT grid.at, data FROM grid CROSS JOIN {tier.name} ON id = grid.at << {COLUMN_BITS} | ?4",
        (first, last, step_s, number),
    )
    for at, data in found:
        yield at, tier.decode(data)


def fold(db: sqlite3.Connection, raw: Tier, tier: Tier, at: int) -> None:
    """Make the row of each column that begins at `at` from raw ones; it may have been made before."""
    for series in COLUMNS:
        found = [column for _, column in columns(db, raw, series.base, at, at + tier.step_s)]
        if found:
            put(db, tier, at, series.column, rounded(folded(found, series.fold)))


def unfolded(db: sqlite3.Connection, tier: Tier) -> set[int]:
    """Windows of a coarser tier that raw values lie in, and that were not made when the writer last ended."""
    shift = f">> {COLUMN_BITS}"
    (newest,) = db.execute(f"SELECT ifnull(max(id) {shift}, 0) FROM {tier.name}").fetchone()
    found = db.execute(
        f"SELECT DISTINCT (id {shift}) / ?1 * ?1 FROM raw WHERE id >= ?2",
        (tier.step_s, newest + tier.step_s << COLUMN_BITS),
    )
    return {at for (at,) in found}


def thin(db: sqlite3.Connection, kept: tuple[Tier, Tier, Tier], samples: int, newest: int, max_bytes: int) -> None:
    """Drop what is too old, counted from the newest of so many new samples, and what does not fit.

    As much as came, and some more: a clock that jumps ahead for a while costs little, and nothing stalls.
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
    """Give a piece of the file back where the bound was lowered; in the long run, freed pages are used again."""
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    if pages * PAGE_BYTES > max_bytes:
        db.executescript("PRAGMA incremental_vacuum(256)")  # `execute` would stop after the first page


def used_bytes(db: sqlite3.Connection) -> int:
    """Of the file, without pages that wait to be used again."""
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    (free,) = db.execute("PRAGMA freelist_count").fetchone()
    return int(pages - free) * PAGE_BYTES


def reserve_bytes(max_bytes: int) -> int:
    """Room for the journal and for what one transaction adds before it drops."""
    return max(RESERVE_BYTES_MIN, max_bytes // 16)


def _drop(db: sqlite3.Connection, tier: Tier, before: int, rows: int) -> int:
    """Drop some of the oldest rows that begin before this time; how many."""
    oldest = f"SELECT id FROM {tier.name} WHERE id < ? ORDER BY id LIMIT {rows}"
    return db.execute(f"DELETE FROM {tier.name} WHERE id IN ({oldest})", (before << COLUMN_BITS,)).rowcount
