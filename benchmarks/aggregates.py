"""What the aggregates over a large network cost, and what one report costs the window.

    .venv/bin/python benchmarks/aggregates.py [--peers 5000] [--reports 5] [--runs 9]

Prints JSON; times are medians in CPU seconds, since wall time would measure a busy machine. Every peer has a node, so
that every value is told, and has reported so many times within the window. `aggregates_s` is the view itself;
`with_moment_s` includes the moment from nothing: profiles, verdicts, freshness of every report; `minute_s` is the look
at the network that the agent takes once a minute for the trends.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from random import Random

from peerscope.records.bodies import Body, Check, Kind, LinkReading, Profile, Report, encode_body, kind_of
from peerscope.records.identity import PeerId
from peerscope.records.ledger import Entry, Ledger, LedgerConfig
from peerscope.records.measures import AgentMetrics, Metrics, NodeMetrics, PerformanceMetrics, SystemMetrics
from peerscope.records.record import Record
from peerscope.views.aggregates import network_metrics
from peerscope.views.links import mesh_links
from peerscope.views.snapshot import Snapshot, SnapshotConfig
from peerscope.views.trends import DAY, Day, Minute, look
from peerscope.views.window import Window

INTERVAL_S = 60.0


class Network:
    """A ledger and a window with so many peers; records are not signed, since views never look at signatures."""

    def __init__(self, peers: int, rng: Random) -> None:
        self.rng = rng
        self.peers = sorted(PeerId(rng.randbytes(32)) for _ in range(peers))
        self.ledger = Ledger(LedgerConfig(origins_max=peers))
        self.window = Window()
        self.now = 0.0
        for peer in self.peers:
            self._say(peer, Profile(("10.0.0.1:1",), "eu-west", "1", 0), 1)

    def report(self, number: int) -> None:
        """Every peer reports for the so-manieth time."""
        self.now = number * INTERVAL_S
        for peer in self.peers:
            others = self.rng.sample(self.peers, 4)
            links = (LinkReading(other[:8], self.rng.randrange(1_000, 300_000)) for other in others)
            body = Report(round(INTERVAL_S * 1000), (Check(0, 1000),) * 5, tuple(links), metrics=self._metrics(number))
            self.window.note(self._say(peer, body, number + 1))

    def snapshot(self) -> Snapshot:
        return Snapshot(self.ledger, self.peers[0], self.now + 1, SnapshotConfig(wall_offset_s=1e9, down_after_s=4.0))

    def _metrics(self, number: int) -> Metrics:
        some = self.rng.randrange
        received, sent, *counted = [number * 10**6 + some(10**6) for _ in range(8)]
        return Metrics(
            SystemMetrics(
                some(10_000), some(10**7), 10**7, some(10**9), 10**9, received, sent, some(9), some(9), some(99)
            ),
            NodeMetrics(some(9), some(99), counted[0], some(99), *counted[1:]),
            PerformanceMetrics(some(10**6), some(10_000), some(10**7)),
            AgentMetrics(some(300), some(10**5), some(9), number, some(10**5)),
        )

    def _say(self, peer: PeerId, body: Body, version: int) -> Entry:
        record = Record(peer, int(kind_of(body)), version, 0, encode_body(body), bytes(64))
        self.ledger.merge(record, body, self.now)
        entry = self.ledger.get(peer, record.kind)
        assert entry is not None
        return entry


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=int, default=5_000)
    parser.add_argument("--reports", type=int, default=5, help="of each peer, one a minute")
    parser.add_argument("--runs", type=int, default=9)
    options = parser.parse_args()
    print(json.dumps({"benchmark": "aggregates", "cores": os.cpu_count()} | measure(options), indent=2))


def measure(options: argparse.Namespace) -> dict[str, object]:
    """All figures."""
    network, day = Network(options.peers, Random(1)), Day()
    for number in range(1, options.reports + 1):
        network.report(number)
    for number in range(DAY):
        day.note(Minute(number * 60.0, 100.0, 0.05, 0.01))
    snapshot = network.snapshot()
    links, trends = mesh_links(snapshot), day.trends(DAY * 60.0)
    snapshot.fresh_reports, snapshot.evidence  # noqa: B018  (worked out here, so that the view is measured by itself)
    newest = [entry for peer in network.peers if (entry := network.ledger.get(peer, Kind.REPORT)) is not None]
    window = Window()
    return {
        "peers": options.peers,
        "samples": len(network.window),
        "aggregates_s": median_s(options.runs, lambda: network_metrics(snapshot, network.window, trends)),
        "with_moment_s": median_s(options.runs, lambda: network_metrics(network.snapshot(), network.window, trends)),
        "trends_s": median_s(options.runs, lambda: day.trends(DAY * 60.0)),
        "minute_s": median_s(options.runs, lambda: look(network.snapshot(), links)),
        "note_s": median_s(1, lambda: [window.note(entry) for entry in newest]) / len(newest),
    }


def median_s(runs: int, work: Callable[[], object]) -> float:
    """Median CPU seconds of `work`."""
    times = []
    for _ in range(runs):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return round(statistics.median(times), 5)


if __name__ == "__main__":
    main()
