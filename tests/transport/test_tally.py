"""What all peers measured is collected as it comes, and counted once a minute."""

import asyncio

import pytest

from ledgers import Book, meshed
from peerscope.agent import aggregates as module
from peerscope.agent.aggregates import Aggregates
from peerscope.mesh.events import Forgotten, LinkChanged, Stored
from peerscope.records.bodies import Check, Kind, Report
from peerscope.records.measures import Metrics, SystemMetrics
from peerscope.views.links import mesh_links


def told(book: Book, number: int, cpu: int, at: float) -> Stored:
    book.say(number, Report(5000, (Check(0),), metrics=Metrics(SystemMetrics(cpu))), at=at)
    entry = book.ledger.get(book[number], Kind.REPORT)
    assert entry is not None
    return Stored(entry)


def test_effects_of_the_core_fill_the_window() -> None:
    book = meshed(2)
    aggregates = Aggregates(lambda: book.snapshot(2.0), list)
    for number, cpu in ((0, 1000), (1, 3000)):
        aggregates.note(told(book, number, cpu, at=1.0))
    aggregates.note(LinkChanged(book[1], True, "connected"))
    found = aggregates.metrics().system.cpu_ratio
    assert found is not None
    assert (found.peers, found.mean) == (2, pytest.approx(0.2))
    aggregates.note(Forgotten(book[1]))
    found = aggregates.metrics().system.cpu_ratio
    assert found is not None
    assert (found.peers, found.mean) == (1, pytest.approx(0.1))


def test_a_minute_that_cannot_be_counted_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MINUTE_S", 0.01)
    book = meshed(3)
    looks = iter((None, book.snapshot(1.0), book.snapshot(62.0)))

    def look() -> object:
        found = next(looks)
        assert found is not None
        return found

    aggregates = Aggregates(look, lambda: mesh_links(book.snapshot(1.0)))

    async def count() -> None:
        counting = asyncio.create_task(aggregates.run())
        while len(aggregates.day.minutes()) < 2:
            await asyncio.sleep(0.001)
        counting.cancel()

    asyncio.run(count())
    assert [minute.peers for minute in aggregates.day.minutes()] == [3, 0]
