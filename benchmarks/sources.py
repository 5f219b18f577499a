"""What each source says of a real program beside what the program itself says, and what reading it costs.

    unshare --net .venv/bin/python scripts/loopback .venv/bin/python benchmarks/sources.py [PROGRAM...] [--seconds 30]

Prints JSON. Starts the programs of all starters in `tests/*_network.py`, one after the other on loopback. An attachment
reads each as an agent does, every five seconds. The program itself is asked one interval before the end and at the end.
`age_s` is the age of our reading then. `agrees` says whether our value is one of its two, or lies between them; it is
null where one of ours and its own is unknown. `cpu_ratio` is the share of a core that reading takes, with the programs
that a source runs itself; the goal is 0.001. Programs that are not installed are named.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import inspect
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from peerscope.host.clock import monotonic
from peerscope.records.measures import NodeMetrics
from peerscope.sources.attachment import Attachment
from peerscope.sources.base import Reading, make_source

TESTS = Path(__file__).parents[1] / "tests"
INTERVAL_S = 5.0
GOAL_RATIO = 0.001
SUFFIX = "_network"
PROGRAMS = {
    "aria2": "aria2c",
    "bitcoin": "bitcoind|btcd",
    "kubo": "ipfs|kubo",
    "monero": "monerod",
    "qbittorrent": "qbittorrent-nox",
    "tinc": "tincd",
    "transmission": "transmission-daemon",
    "wireguard": "wireguard-go",
}
"""Names of executables that are not those of the programs; the first one that is there."""
NO_SOURCE = {"demo", "libp2p", "mainline"}
"""Networks of tests that need no source."""
MORE = {"nodes": 2, "links": [(0, 1)]}
"""What a starter may want besides the program and a folder."""

Starter = Callable[..., contextlib.AbstractContextManager[Any]]


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", nargs="*", help="only these")
    parser.add_argument("--seconds", type=float, default=30.0, help="for each program")
    options = parser.parse_args()
    found: dict[str, Any] = {}
    for name, starter in starters():
        if options.programs and name not in options.programs:
            continue
        say(f"{name} ...")
        found[name] = measured(name, starter, options.seconds)
        say(f"{name} {json.dumps(found[name], default=sorted)}")
    print(json.dumps({"goal_cpu_ratio": GOAL_RATIO, "programs": found}, indent=1, default=sorted))


def starters() -> list[tuple[str, Starter]]:
    """All starters of the tests, by the name of their program."""
    sys.path.insert(0, str(TESTS))
    found = []
    for file in sorted(TESTS.glob(f"*{SUFFIX}.py")):
        try:
            module = importlib.import_module(file.stem)
        except ImportError as error:
            say(f"{file.name}: {error}")
            continue
        for name, function in inspect.getmembers(module, inspect.isfunction):
            program = name.removesuffix(SUFFIX)
            if name.endswith(SUFFIX) and function.__module__ == file.stem and program not in NO_SOURCE:
                found.append((program, function))
    return found


def measured(name: str, starter: Starter, seconds: float) -> dict[str, Any]:
    """One program: its values beside ours, or why there are none."""
    executable = PROGRAMS.get(name, name)
    places = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    path = next(filter(None, (shutil.which(one, path=places) for one in executable.split("|"))), None)
    if path is None:
        return {"missing": executable}
    with tempfile.TemporaryDirectory(prefix=f"{name}-", ignore_cleanup_errors=True) as place:
        given = {"program": path, "folder": Path(place), **MORE}
        parameters = inspect.signature(starter).parameters.values()
        wanted = [one.name for one in parameters if one.default is one.empty]
        if set(wanted) - given.keys():
            return {"error": f"its starter wants {', '.join(sorted(set(wanted) - given.keys()))}"}
        try:
            with starter(**{one: given[one] for one in wanted}) as network:
                if not (hasattr(network, "spec") and hasattr(network, "truth")):
                    return {"error": "its starter has no spec() and truth()"}
                return asyncio.run(beside(network, seconds))
        except Exception as error:  # whatever one program does, the others are measured
            return {"error": f"{type(error).__name__}: {error}"[:400]}


async def beside(network: Any, seconds: float) -> dict[str, Any]:
    """Read the first node for a while, then ask it itself."""
    spec: str = network.spec(0)
    attachment = Attachment(spec, make_source(spec), interval_s=INTERVAL_S, limit_s=INTERVAL_S, rng=Random(0))
    asking = asyncio.create_task(attachment.run())
    try:
        await asyncio.sleep(INTERVAL_S / 2)  # its first answer loads what it needs
        cpu_s, began = spent_s(), time.monotonic()
        await asyncio.sleep(seconds)
        ratio = (spent_s() - cpu_s) / (time.monotonic() - began)
        before: dict[str, Any] = await asyncio.to_thread(network.truth, 0)
        await asyncio.sleep(INTERVAL_S)
        reading, check = attachment.current(), attachment.check()
        age_s = None if attachment.answered_at is None else monotonic() - attachment.answered_at
        truth: dict[str, Any] = await asyncio.to_thread(network.truth, 0)
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    if reading is None:
        return {"error": "not read" if check is None else check.message}
    ours = values(reading)
    return {
        "source": spec.partition(":")[0],
        "version": reading.version,
        "age_s": None if age_s is None else round(age_s, 3),
        "cpu_ratio": round(ratio, 6),
        "values": {
            name: {"value": ours.get(name), "truth": value, "agrees": agrees(ours.get(name), before.get(name), value)}
            for name, value in sorted(truth.items())
        },
        "further": {name: value for name, value in sorted(ours.items()) if name not in truth and value is not None},
    }


def values(reading: Reading) -> dict[str, Any]:
    """All values of a reading, by the name of the field or measure."""
    metrics = {name: getattr(reading.metrics, name) for name in NodeMetrics.__struct_fields__}
    neighbours = sorted(link.node for link in reading.overlay)
    plain = {"node_id": reading.node_id, "version": reading.version, "latency_s": reading.latency_s}
    plain |= {"overlay": neighbours, "addresses": sorted(reading.addresses)}
    return {**reading.details, **metrics, **plain, **{one.name: one.value for one in reading.measures}}


def agrees(ours: Any, before: Any, truth: Any) -> bool | None:
    """Whether our value is one of the two, or lies between them; None where it or the truth is unknown."""
    if ours is None or truth is None:
        return None
    if isinstance(truth, set | tuple | list | frozenset):
        return sorted(map(str, ours)) in [sorted(map(str, one or ())) for one in (before, truth)]
    if isinstance(truth, int | float) and isinstance(before, int | float) and isinstance(ours, int | float):
        return min(before, truth) <= ours <= max(before, truth)
    return ours in (before, truth)


def spent_s() -> float:
    """CPU of this process and of those that it has run."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def say(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
