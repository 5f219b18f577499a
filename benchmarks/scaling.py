"""What a peer pays in networks of many zones, simulated: traffic, detection, and what everybody knows of the whole.

    .venv/bin/python benchmarks/scaling.py --peers 1000 --zones 20
    .venv/bin/python benchmarks/scaling.py --peers 10000 --zones 20   # 9 GB, over an hour of one core

The network begins divided, every peer knowing its own zone, so that no time is spent on its growth. After `--settle`
virtual seconds the measurement begins, and lasts for `--window`; five seconds into it `--kill` peers are killed. One
run is one process, since its memory is part of the result. Prints JSON; progress goes to stderr.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import sys
import time
from typing import Any

from msgspec.structs import replace

from peerscope.sim.outcome import Outcome
from peerscope.sim.run import run
from peerscope.sim.scenario import ScenarioStep, load

KILL_AT_S = 5.0
TELL_S = 5.0
"""Virtual seconds between two lines of progress."""


class Meter:
    """Processor time of the simulation, counted from where the measurement begins."""

    def __init__(self) -> None:
        self.began_s: float | None = None
        self._told_s = -TELL_S

    def progress(self, passed_s: float, total_s: float, what: str) -> None:
        """Called as virtual time passes."""
        if what == "running" and self.began_s is None:
            self.began_s = time.process_time()
        if passed_s - self._told_s >= TELL_S:
            self._told_s = passed_s
            print(
                f"{passed_s:.0f} of {total_s:.0f} virtual s, {what}: "
                f"{time.process_time():.0f} s of processor time, {rss_bytes() / 1e9:.2f} GB",
                file=sys.stderr,
                flush=True,
            )


def rss_bytes() -> int:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measured(peers: int, zones: int, *, settle_s: float, window_s: float, kill: int, seed: int) -> dict[str, Any]:
    """One network, and what it showed."""
    scenario = replace(
        load("zones"),
        peers=peers,
        zones=zones,
        zone_max=2 * -(-peers // zones),  # neither to be cut nor to be joined
        settle_s=settle_s,
        duration_s=window_s,
        steps=(ScenarioStep(at_s=KILL_AT_S, do="crash", count=kill),) if kill else (),
    )
    meter = Meter()
    # Hardly anything here is part of a cycle, and to look through the objects of ten thousand peers takes long.
    gc.disable()
    outcome = run(scenario, seed=seed, signed=False, progress=meter.progress)
    assert meter.began_s is not None
    cpu_s = time.process_time() - meter.began_s
    return told(outcome, scenario.zone_max or 0) | {
        "cpu_ms_per_peer_s": round(1000 * cpu_s / window_s / peers, 2),
        "memory_bytes": rss_bytes(),
    }


def told(outcome: Outcome, zone_max: int) -> dict[str, Any]:
    """What of an outcome is of interest here."""
    zones = outcome.zones
    assert zones is not None
    return {
        "peers": outcome.peers,
        "zones": zones.count,
        "zone_max": zone_max,
        "seed": outcome.seed,
        "bytes_per_peer_s": outcome.bytes_per_peer_s,
        "bytes_share": outcome.bytes_share,
        "messages_per_peer_s": outcome.messages_per_peer_s,
        "suspect_s": outcome.detection["suspect"].median_s,
        "down_s": outcome.detection["down"].median_s,
        "missed": outcome.detection["down"].missed,
        "false_down": outcome.false_down,
        "living": zones.living,
        "seen": zones.seen,
        "exact_ratio": zones.exact_ratio,
        "summary_age_p99_s": zones.age_p99_s,
        "virtual_s": outcome.virtual_s,
        "wall_s": outcome.wall_s,
        "events": outcome.events,
        "failures": outcome.failures,
        "digest": outcome.digest,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=int, default=1000)
    parser.add_argument("--zones", type=int, default=20)
    parser.add_argument(
        "--settle", type=float, default=65.0, help="virtual seconds before the measurement: a report interval"
    )
    parser.add_argument("--window", type=float, default=60.0, help="virtual seconds of it")
    parser.add_argument("--kill", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    found = measured(
        given.peers,
        given.zones,
        settle_s=given.settle,
        window_s=given.window,
        kill=given.kill,
        seed=given.seed,
    )
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
