"""How fast and how surely failures are found, in simulation: scenarios over many seeds.

    .venv/bin/python benchmarks/detection.py [--peers 100] [--seeds 20] [--jobs 1] [--unsigned] [SCENARIO...]

Prints JSON: per scenario the worst seed's and the median seed's figures, and virtual seconds per wall minute.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from statistics import median

from msgspec.structs import replace

from peerscope.sim.outcome import Outcome
from peerscope.sim.run import run
from peerscope.sim.scenario import load


def main() -> None:
    """Run, and print one object per scenario."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", default=["kill", "kill-many", "lossy", "pause", "storm-start"])
    parser.add_argument("--peers", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--unsigned", action="store_true")
    options = parser.parse_args()
    found = {}
    with ProcessPoolExecutor(options.jobs) as pool:
        for name in options.scenarios:
            runs = [
                pool.submit(one, name, options.peers, seed, not options.unsigned)
                for seed in range(1, options.seeds + 1)
            ]
            outcomes = []
            for done in runs:
                outcomes.append(done.result())
                print(f"{name}: {len(outcomes)} of {options.seeds} seeds", file=sys.stderr, flush=True)
            found[name] = summary(outcomes)
    print(json.dumps({"benchmark": "detection", "peers": options.peers, "seeds": options.seeds, **found}, indent=2))


def one(name: str, peers: int, seed: int, signed: bool) -> Outcome:
    """One run."""
    return run(replace(load(name), peers=peers), seed=seed, signed=signed)


def summary(outcomes: list[Outcome]) -> dict[str, object]:
    """The figures of one scenario over its seeds."""
    suspect = [outcome.detection["suspect"] for outcome in outcomes]
    down = [outcome.detection["down"] for outcome in outcomes]
    return {
        "suspect_s": {
            "median": middle(times.median_s for times in suspect),
            "max": worst(times.max_s for times in suspect),
        },
        "down_s": {"median": middle(times.median_s for times in down), "max": worst(times.max_s for times in down)},
        "missed": sum(times.missed or 0 for times in down),
        "false_down": sum(outcome.false_down for outcome in outcomes),
        "false_suspect": sum(outcome.false_suspect for outcome in outcomes),
        "convergence_s_max": worst(outcome.convergence_s for outcome in outcomes),
        "bytes_per_peer_s": {
            "mean": middle(outcome.bytes_per_peer_s["mean"] for outcome in outcomes),
            "max": worst(outcome.bytes_per_peer_s["max"] for outcome in outcomes),
        },
        "redundancy": worst(outcome.redundancy for outcome in outcomes),
        "last_hop": worst(outcome.last_hop for outcome in outcomes),
        "urgent_to_all_s": worst(outcome.time_to_all_s.median_s for outcome in outcomes),
        "bytes_share": outcomes[0].bytes_share,
        "virtual_s_per_wall_minute": round(median(60 * o.virtual_s / o.wall_s for o in outcomes), 1),
        "failures": [f"{outcome.replay}: {failure}" for outcome in outcomes for failure in outcome.failures],
    }


def middle(values: Iterable[float | None]) -> float | None:
    """The median over seeds; null where no seed has a value."""
    known = [value for value in values if value is not None]
    return round(median(known), 3) if known else None


def worst(values: Iterable[float | None]) -> float | None:
    """The greatest over seeds; null where no seed has a value."""
    return max((round(value, 3) for value in values if value is not None), default=None)


if __name__ == "__main__":
    main()
