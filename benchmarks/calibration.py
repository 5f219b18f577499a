"""Whether incidents are right, and as sure as they say: imagined networks with known causes.

    .venv/bin/python benchmarks/calibration.py [--worlds 2000] [--seeds 100] [--first-seed 1] [--markdown]

Prints JSON, or the tables of docs/reference/benchmarks-incidents.md with `--markdown`. `reliability`: by bin of the
printed confidence, how many incidents, the mean confidence, and the share that was right. `brier`: mean squared
difference of the two. `common_cause`: share of runs in which a cause that all peers share is taken for a cascade.
`unrelated`: share of runs in which unrelated alerts are taken for the outage of a region, or for any incident.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from random import Random

from incident_worlds import BEGAN, CAUSES, Maker, World, drawn, is_right, of_kind, pairs
from msgspec.structs import replace

from peerscope.alerts.incident import Incident
from peerscope.alerts.incidents import correlate

SIZES = (4, 6, 8, 10, 12, 16, 20, 30, 40, 60, 100)


def found(world: World) -> tuple[Incident, ...]:
    """The incidents that every peer of this world sees."""
    return correlate(world.alerts, world.around, BEGAN + 900.0)


def judged(seed: int) -> tuple[list[tuple[float, bool, str]], int, int, int]:
    """One drawn world: confidence, right or wrong, and kind of each incident; and right, told and true pairs."""
    world = drawn(seed)
    incidents = found(world)
    told = pairs(one.alerts for one in incidents)
    true = pairs(one.alerts for one in world.causes)
    said = [(one.confidence, is_right(one, world), one.kind) for one in incidents]
    return said, len(told & true), len(told), len(true)


def common_cause(job: tuple[int, int]) -> Counter[str]:
    """Every peer gets one alert at any moment within 200 s; the kinds of incidents told."""
    size, seed = job
    maker = Maker(Random(seed), size)
    maker.around = replace(maker.around, hosts={})
    rule = ("cpu-high", "error-ratio")[seed % 2]
    for peer in maker.ids:
        maker.tell(rule, peer, maker.rng.uniform(2.0, 200.0))
    return Counter(one.kind for one in found(maker.world(lost_ratio=0.0)))


def unrelated(job: tuple[int, int]) -> Counter[str]:
    """Half of the peers have one alert of any kind within five minutes."""
    size, seed = job
    maker = Maker(Random(seed), size)
    maker.noise(size // 2, 300.0)
    return Counter(one.kind for one in found(maker.world()))


def alone(job: tuple[str, int, int]) -> bool | None:
    """Whether a cause that happens alone is named with its root."""
    kind, size, seed = job
    world = of_kind(kind, seed, size)
    if world is None:
        return None
    (cause,) = world.causes or (None,)
    return cause is not None and any((one.kind, one.root) == (cause.kind, cause.root) for one in found(world))


def bins(said: list[tuple[float, bool, str]]) -> Iterator[dict[str, float | int]]:
    """Ten bins of confidence."""
    for number in range(10):
        mine = [one for one in said if number / 10 <= one[0] < (number + 1) / 10 + (number == 9)]
        if mine:
            mean, right = sum(one[0] for one in mine) / len(mine), sum(one[1] for one in mine) / len(mine)
            yield {"from": number / 10, "incidents": len(mine), "confidence": round(mean, 3), "right": round(right, 3)}


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    worlds = range(options.first_seed, options.first_seed + options.worlds)
    said: list[tuple[float, bool, str]] = []
    right, told, true = 0, 0, 0
    cascades, outages, any_kind = dict[int, float](), dict[int, float](), dict[int, float]()
    named: defaultdict[str, dict[int, str]] = defaultdict(dict)
    with ProcessPoolExecutor() as pool:
        for its, r, t, u in pool.map(judged, worlds, chunksize=20):
            said += its
            right, told, true = right + r, told + t, true + u
        for size in SIZES:
            runs = list(pool.map(common_cause, [(size, seed) for seed in seeds], chunksize=10))
            cascades[size] = sum(run["cascade"] > 0 for run in runs) / len(runs)
            runs = list(pool.map(unrelated, [(size, seed) for seed in seeds], chunksize=10))
            outages[size] = sum(run["region-outage"] > 0 for run in runs) / len(runs)
            any_kind[size] = sum(run.total() > 0 for run in runs) / len(runs)
        for kind in CAUSES:
            for size in (12, 40, 100):
                jobs = [(kind, size, seed) for seed in list(seeds)[:40]]
                answers = [one for one in pool.map(alone, jobs, chunksize=5) if one is not None]
                named[kind][size] = f"{sum(answers)}/{len(answers)}"
    kinds = {
        kind: {
            "incidents": sum(one[2] == kind for one in said),
            "confidence": round(mean([one[0] for one in said if one[2] == kind]), 3),
            "right": round(mean([one[1] for one in said if one[2] == kind]), 3),
        }
        for kind in sorted({one[2] for one in said})
    }
    figures = {
        "benchmark": "calibration",
        "worlds": options.worlds,
        "seeds": options.seeds,
        "reliability": list(bins(said)),
        "brier": round(mean([(confidence - is_right) ** 2 for confidence, is_right, _ in said]), 4),
        "kinds": kinds,
        "pair_precision": round(right / told, 4) if told else None,
        "pair_recall": round(right / true, 4) if true else None,
        "common_cause_cascades": cascades,
        "unrelated_outages": outages,
        "unrelated_incidents": any_kind,
        "alone": named,
    }
    print(markdown(figures) if options.markdown else json.dumps(figures, indent=2))


def mean(values: list[float] | list[bool]) -> float:
    return sum(values) / len(values) if values else 0.0


def markdown(figures: dict[str, object]) -> str:
    """The tables of the document."""
    lines = ["| confidence | incidents | mean | right |", "|---|---|---|---|"]
    for one in figures["reliability"]:  # type: ignore[attr-defined]
        lines.append(f"| {one['from']:.1f} | {one['incidents']} | {one['confidence']:.2f} | {one['right']:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
