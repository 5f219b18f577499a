"""This build beside an older one: what the simulator and an idle agent cost, in one run.

    unshare --net .venv/bin/python scripts/loopback .venv/bin/python benchmarks/builds.py --against DIR

DIR is a checkout of the older build (`git worktree add DIR REVISION`). Both run on the packages of this environment.

- `simulate`: CPU seconds of `peerscope simulate SCENARIO`, the two builds by turns, and whether their histories agree.
- `agent`: CPU share and memory of each agent in two networks that idle at the same time.

Prints JSON: medians of each build, and their ratio, this build over the older one. Nothing else may run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import psutil
from fleets import Peerscope, byte_compile

HERE = Path(__file__).parents[1]
SETTLE_S = 60.0
"""Young agents measure coordinates and introduce each other: that is no rest."""
PATIENCE_S = 120.0
SCENARIOS = ("kill", "churn", "lossy")


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, required=True, help="checkout of the older build")
    parser.add_argument("--peers", type=int, default=8, help="agents of each build")
    parser.add_argument("--seconds", type=float, default=120.0, help="how long to watch the agents")
    parser.add_argument("--rounds", type=int, default=3, help="simulations of each scenario and build")
    parser.add_argument("--simulated-peers", type=int, default=100)
    options = parser.parse_args()
    builds = {"this": HERE, "older": options.against.resolve()}
    for build in builds.values():
        if not (build / "src" / "peerscope" / "__init__.py").is_file():
            parser.error(f"{build} is no checkout of peerscope: it has no src/peerscope")
        byte_compile(build / "src" / "peerscope")
    result = {
        "simulate": {name: simulations(builds, name, options.simulated_peers, options.rounds) for name in SCENARIOS},
        "agent": agents(builds, options.peers, options.seconds),
    }
    print(json.dumps(result, indent=2))


def simulations(builds: dict[str, Path], scenario: str, peers: int, rounds: int) -> dict[str, Any]:
    """CPU seconds of each build, by turns; each round has a seed of its own."""
    spent: dict[str, list[float]] = {name: [] for name in builds}
    digests: dict[str, list[str]] = {name: [] for name in builds}
    for seed in range(1, rounds + 1):
        order = list(builds) if seed % 2 else list(reversed(builds))
        for name in order:
            seconds, digest = simulated(builds[name], scenario, peers, seed)
            spent[name].append(seconds)
            digests[name].append(digest)
            report(f"simulate {scenario}, seed {seed}, {name} build: {seconds:.1f} s of CPU")
    pairs = zip(spent["this"], spent["older"], strict=True)
    return {
        "cpu_s": {name: round(statistics.median(values), 2) for name, values in spent.items()},
        "ratio": round(statistics.median(this / older for this, older in pairs), 3),
        "same_histories": digests["this"] == digests["older"],
    }


def simulated(build: Path, scenario: str, peers: int, seed: int) -> tuple[float, str]:
    """CPU seconds of one simulation, start of the interpreter included, and the digest of its history."""
    command = [sys.executable, "-m", "peerscope", "simulate", scenario, "--unsigned", "--json"]
    command += ["--peers", str(peers), "--seed", str(seed)]
    before = os.times()
    done = subprocess.run(command, env=environment(build), capture_output=True, text=True, check=False)
    after = os.times()
    if not done.stdout.startswith("{"):
        raise SystemExit(f"{' '.join(command)} of {build} failed: {done.stderr.strip()[-500:]}")
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return spent, json.loads(done.stdout)["digest"]


def agents(builds: dict[str, Path], count: int, seconds: float) -> dict[str, Any]:
    """CPU and memory of idle agents, both networks at the same time."""
    with tempfile.TemporaryDirectory() as place:
        fleets = {name: Peerscope(count, None, Path(place) / name) for name in builds}
        try:
            for name, fleet in fleets.items():
                fleet.environment |= {"PYTHONPATH": str(builds[name] / "src")}
                fleet.mend(PATIENCE_S)
                report(f"{count} agents of the {name} build see each other")
            settle(fleets.values(), SETTLE_S)
            processes = {
                name: [psutil.Process(agent.process.pid) for agent in fleet.running.values()]
                for name, fleet in fleets.items()
            }
            before = {name: [cpu_s(one) for one in each] for name, each in processes.items()}
            began = time.monotonic()
            settle(fleets.values(), seconds)
            passed = time.monotonic() - began
            spent = {
                name: [(cpu_s(one) - old) / passed for one, old in zip(each, before[name], strict=True)]
                for name, each in processes.items()
            }
            memory = {name: [one.memory_full_info().pss / 2**20 for one in each] for name, each in processes.items()}
        finally:
            for fleet in fleets.values():
                fleet.__exit__()
    return {"cpu_ratio": beside(spent, 5), "pss_mib": beside(memory, 2)}


def settle(fleets: Collection[Peerscope], seconds: float) -> None:
    """Read what the agents of all fleets say for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for fleet in fleets:
            fleet.pump(0.5)


def beside(values: dict[str, list[float]], digits: int) -> dict[str, float]:
    """Medians over the agents of each build, and their ratio."""
    medians = {name: statistics.median(each) for name, each in values.items()}
    return {name: round(one, digits) for name, one in medians.items()} | {
        "ratio": round(medians["this"] / medians["older"], 3)
    }


def environment(build: Path) -> dict[str, str]:
    """That of this process, with a build before everything that is installed."""
    return {**os.environ, "PYTHONPATH": str(build / "src")}


def cpu_s(process: psutil.Process) -> float:
    """CPU seconds so far."""
    times = process.cpu_times()
    return times.user + times.system


def report(text: str) -> None:
    """Show progress on standard error."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
