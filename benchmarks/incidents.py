"""What correlating alerts costs: many active alerts over a large network, all within half a day.

    .venv/bin/python benchmarks/incidents.py [--alerts 10000] [--peers 5000] [--runs 7]

Prints JSON; times are medians, in CPU seconds, since wall time would measure a busy machine. Peers stand on the rings
of a real network, in eight regions and three versions. A mixture: an outage of a region, a bad version, a cascade, and
the rest at random. A storm: every peer has alerts within five minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections import Counter
from random import Random

from peerscope.alerts.context import AGENT, Context
from peerscope.alerts.correlation import Incidents
from peerscope.alerts.incident import Incident
from peerscope.alerts.incidents import correlate
from peerscope.alerts.model import Alert
from peerscope.mesh.membership.rings import Rings
from peerscope.records.identity import PeerId

REGIONS, VERSIONS = 8, ("1.0", "1.1", "1.2")
RULES = ("cpu-high", "memory-high", "storage-high", "high-latency", "error-ratio", "clock-skew", "agent-overload")
NOW = 1_700_000_000.0


def network(peers: int, rng: Random) -> Context:
    """Peers on rings; regions and versions in turn."""
    ids = sorted(PeerId(rng.randbytes(32)) for _ in range(peers))
    rings = Rings(members=ids)
    return Context(
        regions={peer.hex(): f"region-{number % REGIONS}" for number, peer in enumerate(ids)},
        versions={AGENT: {peer.hex(): rng.choice(VERSIONS) for peer in ids}},
        links={peer.hex(): {other.hex(): 0.05 for other in rings.neighbours(peer)} for peer in ids},
    )


def alert(rule: str, peer: str, at: float) -> Alert:
    return Alert(
        id=f"{rule}-{peer[:16]}",
        type=rule,
        rule=rule,
        severity="medium",
        title=rule,
        description="",
        peer_id=peer,
        region=None,
        state="firing",
        started_at=at,
        uncertainty_s=0.5,
    )


def mixture(around: Context, alerts: int, rng: Random) -> list[Alert]:
    """Known causes, and noise up to so many alerts."""
    peers = sorted(around.regions)
    lost = [peer for peer in peers if around.regions[peer] == "region-0"]
    found = [alert("peer-down", peer, NOW - 3000 + rng.random() * 20) for peer in lost]
    bad = [peer for peer in peers if around.versions[AGENT][peer] == "1.2" and rng.random() < 0.3]
    found += [alert("memory-high", peer, NOW - 2000 + rng.random() * 600) for peer in bad]
    reached = {rng.choice(peers): NOW - 1000.0}
    for _ in range(4):
        for peer, at in sorted(reached.items()):
            for other in sorted(around.links[peer]):
                if rng.random() < 0.4:
                    reached.setdefault(other, at + 3 + rng.expovariate(1 / 20))
    found += [alert("cpu-high", peer, at) for peer, at in reached.items()]
    named = {one.id: one for one in found}
    while len(named) < alerts:
        one = alert(rng.choice(RULES), rng.choice(peers), NOW - rng.random() * 43_200)
        named.setdefault(one.id, one)
    return sorted(named.values(), key=lambda one: one.id)


def storm(around: Context, alerts: int, rng: Random) -> list[Alert]:
    """Alerts at random, all at about the same time."""
    peers, named = sorted(around.regions), dict[str, Alert]()
    while len(named) < alerts:
        one = alert(rng.choice(RULES), rng.choice(peers), NOW - rng.random() * 300)
        named.setdefault(one.id, one)
    return list(named.values())


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alerts", type=int, default=10_000)
    parser.add_argument("--peers", type=int, default=5_000)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    around = network(options.peers, Random(1))
    links = sum(map(len, around.links.values())) // 2
    head = {"benchmark": "incidents", "cores": os.cpu_count(), "alerts": options.alerts, "peers": options.peers}
    figures = {
        name: measure(make(around, options.alerts, Random(2)), around, options.runs)
        for name, make in (("mixture", mixture), ("storm", storm))
    }
    print(json.dumps(head | {"links": links} | figures, indent=2))


def measure(alerts: list[Alert], around: Context, runs: int) -> dict[str, object]:
    """CPU seconds, and what was found."""
    times, remembered, found = [], Incidents(), tuple[Incident, ...]()
    for _ in range(runs):
        began = time.process_time()
        found = correlate(alerts, around, NOW)
        times.append(time.process_time() - began)
    began = time.process_time()
    remembered.update(alerts, around, NOW)
    return {
        "correlate_s": round(statistics.median(times), 3),
        "update_s": round(time.process_time() - began, 3),
        "incidents": dict(sorted(Counter(incident.kind for incident in found).items())),
        "largest": [f"{incident.title} ({incident.confidence})" for incident in found[:5]],
    }


if __name__ == "__main__":
    main()
