"""Keeps the changes of verdicts and the watched times in the file of the history, and answers with availability.

Changes are kept for `KEEP_S`, with one older change of each peer, which still holds when the window begins. Peers that
flap lose their own oldest changes first. Lost time is unknown, never up.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from peerscope.history.reader import reading
from peerscope.history.schema import VERDICT_VERSION
from peerscope.records.identity import PeerId
from peerscope.views.availability import (
    DAY_S,
    Availability,
    WatchedPeer,
    WatchedState,
    WatchedTime,
    availability,
)
from peerscope.views.verdict_log import SET_BACK_S_MAX, VerdictJournal

KEEP_S = 31 * DAY_S
"""The longest window is 30 days."""
CHANGES_PER_PEER_MAX = 10_000
"""A change every four minutes for 30 days."""
BYTES_PER_CHANGE = 256
"""So many bytes of `history.max_bytes` allow one change. A change takes about 30, so an eighth of the file."""
TIMES_MAX = 50_000
"""Watched times: a restart every minute for 30 days."""
SUBJECTS_MAX = 20_000
THIN_INTERVAL_S = 3600.0


class VerdictPage(Struct, frozen=True):
    """One write: the journal, and the region of each known peer."""

    journal: VerdictJournal
    regions: Mapping[PeerId, str | None]


class VerdictStore:
    """Writes verdicts within the transactions of the history's store."""

    def __init__(self, db: sqlite3.Connection, max_bytes: int) -> None:
        self._db = db
        self._changes_max = max_bytes // BYTES_PER_CHANGE
        self._subjects: dict[PeerId, int] = {}
        self._regions: dict[PeerId, str | None] = {}
        self._thinned_at: float | None = None
        self._recall()

    def write(self, page: VerdictPage) -> None:
        """Write one page, and drop what is too old."""
        db, journal = self._db, page.journal
        if journal.rewound_to is not None:
            self._rewind(journal.rewound_to)
        for time in journal.times:
            if time.is_start:
                self._check_start(time.begin)
            db.execute("INSERT OR REPLACE INTO watched VALUES (?, ?, ?)", (time.begin, time.until, time.is_start))
        rows = [(self._subject(one.peer, one.at), one.at, one.state) for one in journal.changes]
        db.executemany("INSERT OR REPLACE INTO verdict VALUES (?, ?, ?)", rows)
        for peer, region in page.regions.items():
            if peer in self._subjects and self._regions.get(peer) != region:
                self._regions[peer] = region
                db.execute("UPDATE subject SET region = ? WHERE id = ?", (region, self._subjects[peer]))
        if journal.times:
            self._thin(journal.times[-1].until)

    def _recall(self) -> None:
        found = self._db.execute("SELECT peer_id, id, region FROM subject").fetchall()
        self._subjects = {PeerId(peer): number for peer, number, _ in found}
        self._regions = {PeerId(peer): region for peer, _, region in found}

    def _subject(self, peer: PeerId, at: float) -> int:
        if peer not in self._subjects:
            made = self._db.execute("INSERT INTO subject (peer_id, since) VALUES (?, ?)", (peer, at))
            assert made.lastrowid is not None
            self._subjects[peer] = made.lastrowid
        return self._subjects[peer]

    def _check_start(self, begin: float) -> None:
        """An earlier process may have written later dates, since the clock was set back."""
        if self._db.execute("SELECT 1 FROM watched WHERE begin = ?", (begin,)).fetchone():
            return
        (latest,) = self._db.execute("SELECT max(until) FROM watched").fetchone()
        if latest is not None and begin < latest <= begin + SET_BACK_S_MAX:
            self._rewind(begin)

    def _rewind(self, wall: float) -> None:
        self._db.execute("DELETE FROM verdict WHERE at >= ?", (wall,))
        self._db.execute("DELETE FROM watched WHERE begin >= ?", (wall,))
        self._db.execute("UPDATE watched SET until = ?1 WHERE until > ?1", (wall,))
        self._db.execute("UPDATE subject SET since = ?1 WHERE since > ?1", (wall,))

    def _thin(self, now: float) -> None:
        if self._thinned_at is not None and abs(now - self._thinned_at) < THIN_INTERVAL_S:
            return
        self._thinned_at = now
        db, before = self._db, now - KEEP_S
        db.execute("DELETE FROM watched WHERE until < ?", (before,))
        self._drop_oldest("watched", "begin", TIMES_MAX)
        db.execute(
            "DELETE FROM verdict WHERE at < (SELECT max(at) FROM verdict AS later"
            " WHERE later.subject = verdict.subject AND later.at <= ?)",
            (before,),
        )
        for subject, count in db.execute("SELECT subject, count(*) FROM verdict GROUP BY subject").fetchall():
            if count > CHANGES_PER_PEER_MAX:
                self._drop_oldest("verdict", "at", CHANGES_PER_PEER_MAX, f"subject = {subject:d}")
        self._drop_oldest("verdict", "at", self._changes_max)
        (first,) = db.execute("SELECT min(begin) FROM watched").fetchone()
        last = db.execute("SELECT subject, max(at), state FROM verdict GROUP BY subject").fetchall()
        last.sort(key=lambda row: -row[1])
        gone = [
            (subject,)
            for place, (subject, at, state) in enumerate(last)
            if place >= SUBJECTS_MAX
            or (state == WatchedState.FORGOTTEN and at < before)
            or at < (before if first is None else first)
        ]
        db.executemany("DELETE FROM verdict WHERE subject = ?", gone)
        db.execute("DELETE FROM subject WHERE id NOT IN (SELECT subject FROM verdict)")
        self._recall()

    def _drop_oldest(self, table: str, time: str, most: int, where: str = "1") -> None:
        found = self._db.execute(
            f"SELECT {time} FROM {table} WHERE {where} ORDER BY {time} DESC LIMIT 1 OFFSET ?", (most,)
        ).fetchone()
        if found is not None:
            self._db.execute(f"DELETE FROM {table} WHERE {where} AND {time} <= ?", found)


def read_availability(
    place: Path | None, page: VerdictPage, sinces: Sequence[float], until: float
) -> list[list[Availability]]:
    """Availability since each of these Unix seconds. Raises `HistoryError`.

    `place`: the file, if there is one. `page`: what is not yet in it.
    """
    kept = _Kept()
    if place is not None:
        kept.read(place, min(sinces))
    kept.add(page)
    watched, times = kept.watched(), kept.times()
    return [availability(watched, times, since, until) for since in sinces]


class _Kept:
    """Changes and watched times, from the file and from memory."""

    def __init__(self) -> None:
        self._changes: dict[PeerId, dict[float, int]] = defaultdict(dict)
        self._times: dict[float, WatchedTime] = {}
        self._since: dict[PeerId, float] = {}
        self._regions: dict[PeerId, str | None] = {}

    def read(self, place: Path, since: float) -> None:
        with reading(place) as db:
            if db.execute("PRAGMA user_version").fetchone()[0] < VERDICT_VERSION:
                return
            for begin, end, is_start in db.execute("SELECT begin, until, is_start FROM watched ORDER BY begin"):
                self._times[begin] = WatchedTime(begin, end, bool(is_start))
            peers = {}
            for number, peer, first, region in db.execute("SELECT id, peer_id, since, region FROM subject"):
                peers[number] = PeerId(peer)
                self._since[peers[number]], self._regions[peers[number]] = first, region
            # The last change before the window still holds when it begins.
            found = db.execute(
                "SELECT subject.id, at, state FROM subject CROSS JOIN verdict ON subject = subject.id AND at >= ifnull("
                "(SELECT max(at) FROM verdict AS before WHERE before.subject = subject.id AND before.at <= ?), 0)",
                (since,),
            )
            for subject, at, state in found:
                if subject in peers:
                    self._changes[peers[subject]][at] = state

    def add(self, page: VerdictPage) -> None:
        journal = page.journal
        if journal.rewound_to is not None:
            self._rewind(journal.rewound_to)
        for time in journal.times:
            self._times[time.begin] = time
        for one in journal.changes:
            self._changes[one.peer][one.at] = one.state
            self._since.setdefault(one.peer, one.at)
        self._regions.update(page.regions)

    def watched(self) -> list[WatchedPeer]:
        return [
            WatchedPeer(peer, self._regions.get(peer), self._since[peer], tuple(sorted(changes.items())))
            for peer, changes in self._changes.items()
        ]

    def times(self) -> list[WatchedTime]:
        return [time for _, time in sorted(self._times.items())]

    def _rewind(self, wall: float) -> None:
        for peer, changes in self._changes.items():
            self._changes[peer] = {at: state for at, state in changes.items() if at < wall}
            self._since[peer] = min(self._since[peer], wall)
        kept = (time for time in self._times.values() if time.begin < wall)
        self._times = {one.begin: WatchedTime(one.begin, min(one.until, wall), one.is_start) for one in kept}
