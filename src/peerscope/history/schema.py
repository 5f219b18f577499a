"""The file of the history: its tables, and its migration from earlier versions.

`PRAGMA user_version` counts the migration steps that a file has taken. Each step is one transaction, so a file is
always of one version or the next.

Each row of `raw`, `minute` and `quarter` holds one column. Its id is `at << 8 | column`, with `at` in Unix seconds. So
rows are in order of time: writing appends, thinning cuts off the front, and no lookup needs an index.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Sequence
from pathlib import Path

from peerscope.errors import HistoryError

FILE = "history.db"
COLUMN_BITS = 8
PAGE_BYTES = 16_384
"""Columns of a thousand peers take 2 to 4 KB, and SQLite shares no page between rows that do not fit together."""
CHECKPOINT_PAGES = 64
CACHE_KIB = 512
"""Pages that a writer keeps in memory: SQLite's default is 2,000 KiB, which an agent fills within hours. Rows are
appended, and the system keeps the file in its own cache."""
BUSY_S = 5.0

Step = tuple[str, ...]
STEPS: tuple[Step, ...] = (
    (  # 1
        "CREATE TABLE raw (id INTEGER PRIMARY KEY, data BLOB NOT NULL)",
        "CREATE TABLE minute (id INTEGER PRIMARY KEY, data BLOB NOT NULL)",
        "CREATE TABLE quarter (id INTEGER PRIMARY KEY, data BLOB NOT NULL)",
        # `since`: earlier values in the slot belong to another peer. `seen`: to the quarter of an hour.
        "CREATE TABLE peer (peer_id BLOB PRIMARY KEY, slot INTEGER NOT NULL UNIQUE, since INTEGER NOT NULL,"
        " seen INTEGER NOT NULL) WITHOUT ROWID",
    ),
    (  # 2: times are Unix seconds
        # `since`: when the peer was first known.
        "CREATE TABLE subject (id INTEGER PRIMARY KEY, peer_id BLOB NOT NULL UNIQUE, since REAL NOT NULL, region TEXT)",
        "CREATE TABLE verdict (subject INTEGER NOT NULL, at REAL NOT NULL, state INTEGER NOT NULL,"
        " PRIMARY KEY (subject, at)) WITHOUT ROWID",
        "CREATE TABLE watched (begin REAL PRIMARY KEY, until REAL NOT NULL, is_start INTEGER NOT NULL) WITHOUT ROWID",
    ),
    (  # 3
        # `number`: of its column. `since`: earlier values there belong to another measure. `seen`: to a quarter hour.
        "CREATE TABLE measure (number INTEGER PRIMARY KEY, node TEXT NOT NULL, name TEXT NOT NULL, unit TEXT NOT NULL,"
        " is_counter INTEGER NOT NULL, since INTEGER NOT NULL, seen INTEGER NOT NULL)",
    ),
    (  # 4
        # `peers`: that reported it, halved every week without so many. Two, so that one peer displaces none from then.
        "ALTER TABLE measure ADD COLUMN peers REAL NOT NULL DEFAULT 2",
    ),
)
"""SQL from each version to the next; version 0 is an empty file. Only append to it."""
VERDICT_VERSION = 2
"""The first version that keeps verdicts."""
MEASURE_VERSION = 3
"""The first version that keeps measures."""
VALUE_STEPS_S = {"raw": 1, "minute": 60, "quarter": 900}
"""Tables of values, and between which seconds their rows begin at least."""


def open_to_write(place: Path) -> sqlite3.Connection:
    """Create the file or bring it up to date; the caller makes transactions.

    Raises `HistoryError`, `sqlite3.Error`, `OSError`.
    """
    if not os.access(place.parent, os.W_OK):  # SQLite would only say that it cannot open the file
        raise HistoryError("its directory is read-only, or gone")
    if not place.exists():  # others could read a file that SQLite makes; closing one that exists would drop its locks
        os.close(os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    db = sqlite3.connect(place, timeout=BUSY_S, isolation_level=None)
    try:
        db.execute(f"PRAGMA page_size = {PAGE_BYTES}")  # this and the next act only before the first table
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        db.execute("PRAGMA journal_mode = WAL")
        # In WAL mode a killed process loses nothing that was committed, and a power cut never corrupts.
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        db.execute(f"PRAGMA journal_size_limit = {2 * CHECKPOINT_PAGES * PAGE_BYTES}")
        db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        bring_up_to_date(db, place)
    except BaseException:
        db.close()
        raise
    return db


def open_to_read(place: Path) -> sqlite3.Connection:
    """Open the file while an agent may write to it. Raises `HistoryError`, `sqlite3.Error`."""
    try:
        return _open(place, "mode=ro")
    except sqlite3.OperationalError:
        # On a read-only file system nobody writes, and SQLite cannot make the file that readers share.
        if os.access(place.parent, os.W_OK) or place.with_name(f"{place.name}-shm").exists():
            raise
        return _open(place, "mode=ro&immutable=1")


def _open(place: Path, how: str) -> sqlite3.Connection:
    db = sqlite3.connect(f"{place.absolute().as_uri()}?{how}", timeout=BUSY_S, isolation_level=None, uri=True)
    try:
        check_version(db, place)
    except BaseException:
        db.close()
        raise
    return db


def bring_up_to_date(db: sqlite3.Connection, place: Path, steps: Sequence[Step] = STEPS) -> None:
    """Take the migration steps that are due. A step that fails changes nothing."""
    version = check_version(db, place, len(steps))
    for number, step in enumerate(steps[version:], version + 1):
        db.execute("BEGIN IMMEDIATE")
        try:
            for statement in step:
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {number}")
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise


def is_damage(error: Exception) -> bool:
    """Whether the content of the file is wrong. A full disk or a lock is no damage."""
    if isinstance(error, zlib.error):
        return True
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def check_version(db: sqlite3.Connection, place: Path, newest: int = len(STEPS)) -> int:
    """Read the version of the file. Raises `HistoryError` if a later peerscope wrote it."""
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if version > newest:
        raise HistoryError(
            f"{place} was written by a later peerscope (schema {version}, this one knows {newest}); upgrade, "
            "or move the file away to start a new one"
        )
    return version
