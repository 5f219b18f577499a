"""This build beside an older one: what the simulator and an idle agent cost, in one run.

    unshare --net .venv/bin/python scripts/loopback .venv/bin/python benchmarks/builds.py --against REV
    .venv/bin/python benchmarks/builds.py --against REV --only simulate --simulated-peers 1000 --scenarios kill

REV is a git revision, or a checkout of the older build. Both run on the packages of this environment.

- `simulate`: CPU seconds of `peerscope simulate SCENARIO`, the two builds by turns, and whether their histories agree.
  `virtual_s_per_cpu_minute` is the same as speed: virtual seconds, settling included, that a minute of one core plays.
- `agent`: CPU share and memory of each agent in two networks that idle at the same time, all on loopback.
  `vs_serf.py --only cost` measures more of them, and their traffic.

Prints JSON: medians of each build, and their ratio, this build over the older one. Nothing else may run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import idle
from checkouts import HERE, before_all, checkout, environment, revision
from fleets import Peerscope, byte_compile

SETTLE_S = 60.0
"""Young agents measure coordinates and introduce each other: that is no rest."""
PATIENCE_S = 120.0
SCENARIOS = ("kill", "churn", "lossy")
PARTS = ("simulate", "agent")


class Played(NamedTuple):
    """One simulation."""

    cpu_s: float
    """Start of the interpreter included."""
    virtual_s: float
    digest: str
    """Of its history."""


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", required=True, help="the older build: a git revision, or a checkout")
    parser.add_argument("--only", choices=PARTS, help="one part instead of both")
    parser.add_argument("--peers", type=int, default=8, help="agents of each build")
    parser.add_argument("--seconds", type=float, default=120.0, help="how long to watch the agents")
    parser.add_argument("--rounds", type=int, default=3, help="simulations of each scenario and build")
    parser.add_argument("--simulated-peers", type=int, default=100)
    parser.add_argument("--scenarios", default=",".join(SCENARIOS), help="names, with commas between them")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # through every `finally`
    result: dict[str, Any] = {"benchmark": "builds", "cores": os.cpu_count(), "older": revision(options.against)}
    try:
        with checkout(options.against) as older:
            builds = {"this": HERE, "older": older}
            for build in builds.values():
                byte_compile(build / "src" / "peerscope")
            if options.only != "agent":
                result["simulate"] = {"peers": options.simulated_peers} | {
                    name: simulations(builds, name, options.simulated_peers, options.rounds)
                    for name in options.scenarios.split(",")
                }
            if options.only != "simulate":
                result["agent"] = agents(builds, options.peers, options.seconds)
    except ValueError as error:
        parser.error(f"--against: {error}")
    print(json.dumps(result, indent=2))


def simulations(builds: dict[str, Path], scenario: str, peers: int, rounds: int) -> dict[str, Any]:
    """CPU seconds and speed of each build, by turns; each round has a seed of its own."""
    played: dict[str, list[Played]] = {name: [] for name in builds}
    for seed in range(1, rounds + 1):
        for name in list(builds) if seed % 2 else list(reversed(builds)):
            one = simulated(builds[name], scenario, peers, seed)
            played[name].append(one)
            say(
                f"simulate {scenario}, seed {seed}, {name} build: {one.cpu_s:.1f} s of CPU, {speed(one):.0f} s a minute"
            )
    pairs = zip(played["this"], played["older"], strict=True)
    speeds = {name: [speed(one) for one in each] for name, each in played.items()}
    return {
        "cpu_s": {name: round(statistics.median(one.cpu_s for one in each), 2) for name, each in played.items()},
        "ratio": round(statistics.median(this.cpu_s / older.cpu_s for this, older in pairs), 3),
        "virtual_s_per_cpu_minute": beside(speeds, 1),
        "same_histories": [one.digest for one in played["this"]] == [one.digest for one in played["older"]],
    }


def simulated(build: Path, scenario: str, peers: int, seed: int) -> Played:
    """One simulation in a process of its own."""
    command = [sys.executable, "-m", "peerscope", "simulate", scenario, "--unsigned", "--json"]
    command += ["--peers", str(peers), "--seed", str(seed)]
    before = os.times()
    done = subprocess.run(command, env=environment(build), capture_output=True, text=True, check=False)
    after = os.times()
    if not done.stdout.startswith("{"):
        raise SystemExit(f"{' '.join(command)} of {build} failed: {done.stderr.strip()[-500:]}")
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    found = json.loads(done.stdout)
    return Played(spent, found["virtual_s"], found["digest"])


def speed(one: Played) -> float:
    """Virtual seconds that a minute of CPU plays."""
    return one.virtual_s / one.cpu_s * 60


def agents(builds: dict[str, Path], count: int, seconds: float) -> dict[str, Any]:
    """CPU and memory of idle agents, both networks at the same time."""
    with tempfile.TemporaryDirectory() as place:
        fleets = {name: Peerscope(count, None, Path(place) / name) for name in builds}
        try:
            for name, fleet in fleets.items():
                fleet.environment |= before_all(builds[name])
                fleet.mend(PATIENCE_S)
                say(f"{count} agents each see all ({name})")
            idle.settle(fleets.values(), SETTLE_S)
            found = idle.cost(fleets, seconds)
        finally:
            for fleet in fleets.values():
                fleet.__exit__()
    figures = {name: {build: one[name]["median"] for build, one in found.items()} for name in ("cpu_ratio", "pss_mib")}
    return {name: each | {"ratio": round(each["this"] / each["older"], 3)} for name, each in figures.items()}


def beside(values: dict[str, list[float]], digits: int) -> dict[str, float]:
    """Medians over the agents of each build, and their ratio."""
    medians = {name: statistics.median(each) for name, each in values.items()}
    return {name: round(one, digits) for name, one in medians.items()} | {
        "ratio": round(medians["this"] / medians["older"], 3)
    }


def say(text: str) -> None:
    """Show progress on standard error."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
