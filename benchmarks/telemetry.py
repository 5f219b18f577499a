"""How many telemetry events an agent takes in over HTTP: a real agent, one sender on one connection, one core for both
the agent and its web server.

    .venv/bin/python benchmarks/telemetry.py [--seconds 10] [--batch 1000] [--gzip]

Prints JSON. The sender makes its batches beforehand and is another process; a batch that is refused with 429 is sent
again after what `Retry-After` says. `events_s` counts what the agent has counted (not only queued) per second of wall
time, `cpu_us_per_event` is the agent's own. `lag_s_p99` says how late the agent's event loop came meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import http.client
import itertools
import json
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvloop

from peerscope.agent.monitor import Monitor
from peerscope.config import Config
from peerscope.web.listener import WebServer

KINDS: tuple[dict[str, Any], ...] = (
    {"type": "message", "direction": "in", "bytes": 1200, "error": False, "latency_s": 0.012},
    {"type": "message", "direction": "out", "bytes": 900},
    {
        "type": "connection",
        "event": "opened",
        "remote": "12D3KooWGjMCwC6XJqkcyRLcVwTKRjMyR3yYn3QbxEvBqZ8cZJPL",
        "rtt_s": 0.02,
    },
    {"type": "dht", "op": "lookup", "key": "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG", "consistent": True},
    {"type": "hop", "message_id": "5f2b6a", "hop": "received", "peer": "12D3KooWGjMCwC6X", "at": 1_700_000_000.25},
    {"type": "connection", "event": "closed", "remote": "12D3KooWGjMCwC6XJqkcyRLcVwTKRjMyR3yYn3QbxEvBqZ8cZJPL"},
    {"type": "gauge", "name": "tunnels", "value": 7},
)
"""A mix of what a node tells."""
LOOK_S = 0.01


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--batch", type=int, default=1000, help="events a request")
    parser.add_argument("--gzip", action="store_true")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # the agent has this core; senders choose theirs
    with tempfile.TemporaryDirectory() as state:
        found = uvloop.run(measure(Path(state), options))
    print(json.dumps({"benchmark": "telemetry", "cores": os.cpu_count(), "batch": options.batch} | found, indent=2))


async def measure(state: Path, options: argparse.Namespace) -> dict[str, object]:
    """Figures of one run."""
    monitor = Monitor(Config.load(environment={}, options={"web": {"listen": "127.0.0.1:0"}}), state)
    server = WebServer(monitor)
    async with monitor:
        serving = asyncio.create_task(server.run())
        assert monitor.http is not None
        lags: list[float] = []
        watching = asyncio.create_task(_watch(lags))
        sender = multiprocessing.get_context("spawn").Process(
            target=send, args=(monitor.http, options.batch, options.seconds, options.gzip)
        )
        sender.start()
        while not monitor.telemetry.has_heard:
            await asyncio.sleep(LOOK_S)
        lags.clear()
        counted, began, cpu = monitor.telemetry.received.total(), time.monotonic(), time.process_time()
        while sender.is_alive():
            await asyncio.sleep(LOOK_S)
        while monitor.telemetry.queued:
            await asyncio.sleep(LOOK_S)
        passed, spent = time.monotonic() - began, time.process_time() - cpu
        events = monitor.telemetry.received.total() - counted
        watching.cancel()
        serving.cancel()
        await asyncio.gather(serving, watching, return_exceptions=True)
    return {
        "gzip": options.gzip,
        "events": events,
        "seconds": round(passed, 2),
        "events_s": round(events / passed),
        "agent_cpu": round(spent / passed, 2),
        "cpu_us_per_event": round(spent / events * 1e6, 2),
        "refused_for_lack_of_room": monitor.telemetry.refused["queue-full"],
        "lag_s_p99": round(sorted(lags)[len(lags) * 99 // 100], 4),
        "lag_s_max": round(max(lags), 4),
    }


async def _watch(lags: list[float]) -> None:
    """How late a sleep ends, again and again."""
    while True:
        before = time.monotonic()
        await asyncio.sleep(LOOK_S)
        lags.append(time.monotonic() - before - LOOK_S)


def send(url: str, batch: int, seconds: float, packed: bool) -> None:
    """Send batches as fast as they are taken."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
    body = "\n".join(json.dumps(event) for event in itertools.islice(itertools.cycle(KINDS), batch)).encode()
    headers = {"content-encoding": "gzip"} if packed else {}
    body = gzip.compress(body) if packed else body
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        connection.request("POST", "/api/v1/telemetry", body, headers)
        response = connection.getresponse()
        answer = response.read()
        if response.status == 429:
            time.sleep(float(response.headers["retry-after"]))
        elif response.status != 200:
            sys.exit(f"the agent answers {response.status}: {answer[:200]!r}")


if __name__ == "__main__":
    main()
