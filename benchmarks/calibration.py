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
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from random import Random
from textwrap import fill
from typing import Any

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


def markdown(figures: Mapping[str, Any]) -> str:
    """The tables of the document, each with the sentence that explains it."""
    by_size = [figures[name] for name in ("common_cause_cascades", "unrelated_outages", "unrelated_incidents")]
    alone = figures["alone"]
    sizes = sorted({size for its in alone.values() for size in its})
    shares = ("mean confidence", "share right")
    parts = (
        "## Confidence",
        "In each row the mean confidence and the share that was right should differ by at most 0.1.",
        _table(("confidence", "incidents", *shares), (_bin(one) for one in figures["reliability"])),
        f"The Brier score, the mean squared difference of confidence and truth, is {figures['brier']:.3f}.",
        "## Kinds",
        "The same figures by kind of incident.",
        _table(
            ("kind", "incidents", *shares),
            ((f"`{kind}`", its["incidents"], *_pair(its)) for kind, its in figures["kinds"].items()),
        ),
        "## False incidents",
        "Each cell is the share of runs with such an error. In the first column all peers have one alert within 200 s, "
        "and an incident calls that a cascade. In the others half of the peers have one alert of any kind within five "
        "minutes. An incident calls some of them a region outage, or anything. The first two should be at most 1 %.",
        _table(
            ("peers", "false cascade", "false outage", "any incident"),
            ((size, *(f"{100 * its[size]:.1f} %" for its in by_size)) for size in by_size[0]),
        ),
        "## Single causes",
        "One cause works, with a little unrelated trouble beside it. Each cell counts the runs in which an incident "
        "names its kind and its root. A `dependency` is a cascade along the network of the nodes.",
        _table(
            ("cause", *(f"{size} peers" for size in sizes)),
            ((f"`{kind}`", *(its.get(size, "-") for size in sizes)) for kind, its in alone.items()),
        ),
        "## Pairs of alerts",
        "Precision: of all pairs of alerts in one incident, the share with one cause. Recall: of all pairs with one "
        "cause, the share in one incident. Both should be at least 0.9.",
        _table(("precision", "recall"), [(f"{figures['pair_precision']:.3f}", f"{figures['pair_recall']:.3f}")]),
    )
    return "\n\n".join(part if part.startswith("|") else fill(part, 118) for part in parts)


def _bin(one: Mapping[str, Any]) -> tuple[object, ...]:
    return f"{one['from']:.1f} to {one['from'] + 0.1:.1f}", one["incidents"], *_pair(one)


def _pair(one: Mapping[str, Any]) -> tuple[str, str]:
    return f"{one['confidence']:.2f}", f"{one['right']:.2f}"


def _table(head: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    names = [str(name) for name in head]
    lines = [names, *([str(cell) for cell in row] for row in rows)]
    head_line, *others = (f"| {' | '.join(line)} |" for line in lines)
    return "\n".join((head_line, "|---" * len(names) + "|", *others))


if __name__ == "__main__":
    main()
