"""How often the root of a disaster is found: simulated networks, real peers, one survivor's alerts correlated.

    .venv/bin/python benchmarks/roots.py [--peers 50 100 300] [--seeds 20] [--first-seed 1] [SCENARIO...]

Prints a line for each run as it ends, then JSON: of how many seeds the largest incident was what happened, with its
root, and two survivors agreed; of `steady`, of how many seeds there was no incident. A run of 100 peers takes about a
minute.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor

from msgspec.structs import replace

from peerscope.sim.run import run
from peerscope.sim.scenario import load

SCENARIOS = ("cascade", "region-outage", "bad-release", "steady")


def is_right(job: tuple[str, int, int]) -> tuple[bool, str]:
    """Whether one run found what there was to find; and what it found."""
    name, peers, seed = job
    outcome = run(replace(load(name), peers=peers), seed=seed, signed=False)
    found = ", ".join(f"{one.kind} of {one.size} by {one.root or '?'}" for one in outcome.incidents or ())
    if outcome.root_right is None:
        return not outcome.incidents, found
    return bool(outcome.root_right and outcome.incidents_agreed), found


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
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for (name, peers, seed), (is_found, what) in zip(jobs, pool.map(is_right, jobs), strict=True):
            right[name][peers] += is_found
            mark = "right" if is_found else "WRONG"
            print(f"{mark} {name} --peers {peers} --seed {seed}: {what or 'no incident'}", file=sys.stderr, flush=True)
    print(json.dumps({"benchmark": "roots", "seeds": options.seeds, "right": right}, indent=2))


if __name__ == "__main__":
    main()
