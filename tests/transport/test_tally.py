"""What all peers measured is collected as it comes, and counted once a minute."""

from random import Random

import pytest

from ledgers import Book, meshed
from peerscope.core import Core, CoreConfig, LookFailed
from peerscope.mesh.config import PeerConfig
from peerscope.mesh.events import Forgotten, LinkChanged, Stored
from peerscope.mesh.peer import Peer
from peerscope.mesh.peer_state import Clocks
from peerscope.records.bodies import Check, Kind, Report
from peerscope.records.identity import Identity
from peerscope.records.measures import Metrics, SystemMetrics
from peerscope.views.trends import MINUTE_S

WALL_S = 1e9 - 1e9 % MINUTE_S


def stored(book: Book, number: int, cpu: int, at: float) -> Stored:
    book.say(number, Report(5000, (Check(0),), metrics=Metrics(SystemMetrics(cpu))), at=at)
    entry = book.ledger.get(book[number], Kind.REPORT)
    assert entry is not None
    return Stored(entry)


def watched(book: Book) -> Core:
    """A core that looks at this ledger."""
    peer = Peer(Identity(b"\2" * 32), PeerConfig(), Random(1), Clocks(0.0, WALL_S))
    peer.ledger = book.ledger
    return Core(CoreConfig(parts=frozenset(("news",))), peer, 0.0, WALL_S)


def test_effects_of_the_protocol_fill_the_window() -> None:
    book = meshed(2)
    core = watched(book)
    core._react([stored(book, number, cpu, at=1.0) for number, cpu in ((0, 1000), (1, 3000))], 1.0)
    core._react([LinkChanged(book[1], True, "connected")], 1.0)
    found = core.news.metrics(core.snapshot(2.0)).system.cpu_ratio
    assert found is not None
    assert (found.peers, found.mean) == (2, pytest.approx(0.2))
    core._react([Forgotten(book[1])], 2.0)
    found = core.news.metrics(core.snapshot(2.5)).system.cpu_ratio
    assert found is not None
    assert (found.peers, found.mean) == (1, pytest.approx(0.1))


def test_a_minute_that_cannot_be_counted_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    core = watched(meshed(3))
    failed = []
    count = core.news.count_minute

    def broken(*_: object) -> None:
        monkeypatch.setattr(core.news, "count_minute", count)
        raise ValueError("a bug of ours")

    monkeypatch.setattr(core.news, "count_minute", broken)
    for now in range(1, 200):
        failed += [one.name for one in core.tick(float(now)) if isinstance(one, LookFailed)]
    assert failed == ["the count of the minute"]
    assert len(core.news.day.minutes()) == 2
