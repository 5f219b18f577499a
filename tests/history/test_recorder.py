"""The recorder: what it samples, what it answers before and after writing, and how it tells of a spoilt disk."""

import asyncio
import contextlib
import os
import re
import sqlite3
import time
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from histories import BEGIN, known, said
from ledgers import GOOD, WALL_S, Book, lose, meshed
from peerscope.errors import HistoryError
from peerscope.history import recorder as recording
from peerscope.history.reader import History, Question
from peerscope.history.recorder import Recorder
from peerscope.history.retention import HistoryConfig
from peerscope.history.samples import SeriesSample
from peerscope.history.schema import FILE, open_to_read
from peerscope.history.series import SERIES
from peerscope.host.damaged_files import damaged_files
from peerscope.records.bodies import Report
from peerscope.records.identity import PeerId
from peerscope.records.measures import Metrics, NodeMetrics
from peerscope.views.health import network_health
from volumes import fill, remount

NOW = int(WALL_S)


class Bench:
    """A recorder that looks at a book."""

    def __init__(self, state: Path, book: Book | None = None, config: HistoryConfig | None = None) -> None:
        self.book = book or meshed(3)
        self.now = 1.0
        self.recorder = Recorder(
            config or HistoryConfig(),
            state,
            lambda: self.book.snapshot(self.now),
            lambda: network_health(self.book.snapshot(self.now), 4),
        )

    def sample(self, now: float) -> SeriesSample:
        self.now = now
        return self.recorder.sample(NOW + int(now))

    def value(self, number: int, metric: str, now: float) -> float:
        return self.sample(now).value(SERIES[metric], self.book[number])

    async def ask(
        self, peer: PeerId, *, since: int = BEGIN, until: int = BEGIN + 3599, metric: str = "links"
    ) -> History:
        return await self.recorder.read(Question(SERIES[metric], peer, since, until))


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def is_unknown(value: float) -> bool:
    return value != value


def test_a_sample_has_every_peer_with_what_it_says_and_the_network(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    one = bench.sample(1.0)
    assert [one.value(SERIES["links"], bench.book[number]) for number in range(3)] == [2, 2, 2]
    assert one.value(SERIES["status"], bench.book[0]) == 0
    assert one.value(SERIES["network_peers"], None) == 3


def test_a_report_that_expired_and_a_peer_that_is_down_leave_gaps(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert is_unknown(bench.value(0, "links", 60.0))
    assert is_unknown(bench.value(0, "status", 60.0))
    book = meshed(4)
    at = lose(book, 3, range(3))
    bench = Bench(tmp_path, book)
    assert bench.value(3, "status", at + 1.0) == 3
    assert is_unknown(bench.value(3, "links", at + 1.0))


def test_rates_are_counted_between_two_reports_and_stand_until_the_next(tmp_path: Path) -> None:
    bench = Bench(tmp_path)

    def report(messages: int, at: float) -> None:
        metrics = Metrics(node=NodeMetrics(messages=messages))
        bench.book.say(0, Report(60_000, (GOOD,) * 5, metrics=metrics), at=at)

    report(100, 10.0)
    assert is_unknown(bench.value(0, "node_messages_per_s", 11.0))
    report(150, 20.0)
    assert bench.value(0, "node_messages_per_s", 21.0) == 5.0
    assert bench.value(0, "node_messages_per_s", 26.0) == 5.0
    report(151, 20.5)  # at once, for a status that changed
    assert bench.value(0, "node_messages_per_s", 27.0) == 5.0
    report(250, 30.0)
    assert bench.value(0, "node_messages_per_s", 31.0) == 10.0
    report(7, 40.0)  # it has started again
    assert is_unknown(bench.value(0, "node_messages_per_s", 41.0))


def test_what_waits_counts_in_answers_and_so_does_what_is_written(tmp_path: Path) -> None:
    async def scenario() -> None:
        bench = Bench(tmp_path)
        peer = said(0, 1.0).peers[0]
        bench.recorder.take(said(0, 1.0))
        assert known(await bench.ask(peer)) == {0: 1.0}
        await bench.recorder.flush()
        bench.recorder.take(said(5, 2.0))
        assert known(await bench.ask(peer)) == {0: 1.0, 5: 2.0}
        bench.recorder.take(said(0, 3.0))  # the clock went back: the later counts, though it is not written
        assert known(await bench.ask(peer)) == {0: 3.0, 5: 2.0}
        await bench.recorder.close()
        assert bench.recorder.trouble is None
        again = Bench(tmp_path)
        assert known(await again.ask(peer)) == {0: 3.0, 5: 2.0}
        assert await again.recorder.find(peer.hex()[:4]) == [peer]
        await again.recorder.close()

    run(scenario())


def test_memory_is_bounded_and_keeps_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "MEMORY_BYTES_MAX", 10 * said(0, 1.0).size_bytes)

    async def scenario() -> None:
        bench = Bench(tmp_path / "nowhere")
        for at in range(0, 500, 5):
            bench.recorder.take(said(at, 1.0))
        assert list(known(await bench.ask(said(0, 1.0).peers[0]))) == list(range(450, 500, 5))
        await bench.recorder.close()

    run(scenario())


@pytest.mark.parametrize(
    ("spoil", "mend", "words"),
    [
        (fill, lambda place: (place / "others").unlink(), "full"),
        (lambda place: remount(place, "ro"), lambda place: remount(place, "rw"), "read-only"),
    ],
    ids=["full", "read-only"],
)
def test_trouble_with_the_disk_is_told_once_and_nothing_is_lost(
    volume: Path, spoil: Callable[[Path], Any], mend: Callable[[Path], Any], words: str
) -> None:
    crowd = tuple(PeerId(number.to_bytes(32, "big")) for number in range(1, 101))
    samples = [said(at, *(float(at + number) for number in range(100)), peers=crowd) for at in range(0, 150, 5)]

    async def scenario() -> None:
        bench = Bench(volume)
        bench.recorder.take(samples[0])
        await bench.recorder.flush()
        if spoil is not fill:
            await bench.recorder.close()  # no system lets one take the right to write from open files
            bench = Bench(volume)
        spoil(volume)
        for one in samples[1:]:
            bench.recorder.take(one)
            await bench.recorder.flush()
        assert bench.recorder.trouble is not None
        assert re.search(words, bench.recorder.trouble)
        assert str(volume) not in bench.recorder.trouble
        everything = {at: float(at + 7) for at in range(0, 150, 5)}
        assert known(await bench.ask(crowd[7])) == everything
        mend(volume)
        await bench.recorder.flush()
        assert bench.recorder.trouble is None
        assert known(await bench.ask(crowd[7])) == everything
        await bench.recorder.close()
        with closing(open_to_read(volume / FILE)) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)

    run(scenario())


def garbage(place: Path) -> None:
    place.write_bytes(b"something else " * 4000)


def cut_in_half(place: Path) -> None:
    os.truncate(place, place.stat().st_size // 2)


def first_page_lost(place: Path) -> None:
    with place.open("r+b") as file:
        file.write(bytes(4096))


@pytest.mark.parametrize("spoil", [garbage, cut_in_half, first_page_lost])
def test_a_damaged_history_is_kept_beside_and_begins_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], None]
) -> None:
    async def scenario() -> None:
        bench = Bench(tmp_path)
        for at in range(0, 600, 5):
            bench.recorder.take(said(at, 1.0, 2.0, 3.0))
        await bench.recorder.flush()
        await bench.recorder.close()
        spoil(tmp_path / FILE)
        before = (tmp_path / FILE).read_bytes()
        bench = Bench(tmp_path)
        bench.recorder.take(said(600, 7.0))
        await bench.recorder.flush()
        assert bench.recorder.trouble is None
        assert known(await bench.ask(said(0, 1.0).peers[0])) == {600: 7.0}
        await bench.recorder.close()
        (aside,) = damaged_files(tmp_path)
        assert aside.read_bytes() == before
        assert [record.message.count("the history begins anew") for record in caplog.records] == [1]

    run(scenario())


def test_a_history_that_is_damaged_again_and_again_is_trouble(tmp_path: Path) -> None:
    async def scenario() -> None:
        bench = Bench(tmp_path)
        for _ in range(3):
            garbage(tmp_path / FILE)
            bench.recorder.take(said(0, 1.0))
            await bench.recorder.flush()
            await asyncio.get_running_loop().run_in_executor(bench.recorder._thread, bench.recorder._close)
        assert "not a database" in (bench.recorder.trouble or "")
        assert len(damaged_files(tmp_path)) == 1
        assert (tmp_path / FILE).exists()
        await bench.recorder.close()

    run(scenario())


def test_who_asks_while_the_file_is_being_made_is_told_what_waits(tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / FILE).touch()  # as it is for a moment, before its tables are there
        bench = Bench(tmp_path)
        bench.recorder.take(said(0, 1.0))
        assert known(await bench.ask(said(0, 1.0).peers[0])) == {0: 1.0}
        await bench.recorder.flush()
        assert known(await bench.ask(said(0, 1.0).peers[0])) == {0: 1.0}
        assert bench.recorder.trouble is None
        await bench.recorder.close()

    run(scenario())


def test_closing_writes_what_waits(tmp_path: Path) -> None:
    async def scenario() -> None:
        bench = Bench(tmp_path)
        bench.recorder.take(said(0, 1.0))
        await bench.recorder.close()
        assert known(await Bench(tmp_path).ask(said(0, 1.0).peers[0])) == {0: 1.0}

    run(scenario())


async def first_rows(place: Path) -> list[tuple[int]]:
    """The times in the file, as soon as there are any."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(sqlite3.OperationalError, HistoryError), closing(open_to_read(place)) as db:
                if found := db.execute("SELECT DISTINCT id >> 8 FROM raw").fetchall():
                    return found
            await asyncio.sleep(0.02)


def test_the_first_sample_is_written_long_before_the_first_regular_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "PHASE", time.time() / 60 % 1)  # the next regular sample is a whole step away

    async def scenario() -> None:
        bench = Bench(tmp_path, config=HistoryConfig(interval_s=60))
        running = asyncio.create_task(bench.recorder.run())
        try:
            ((at,),) = await first_rows(tmp_path / FILE)
            assert at % 60 == 0
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await bench.recorder.close()

    run(scenario())


def test_an_agent_that_is_ended_in_its_first_second_leaves_a_sample(tmp_path: Path) -> None:
    async def scenario() -> None:
        bench = Bench(tmp_path)
        running = asyncio.create_task(bench.recorder.run())
        await asyncio.sleep(0)  # it has begun
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await bench.recorder.close()
        assert len(await first_rows(tmp_path / FILE)) == 1

    run(scenario())
