"""The queue on disk: in order, whole, bounded, and there again after a kill."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.export import spool as spool_module
from peerscope.export.spool import BLOCK_BYTES, Batch, Spool, held
from peerscope.host.damaged_files import damaged_files

ROOM = 4 * BLOCK_BYTES


def opened(path: Path, bytes_max: int = ROOM) -> Spool:
    spool = Spool(path, bytes_max)
    spool.look()
    return spool


def first(spool: Spool) -> tuple[Batch, bytes] | None:
    """The oldest request, which is being sent from now on."""
    while (batch := spool.look()) is not None:
        data = spool.read(batch)
        if data is not None:
            return batch, data
    return None


def drained(spool: Spool) -> list[tuple[int, bytes]]:
    """Everything that waits, oldest first; nothing waits afterwards."""
    found = []
    while (oldest := first(spool)) is not None:
        batch, data = oldest
        found.append((batch.samples, data))
        spool.remove(batch)
    return found


def test_what_was_put_first_comes_first_and_stays_until_it_is_removed(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    assert spool.look() is None
    assert [spool.put(data, samples) for data, samples in ((b"one", 1), (b"two", 2))] == [0, 0]
    assert (spool.samples, spool.held_bytes) == (3, 2 * BLOCK_BYTES)
    assert first(spool) == first(spool)
    assert drained(spool) == [(1, b"one"), (2, b"two")]
    assert (spool.samples, spool.held_bytes, list(tmp_path.iterdir())) == (0, 0, [])


def test_beyond_its_size_the_oldest_is_dropped_and_counted(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    dropped = [spool.put(bytes((number,)), 10 + number) for number in range(7)]
    assert dropped == [0, 0, 0, 0, 10, 11, 12]
    assert [data for _, data in drained(spool)] == [b"\3", b"\4", b"\5", b"\6"]


def test_what_is_being_sent_is_not_dropped_under_way(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    for number in range(4):
        spool.put(bytes((number,)), 1)
    oldest = first(spool)
    assert oldest is not None
    assert spool.put(b"\4", 1) == 1
    spool.remove(oldest[0])
    assert [data for _, data in drained(spool)] == [b"\2", b"\3", b"\4"]


def test_what_waits_again_may_be_dropped_again(tmp_path: Path) -> None:
    spool = opened(tmp_path, BLOCK_BYTES)
    spool.put(b"old", 1)
    oldest = first(spool)
    assert oldest is not None
    spool.keep(oldest[0])
    assert spool.put(b"new", 2) == 1
    assert drained(spool) == [(2, b"new")]


def test_what_is_larger_than_all_room_is_lost_itself(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    assert spool.put(bytes(ROOM + 1), 9) == 9
    assert drained(spool) == []


def test_the_next_life_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    earlier = opened(tmp_path)
    for number in range(3):
        earlier.put(bytes((number,)), number + 1, at_ms=1000 * number if number else None)
    second = opened(tmp_path)
    assert (second.samples, second.held_bytes) == (6, earlier.held_bytes)
    assert [batch.at_ms for batch in second._batches] == [None, 1000, 2000]
    second.put(b"\3", 4)
    assert [data for _, data in drained(second)] == [b"\0", b"\1", b"\2", b"\3"]


def test_half_a_file_and_what_is_not_ours_are_never_sent(tmp_path: Path) -> None:
    (tmp_path / "000000000007-3.new").write_bytes(b"half")
    (tmp_path / "notes.txt").write_bytes(b"mine")
    spool = opened(tmp_path)
    assert drained(spool) == []
    assert [place.name for place in tmp_path.iterdir()] == ["notes.txt"]


def test_a_file_that_somebody_took_away_holds_nothing_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool = opened(tmp_path)
    spool.put(b"one", 1)
    spool.put(b"two", 2)
    (tmp_path / "000000000001-1").unlink()
    assert drained(spool) == [(2, b"two")]
    assert "has vanished, with 1 samples" in caplog.text


def test_one_can_look_further_and_only_up_to_a_date(tmp_path: Path) -> None:
    spool = opened(tmp_path, 8 * BLOCK_BYTES)
    for number, at_ms in enumerate((9000, 2000, 3000, None)):
        spool.put(bytes((number,)), 10 + number, at_ms)

    def looked(skip: int, until_ms: float = 1e15) -> int | None:
        batch = spool.look(skip, until_ms)
        return None if batch is None else batch.samples

    assert [looked(skip) for skip in (0, 1, 3, 99)] == [10, 11, 13, 13]
    assert [looked(skip, 2500) for skip in (0, 1, 2)] == [11, 13, 13]
    assert looked(0, 0) == 13
    assert (spool.samples_after(2500), spool.samples_after(1e15)) == (22, 0)


def test_what_cannot_be_deleted_is_not_sent_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = opened(tmp_path)
    spool.put(b"one", 1)
    spool.put(b"two", 2)
    batch = spool.look()
    assert batch is not None

    def stuck(self: Path, missing_ok: bool = False) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", stuck)
    with pytest.raises(OSError, match="Read-only"):
        spool.remove(batch)
    monkeypatch.undo()
    assert [data for _, data in drained(spool)] == [b"two"]


def test_a_disk_that_is_full_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = opened(tmp_path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spool_module.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        spool.put(b"lost", 1)
    monkeypatch.undo()
    assert (list(tmp_path.iterdir()), spool.samples, spool.held_bytes) == ([], 0, 0)
    spool.put(b"kept", 1)
    assert drained(spool) == [(1, b"kept")]


WRITER = """
import sys
from pathlib import Path
from peerscope.export.spool import Spool
spool = Spool(Path(sys.argv[1]), 1 << 30)
number = 0
while True:
    spool.put(b"%09d" % number * 1000, 1)
    number += 1
    if number == 20:
        print("ready", flush=True)
"""


def test_a_writer_that_is_killed_leaves_whole_requests_without_a_gap(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        os.kill(writer.pid, signal.SIGKILL)
    found = [data for _, data in drained(opened(tmp_path, 1 << 30))]
    assert len(found) >= 20
    assert found == [b"%09d" % number * 1000 for number in range(len(found))]


@given(st.lists(st.integers(1, 3 * BLOCK_BYTES) | st.sampled_from(["take", "reopen"]), max_size=30))
def test_it_holds_the_newest_that_fit_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int | str]
) -> None:
    path = tmp_path_factory.mktemp("spool")
    spool, model, number = opened(path), [], 0
    for step in steps:
        if step == "reopen":
            spool = opened(path)
        elif step == "take":
            oldest = first(spool)
            assert (None if oldest is None else oldest[1]) == (model.pop(0) if model else None)
            if oldest is not None:
                spool.remove(oldest[0])
        else:
            data = number.to_bytes(2, "big") * -(-int(step) // 2)
            number += 1
            model.append(data)
            dropped = spool.put(data, 1)
            before = len(model)
            while sum(held(len(one)) for one in model) > ROOM:
                model.pop(0)
            assert dropped == before - len(model)
        assert spool.held_bytes == sum(held(len(one)) for one in model) <= ROOM
    assert [data for _, data in drained(spool)] == model


@pytest.mark.parametrize("is_directory", [False, True])
def test_a_damaged_request_does_not_hold_up_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, is_directory: bool
) -> None:
    spool = opened(tmp_path)
    spool.put(b"one", 1)
    spool.put(b"two", 2)
    (first, *_) = sorted(tmp_path.iterdir())
    first.unlink()
    if is_directory:
        first.mkdir()
    else:
        first.touch()
    again = opened(tmp_path)
    assert drained(again) == [(2, b"two")]
    assert (again.samples, again.held_bytes) == (0, 0)
    assert [place.name.partition(".")[0] for place in damaged_files(tmp_path)] == [first.name]
    assert "its 1 samples are not sent" in caplog.text
    assert drained(opened(tmp_path)) == []
