"""A libtorrent session as a source: a real one without torrents, and one that an agent in the process asks."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from live import came_true
from nodes import Toy, at_work
from peerscope.errors import SourceError
from peerscope.records.measures import NodeMetrics
from peerscope.sources.base import Reading
from peerscope.sources.node import Node, NodeConfig
from peerscope.sources.programs.bittorrent import Growth, TrackerCount
from peerscope.sources.programs.libtorrent import LibtorrentSource
from torrent_clients import libtorrent_session


def read(session: Any) -> Reading:
    return asyncio.run(LibtorrentSource(session).read())


def measures(reading: Reading) -> dict[str, Any]:
    return {one.name: one.value for one in reading.measures}


def test_a_session_without_torrents_has_none_and_keeps_its_alerts() -> None:
    libtorrent = pytest.importorskip("libtorrent")
    session = libtorrent_session()
    session.post_session_stats()
    session.wait_for_alert(10_000)
    source = LibtorrentSource(session)
    readings = [asyncio.run(source.read()) for _ in range(2)]
    assert readings[0] == readings[1]
    (reading, _) = readings
    assert measures(reading) == {
        "dht_nodes": 0,
        "torrents": 0,
        "torrents_failing": 0,
        "trackers": 0,
        "trackers_failing": 0,
    }
    assert (reading.metrics.p2p_peers, reading.metrics.sent_bytes, len(reading.node_id or "")) == (0, 0, 40)
    assert any(isinstance(alert, libtorrent.session_stats_alert) for alert in session.pop_alerts())


def tracker(url: str, *asked: tuple[int, bool]) -> dict[str, Any]:
    hashes = [{"fails": fails, "start_sent": sent} for fails, sent in asked]
    return {"url": url, "endpoints": [{"info_hashes": hashes}]}


class Fake:
    """A session of a build without deprecated methods; one torrent is removed while it is asked."""

    def __init__(self, *trackers: dict[str, Any]) -> None:
        errc = SimpleNamespace(value=lambda: 0)
        self.state = SimpleNamespace(num_connections=3, num_peers=2, errc=errc)
        self.torrent = SimpleNamespace(is_valid=lambda: True, trackers=lambda: list(trackers))

    def get_torrent_status(self, wanted: Callable[[Any], bool], flags: int) -> list[Any]:
        return [state for state in (self.state,) if wanted(state)]

    def get_torrents(self) -> list[Any]:
        return [self.torrent, SimpleNamespace(is_valid=lambda: True, trackers=self.raises)]

    def raises(self) -> Any:
        raise RuntimeError("invalid torrent handle used")

    def is_dht_running(self) -> bool:
        return True


def test_a_build_without_old_methods_does_not_know_bytes_and_the_dht() -> None:
    reading = read(Fake())
    assert reading.metrics == NodeMetrics(active_connections=3, p2p_peers=2)
    assert "dht_nodes" not in measures(reading)
    assert reading.node_id is None


def test_a_tracker_fails_if_no_address_of_ours_reaches_it() -> None:
    reading = read(
        Fake(
            tracker("http://dead.example/a", (2, False), (0, False)),
            tracker("http://half.example/a", (0, True), (3, False)),
            tracker("http://new.example/a", (0, False)),
            {"url": "http://old.example/a"},
        )
    )
    assert (measures(reading)["trackers"], measures(reading)["trackers_failing"]) == (2, 1)
    assert reading.details["trackers_failing_hosts"] == "dead.example"


def test_a_session_that_ended_is_named() -> None:
    session = Fake()
    session.get_torrent_status = lambda *_: session.raises()  # type: ignore[method-assign]
    with pytest.raises(SourceError, match="invalid torrent handle"):
        read(session)


def test_hosts_of_trackers_are_shown_without_keys_and_control_characters() -> None:
    urls = ["http://me:key@a.example:1/x?k=key", "udp://\x1b[2Jb.example:2/key", "http://[::1", "not a url"]
    shown = TrackerCount((url, False) for url in urls).failing_hosts
    assert shown is not None
    assert "key" not in shown
    assert shown.isprintable()
    many = TrackerCount((f"http://{number}.example", False) for number in range(99))
    assert (many.failing, len(many.failing_hosts or "")) == (99, 64)


def test_a_total_counts_growth_only() -> None:
    growth = Growth()
    assert [growth.add(one) for one in ({"a": 9}, {"a": 10, "b": 5}, {}, {"a": 2}, {"a": 3})] == [0, 1, 1, 1, 2]


async def _attached(listed: tuple[str, ...]) -> None:
    node = Node(NodeConfig(sources=listed), 0.02, Random(0))
    early, late = Toy(), Toy(lambda: Reading(node="late", details={"late": 1.0}))
    node.attach("early", early)
    async with at_work(node):
        await came_true(lambda: node.current() is not None, "it answers")
        node.attach("late", late)
        await came_true(lambda: "late" in json.dumps(node.view().details), "both answer")
        assert node.name == "toy"
        assert [one.source for one in node.view().sources if one.source != "telemetry"] == ["early", "late"]
    await came_true(lambda: early.closed.is_set() and late.closed.is_set(), "both are closed")


@pytest.mark.parametrize("listed", [(), ("telemetry",)])
def test_a_source_of_the_same_process_can_be_attached_before_and_after_the_start(listed: tuple[str, ...]) -> None:
    asyncio.run(_attached(listed))


def test_the_how_to_shows_how() -> None:
    page = Path(__file__).parents[2] / "docs/howto/nodes/libtorrent.md"
    assert 'monitor.attach("libtorrent", LibtorrentSource(session))' in page.read_text(encoding="utf-8")
