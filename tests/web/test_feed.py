"""The live feed: a snapshot first, then what changed, and nobody waits for the slow."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from starlette.websockets import WebSocket
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from feeds import FeedClient
from ledgers import Book
from live import PATIENCE_S, Agent, came_true, settings, until
from peerscope.agent.monitor import Monitor
from peerscope.records.identity import Identity
from peerscope.web import feed as feed_module
from peerscope.web.app import SOCKET_BYTES_MAX
from peerscope.web.feed import QUEUE_MAX, Client, Feed

ALWAYS = {"self", "health", "verdicts"}
SOMETIMES = {"map", "regions", "trends", "trouble", "peers", "links", "alerts"}
NEWCOMERS = tuple(Identity(bytes((number,)) * 32) for number in range(200, 220))


@contextlib.contextmanager
def watching(agent: Agent) -> Iterator[ClientConnection]:
    with connect(f"ws{agent.http.removeprefix('http')}/dashboard", proxy=None, open_timeout=30) as feed:
        yield feed


def next_message(feed: ClientConnection) -> dict[str, Any]:
    return json.loads(feed.recv(timeout=30))


def listen_on(feed: ClientConnection) -> None:
    """Until the connection ends, which raises."""
    while True:
        next_message(feed)


def test_a_snapshot_comes_first_and_has_everything(agent: Agent) -> None:
    with watching(agent) as feed:
        first = next_message(feed)
    assert first["type"] == "snapshot"
    assert isinstance(first["timestamp"], float)
    assert set(first["data"]) == ALWAYS | SOMETIMES
    assert first["data"]["self"]["peer_id"] == agent.peer_id
    assert agent.peer_id in {peer["peer_id"] for peer in first["data"]["peers"]}
    assert first["data"]["health"]["total_peers"] == len(first["data"]["peers"])


def test_deltas_follow_without_a_gap_even_when_nothing_happens(agent: Agent) -> None:
    with watching(agent) as feed:
        seq = next_message(feed)["seq"]
        for step in range(1, 4):
            delta = next_message(feed)
            assert (delta["type"], delta["seq"]) == ("changes", seq + step)
            assert ALWAYS <= set(delta["data"]) <= ALWAYS | SOMETIMES


def test_a_page_that_follows_the_feed_shows_what_the_api_says(agent: Agent, web: httpx.Client) -> None:
    book = Book(agent.monitor.peer.ledger, NEWCOMERS)

    def arrive() -> None:
        for number in range(len(NEWCOMERS)):
            book.introduce(number)

    page = FeedClient()
    newcomer = NEWCOMERS[0].peer_id.hex()
    with watching(agent) as feed:
        page.take(next_message(feed))
        assert newcomer not in page.peers
        agent.loop.call(arrive)
        while newcomer not in page.peers:
            page.take(next_message(feed))
        told = {peer["peer_id"]: peer["status"] for peer in web.get("/api/v1/peers").json()}
        assert {peer_id: peer["status"] for peer_id, peer in page.peers.items()} == told
        agent.loop.call(agent.monitor.peer.ledger.forget, NEWCOMERS[0].peer_id)
        while newcomer in page.peers:
            page.take(next_message(feed))
    assert page.snapshots == 1


def test_all_pages_are_told_the_same(agent: Agent) -> None:
    with watching(agent) as one, watching(agent) as other:
        first, second = next_message(one), next_message(other)
        while first["seq"] < second["seq"]:
            first = next_message(one)
        while second["seq"] < first["seq"]:
            second = next_message(other)
        assert next_message(one) == next_message(other)


def test_a_page_that_goes_is_forgotten(agent: Agent, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        with watching(agent) as feed:
            next_message(feed)
    with watching(agent) as feed:
        next_message(feed)
        assert next_message(feed)["type"] == "changes"
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("said", ["hello", b"\x00\xff", ""], ids=["text", "binary", "nothing"])
def test_what_a_page_says_is_not_heard(agent: Agent, said: str | bytes, caplog: pytest.LogCaptureFixture) -> None:
    with watching(agent) as feed:
        next_message(feed)
        feed.send(said)
        with contextlib.suppress(ConnectionClosed):  # to hang up on it would be as good
            for _ in range(3):
                next_message(feed)
    with watching(agent) as feed:
        assert next_message(feed)["type"] == "snapshot"
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_a_page_that_says_too_much_is_cut_off(agent: Agent) -> None:
    with watching(agent) as feed:
        feed.send("x" * (SOCKET_BYTES_MAX + 1))
        with pytest.raises(ConnectionClosed, match="1009"):
            listen_on(feed)


def test_one_more_page_than_the_limit_is_refused(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "CLIENTS_MAX", 1)
    with watching(agent) as feed:
        next_message(feed)
        with pytest.raises(Exception, match="1013"), watching(agent) as second:
            next_message(second)
        next_message(feed)

    def is_free() -> bool:
        with contextlib.suppress(Exception), watching(agent) as third:
            return next_message(third)["type"] == "snapshot"
        return False

    until(is_free, "the next page is let in")


# -- one client's queue, without a socket --


def queued(client: Client) -> list[bytes]:
    return [client.queue.get_nowait() for _ in range(client.queue.qsize())]


def test_a_new_client_starts_with_one_wake_up_however_much_happens() -> None:
    client = Client()
    for number in range(100):
        client.offer(str(number).encode())
    assert client.is_behind
    assert queued(client) == [b"0"]


def test_a_client_that_keeps_up_gets_every_delta() -> None:
    client = Client()
    client.is_behind = False
    for number in range(QUEUE_MAX):
        client.offer(str(number).encode())
    assert not client.is_behind
    assert queued(client) == [str(number).encode() for number in range(QUEUE_MAX)]


def test_a_client_that_does_not_keep_up_loses_its_backlog_and_starts_over() -> None:
    client = Client()
    client.is_behind = False
    for number in range(QUEUE_MAX + 100):
        client.offer(str(number).encode())
        assert client.queue.qsize() <= QUEUE_MAX
    assert client.is_behind
    assert client.queue.qsize() == 1


class Reader:
    """The other end of a feed: reads when it is told to."""

    def __init__(self, *, reading: bool) -> None:
        self.page = FeedClient()
        self.taken = 0
        self.reading = asyncio.Event()
        self.gone = asyncio.Event()
        if reading:
            self.reading.set()

    async def accept(self) -> None:
        pass

    async def receive(self) -> dict[str, str]:
        await self.gone.wait()
        return {"type": "websocket.disconnect"}

    async def send_text(self, text: str) -> None:
        await self.reading.wait()
        self.page.take(json.loads(text))
        self.taken += 1


def test_a_slow_page_gets_a_fresh_snapshot_and_holds_nobody_up(tmp_path: Path) -> None:
    updates = 150

    async def scenario() -> None:
        async with Monitor(settings(), tmp_path) as monitor:
            book = Book(monitor.peer.ledger, NEWCOMERS)
            feed = Feed(monitor)
            slow, quick = Reader(reading=False), Reader(reading=True)
            serving = [asyncio.create_task(feed.serve(cast(WebSocket, reader))) for reader in (slow, quick)]
            await came_true(lambda: quick.page.snapshots == 1, "the quick one has its snapshot")
            book.introduce(0)
            await came_true(lambda: len(monitor.peers()) == 2, "there is news")
            for step in range(updates):
                feed._update()
                async with asyncio.timeout(PATIENCE_S):
                    while quick.taken < step + 2:
                        await asyncio.sleep(0)
            assert slow.taken == 0
            slow.reading.set()
            await came_true(lambda: slow.page.seq == quick.page.seq, "the slow one has caught up")
            assert slow.taken <= 3  # the one it was stuck in, and a fresh start
            assert slow.page.peers.keys() == quick.page.peers.keys()
            assert len(slow.page.peers) == 2
            feed._update()
            await came_true(lambda: slow.page.seq == quick.page.seq, "from there on it follows")
            assert quick.page.snapshots == 1
            for reader in (slow, quick):
                reader.gone.set()
            await asyncio.gather(*serving)
            assert not feed._clients

    asyncio.run(scenario())
