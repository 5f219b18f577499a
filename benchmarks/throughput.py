"""What it costs to count messages, and to keep and merge latencies by route.

    .venv/bin/python benchmarks/throughput.py [--messages 1000000] [--routes 500] [--runs 5]

Prints JSON; rates are medians, per CPU second of one core. `error_ratio_max` is the greatest relative error of p50, p95
and p99 beside the exact ones, over several distributions, for one sketch and for ten merged through bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from random import Random

import msgspec

from peerscope.records.sketch import Sketch, SketchBody
from peerscope.views.routes import Routes, merge_routes
from peerscope.views.throughput import Throughput
from peerscope.views.traces import Trace

SHARES = (0.5, 0.95, 0.99)


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--routes", type=int, default=500)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    print(json.dumps({"benchmark": "throughput", "cores": os.cpu_count()} | measure(options), indent=2))


def measure(options: argparse.Namespace) -> dict[str, object]:
    """All figures."""
    rng = Random(1)
    latencies = [rng.lognormvariate(-3, 1) for _ in range(100_000)]
    sketches = [filled(rng.sample(latencies, 10_000)) for _ in range(10)]
    routes = used(options.routes, rng)
    told = [routes.top(20, 0.0) for _ in range(10)]

    def count() -> None:
        throughput = Throughput(0.0)
        record = throughput.record
        for number in range(options.messages):  # a hundred seconds of them
            record(number * 1e-4, 100)

    def turn() -> None:
        throughput = Throughput(0.0)
        for number in range(10_000):
            throughput.record(float(number), 100)

    def merge() -> None:
        whole = Sketch()
        for sketch in sketches:
            whole.merge(sketch)

    return {
        "messages": options.messages,
        "record_per_s": per_second(options.runs, options.messages, count),
        "record_one_a_second_per_s": per_second(options.runs, 10_000, turn),
        "sketch_add_per_s": per_second(options.runs, len(latencies), lambda: filled(latencies)),
        "sketch_merge_per_s": per_second(options.runs, len(sketches), merge),
        "sketch_bytes": len(msgspec.msgpack.encode(sketches[0].to_body())),
        "routes": options.routes,
        "routes_view_s": median_s(options.runs, lambda: routes.views(0.0)),
        "routes_merge_10_peers_s": median_s(options.runs, lambda: merge_routes(told, 20)),
        "error_ratio_max": errors(rng),
    }


def filled(values: list[float]) -> Sketch:
    """A sketch of these."""
    sketch = Sketch()
    for value in values:
        sketch.add(value)
    return sketch


def used(routes: int, rng: Random) -> Routes:
    """So many routes, each used a hundred times."""
    found = Routes(routes)
    for number in range(routes):
        for _ in range(100):
            latency_s = rng.lognormvariate(-3, 0.5)
            found.record((f"region-{number}", "here"), Trace("mesh", (), (), latency_s, "delivered"), 0.0)
    return found


def errors(rng: Random) -> dict[str, float]:
    """Greatest relative errors, by distribution."""
    draws: dict[str, Callable[[], float]] = {
        "uniform": lambda: rng.uniform(0.001, 1.0),
        "lognormal": lambda: rng.lognormvariate(-3, 1),
        "pareto": lambda: 0.001 * rng.paretovariate(1.0),
        "two humps": lambda: rng.gauss(0.01, 0.001) if rng.random() < 0.9 else rng.gauss(2.0, 0.1),
    }
    return {name: round(error([abs(draw()) for _ in range(100_000)]), 5) for name, draw in draws.items()}


def error(values: list[float]) -> float:
    """Greatest relative error of one sketch of all, and of ten that each saw a tenth."""
    merged = Sketch()
    for part in range(10):
        data = msgspec.msgpack.encode(filled(values[part::10]).to_body())
        merged.merge(Sketch.of(msgspec.msgpack.decode(data, type=SketchBody)))
    ranked, worst = sorted(values), 0.0
    for sketch in (filled(values), merged):
        for share in SHARES:
            exact, found = ranked[int(share * (len(ranked) - 1))], sketch.quantile(share)
            assert found is not None
            worst = max(worst, abs(found - exact) / exact)
    return worst


def per_second(runs: int, done: int, work: Callable[[], object]) -> int:
    """How many of them a CPU second does."""
    return round(done / median_s(runs, work))


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
