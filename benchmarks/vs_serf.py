"""peerscope beside Serf on one machine: how fast each knows of a death, how often it is wrong, and what it costs.

    sudo .venv/bin/python benchmarks/vs_serf.py --peers 24 [--only kill,cost] [--seconds 60] [--json-only]

Runs N agents of peerscope, ends them, runs N agents of Serf (profile lan), and prints JSON: both sides, and the ratios
ours / serf. As root on Linux each agent has a network namespace of its own; elsewhere all are on loopback, and `loss`
and the traffic in `cost` are null; `loopback_because` says why. Parts, always measured in this order:

- storm  All but the first start at once and join by way of it: seconds until all see all (ours are told once a second,
         so up to 1 s late), until all processes are ready, and living peers falsely held to be down on the way.
- cost   At rest: CPU, memory (RSS) and traffic sent per agent. `benchmark_cpu_ratio` is this program's own share.
- event  One urgent record until it is everywhere, three times. Ours: a goodbye, from SIGTERM on. Serf: a user event,
         from the origin's log line on.
- kill   `kill -9`, three victims one after the other: seconds until each survivor knows. `majority_s` is our majority
         suspicion, `down_s` our verdict down and Serf's EventMemberFailed; `delivered_s` is when Serf's event handlers
         hear of it, which coalesces for a second or more. The ratio of `majority_s` is to Serf's `down_s`.
- pause  SIGSTOP for 1.5 s and 3 s, four times each: how many survivors (of how many) suspected the paused one by
         majority, held it to be down, and whom the paused one falsely accused when it woke.
- loss   Every packet is lost with 10 % probability, there and back: living peers falsely accused.

Run it on a machine that does nothing else: both programs share its cores, and this program's times are of one clock.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from fleets import Fleet, Peerscope, Serf, Trouble
from namespaces import Network, refusal
from sightings import Sighting, alarms, delays, ratios, spread

SETTLE_S = 20.0
"""At rest before `cost`: past the links that only the start needed."""
CALM_S = 5.0
"""Between disturbances."""
AFTER_S = 10.0
"""Watched on after a disturbance: alarms come late."""
KILL_TIMEOUT_S = 60.0
VICTIMS = 3
PAUSES_S = (1.5, 3.0)
PAUSES_EACH = 4
LOSS_RATIO = 0.1

Result = dict[str, Any]


class Setting(NamedTuple):
    """What holds for every part."""

    seconds: float
    """Length of what is measured over a stretch of time."""
    patience_s: float
    """How long to wait until all see all."""


class Progress:
    """Lines on standard error."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._began = time.monotonic()

    def __call__(self, text: str) -> None:
        """Say it, with the time passed."""
        if not self._quiet:
            print(f"{time.monotonic() - self._began:7.1f} s  {text}", file=sys.stderr, flush=True)


def main() -> None:
    """Parse, run both sides, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=int, default=12, help="agents of each program; 4 or more")
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of `cost` and of `loss`")
    parser.add_argument("--json-only", action="store_true", help="no progress on standard error")
    options = parser.parse_args()
    wanted = options.only.split(",")
    if unknown := set(wanted) - set(PARTS):
        parser.error(f"--only: unknown {', '.join(sorted(unknown))}; known are {', '.join(PARTS)}")
    if options.peers <= VICTIMS:
        parser.error(f"--peers: must be {VICTIMS + 1} or more")
    if shutil.which("serf") is None:
        parser.error("there is no program `serf` here; on Debian, `apt-get install serf` brings it")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))  # through every `finally`
    say = Progress(options.json_only)
    if shared := refusal():
        say(f"all on loopback: {shared}")
    setting = Setting(options.seconds, 60.0 + 3.0 * options.peers)
    ours, serf = (run(f, options.peers, wanted, setting, shared is None, say) for f in (Peerscope, Serf))
    version = subprocess.run(["serf", "version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    about = {"benchmark": "vs_serf", "peers": options.peers, "cores": os.cpu_count(), "serf_version": version}
    sides = {"loopback_because": shared, "ours": ours, "serf": serf, "ratios": ratios(ours, serf)}
    print(json.dumps(about | sides, indent=2))


def run(
    program: type[Fleet], count: int, wanted: Collection[str], setting: Setting, is_isolated: bool, say: Progress
) -> Result:
    """All wanted parts for one program: `storm` with agents of its own, the others with one set of agents."""
    found: Result = {}
    measured = [part for part in PARTS if part in wanted]
    for group in [part for part in measured if part == "storm"], [part for part in measured if part != "storm"]:
        if not group:
            continue
        with contextlib.ExitStack() as stack:
            place = stack.enter_context(tempfile.TemporaryDirectory(prefix="vs-serf-", ignore_cleanup_errors=True))
            network = stack.enter_context(Network(count)) if is_isolated else None
            fleet = stack.enter_context(program(count, network, Path(place)))
            for part in group:
                say(f"{program.program} {part} ...")
                try:
                    found[part] = PARTS[part](fleet, setting)
                except Trouble as trouble:  # the other parts may still succeed
                    found[part] = {"error": str(trouble)}
                say(f"{program.program} {part} {json.dumps(found[part])}")
    return found


def storm(fleet: Fleet, setting: Setting) -> Result:
    """All at once."""
    fleet.start([0])
    began = time.time()
    fleet.start(range(1, fleet.count), at_once=fleet.count)
    ready_s = time.time() - began
    is_complete = fleet.pump(setting.patience_s, fleet.is_complete)
    first = {(s.observer, s.subject): s.at for s in reversed(fleet.log) if s.what == "alive"}
    for agent in fleet.running.values():
        first.pop((agent.index, agent.name), None)
    fleet.pump(AFTER_S)
    return {
        "complete_s": round(max(first.values()) - began, 2) if is_complete else None,
        "ready_s": round(ready_s, 2),
        **false_alarms(fleet, fleet.log),
    }


def cost(fleet: Fleet, setting: Setting) -> Result:
    """At rest."""
    fleet.mend(setting.patience_s)
    fleet.pump(SETTLE_S)
    processes = [psutil.Process(agent.process.pid) for agent in fleet.running.values()]
    before, own, began = [cpu_s(p) for p in processes], time.process_time(), time.monotonic()
    sent = fleet.network.sent() if fleet.network else []
    psutil.cpu_percent()
    fleet.pump(setting.seconds)
    passed = time.monotonic() - began
    busy = psutil.cpu_percent() / 100
    now_sent = fleet.network.sent() if fleet.network else []
    return {
        "cpu_ratio": middle([(cpu_s(p) - b) / passed for p, b in zip(processes, before, strict=True)], 4),
        "rss_mib": middle([p.memory_info().rss / 2**20 for p in processes], 1),
        "sent_bytes_per_s": middle([(now[0] - old[0]) / passed for now, old in zip(now_sent, sent, strict=True)], 0),
        "sent_packets_per_s": middle([(now[1] - old[1]) / passed for now, old in zip(now_sent, sent, strict=True)], 1),
        "machine_cpu_ratio": round(busy, 3),
        "benchmark_cpu_ratio": round((time.process_time() - own) / passed, 4),
    }


def event(fleet: Fleet, setting: Setting) -> Result:
    """One urgent record to all."""
    found: list[float] = []
    expected = 0
    for origin in victims(fleet):
        fleet.mend(setting.patience_s)
        fleet.pump(CALM_S)
        times, others = fleet.tell_all(origin)
        found += times.values()
        expected += others
    return {"everywhere_s": spread(found, expected)}


def kill(fleet: Fleet, setting: Setting) -> Result:
    """One death after the other."""
    found: dict[str, list[float]] = {level: [] for level in fleet.levels}
    others: list[Sighting] = []
    for victim in victims(fleet):
        fleet.mend(setting.patience_s)
        fleet.pump(CALM_S)
        mark = len(fleet.log)
        name, at = fleet.kill(victim)
        fleet.pump_until_told(mark, name, fleet.alarms["down"], fleet.count - 1, KILL_TIMEOUT_S)
        fleet.pump(AFTER_S)
        for level, kinds in fleet.levels.items():
            found[level] += delays(fleet.log[mark:], at, name, kinds).values()
        others += [sighting for sighting in fleet.log[mark:] if sighting.subject != name]
    expected = VICTIMS * (fleet.count - 1)
    return {level: spread(times, expected) for level, times in found.items()} | false_alarms(fleet, others)


def pause(fleet: Fleet, setting: Setting) -> Result:
    """Stopped for a moment, as by a busy host."""
    found: Result = {}
    for seconds in PAUSES_S:
        accusers = dict.fromkeys(fleet.alarms, 0)
        own: list[Sighting] = []
        for turn in range(PAUSES_EACH):
            fleet.mend(setting.patience_s)
            fleet.pump(CALM_S)
            agent = fleet.running[1 + turn % (fleet.count - 1)]
            mark = len(fleet.log)
            agent.process.send_signal(signal.SIGSTOP)
            try:
                fleet.pump(seconds)
            finally:
                agent.process.send_signal(signal.SIGCONT)
            fleet.pump(AFTER_S)
            since = fleet.log[mark:]
            for level, kinds in fleet.alarms.items():
                accusers[level] += len(delays(since, 0.0, agent.name, kinds).keys() - {agent.index})
            own += [s for s in since if s.observer == agent.index and s.subject != agent.name]
        asked = PAUSES_EACH * (fleet.count - 1)
        found[f"{seconds:g}_s"] = {"accusers": accusers, "of": asked, "by_the_paused": false_alarms(fleet, own)}
    return found


def loss(fleet: Fleet, setting: Setting) -> Result | None:
    """A bad network."""
    if fleet.network is None:
        return None
    fleet.mend(setting.patience_s)
    fleet.pump(CALM_S)
    mark, lost, sent = len(fleet.log), fleet.network.lost(), packets(fleet.network)
    fleet.network.lose(LOSS_RATIO)
    try:
        fleet.pump(setting.seconds)
        lost, sent = fleet.network.lost() - lost, packets(fleet.network) - sent
    finally:
        fleet.network.lose(0.0)
    fleet.pump(AFTER_S)
    return {"packets_lost_ratio": round(lost / sent, 3), **false_alarms(fleet, fleet.log[mark:])}


PARTS = {"storm": storm, "cost": cost, "event": event, "kill": kill, "pause": pause, "loss": loss}


def victims(fleet: Fleet) -> list[int]:
    """Different agents, spread out; never the first, by way of which the others join."""
    return [1 + turn * (fleet.count - 1) // VICTIMS for turn in range(VICTIMS)]


def false_alarms(fleet: Fleet, seen: Collection[Sighting]) -> Result:
    """How often living peers were accused, at each level that the program has."""
    return {f"false_{level}": alarms(seen, kinds) for level, kinds in fleet.alarms.items()}


def cpu_s(process: psutil.Process) -> float:
    """CPU seconds so far."""
    times = process.cpu_times()
    return times.user + times.system


def packets(network: Network) -> int:
    """Packets sent by all so far."""
    return sum(count for _, count in network.sent())


def middle(values: Collection[float], digits: int) -> Result | None:
    """Median and maximum over the agents."""
    if not values:
        return None
    return {"median": round(statistics.median(values), digits), "max": round(max(values), digits)}


if __name__ == "__main__":
    main()
