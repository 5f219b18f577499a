"""Versions of the file: one of the first version is read and written on, and a step leads on or changes nothing."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from histories import BEGIN, PEERS, asked, known, said
from peerscope.errors import HistoryError
from peerscope.history.retention import HistoryConfig
from peerscope.history.schema import STEPS, bring_up_to_date, open_to_read, open_to_write
from peerscope.history.store import Store

FIRST = Path(__file__).parent / "history-v1.sql"
"""A file as the first version wrote it: two peers, one value a minute for sixteen minutes, 0.5 and 0.25."""


@pytest.fixture
def first(tmp_path: Path) -> Path:
    place = tmp_path / "history.db"
    with closing(sqlite3.connect(place)) as db:
        db.executescript(FIRST.read_text(encoding="ascii"))
    return place


def test_a_file_of_the_first_version_is_read_and_written_on(first: Path) -> None:
    with Store(first, HistoryConfig()) as store:
        store.write([said(960, 0.75, 0.25)])
    raw = known(asked(first, until=960))
    assert (raw[0], raw[900], raw[960]) == (0.5, 0.5, 0.75)
    minutes = known(asked(first, peer=PEERS[1], since=-7200, until=960))
    assert minutes == dict.fromkeys(range(0, 961, 60), 0.25)
    assert known(asked(first, "cpu_ratio_max", since=-100_000, until=960)) == {0: 0.5, 900: 0.75}
    assert known(asked(first, "network_peers", until=960))[0] == 0.5


def test_an_empty_file_becomes_one_of_the_newest_version(tmp_path: Path) -> None:
    with closing(open_to_write(tmp_path / "history.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(STEPS),)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert db.execute("PRAGMA auto_vacuum").fetchone() == (2,)


def test_a_further_step_changes_the_file_and_keeps_what_it_holds(first: Path) -> None:
    step = ("ALTER TABLE peer ADD COLUMN name TEXT", "UPDATE peer SET name = hex(substr(peer_id, 1, 1))")
    with closing(sqlite3.connect(first, isolation_level=None)) as db:
        bring_up_to_date(db, first, (*STEPS, step))
        assert db.execute("PRAGMA user_version").fetchone() == (len(STEPS) + 1,)
        assert db.execute("SELECT name FROM peer ORDER BY slot").fetchall() == [("01",), ("02",)]
        assert db.execute("SELECT min(id) >> 8 FROM raw").fetchone() == (BEGIN,)
        bring_up_to_date(db, first, (*STEPS, step))  # once is enough


def test_a_step_that_fails_leaves_the_file_as_it_was(first: Path) -> None:
    with closing(sqlite3.connect(first, isolation_level=None)) as db:
        bring_up_to_date(db, first)
    before = dump(first)
    with closing(sqlite3.connect(first, isolation_level=None)) as db:
        with pytest.raises(sqlite3.OperationalError, match="nonsense"):
            bring_up_to_date(db, first, (*STEPS, ("DROP TABLE raw", "DELETE FROM nonsense")))
    assert dump(first) == before
    assert known(asked(first, until=4)) == {0: 0.5}


def test_a_file_of_a_later_version_is_left_alone(first: Path) -> None:
    with closing(sqlite3.connect(first)) as db:
        db.execute("PRAGMA user_version = 99")
    for open_file in (open_to_write, open_to_read):
        with pytest.raises(
            HistoryError, match=rf"later peerscope \(schema 99, this one knows {len(STEPS)}\).*move the file away"
        ):
            open_file(first)


def dump(place: Path) -> list[str]:
    with closing(sqlite3.connect(place)) as db:
        return [*db.iterdump(), str(db.execute("PRAGMA user_version").fetchone())]
