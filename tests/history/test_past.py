"""The last day as an earlier life recorded it."""

import asyncio
from pathlib import Path

from histories import BEGIN
from ledgers import meshed
from peerscope.history.recorder import Recorder, past_day
from peerscope.history.retention import HistoryConfig
from peerscope.history.samples import SeriesSample, sample
from peerscope.history.schema import FILE
from peerscope.views.health import network_health
from peerscope.views.trends import Day, Minute

HOUR_S = 3600


def recorder(state: Path) -> Recorder:
    book = meshed(3)
    look = (lambda: book.snapshot(1.0)), (lambda: network_health(book.snapshot(1.0), 4))
    return Recorder(HistoryConfig(), state, *look)


def seen(at: int, peers: float, down: float, latency_s: float) -> SeriesSample:
    """The network at one moment: all, those down, and the median round trip."""
    return sample(at, [], [], [], (peers, peers - down, 0.0, 0.0, 0.0, down, 1.0, latency_s, latency_s))


def test_a_later_life_knows_the_minutes_of_an_earlier_one(tmp_path: Path) -> None:
    async def scenario() -> None:
        first = recorder(tmp_path)
        for minute in range(10):
            first.take(seen(BEGIN + 60 * minute, 12.0, 2.0, 0.02))
        await first.flush()
        await first.close()
        minutes = await past_day(recorder(tmp_path), BEGIN + HOUR_S)
        assert minutes == [Minute(float(BEGIN + 60 * minute), 10.0, minutes[0].latency_s) for minute in range(10)]
        assert abs((minutes[0].latency_s or 0) - 0.02) < 1e-4
        day = Day()
        day.restore(minutes)
        assert len(day.minutes()) == 10

    asyncio.run(scenario())


def test_without_a_file_there_is_no_past(tmp_path: Path) -> None:
    assert asyncio.run(past_day(recorder(tmp_path), BEGIN)) == []


def test_a_file_that_cannot_be_read_is_no_past(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database" * 1000)
    assert asyncio.run(past_day(recorder(tmp_path), BEGIN)) == []
