"""How large a delta of the feed is beside a snapshot, when all peers report between two deltas.

    .venv/bin/python benchmarks/feed_bytes.py [--peers 300] [--rounds 5] [--jitter 0.05]

Prints JSON. An agent's ledger is filled with records of so many peers, each with links to eight others. Every peer
reports once between two deltas. `fields` is what the feed sends; `rows` is the same with changed rows in whole, as
release 0.1.0 did. Bytes are medians; `ratio` is of the snapshot; `cpu_s` makes and encodes one delta for all clients.

`jitter`: a link's round trip varies so much around its mean (standard deviation, relative). `any` instead draws all
round trips anew from 10 to 80 ms: the worst case.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import msgspec
from feed_clients import Crowd

from peerscope.agent.monitor import Monitor
from peerscope.config import Config
from peerscope.records.bodies import LinkReading
from peerscope.records.identity import PeerId, ref
from peerscope.web.content import FeedBuilder, FeedState, delta, snapshot
from peerscope.web.feed_changes import Row

TABLES = ("peers", "links", "alerts")
REST_S = 1.5
"""The agent looks at the ledger anew once a second."""


class JitteryCrowd(Crowd):
    """Peers whose round trips vary around a mean of each link."""

    def __init__(self, monitor: Monitor, peers: int, jitter: float) -> None:
        self._jitter, self._means = jitter, Random(2)
        self._mean_us: dict[frozenset[PeerId], int] = {}
        super().__init__(monitor, peers)

    def reading(self, one: PeerId, other: PeerId) -> LinkReading:
        ends = frozenset((one, other))
        mean_us = self._mean_us.setdefault(ends, self._means.randint(10_000, 80_000))
        return LinkReading(ref(other), max(100, round(mean_us * self._rng.gauss(1.0, self._jitter))), 0)


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jitter", type=float, default=0.05)
    options = parser.parse_args()
    crowds: dict[str, Callable[[Monitor], Crowd]] = {
        f"{options.jitter:g}": lambda monitor: JitteryCrowd(monitor, options.peers, options.jitter),
        "any": lambda monitor: Crowd(monitor, options.peers),
    }
    found = {name: asyncio.run(measured(crowd, options.rounds)) for name, crowd in crowds.items()}
    about = {"benchmark": "feed_bytes", "cores": os.cpu_count(), "peers": options.peers}
    print(json.dumps(about | {"jitter": found}, indent=2))


async def measured(crowd: Callable[[Monitor], Crowd], rounds: int) -> dict[str, Any]:
    """Medians over the rounds."""
    sizes: dict[str, list[float]] = {"snapshot": [], "fields": [], "rows": []}
    cpu_s: dict[str, list[float]] = {"fields": [], "rows": []}
    with tempfile.TemporaryDirectory() as state:
        async with Monitor(Config.load(environment={}, options={"web": {"listen": "off"}}), Path(state)) as monitor:
            everybody, builder = crowd(monitor), FeedBuilder(monitor)
            await asyncio.sleep(REST_S)
            before = builder.build()
            for _ in range(rounds):
                everybody.report()
                await asyncio.sleep(REST_S)
                now = builder.build()
                sizes["snapshot"].append(len(msgspec.json.encode(snapshot(now))))
                for name, rule in (("fields", delta), ("rows", whole_rows)):
                    began = time.process_time()
                    sizes[name].append(len(msgspec.json.encode(rule(before, now))))
                    cpu_s[name].append(time.process_time() - began)
                before = now
    snapshot_bytes = median(sizes["snapshot"])
    return {"snapshot_bytes": snapshot_bytes} | {
        name: {
            "bytes": median(sizes[name]),
            "ratio": round(median(sizes[name]) / snapshot_bytes, 3),
            "cpu_s": round(median(cpu_s[name]), 5),
        }
        for name in ("fields", "rows")
    }


def whole_rows(before: FeedState, now: FeedState) -> dict[str, Any]:
    """A delta in which each row that changed in any field is whole."""
    rows: dict[str, Any] = {name: changed(getattr(before, name), getattr(now, name)) for name in TABLES}
    return {name: value for name, value in delta(before, now).items() if name not in TABLES} | rows


def changed(before: Mapping[Any, Row], now: Mapping[Any, Row]) -> list[Row]:
    """Rows that differ."""
    return [row for key, row in now.items() if before.get(key) != row]


if __name__ == "__main__":
    main()
