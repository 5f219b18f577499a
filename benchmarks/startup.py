"""How fast the command line answers, and how much memory an idle agent takes.

    .venv/bin/python benchmarks/startup.py [--runs 15] [--peers 12] [--settle 60]

Prints JSON. Times are medians over fresh processes: `import_s` as CPython's own -X importtime counts it, the others by
the wall. Memory is that of real agents with dashboard and history, nobody looking, after `--settle` seconds: resident
(RSS, shared pages counted in each) and proportional (PSS, where Linux says it). Wants a network namespace of its own:
`unshare --net .venv/bin/python scripts/loopback .venv/bin/python benchmarks/startup.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import psutil
from fleets import SOURCE, byte_compile

IMPORT_S_MAX, HELP_S_MAX, RSS_BYTES_MAX = 0.25, 0.4, 70_000_000


def main() -> None:
    """Measure, print, and end with 1 where a bound is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--peers", type=int, default=12)
    parser.add_argument("--settle", type=float, default=60.0)
    options = parser.parse_args()
    byte_compile(SOURCE)
    imports = [import_s() for _ in range(options.runs)]
    helps = [wall_s("--help") for _ in range(options.runs)]
    versions = [wall_s("version") for _ in range(options.runs)]
    agents = idle_agents(options.peers, options.settle)
    found = {
        "benchmark": "startup",
        "cpus": os.cpu_count(),
        "load_1m": round(os.getloadavg()[0], 2),
        "import_s": round(median(imports), 4),
        "help_s": round(median(helps), 4),
        "version_s": round(median(versions), 4),
        "peers": options.peers,
        "rss_bytes": {"median": median(rss for rss, _ in agents), "max": max(rss for rss, _ in agents)},
        "pss_bytes_median": median(pss for _, pss in agents if pss is not None) if agents[0][1] is not None else None,
    }
    within = median(imports) <= IMPORT_S_MAX and median(helps) <= HELP_S_MAX
    found["within_bounds"] = within and max(rss for rss, _ in agents) <= RSS_BYTES_MAX
    print(json.dumps(found, indent=2))
    sys.exit(0 if found["within_bounds"] else 1)


def import_s() -> float:
    """Seconds to import the command line, in a process of its own."""
    command = [sys.executable, "-X", "importtime", "-c", "import peerscope.cli"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    found = re.findall(r"\| +(\d+) \| peerscope\.cli$", said, re.MULTILINE)
    return int(found[-1]) / 1e6


def wall_s(*arguments: str) -> float:
    """Seconds until the command line has answered and ended."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "peerscope", *arguments]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def idle_agents(peers: int, settle_s: float) -> list[tuple[int, int | None]]:
    """Resident and proportional memory of each agent of a network."""
    command = [sys.executable, "-m", "peerscope", "demo", "--json", "--http", "127.0.0.1:0", "--peers", str(peers)]
    demo = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert demo.stdout is not None
        ready = json.loads(demo.stdout.readline())
        time.sleep(settle_s)
        return [_memory(peer["pid"]) for peer in ready["peers"]]
    finally:
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=30)


def _memory(pid: int) -> tuple[int, int | None]:
    rss: int = psutil.Process(pid).memory_info().rss
    rollup = Path(f"/proc/{pid}/smaps_rollup")
    found = re.search(r"(?m)^Pss: +(\d+) kB", rollup.read_text()) if rollup.exists() else None
    return rss, int(found.group(1)) * 1024 if found else None


if __name__ == "__main__":
    main()
