"""What the history costs: ingest, the size of a day of a large network, and one peer's day as an answer.

    .venv/bin/python benchmarks/history.py [--peers 1000] [--hours 24] [--agents 12 100] [--seconds 30] [--runs 5]

Prints JSON. Samples go through the store, with its commits, means and thinning. Every series of every peer is there,
its node's too, and changes as real ones do: gauges wander, rates jump, most links lose nothing. `day_minute_bytes` is
the day by the minute. `agent_cpu_ratio` is what a recorder adds to a process as a share of one core: sampling, writing
and folding, while all peers report every five seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from random import Random

from msgspec.structs import replace
from topology import Network  # beside this file

from peerscope.history import reader
from peerscope.history.recorder import Recorder
from peerscope.history.retention import HistoryConfig, tiers
from peerscope.history.samples import sample
from peerscope.history.schema import FILE, open_to_read
from peerscope.history.series import NO_ROW, SERIES, Row, row
from peerscope.history.store import Store
from peerscope.records.bodies import Check, LinkReading, Report
from peerscope.records.identity import PeerId
from peerscope.records.measures import AgentMetrics, Metrics, NodeMetrics, PerformanceMetrics, SystemMetrics
from peerscope.views.health import network_health
from peerscope.views.links import LinkCache

BEGIN = 1_700_006_400 - 1_700_006_400 % 86_400
NETWORK: Row = (1000.0, 990.0, 5.0, 3.0, 2.0, 0.0, 0.995, 0.0713, 0.0612)
INGEST_SAMPLES = 240


class Peer:
    """One peer whose measurements change as time passes."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._level = [rng.random() for _ in range(6)]
        self._rtts = [rng.randrange(1000, 200_000) for _ in range(8)]

    def row(self) -> Row:
        """What its next report says."""
        rng, level = self._rng, self._level
        for index in range(len(level)):
            level[index] = min(1.0, max(0.0, level[index] + rng.gauss(0, 0.01)))
        rates = (
            level[0] * 500,
            float(rng.random() < 0.01),
            level[1] * 20,
            level[2] * 5,
            level[3] * 1e6,
            level[4] * 1e6,
            0.0,
        )
        return row(self.report(), rates)

    def report(self) -> Report:
        rng, level = self._rng, self._level
        kib = 2**20
        rate = round(level[0] * 1e6 * rng.lognormvariate(0, 0.3))
        links = tuple(LinkReading(bytes(8), round(rtt * rng.uniform(0.98, 1.05)), 0) for rtt in self._rtts)
        metrics = Metrics(
            SystemMetrics(
                cpu=round(level[0] * rng.uniform(2000, 4000)),
                memory_used_kib=round((8 + 8 * level[1]) * kib),
                memory_total_kib=32 * kib,
                disk_used_kib=round((100 + level[2]) * kib),
                disk_total_kib=400 * kib,
                received_bytes_s=rate,
                sent_bytes_s=round(rate * rng.uniform(0.5, 0.8)),
                connections=round(200 * level[3]),
            ),
            NodeMetrics(
                tunnels=round(20 * level[4]), active_connections=round(50 * level[5]), p2p_peers=round(80 * level[1])
            ),
            PerformanceMetrics(round(rng.lognormvariate(10, 0.3)), rng.randrange(0, 5), rate),
            AgentMetrics(rng.randrange(80, 150), 60_000 + rng.randrange(500), 0, 0, rng.randrange(200, 3000)),
        )
        return Report(600_000, (Check(0, 1000),) * 5, links, metrics=metrics)


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=int, default=1000)
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument(
        "--agents", type=int, nargs="*", default=[12, 100], help="peers that an agent records, for its CPU"
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="how long each is watched")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    figures: dict[str, object] = {"benchmark": "history", "cores": os.cpu_count(), "peers": options.peers}
    with tempfile.TemporaryDirectory() as folder:
        figures |= ingest(Path(folder) / "ingest.db", options.peers)
        figures |= day(Path(folder) / FILE, options.peers, options.hours, options.runs)
    for peers in options.agents:
        figures[f"agent_cpu_ratio_{peers}_peers"] = asyncio.run(agent_cpu_ratio(peers, options.seconds))
    print(json.dumps(figures, indent=2))


def ingest(place: Path, peers: int) -> dict[str, object]:
    """Values a second from rows of reports to the file, in flushes of two samples."""
    rng = Random(1)
    ids, members = [PeerId(rng.randbytes(32)) for _ in range(peers)], [Peer(rng) for _ in range(peers)]
    rows = [[member.row() for member in members] for _ in range(4)]
    values = 0
    with Store(place, HistoryConfig()) as store:
        began = time.perf_counter()
        for number in range(0, INGEST_SAMPLES, 2):
            pair = [sample(BEGIN + 5 * n, ids, ["healthy"] * peers, rows[n % 4], NETWORK) for n in (number, number + 1)]
            store.write(pair)
            values += sum(len(column) for one in pair for column in (*one.columns, one.network))
        seconds = time.perf_counter() - began
    return {"ingest_values_per_s": round(values / seconds), "ingest_series": len(NO_ROW) + 1}


def day(place: Path, peers: int, hours: int, runs: int) -> dict[str, object]:
    """Bytes of a day's means by the minute, each over the twelve raw values of its minute, and one peer's answers."""
    rng = Random(2)
    ids, members = [PeerId(rng.randbytes(32)) for _ in range(peers)], [Peer(rng) for _ in range(peers)]
    config = HistoryConfig()
    began = time.perf_counter()
    with Store(place, config) as store:
        for minute in range(hours * 60 + 1):
            # Three reports a minute, each seen at four steps: as in a network whose intervals are stretched to 20 s.
            said = [
                sample(0, ids, ["healthy"] * peers, [member.row() for member in members], NETWORK) for _ in range(3)
            ]
            store.write([replace(said[n // 4], at=BEGIN + 60 * minute + 5 * n) for n in range(12)])
    filled_s = time.perf_counter() - began
    db = open_to_read(place)
    size = {
        tier.name: db.execute(f"SELECT sum(length(data) + 12) FROM {tier.name}").fetchone()[0] or 0
        for tier in tiers(config)
    }
    db.close()
    end = BEGIN + hours * 3600
    question = reader.Question(SERIES["cpu_ratio"], ids[peers // 2], BEGIN, end)
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        found = reader.read(place, tiers(config), question)
        times.append(time.perf_counter() - began)
    return {
        "day_minute_bytes": size["minute"],
        "day_raw_bytes": size["raw"],
        "day_quarter_bytes": size["quarter"],
        "day_file_bytes": place.stat().st_size,
        "day_fill_s": round(filled_s, 1),
        "query_source": found.source,
        "query_steps": len(found.samples),
        "query_s": round(statistics.median(times), 4),
    }


async def agent_cpu_ratio(peers: int, seconds: float) -> float:
    """CPU time of the same life with and without a recorder."""
    rng = Random(3)
    network, links = Network(peers, rng), LinkCache()
    members = {peer: Peer(rng) for peer in network.peers}
    versions = iter(range(2, 1_000_000))

    def report() -> None:
        for peer in network.peers:
            network._say(peer, members[peer].report(), next(versions))

    async def life(folder: str, *, records: bool) -> float:
        def health() -> object:
            snapshot = network.snapshot()
            return network_health(snapshot, 4, links.mesh(snapshot))

        recorder = Recorder(HistoryConfig(), Path(folder), network.snapshot, health, lambda *_, **__: None)
        running = asyncio.create_task(recorder.run()) if records else None
        began = time.process_time()
        for _ in range(round(seconds / 5)):
            report()
            await asyncio.sleep(5)
        used = time.process_time() - began
        if running is not None:
            running.cancel()
            await recorder.close()
        return used

    with tempfile.TemporaryDirectory() as folder:
        idle = await life(folder, records=False)
        return round((await life(folder, records=True) - idle) / seconds, 6)


if __name__ == "__main__":
    main()
