"""What a victim among five real agents suffers from one hostile peer: `benchmarks/hostile.py`, kind by kind.

    .venv/bin/python benchmarks/under_attack.py [--kinds forged,pings] [--seconds 20] [--per-s 10000] [--new-keys]

Prints JSON: per kind what was sent, how the victim's links, memory, API and CPU bore it, and what it thinks of the
attacker. Everything runs on loopback, in a network namespace of its own where that is allowed, and ends with this
program.
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
import urllib.error
import urllib.request
from typing import Any

import psutil
from demo import isolate
from hostile import DATAGRAMS, KINDS, OTHERS
from hostile import attack as be_hostile

PEERS = 5
POLL_S = 0.25
CALM_S = 3.0
"""Between two attacks."""
API_TIMEOUT_S = 10.0


class Victim:
    """The first peer of a demo, and its neighbours."""

    def __init__(self, peers: list[dict[str, Any]]) -> None:
        self.peers = peers
        self.me = peers[0]
        self.process = psutil.Process(self.me["pid"])
        self.ids = {peer["peer_id"] for peer in peers}

    def ask(self, path: str, peer: dict[str, Any] | None = None) -> tuple[Any, float]:
        """The answer, and the seconds it took."""
        began = time.perf_counter()
        with urllib.request.urlopen((peer or self.me)["http"] + path, timeout=API_TIMEOUT_S) as response:
            answer = json.load(response)
        return answer, time.perf_counter() - began

    def links(self) -> int:
        """Of the honest peers, how many the victim is linked with."""
        mesh = {(link["source"], link["target"]) for link in self.ask("/api/v1/topology")[0]["links"]}
        ends = {
            source if target == self.me["peer_id"] else target
            for source, target in mesh
            if self._is_ours(source, target)
        }
        return len(ends & (self.ids - {self.me["peer_id"]}))

    def _is_ours(self, source: str, target: str) -> bool:
        return self.me["peer_id"] in (source, target)

    def wrong_verdicts(self) -> list[str]:
        """What any honest peer says wrongly of any other."""
        wrong = []
        for observer in self.peers:
            for view in self.ask("/api/v1/peers", observer)[0]:
                if view["peer_id"] in self.ids and view["verdict"] != "alive":
                    wrong.append(f"{observer['peer_id'][:8]} says {view['peer_id'][:8]} is {view['verdict']}")
        return wrong

    def rss(self) -> int:
        return int(self.process.memory_info().rss)


def attack(victim: Victim, kind: str, per_s: float, seconds: float, *, new_keys: bool) -> dict[str, Any]:
    """One kind, and what came of it."""
    command = [sys.executable, __file__, "--victim", victim.me["ticket"], "--kinds", kind]
    command += ["--per-s", str(per_s), "--seconds", str(seconds), *(["--new-keys"] if new_keys else [])]
    before, cpu_before = victim.rss(), victim.process.cpu_times()
    began = time.monotonic()
    hostile = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    answers: list[float] = []
    rss, links, failures, wrong = before, PEERS - 1, 0, list[str]()
    try:
        while hostile.poll() is None and time.monotonic() - began < seconds + 30.0:
            try:
                answers.append(victim.ask("/api/v1/health")[1])
                links = min(links, victim.links())
                wrong += victim.wrong_verdicts()
            except (urllib.error.URLError, TimeoutError, ConnectionError):
                failures += 1
            rss = max(rss, victim.rss())
            time.sleep(POLL_S)
    finally:
        hostile.kill()
        said, complaint = hostile.communicate()
    passed_s = time.monotonic() - began
    cpu = victim.process.cpu_times()
    if not said:
        raise SystemExit(f"the hostile peer failed: {complaint[-500:]}")
    did = json.loads(said)
    answers.sort()
    return {
        **did,
        "seconds": round(passed_s, 1),
        "sent_per_s": round(did["sent"] / seconds),
        "links_min": links,
        "wrong_verdicts": sorted(set(wrong)),
        "rss_growth_bytes": rss - before,
        "api_s": {
            "median": round(statistics.median(answers), 3) if answers else None,
            "max": round(answers[-1], 3) if answers else None,
            "failures": failures,
        },
        "cpu_ratio": round((cpu.user + cpu.system - cpu_before.user - cpu_before.system) / passed_s, 2),
        "conduct": [(one["state"], one["reasons"]) for one in victim.ask("/api/v1/conduct")[0]][:3],
        "refused": victim.ask("/api/v1/self")[0]["refused"],
    }


def measure(kinds: list[str], per_s: float, seconds: float, state: str, *, new_keys: bool) -> dict[str, Any]:
    """One demo, attacked by each kind in turn."""
    command = [sys.executable, "-m", "peerscope", "demo", "--json", "--peers", str(PEERS), "--state", state]
    demo = subprocess.Popen([*command, "--http", "127.0.0.1:0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert demo.stdout is not None
        victim = Victim(json.loads(demo.stdout.readline())["peers"])
        time.sleep(CALM_S)
        found, refused = [], dict[str, int]()
        for kind in kinds:
            one = attack(victim, kind, per_s, seconds, new_keys=new_keys)
            now = one["refused"]
            one["refused"] = {name: n - refused.get(name, 0) for name, n in now.items() if n != refused.get(name, 0)}
            refused = now
            found.append(one)
            print(json.dumps(one), file=sys.stderr, flush=True)
            time.sleep(CALM_S)
        return {"attacks": found, "wrong_verdicts_after": victim.wrong_verdicts(), "links_after": victim.links()}
    finally:
        demo.terminate()
        demo.wait(timeout=30)


def main() -> None:
    """Parse, isolate, measure, print."""
    everything = [*KINDS, *DATAGRAMS, *OTHERS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", default=",".join(everything))
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--per-s", type=float, default=10_000.0)
    parser.add_argument("--new-keys", action="store_true", help="the attacker comes back as somebody else")
    parser.add_argument("--victim", help=argparse.SUPPRESS)  # as the program that attacks: whom
    options = parser.parse_args()
    kinds = options.kinds.split(",")
    unknown = sorted(set(kinds) - set(everything))
    if unknown:
        parser.error(f"unknown kinds: {', '.join(unknown)}; known: {', '.join(everything)}")
    if options.victim:
        how = (options.per_s, options.seconds)
        print(json.dumps(be_hostile(options.victim, kinds[0], *how, new_keys=options.new_keys)), flush=True)
        return
    isolate()
    result: dict[str, Any] = {"benchmark": "under_attack", "peers": PEERS, "cores": os.cpu_count()}
    with tempfile.TemporaryDirectory() as state:
        result |= measure(kinds, options.per_s, options.seconds, state, new_keys=options.new_keys)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
