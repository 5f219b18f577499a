"""The cost of agents at rest, of several fleets at the same time: so all have the same noise of the machine."""

from __future__ import annotations

import contextlib
import json
import statistics
import time
import urllib.request
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import psutil
from fleets import Agent, Fleet

TURN_S = 0.25
"""How long one fleet is read before the next gets its turn; an agent's pipe holds many times as much."""
HTTP_TIMEOUT_S = 10.0

Result = dict[str, Any]


class Counts(NamedTuple):
    """Running totals of one agent."""

    cpu_s: float
    bytes_sent: int | None
    """By its network card, headers included; None on loopback."""
    packets_sent: int | None
    traffic: tuple[int, int, int, int] | None
    """Messages in, their bytes, messages out, their bytes; None where it has no HTTP server."""


def settle(fleets: Collection[Fleet], seconds: float) -> None:
    """Read what the agents of all fleets say for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for fleet in fleets:
            fleet.pump(TURN_S)


def cost(fleets: Mapping[str, Fleet], seconds: float) -> dict[str, Result]:
    """By fleet, at the same time: CPU, memory and traffic of its agents, medians and maxima.

    Agents with an HTTP server only count messages: their CPU and memory would be that of the server too.
    """
    before = {name: (time.monotonic(), counts(fleet)) for name, fleet in fleets.items()}
    own, began = time.process_time(), time.monotonic()
    psutil.cpu_percent()
    settle(fleets.values(), seconds)
    machine = {
        "machine_cpu_ratio": round(psutil.cpu_percent() / 100, 3),
        "benchmark_cpu_ratio": round((time.process_time() - own) / (time.monotonic() - began), 4),
    }
    found = {}
    for name, fleet in fleets.items():
        at, old = before[name]
        passed = time.monotonic() - at
        found[name] = figures(old, counts(fleet), passed)
    return {name: found[name] | memory(fleet) | machine for name, fleet in fleets.items()}


def counts(fleet: Fleet) -> list[Counts]:
    """Of each agent that runs, by its place."""
    sent = fleet.network.sent() if fleet.network else None
    return [
        Counts(
            cpu_s(psutil.Process(agent.process.pid)),
            *(sent[index] if sent else (None, None)),
            traffic(fleet, agent),
        )
        for index, agent in sorted(fleet.running.items())
    ]


def figures(before: list[Counts], after: list[Counts], seconds: float) -> Result:
    """Rates over so many seconds."""
    pairs = list(zip(before, after, strict=True))
    plain = [(old, new) for old, new in pairs if new.traffic is None]
    found: Result = {
        "cpu_ratio": middle([(new.cpu_s - old.cpu_s) / seconds for old, new in plain], 5),
        "sent_bytes_per_s": rates([(old.bytes_sent, new.bytes_sent) for old, new in pairs], seconds, 0),
        "sent_packets_per_s": rates([(old.packets_sent, new.packets_sent) for old, new in pairs], seconds, 2),
    }
    counted = [(old.traffic, new.traffic) for old, new in pairs if old.traffic and new.traffic]
    for at, name in enumerate(("messages_in", "message_bytes_in", "messages_out", "message_bytes_out")):
        found[f"{name}_per_s"] = rates([(old[at], new[at]) for old, new in counted], seconds, 2)
    return found


def memory(fleet: Fleet) -> Result:
    """PSS shares what processes have in common among them, USS leaves it out, RSS counts it for each. In MiB."""
    plain = [psutil.Process(one.process.pid).memory_full_info() for one in fleet.running.values() if not one.http]
    return {f"{kind}_mib": middle([getattr(one, kind) / 2**20 for one in plain], 2) for kind in ("pss", "uss", "rss")}


def traffic(fleet: Fleet, agent: Agent) -> tuple[int, int, int, int] | None:
    """Totals of an agent's messages since it started."""
    if not agent.http:
        return None
    with fleet.network.inside(agent.index) if fleet.network else contextlib.nullcontext():
        with urllib.request.urlopen(f"{agent.http}/api/v1/throughput", timeout=HTTP_TIMEOUT_S) as response:
            mesh = json.load(response)["mesh"]
    return mesh["messages_in"], mesh["bytes_in"], mesh["messages_out"], mesh["bytes_out"]


def rates(totals: Collection[tuple[int | None, int | None]], seconds: float, digits: int) -> Result | None:
    """Growth per second of the totals that are known."""
    known = [(new - old) / seconds for old, new in totals if old is not None and new is not None]
    return middle(known, digits)


def middle(values: Collection[float], digits: int) -> Result | None:
    """Median and maximum over the agents."""
    if not values:
        return None
    return {"median": round(statistics.median(values), digits), "max": round(max(values), digits)}


def cpu_s(process: psutil.Process) -> float:
    """CPU seconds so far."""
    times = process.cpu_times()
    return times.user + times.system
