"""What those who watch cost an agent: many WebSocket clients at once, some of which never read.

    .venv/bin/python benchmarks/feed_clients.py [--clients 200] [--slow 1] [--peers 100] [--seconds 20]

Prints JSON. A real agent whose ledger is filled with the records of a simulated network of `--peers`, which go on
changing; its web server is in the same event loop. The clients are in another process. They all come within one
moment; every one of them reads everything, except the slow ones, which read nothing after the handshake. `lag_s` is
how late the agent's event loop came, sampled a hundred times a second: `before` anybody watched, `arriving` while
they connect and get their snapshots (less than a second), `watching` after that, `in_all` for the latter two together.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import psutil
import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from peerscope.agent.monitor import Monitor
from peerscope.config import Config
from peerscope.records.bodies import Check, LinkReading, Profile, Report, Status, encode_body, kind_of
from peerscope.records.identity import PeerId, ref
from peerscope.records.record import Record
from peerscope.web.listener import WebServer

LOOK_S = 0.01
CALM_S = 3.0
"""How long the agent is watched before anybody comes."""
NEWS_S = 0.5
NEWS_PART = 10
"""One in so many peers reports anew in each such time, so that all do within the usual five seconds."""


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--slow", type=int, default=1, help="so many more that read nothing")
    parser.add_argument("--peers", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as state:
        found = uvloop.run(measure(Path(state), options))
    settings = {name: getattr(options, name) for name in ("clients", "slow", "peers")}
    print(json.dumps({"benchmark": "feed_clients", "cores": os.cpu_count()} | settings | found, indent=2))


async def measure(state: Path, options: argparse.Namespace) -> dict[str, object]:
    """Figures of one run."""
    monitor = Monitor(Config.load(environment={}, options={"web": {"listen": "127.0.0.1:0"}}), state)
    server = WebServer(monitor)
    async with monitor:
        crowd = Crowd(monitor, options.peers)
        lags: list[float] = []
        work = [asyncio.create_task(part) for part in (server.run(), crowd.live(), _watch(lags))]
        assert monitor.http is not None
        ours, theirs = multiprocessing.get_context("spawn").Pipe()
        watchers = multiprocessing.get_context("spawn").Process(
            target=watch, args=(monitor.http, options.clients, options.slow, options.seconds, theirs)
        )
        watchers.start()
        await asyncio.to_thread(ours.recv)  # it has loaded what it needs
        lags.clear()
        await asyncio.sleep(CALM_S)
        before, memory = _taken(lags), psutil.Process().memory_info().rss
        ours.send("go")
        await asyncio.to_thread(ours.recv)
        arriving = _taken(lags)
        began, cpu = time.monotonic(), time.process_time()
        await asyncio.to_thread(ours.recv)
        watching, passed, spent = _taken(lags), time.monotonic() - began, time.process_time() - cpu
        memory = psutil.Process().memory_info().rss - memory
        told = await asyncio.to_thread(ours.recv)
        watchers.join()
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
    return {
        "lag_s": {
            "before": _summary(before),
            "arriving": _summary(arriving),
            "watching": _summary(watching),
            "in_all": _summary(arriving + watching),
        },
        "rss_grown_bytes": memory,
        "agent_cpu_watching": round(spent / passed, 3),
        **told,
    }


class Crowd:
    """Records of other peers, put into an agent's ledger as if they had been verified."""

    def __init__(self, monitor: Monitor, peers: int) -> None:
        self._monitor = monitor
        self._rng = Random(1)
        self._ids = [PeerId(self._rng.randbytes(32)) for _ in range(peers - 1)]
        for number, peer in enumerate(self._ids):
            self._put(peer, Profile(("127.0.0.1:1",), f"region {number % 8}", "0.1.0", 0))
            self._report(number)

    def report(self) -> None:
        """Everybody reports at once."""
        for number in range(len(self._ids)):
            self._report(number)

    def reading(self, one: PeerId, other: PeerId) -> LinkReading:
        """The link between two peers, as the first measures it."""
        return LinkReading(ref(other), self._rng.randint(10_000, 80_000), 0)

    async def live(self) -> None:
        """Everybody reports again, until cancelled."""
        part = 0
        while True:
            await asyncio.sleep(NEWS_S)
            for number in range(part, len(self._ids), NEWS_PART):
                self._report(number)
            part = (part + 1) % NEWS_PART

    def _report(self, number: int) -> None:
        around = [self._ids[(number + step) % len(self._ids)] for step in (-4, -3, -2, -1, 1, 2, 3, 4)]
        links = tuple(self.reading(self._ids[number], peer) for peer in around)
        checks = tuple(Check(Status.HEALTHY, self._rng.randint(0, 9000)) for _ in range(5))
        self._put(self._ids[number], Report(5000, checks, links))

    def _put(self, origin: PeerId, body: Profile | Report) -> None:
        record = Record(origin, kind_of(body), round(time.time() * 1000), 0, encode_body(body), bytes(64))
        self._monitor.peer.ledger.merge(record, body, time.monotonic())


async def _watch(lags: list[float]) -> None:
    """How late a sleep ends, again and again."""
    while True:
        before = time.monotonic()
        await asyncio.sleep(LOOK_S)
        lags.append(time.monotonic() - before - LOOK_S)


def _taken(lags: list[float]) -> list[float]:
    """What was sampled since the last look."""
    taken = lags[:]
    lags.clear()
    return taken


def _summary(lags: list[float]) -> dict[str, float]:
    found = sorted(lags) or [0.0]
    return {
        "p50": round(found[len(found) // 2], 4),
        "p99": round(found[len(found) * 99 // 100], 4),
        "max": round(found[-1], 4),
        "samples": len(found),
    }


def watch(url: str, clients: int, slow: int, seconds: float, told: Connection) -> None:
    """The clients' process."""
    uvloop.run(_watchers(url, clients, slow, seconds, told))


async def _watchers(url: str, clients: int, slow: int, seconds: float, told: Connection) -> None:
    place = f"ws{url.removeprefix('http')}/dashboard"
    told.send("ready")
    await asyncio.to_thread(told.recv)
    deaf = [_deaf(url) for _ in range(slow)]
    feeds = await asyncio.gather(*[_open(place) for _ in range(clients)])
    counts = [Count() for _ in feeds]
    reading = [asyncio.create_task(count.read(feed)) for feed, count in zip(feeds, counts, strict=True)]
    while not all(count.snapshots for count in counts):
        await asyncio.sleep(LOOK_S)
    told.send("all have a snapshot")
    await asyncio.sleep(seconds)
    told.send("over")
    for task in reading:
        task.cancel()
    for connection in deaf:
        connection.close()
    deltas = sorted(count.deltas for count in counts)
    told.send(
        {
            "messages_per_client": {"least": deltas[0], "median": deltas[len(deltas) // 2], "most": deltas[-1]},
            "snapshots_per_client_most": max(count.snapshots for count in counts),
            "snapshot_bytes": counts[0].snapshot_bytes,
            "delta_bytes_mean": round(sum(c.delta_bytes for c in counts) / max(1, sum(deltas))),
        }
    )


class Count:
    """What one client heard."""

    def __init__(self) -> None:
        self.snapshots = self.deltas = self.snapshot_bytes = self.delta_bytes = 0

    async def read(self, feed: ClientConnection) -> None:
        """Until cancelled; the messages are not decoded, since the clients share the machine with the agent."""
        while True:
            message = await feed.recv(decode=False)
            if message[:20].startswith(b'{"type":"snapshot"'):
                self.snapshots, self.snapshot_bytes = self.snapshots + 1, len(message)
            else:
                self.deltas, self.delta_bytes = self.deltas + 1, self.delta_bytes + len(message)


async def _open(place: str) -> ClientConnection:
    try:
        return await connect(place, proxy=None, compression=None, max_size=None, open_timeout=60, ping_interval=None)
    except (OSError, WebSocketException) as error:
        raise SystemExit(f"a client was turned away: {error}") from None


def _deaf(url: str) -> socket.socket:
    """A client that does not even read the answer to its handshake, with as little room for it as there can be."""
    place = urlsplit(url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    connection.connect((place.hostname, place.port))
    connection.sendall("\r\n".join(_handshake(place.netloc)).encode())
    return connection


def _handshake(host: str) -> Iterator[str]:
    yield "GET /dashboard HTTP/1.1"
    headers: dict[str, Any] = {"Host": host, "Upgrade": "websocket", "Connection": "Upgrade"}
    headers |= {"Sec-WebSocket-Version": 13, "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
    yield from (f"{name}: {value}" for name, value in headers.items())
    yield from ("", "")


if __name__ == "__main__":
    main()
