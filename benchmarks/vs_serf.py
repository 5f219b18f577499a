"""peerscope beside Serf on one machine: how fast each knows of a death, how often it is wrong, and what it costs.

    sudo .venv/bin/python benchmarks/vs_serf.py --peers 12,24 [--against REV] [--only kill,cost] [--seconds 60]

Prints JSON: for each number of agents the sides `ours`, `older` (the build of --against: a git revision or a checkout;
on the packages of this environment) and `serf` (profile lan), the ratios between them, and in `larger/smaller` how the
cost of an agent grows from the smallest to the largest number. Agents of one side run at a time, except in `cost`.

As root on Linux each agent has a network namespace of its own; elsewhere all are on loopback, and `loss` and the
packets in `cost` are null; `loopback_because` says why. Parts, always measured in this order:

- storm  All but the first start at once and join by way of it: seconds until all see all (ours are told once a second,
         so up to 1 s late), until all processes are ready, and living peers falsely held to be down on the way.
- cost   All sides at the same time, each in a network of its own, at rest for a minute first: CPU, memory (PSS, USS,
         RSS) and traffic per agent. Every other agent of ours has an HTTP server that counts messages of the mesh; CPU
         and memory are of the rest. `benchmark_cpu_ratio` is this program's own share.
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
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import idle
from checkouts import HERE, before_all, checkout, revision
from fleets import Fleet, Peerscope, Serf, Trouble
from namespaces import Network, refusal
from sightings import Sighting, alarms, delays, ratios, spread

SETTLE_S = 60.0
"""At rest before `cost`: young agents measure coordinates and visit each other."""
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

    count: int
    """Agents of each side."""
    seconds: float
    """Length of what is measured over a stretch of time."""
    is_isolated: bool
    """Each agent has a network namespace of its own."""

    @property
    def patience_s(self) -> float:
        """How long to wait until all see all."""
        return 60.0 + 3.0 * self.count


class Side(NamedTuple):
    """One of those that are compared."""

    name: str
    program: type[Fleet]
    build: Path | None = None
    """Whose code runs; None: not a build of ours."""


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
    """Parse, run all sides, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default="12", help="agents of each side, 4 or more; several: 12,24")
    parser.add_argument("--against", help="an older build of ours as well: a git revision, or a checkout")
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of `cost` and of `loss`")
    parser.add_argument("--json-only", action="store_true", help="no progress on standard error")
    options = parser.parse_args()
    wanted = options.only.split(",")
    if unknown := set(wanted) - set(PARTS):
        parser.error(f"--only: unknown {', '.join(sorted(unknown))}; known are {', '.join(PARTS)}")
    if not all(text.isdecimal() and int(text) > VICTIMS for text in options.peers.split(",")):
        parser.error(f"--peers: must be whole numbers from {VICTIMS + 1} on, with commas between them")
    sizes = sorted({int(text) for text in options.peers.split(",")})
    if shutil.which("serf") is None:
        parser.error("there is no program `serf` here; on Debian, `apt-get install serf` brings it")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))  # through every `finally`
    say = Progress(options.json_only)
    if shared := refusal():
        say(f"all on loopback: {shared}")
    version = subprocess.run(["serf", "version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    about = {"benchmark": "vs_serf", "cores": os.cpu_count(), "serf_version": version, "loopback_because": shared}
    with contextlib.ExitStack() as stack:
        sides = [Side("ours", Peerscope, HERE), Side("serf", Serf)]
        if options.against is not None:
            try:
                older = stack.enter_context(checkout(options.against))
            except ValueError as error:
                parser.error(f"--against: {error}")
            sides.insert(1, Side("older", Peerscope, older))
            about["older"] = revision(options.against)
        found = {size: run(sides, wanted, Setting(size, options.seconds, shared is None), say) for size in sizes}
    print(json.dumps(about | report(found), indent=2))


def report(found: dict[int, dict[str, Result]]) -> Result:
    """Sides and ratios by the number of agents, and what grows with it."""
    small, large = found[min(found)], found[max(found)]
    growth = {name: ratios(large[name].get("cost", {}), small[name].get("cost", {})) for name in large}
    by_size = {
        str(size): sides | {f"ours/{name}": ratios(sides["ours"], sides[name]) for name in sides if name != "ours"}
        for size, sides in found.items()
    }
    return {"peers": by_size} | ({"larger/smaller": growth} if len(found) > 1 and any(growth.values()) else {})


def run(sides: list[Side], wanted: Collection[str], setting: Setting, say: Progress) -> dict[str, Result]:
    """All wanted parts: `storm` with agents of its own, `cost` of all sides at once, the others with one set of agents.

    By side and part.
    """
    found: dict[str, Result] = {side.name: {} for side in sides}
    measured = [part for part in PARTS if part in wanted]
    for group in (["storm"], ["cost"], PARTS[2:]):
        parts = [part for part in measured if part in group]
        if parts == ["cost"]:
            for name, figures in cost(sides, setting, say).items():
                found[name]["cost"] = figures
                say(f"{setting.count} {name} cost {json.dumps(figures)}")
        elif parts:
            for side in sides:
                found[side.name] |= one_after_the_other(side, parts, setting, say)
    return {name: {part: result[part] for part in measured} for name, result in found.items()}


def one_after_the_other(side: Side, parts: list[str], setting: Setting, say: Progress) -> Result:
    """These parts, with one set of agents."""
    found: Result = {}
    with agents(side, setting) as fleet:
        for part in parts:
            say(f"{setting.count} {side.name} {part} ...")
            try:
                found[part] = BY_SIDE[part](fleet, setting)
            except Trouble as trouble:  # the other parts may still succeed
                found[part] = {"error": str(trouble)}
            say(f"{setting.count} {side.name} {part} {json.dumps(found[part])}")
    return found


@contextlib.contextmanager
def agents(side: Side, setting: Setting) -> Iterator[Fleet]:
    """Places for the agents of one side, each in a namespace where there are any; none runs yet."""
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory(prefix="vs-serf-", ignore_cleanup_errors=True))
        network = stack.enter_context(Network(setting.count)) if setting.is_isolated else None
        fleet = stack.enter_context(side.program(setting.count, network, Path(place)))
        if side.build is not None:
            fleet.environment |= before_all(side.build)
        yield fleet


def cost(sides: list[Side], setting: Setting, say: Progress) -> dict[str, Result]:
    """At rest: each side's figures, of the same minute."""
    with contextlib.ExitStack() as stack:
        fleets: dict[str, Fleet] = {}
        try:
            for side in sides:
                fleet = fleets[side.name] = stack.enter_context(agents(side, setting))
                if isinstance(fleet, Peerscope):
                    fleet.reporting = range(1, setting.count, 2)
                fleet.mend(setting.patience_s)
                idle.settle(fleets.values(), 1.0)  # their pipes are not endless
            say(f"{setting.count} of each side see each other")
            idle.settle(fleets.values(), SETTLE_S)
            return idle.cost(fleets, setting.seconds)
        except Trouble as trouble:
            return {side.name: {"error": str(trouble)} for side in sides}


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


PARTS = ("storm", "cost", "event", "kill", "pause", "loss")
BY_SIDE = {"storm": storm, "event": event, "kill": kill, "pause": pause, "loss": loss}


def victims(fleet: Fleet) -> list[int]:
    """Different agents, spread out; never the first, by way of which the others join."""
    return [1 + turn * (fleet.count - 1) // VICTIMS for turn in range(VICTIMS)]


def false_alarms(fleet: Fleet, seen: Collection[Sighting]) -> Result:
    """How often living peers were accused, at each level that the program has."""
    return {f"false_{level}": alarms(seen, kinds) for level, kinds in fleet.alarms.items()}


def packets(network: Network) -> int:
    """Packets sent by all so far."""
    return sum(count for _, count in network.sent())


if __name__ == "__main__":
    main()
