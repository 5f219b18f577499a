"""Verdicts in the file of the history: kept over restarts and migrations, and bounded; what is lost is unknown."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from histories import PEERS
from peerscope.history import availability as kept
from peerscope.history.availability import VerdictPage, read_availability
from peerscope.history.retention import HistoryConfig
from peerscope.history.store import Store
from peerscope.records.identity import PeerId
from peerscope.views.availability import DAY_S, Availability, StateChange, WatchedState, WatchedTime
from peerscope.views.verdict_log import VerdictJournal

S = WatchedState
ONE, OTHER = PEERS[:2]
NOTHING = VerdictPage(VerdictJournal(), {})


def page(
    *changes: tuple[PeerId, float, int], times: tuple[WatchedTime, ...] = (), rewound_to: float | None = None
) -> VerdictPage:
    journal = VerdictJournal(tuple(StateChange(*one) for one in changes), times, rewound_to)
    return VerdictPage(journal, {ONE: "eu", OTHER: None})


def put(place: Path, *pages: VerdictPage, max_bytes: int = 2**29) -> None:
    with Store(place, HistoryConfig(max_bytes=max_bytes)) as store:
        for one in pages:
            store.write([], one)


def rows(place: Path | None, since: float, until: float, rest: VerdictPage = NOTHING) -> dict[str, Availability]:
    return {row.id: row for row in read_availability(place, rest, [since], until)[0]}


def count(place: Path, table: str) -> int:
    with closing(sqlite3.connect(place)) as db:
        return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_what_is_written_and_what_waits_make_one_answer(tmp_path: Path) -> None:
    place = tmp_path / "history.db"
    put(
        place,
        page((ONE, 0.0, S.ALIVE), times=(WatchedTime(0.0, 10.0, True),)),
        page((ONE, 15.0, S.DOWN), times=(WatchedTime(0.0, 20.0, True),)),
    )
    rest = page((ONE, 25.0, S.ALIVE), (OTHER, 25.0, S.ALIVE), times=(WatchedTime(0.0, 40.0, True),))
    found = rows(place, 0.0, 40.0, rest)
    assert (found[ONE.hex()].up_s, found[ONE.hex()].down_s) == (30.0, 10.0)
    assert (found["eu"].up_ratio, found["network"].window_s, found[OTHER.hex()].region) == (0.75, 55.0, None)
    assert rows(place, 18.0, 40.0, rest)[ONE.hex()].down_s == 7.0


def test_a_restart_of_the_agent_leaves_a_gap(tmp_path: Path) -> None:
    place = tmp_path / "history.db"
    put(place, page((ONE, 0.0, S.ALIVE), times=(WatchedTime(0.0, 10.0, True),)))
    put(place, page((ONE, 31.0, S.ALIVE), times=(WatchedTime(30.0, 50.0, True),)))
    found = rows(place, 0.0, 50.0)[ONE.hex()]
    assert (found.up_s, found.unknown_s, found.up_ratio) == (29.0, 21.0, 1.0)


def test_a_file_without_verdicts_answers_from_memory_and_takes_them_from_then_on(tmp_path: Path) -> None:
    place = tmp_path / "history.db"
    with closing(sqlite3.connect(place)) as db:
        db.executescript((Path(__file__).parent / "history-v1.sql").read_text(encoding="ascii"))
    rest = page((ONE, 0.0, S.ALIVE), times=(WatchedTime(0.0, 10.0, True),))
    assert rows(place, 0.0, 10.0, rest)["network"].up_ratio == 1.0
    put(place, rest)
    assert rows(place, 0.0, 10.0)["network"].up_ratio == 1.0
    assert count(place, "minute") > 0


def test_a_process_whose_clock_was_set_back_replaces_what_is_dated_later(tmp_path: Path) -> None:
    place = tmp_path / "history.db"
    put(place, page((ONE, 0.0, S.ALIVE), (ONE, 90.0, S.DOWN), times=(WatchedTime(0.0, 100.0, True),)))
    put(place, page((ONE, 50.0, S.ALIVE), times=(WatchedTime(50.0, 60.0, True),)))
    found = rows(place, 0.0, 60.0)[ONE.hex()]
    assert (found.up_s, found.down_s, found.window_s) == (60.0, 0.0, 60.0)


def test_a_process_whose_clock_begins_in_1970_destroys_nothing(tmp_path: Path) -> None:
    place, now = tmp_path / "history.db", 1_700_000_000.0
    put(place, page((ONE, now, S.DOWN), times=(WatchedTime(now, now + 100, True),)))
    put(place, page((ONE, 1.0, S.ALIVE), times=(WatchedTime(0.0, 10.0, True),)))
    assert rows(place, now, now + 100)[ONE.hex()].down_s == 100.0


def test_a_rewind_drops_what_was_written_before(tmp_path: Path) -> None:
    place = tmp_path / "history.db"
    put(
        place,
        page((ONE, 0.0, S.ALIVE), (OTHER, 70.0, S.DOWN), times=(WatchedTime(0.0, 100.0, True),)),
        page((ONE, 40.0, S.ALIVE), times=(WatchedTime(40.0, 60.0, True),), rewound_to=40.0),
    )
    found = rows(place, 0.0, 60.0)
    assert OTHER.hex() not in found
    assert found[ONE.hex()].window_s == 60.0


def test_old_changes_go_but_for_the_one_that_still_holds(tmp_path: Path) -> None:
    place, now = tmp_path / "history.db", 100 * DAY_S
    old = [(ONE, day * DAY_S, (S.ALIVE, S.DOWN)[day % 2]) for day in range(60)]
    put(place, page(*old, (OTHER, 5 * DAY_S, S.FORGOTTEN), times=(WatchedTime(0.0, now, True),)))
    assert count(place, "verdict") == 1
    assert count(place, "subject") == 1
    assert rows(place, now - 30 * DAY_S, now)[ONE.hex()].down_s == 30 * DAY_S


def test_peers_of_processes_that_are_no_longer_kept_go(tmp_path: Path) -> None:
    place, now = tmp_path / "history.db", 100 * DAY_S
    put(place, page((OTHER, 0.0, S.ALIVE), times=(WatchedTime(0.0, 10.0, True),)))
    put(place, page((ONE, now, S.ALIVE), times=(WatchedTime(now, now + 10, True),)))
    assert count(place, "subject") == 1
    assert list(rows(place, now - 30 * DAY_S, now + 10)) == ["network", "eu", ONE.hex()]


def test_a_peer_that_flaps_loses_its_own_oldest_changes_and_no_other_peer_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "CHANGES_PER_PEER_MAX", 100)
    place = tmp_path / "history.db"
    flaps = [(ONE, float(second), (S.ALIVE, S.DOWN)[second % 2]) for second in range(1000)]
    put(place, page((OTHER, 0.0, S.ALIVE), *flaps, times=(WatchedTime(0.0, 1000.0, True),)))
    assert count(place, "verdict") == 101
    found = rows(place, 0.0, 1000.0)
    assert (found[ONE.hex()].up_s, found[ONE.hex()].down_s, found[ONE.hex()].unknown_s) == (50.0, 50.0, 900.0)
    assert found[OTHER.hex()].up_s == 1000.0


def test_the_whole_is_bounded_by_the_size_of_the_file_and_the_lost_time_is_unknown(tmp_path: Path) -> None:
    place = tmp_path / "history.db"
    most = 2**24 // kept.BYTES_PER_CHANGE
    peers = [PeerId(number.to_bytes(32, "big")) for number in range(20)]
    changes = [(peer, float(second), (S.ALIVE, S.DOWN)[second % 2]) for second in range(4000) for peer in peers]
    put(place, page(*changes, times=(WatchedTime(0.0, 4000.0, True),)), max_bytes=2**24)
    assert count(place, "verdict") <= most
    network = rows(place, 0.0, 4000.0)["network"]
    assert network.up_ratio == pytest.approx(0.5, abs=0.001)
    assert network.unknown_s + network.up_s + network.down_s == 20 * 4000.0
    assert network.unknown_s > 0
    assert place.stat().st_size < 2**24
