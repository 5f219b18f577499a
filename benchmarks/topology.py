"""What the map costs: of a large network from nothing and after a few changes, and as DOT and SVG of a smaller one.

    .venv/bin/python benchmarks/topology.py [--peers 10000] [--drawn 1000] [--changed 20] [--runs 7]

Prints JSON; times are medians, in CPU seconds, since wall time would measure a busy machine. Peers stand on the rings
of a real network (eight neighbours each, both ends report), in eight regions. From nothing includes the moment:
profiles, verdicts, freshness of every report.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from random import Random

from peerscope.mesh.membership.rings import Rings
from peerscope.records.bodies import Body, Check, LinkReading, Profile, Report, encode_body, kind_of
from peerscope.records.identity import PeerId, ref
from peerscope.records.ledger import Ledger, LedgerConfig
from peerscope.records.record import Record
from peerscope.views.dot import to_dot
from peerscope.views.snapshot import Snapshot, SnapshotConfig
from peerscope.views.svg import to_svg
from peerscope.views.topology import TopologyCache, topology

REGIONS = ("af-south", "ap-east", "ap-south", "eu-north", "eu-west", "sa-east", "us-east", "us-west")


class Network:
    """A ledger with so many linked peers; records are not signed, since views never look at signatures."""

    def __init__(self, peers: int, rng: Random) -> None:
        self.rng = rng
        self.peers = sorted(PeerId(rng.randbytes(32)) for _ in range(peers))
        self.ledger = Ledger(LedgerConfig(origins_max=peers))
        rings = Rings(members=self.peers)
        self._around = {peer: sorted(rings.neighbours(peer)) for peer in self.peers}
        for number, peer in enumerate(self.peers):
            self._say(peer, Profile(("10.0.0.1:1",), REGIONS[number % len(REGIONS)], "1", 0), 1)
            self.report(peer, 1)

    @property
    def links(self) -> int:
        return sum(map(len, self._around.values())) // 2

    def report(self, peer: PeerId, version: int) -> None:
        readings = (LinkReading(ref(other), self.rng.randrange(1_000, 300_000), 0) for other in self._around[peer])
        self._say(peer, Report(600_000, (Check(0, 1000),) * 5, tuple(readings)), version)

    def change(self, peers: int, version: int) -> None:
        """So many peers report again; the last of them has lost its first neighbour."""
        chosen = self.rng.sample(self.peers, peers)
        self._around[chosen[-1]] = self._around[chosen[-1]][1:]
        for peer in chosen:
            self.report(peer, version)

    def snapshot(self) -> Snapshot:
        return Snapshot(self.ledger, self.peers[0], 1.0, SnapshotConfig(wall_offset_s=0.0, down_after_s=4.0))

    def _say(self, peer: PeerId, body: Body, version: int) -> None:
        record = Record(peer, int(kind_of(body)), version, 0, encode_body(body), bytes(64))
        self.ledger.merge(record, body, 0.0)


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=int, default=10_000)
    parser.add_argument("--drawn", type=int, default=1_000, help="peers of the map that is drawn")
    parser.add_argument("--changed", type=int, default=20, help="peers that report between two maps")
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    print(json.dumps({"benchmark": "topology", "cores": os.cpu_count()} | measure(options), indent=2))


def measure(options: argparse.Namespace) -> dict[str, object]:
    """All figures."""
    large, small = Network(options.peers, Random(1)), Network(options.drawn, Random(2))
    survey = TopologyCache()
    survey.at(large.snapshot())
    versions = iter(range(2, 1_000_000))

    def change() -> None:
        large.change(options.changed, next(versions))

    drawn = topology(small.snapshot())
    return {
        "peers": options.peers,
        "links": large.links,
        "scratch_s": median_s(options.runs, lambda: topology(large.snapshot())),
        "incremental_s": median_s(options.runs, lambda: survey.at(large.snapshot()), before=change),
        "unchanged_s": median_s(options.runs, lambda: survey.at(large.snapshot())),
        "drawn_peers": options.drawn,
        "drawn_links": small.links,
        "dot_s": median_s(options.runs, lambda: to_dot(drawn)),
        "svg_s": median_s(options.runs, lambda: to_svg(drawn)),
        "svg_bytes": len(to_svg(drawn).encode()),
    }


def median_s(runs: int, work: Callable[[], object], before: Callable[[], None] | None = None) -> float:
    """Median CPU seconds of `work`, each time after `before`."""
    times = []
    for _ in range(runs):
        if before is not None:
            before()
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return round(statistics.median(times), 4)


if __name__ == "__main__":
    main()
