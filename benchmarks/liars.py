"""What liars among a peer's observers bring about, in simulation, over seeds, sizes and kinds of lies.

    .venv/bin/python benchmarks/liars.py [--peers 5 12 30 100] [--seeds 20] [--jobs 1] [--duration 30]

Prints JSON: for each size and gang, the worst share of honest looks that call the living victim down, over all kinds of
lies and seeds; the longest time that a third of the observers hid a death; and the share of looks that take a living
peer's report for expired because of carriers that falsify ages.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import product

from peerscope.sim.lies import Gang, Plan
from peerscope.sim.outcome import Outcome
from peerscope.sim.run import run
from peerscope.sim.scenario import Bounds, Scenario, ScenarioStep

ENDS = ("past", "future", "random", "far")
WHEN = ("after-refutation", "random", "period", "alternate")
AIMS = ("victim", "watchers", "all")
BOUNDS = Bounds(false_down=None, missed=None)


def main() -> None:
    """Run, and print one object per size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=int, nargs="+", default=[5, 12, 30, 100])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--duration", type=float, default=30.0)
    options = parser.parse_args()
    found = {}
    with ProcessPoolExecutor(options.jobs) as pool:
        for peers in options.peers:
            seeds = range(1, options.seeds + 1)
            lies = {
                gang: list(
                    pool.map(lying, *zip(*((peers, gang, seed, options.duration) for seed in seeds), strict=True))
                )
                for gang in ("minority", "all-but-one")
            }
            hidden = list(pool.map(hiding, [peers] * len(seeds), seeds, [options.duration] * len(seeds)))
            aged = list(pool.map(ageing, [peers] * len(seeds), seeds, [options.duration] * len(seeds)))
            found[peers] = {
                "down_share_alive": {
                    gang: {
                        "max": max(o.down_share_alive or 0.0 for o in outcomes),
                        "runs_above_0": sum(bool(o.down_share_alive) for o in outcomes),
                        "worst": max(outcomes, key=lambda o: o.down_share_alive or 0.0).scenario,
                    }
                    for gang, outcomes in lies.items()
                },
                "hidden_s": {"max": max(o.hidden_s or 0.0 for o in hidden), "missed": sum(missed(o) for o in hidden)},
                "expired_share_alive": {
                    f"{count} of {peers}": max(
                        o.expired_share_alive or 0.0 for n, o in zip(counts, aged, strict=True) if n == count
                    )
                    for counts in [[1 + seed % 2 * 2 for seed in seeds]]
                    for count in sorted(set(counts))
                },
            }
            print(f"{peers} peers: {json.dumps(found[peers])}", file=sys.stderr, flush=True)
    print(json.dumps({"benchmark": "liars", "seeds": options.seeds, "peers": found}, indent=2))


def lying(peers: int, gang: Gang, seed: int, duration_s: float) -> Outcome:
    """One run; the seed chooses the kind of lie, so that twenty seeds meet kinds of every sort."""
    kinds = list(product(ENDS, WHEN, AIMS))
    ends, when, aim = kinds[(seed * 7) % len(kinds)]  # 7 and 48 have no common divisor
    plan = Plan(ends, when, aim, 0.3 if seed % 2 else 1.0)  # type: ignore[arg-type]
    lie = ScenarioStep(at_s=1.0, do="lie", gang=gang, plan=plan)
    return play(f"{gang} seed {seed}: ends {ends}, {when}, aim {aim}", peers, seed, duration_s, lie)


def hiding(peers: int, seed: int, duration_s: float) -> Outcome:
    """A third of the observers hides a death."""
    plan = Plan("future" if seed % 2 else "past", "after-refutation", "watchers")
    hide = ScenarioStep(at_s=1.0, do="hide", gang="third", plan=plan)
    return play(f"hide seed {seed}", peers, seed, duration_s, hide, ScenarioStep(at_s=8.0, do="crash", victim=True))


def ageing(peers: int, seed: int, duration_s: float) -> Outcome:
    """One carrier or three falsify ages."""
    return play(
        f"ages seed {seed}", peers, seed, duration_s, ScenarioStep(at_s=1.0, do="false-ages", count=1 + seed % 2 * 2)
    )


def play(name: str, peers: int, seed: int, duration_s: float, *steps: ScenarioStep) -> Outcome:
    """One network with these steps."""
    scenario = Scenario(
        name=name, summary="", peers=peers, regions=2, settle_s=20.0, duration_s=duration_s, steps=steps, bounds=BOUNDS
    )
    return run(scenario, seed=seed, signed=False)


def missed(outcome: Outcome) -> int:
    """Pairs of a survivor and a dead peer that it never called down."""
    return outcome.detection["down"].missed or 0


if __name__ == "__main__":
    main()
