"""How often the root of a disaster is found: simulated networks, real peers, one survivor's alerts correlated.

    .venv/bin/python benchmarks/roots.py [--peers 50 100 300] [--seeds 20] [--first-seed 1] [SCENARIO...]

Prints a line for each run as it ends, then JSON: of how many seeds the largest incidents were what happened, with
their roots, and two survivors agreed; of `steady` and `unrelated`, of how many seeds no incident named a cause. The
means of precision and recall are over pairs of alerts. A run takes about a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from statistics import fmean

from msgspec import Struct
from msgspec.structs import replace

from peerscope.sim.run import run
from peerscope.sim.scenario import load

SCENARIOS = (
    "cascade",
    "region-outage",
    "bad-release",
    "busy-host",
    "noisy-neighbour",
    "two-causes",
    "slow-dependency",
    "unrelated",
    "steady",
)
NAMES_NO_CAUSE = ("pattern", "peer-cluster", "chance")
"""Kinds of incidents that name no cause of several peers."""


class Found(Struct):
    """The result of one run."""

    is_right: bool
    what: str
    precision: float | None
    recall: float | None


def found(job: tuple[str, int, int]) -> Found:
    """Whether one run found what there was to find; and what it found."""
    name, peers, seed = job
    outcome = run(replace(load(name), peers=peers), seed=seed, signed=False)
    what = ", ".join(f"{one.kind} of {one.size} by {one.root or '?'}" for one in outcome.incidents or ())
    if outcome.root_right is None:
        is_right = all(one.kind in NAMES_NO_CAUSE for one in outcome.incidents or ())
    else:
        is_right = bool(outcome.root_right and outcome.incidents_agreed)
    return Found(is_right, what, outcome.incident_precision, outcome.incident_recall)


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", default=SCENARIOS)
    parser.add_argument("--peers", type=int, nargs="+", default=[100])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=1)
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    jobs = [(name, peers, seed) for seed in seeds for peers in options.peers for name in options.scenarios]
    right: defaultdict[str, defaultdict[int, int]] = defaultdict(lambda: defaultdict(int))
    runs: defaultdict[str, list[Found]] = defaultdict(list)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for (name, peers, seed), one in zip(jobs, pool.map(found, jobs), strict=True):
            right[name][peers] += one.is_right
            runs[name].append(one)
            mark = "right" if one.is_right else "WRONG"
            print(
                f"{mark} {name} --peers {peers} --seed {seed}: {one.what or 'no incident'}", file=sys.stderr, flush=True
            )
    means = {
        part: {name: _mean(getattr(one, part) for one in some) for name, some in runs.items()}
        for part in ("precision", "recall")
    }
    print(json.dumps({"benchmark": "roots", "seeds": options.seeds, "right": right, **means}, indent=2))


def _mean(values: Iterable[float | None]) -> float | None:
    """The mean over the runs that have such pairs."""
    known = [value for value in values if value is not None]
    return round(fmean(known), 3) if known else None


if __name__ == "__main__":
    main()
