"""What a demo network costs: start-up, idle CPU, memory and bytes per peer, and the package's import time.

    .venv/bin/python benchmarks/demo.py [--peers 12] [--seconds 30]

Prints JSON. Runs in a network namespace of its own where it may (root on Linux), so that the bytes counted on the
loopback interface are the network's alone; elsewhere `bytes_per_peer_s` is null.
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
import urllib.request
from pathlib import Path

import psutil
from fleets import SOURCE, byte_compile

LOOPBACK = Path(__file__).parents[1] / "scripts" / "loopback"
ISOLATED = "PEERSCOPE_BENCHMARK_ISOLATED"


def main() -> None:
    """Parse, isolate, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the idle measurement")
    options = parser.parse_args()
    isolate()
    byte_compile(SOURCE)
    result = {"benchmark": "demo", "peers": options.peers, "import_s": import_s(), "cores": os.cpu_count()}
    with tempfile.TemporaryDirectory() as state:
        print(json.dumps(result | measure(options.peers, options.seconds, state), indent=2))


def isolate() -> None:
    """Start this program again in a network namespace that has only loopback, where that is allowed."""
    if ISOLATED in os.environ or sys.platform != "linux" or os.geteuid() != 0:
        return
    command = ["unshare", "--net", sys.executable, str(LOOPBACK), sys.executable, *sys.argv]
    os.execvpe("unshare", command, os.environ | {ISOLATED: "1"})


def import_s() -> dict[str, float]:
    """Median seconds to import, in a fresh interpreter less its own start."""
    found = {}
    for name in ("peerscope", "peerscope.cli", "peerscope.agent.monitor", "peerscope.web.app"):
        runs = sorted(run_s(f"import {name}") - run_s("pass") for _ in range(7))
        found[name] = round(statistics.median(runs), 3)
    return found


def run_s(program: str) -> float:
    """Wall seconds of one interpreter running one line."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return time.perf_counter() - began


def measure(peers: int, seconds: float, state: str) -> dict[str, object]:
    """One demo, from start to an idle stretch."""
    command = [sys.executable, "-m", "peerscope", "demo", "--json", "--peers", str(peers), "--state", state]
    began = time.perf_counter()
    demo = subprocess.Popen([*command, "--http", "127.0.0.1:0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert demo.stdout is not None
        ready = json.loads(demo.stdout.readline())["peers"]
        ready_s = time.perf_counter() - began
        for peer in ready:
            assert get(peer, "/api/v1/health")["total_peers"] == peers
        complete_s = time.perf_counter() - began
        processes = [psutil.Process(peer["pid"]) for peer in ready]
        time.sleep(20.0)  # past the links that only the start needed
        before, sent, clock = [cpu_s(p) for p in processes], loopback_bytes(), time.perf_counter()
        time.sleep(seconds)
        passed = time.perf_counter() - clock
        cpu = [(cpu_s(p) - b) / passed for p, b in zip(processes, before, strict=True)]
        now_sent = loopback_bytes()
        rss = [p.memory_info().rss / 2**20 for p in processes]
        health = get(ready[0], "/api/v1/health")
    finally:
        demo.terminate()
        demo.wait(timeout=30)
    return {
        "ready_s": round(ready_s, 2),
        "complete_s": round(complete_s, 2),
        "idle_cpu_ratio_per_peer": {"median": round(statistics.median(cpu), 4), "max": round(max(cpu), 4)},
        "rss_mib_per_peer": {"median": round(statistics.median(rss), 1), "max": round(max(rss), 1)},
        "bytes_per_peer_s": None if sent is None else round((now_sent - sent) / passed / peers),
        "median_link_rtt_s": health["median_latency_s"],
        "connectivity": health["connectivity"],
    }


def get(peer: dict[str, str], path: str) -> dict[str, object]:
    """JSON of one route."""
    with urllib.request.urlopen(peer["http"] + path, timeout=10) as response:
        return json.load(response)


def cpu_s(process: psutil.Process) -> float:
    """CPU seconds so far."""
    times = process.cpu_times()
    return times.user + times.system


def loopback_bytes() -> int | None:
    """Bytes sent on loopback, in a namespace of our own; headers included."""
    return psutil.net_io_counters(pernic=True)["lo"].bytes_sent if ISOLATED in os.environ else None


if __name__ == "__main__":
    main()
