"""A network of real agents that lives for a while, is harmed all the time, and must never be wrong for long.

    .venv/bin/python benchmarks/soak.py [--minutes 20] [--peers 24] [--seed 1] [--calm] [--warm 5] [--every 20]

Every `--every` seconds something happens to somebody: `kill -9`, a clean leave, a pause of some seconds, a start
again. Every 10 s each survivor is asked what it thinks of everybody, and its answer is compared with the truth: who
lives is alive, who was killed is down, who left has left. What has just happened is excused for `SETTLE_S`. Prints
JSON: wrong answers (in peer-minutes, with the first ones in full), what was logged as an error, and whether memory,
open files, threads or tasks of those who lived through it all grow: Theil-Sen slopes per hour with their 95 %
confidence intervals, after the first `--warm` minutes (windows of an hour and a day fill for as long, so a short run
judges nothing). Memory is shown by part too (`memory_parts.py`): Python's blocks, SQLite, other memory in use, free
memory that the allocators keep. Ends with 1 where something is wrong or leaks.

Windows of 75 minutes are full after `--warm 75`. Peers that `--spare` excepts from harm live through such a run:
`soak.py --minutes 195 --warm 75 --peers 8 --spare 3`.

All on loopback. Wants a network namespace of its own:
`unshare --net .venv/bin/python scripts/loopback .venv/bin/python benchmarks/soak.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from fleets import Agent, Peerscope
from memory_parts import ask
from sightings import Sighting
from slopes import Slope, theil_sen

LOOK_S = 10.0
HARM_S = 20.0
SETTLE_S = 25.0
"""What a peer may take to know: a busy machine starts agents slowly, and a peer that has just come knows nobody."""
PAUSES_S = (1.0, 2.0, 8.0, 15.0)
"""Short ones must not be noticed as failures; long ones are, and end."""
SHARE_AWAY = 0.25
"""At most so many are killed, gone or paused at a time."""
GROWTH = {"rss_bytes": 8e6, "fds": 6.0, "threads": 3.0, "tasks": 6.0}
"""Slopes per hour that would matter in a day; below, noise of a run of minutes."""
PART = "memory_"
"""Before the name of a part of memory: shown, and not judged, since memory moves from one part to another."""
EXPECTED = {"running": {"alive"}, "killed": {"down", "partitioned"}, "left": {"left"}}
SHOWN_MAX = 20
PROGRAM = Path(__file__).with_name("memory_parts.py")
JUDGED_S_MIN = 600.0
"""A shorter run shows its slopes, and says nothing of leaks."""
PARTS_EVERY = 3
"""Looks from one look at the parts of memory to the next."""


@dataclass
class Place:
    """The truth about one place for an agent."""

    state: str = "running"
    since: float = 0.0
    back_at: float = 0.0
    name: str = ""
    pid: int = 0
    http: str = ""
    began: float = 0.0
    samples: dict[str, list[tuple[float, float]]] = field(default_factory=dict)


class Soaked(Peerscope):
    """Agents with an API to ask, whose log is read."""

    def __init__(self, count: int, place: Path) -> None:
        super().__init__(count, None, place)
        self.answers = place / "memory"
        self.answers.mkdir()
        self.places = [Place() for _ in range(count)]
        self.errors: Counter[str] = Counter()

    def command(self, index: int) -> list[str]:
        command = super().command(index)
        command[command.index("--http") + 1] = "127.0.0.1:0"
        if sys.platform == "linux":
            at = command.index("-m")
            command[at : at + 2] = [str(PROGRAM), str(self.answers)]
        return [*command, "--log-format", "json"]

    def take(self, agent: Agent, line: str, at: float) -> Sighting | None:
        if line.startswith('{"event":"ready"'):
            ready, place = json.loads(line), self.places[agent.index]
            place.name, place.pid, place.http = ready["peer_id"], ready["pid"], ready["http"]
            place.state, place.since, place.began = "running", time.monotonic(), time.monotonic()
            place.samples = {}
        elif '"logger":' in line or line.startswith("Traceback"):
            self._note(line)
            return None
        return super().take(agent, line, at)

    def _note(self, line: str) -> None:
        try:
            said = json.loads(line)
        except ValueError:
            said = {"level": "error", "message": line}
        if said["level"] in ("error", "critical"):
            self.errors[f"{said.get('logger', '?')}: {said['message'][:200]}"] += 1 + said.get("suppressed", 0)


class Soak:
    """One run."""

    def __init__(self, fleet: Soaked, rng: random.Random, every_s: float, spare: int) -> None:
        """`every_s`: from one harm to the next. `spare`: the first so many agents are never harmed."""
        self._fleet = fleet
        self._rng = rng
        self._every_s = every_s
        self._spare = spare
        self._looks = 0
        self.wrong: list[dict[str, Any]] = []
        self.answers = 0
        self.unanswered = 0
        self.harm: Counter[str] = Counter()

    def run(self, seconds: float, *, calm: bool) -> None:
        """Harm and look, until the time is over."""
        now = time.monotonic()
        end, look_at, harm_at = now + seconds, now + LOOK_S, now + self._every_s
        while (now := time.monotonic()) < end:
            self._fleet.pump(max(0.0, min(look_at, harm_at, end, *self._returns()) - now))
            now = time.monotonic()
            self._mend(now)
            if now >= harm_at:
                harm_at = now + self._every_s
                if not calm:
                    self._harm(now)
            if now >= look_at:
                look_at = now + LOOK_S
                self._look()
        for place in self._fleet.places:  # or they could not be ended
            if place.state == "paused":
                os.kill(place.pid, signal.SIGCONT)

    def _returns(self) -> list[float]:
        return [place.back_at for place in self._fleet.places if place.state != "running"]

    def _harm(self, now: float) -> None:
        places = self._fleet.places
        running = [index for index, place in enumerate(places) if place.state == "running"]
        if len(places) - len(running) >= SHARE_AWAY * len(places):
            return
        running = [index for index in running if index >= self._spare]
        if not running:
            return
        index = self._rng.choice(running)
        place, how = places[index], self._rng.choice(("kill", "leave", "pause", "pause"))
        self.harm[how] += 1
        place.since = now
        if how == "pause":
            os.kill(place.pid, signal.SIGSTOP)
            place.state, place.back_at = "paused", now + self._rng.choice(PAUSES_S)
            return
        if how == "kill":
            self._fleet.kill(index)
            place.state = "killed"
        else:
            self._fleet.kill(index, signal.SIGTERM)
            self._fleet._bury(index)
            place.state = "left"
        place.back_at = now + self._rng.uniform(2 * SETTLE_S, 4 * SETTLE_S) * self._every_s / HARM_S

    def _mend(self, now: float) -> None:
        for index, place in enumerate(self._fleet.places):
            if place.state == "running" or now < place.back_at:
                continue
            if place.state == "paused":
                os.kill(place.pid, signal.SIGCONT)
                place.state, place.since = "running", now
            else:
                self.harm["start"] += 1
                self._fleet.start([index])

    def _look(self) -> None:
        """Ask everybody that runs; what changed between two looks at the truth counts for nothing."""
        self._looks += 1
        for place in self._fleet.places:
            if place.state != "running":
                continue
            _sample(place, self._fleet.answers if self._looks % PARTS_EVERY == 0 else None)
            try:
                said = {peer["peer_id"]: peer["verdict"] for peer in _get(place.http + "/api/v1/peers?limit=1000")}
            except (OSError, ValueError, urllib.error.URLError):
                self.unanswered += 1
                continue
            now = time.monotonic()
            if now - place.since < SETTLE_S:
                continue
            self.answers += 1
            self._compare(place, said, now)

    def _compare(self, observer: Place, said: dict[str, str], now: float) -> None:
        for subject in self._fleet.places:
            if subject.state == "paused" or now - subject.since < SETTLE_S:
                continue
            found = said.get(subject.name, "unknown")
            if found not in EXPECTED[subject.state]:
                told = {"observer": observer.name[:10], "subject": subject.name[:10], "says": found}
                self.wrong.append({**told, "truth": subject.state, "for_s": round(now - subject.since, 1)})


def _get(url: str) -> Any:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=LOOK_S) as answer:
        data = answer.read()
    return json.loads(data) if data[:1] in (b"[", b"{") else data.decode()


def _sample(place: Place, answers: Path | None) -> None:
    """Memory, open files, threads from outside, tasks from its metrics; the parts of memory into `answers`."""
    with contextlib.suppress(psutil.Error, OSError, urllib.error.URLError):
        process = psutil.Process(place.pid)
        values = {"rss_bytes": process.memory_info().rss, "fds": process.num_fds(), "threads": process.num_threads()}
        for line in _get(place.http + "/metrics").splitlines():
            if line.startswith("peerscope_agent_tasks "):
                values["tasks"] = float(line.split()[1])
        if answers is not None and sys.platform == "linux" and (parts := ask(place.pid, answers)):
            values |= {f"{PART}{name}": value for name, value in parts.items()}
        at = time.monotonic() - place.began
        for name, value in values.items():
            place.samples.setdefault(name, []).append((at, float(value)))


def leaks(places: list[Place], seconds: float, warm_s: float) -> dict[str, Any]:
    """Slopes of those who lived nearly as long as the run, pooled: the median peer, and the worst."""
    found: dict[str, Any] = {}
    names = dict.fromkeys([*GROWTH, *(name for place in places for name in place.samples)])
    for name in names:
        slopes: list[Slope] = []
        for place in places:
            points = [(at / 3600, value) for at, value in place.samples.get(name, []) if at > warm_s]
            if len(points) >= 5 and time.monotonic() - place.began > 0.8 * seconds:
                slopes.append(theil_sen(points))
        if not slopes:
            found[name] = None
            continue
        middle = sorted(slopes, key=lambda slope: slope.per_unit)[len(slopes) // 2]
        judged = seconds >= JUDGED_S_MIN and name in GROWTH
        found[name] = {
            "peers": len(slopes),
            "per_hour_median": round(middle.per_unit, 3),
            "per_hour_interval": [round(middle.low, 3), round(middle.high, 3)],
            "per_hour_max": round(max(slope.per_unit for slope in slopes), 3),
            # Surely more than noise, in the peer in the middle: one that learnt more than others is no leak.
            "leaks": middle.low > GROWTH[name] if judged else None,
        }
    return found


def main() -> None:
    """Run, print, and end with 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--peers", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--warm", type=float, default=5.0, help="minutes before growth counts")
    parser.add_argument("--every", type=float, default=HARM_S, help="seconds from one harm to the next")
    parser.add_argument("--spare", type=int, default=0, help="agents that are never harmed, to live through all of it")
    parser.add_argument("--calm", action="store_true", help="harm nobody: the network's own slopes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="peerscope-soak-") as place:
        with Soaked(options.peers, Path(place)) as fleet:
            fleet.mend(60 + 5 * options.peers)
            print(f"{options.peers} agents see each other", file=sys.stderr, flush=True)
            soak = Soak(fleet, random.Random(options.seed), options.every, options.spare)
            soak.run(60 * options.minutes, calm=options.calm)
            growth = leaks(fleet.places, 60 * options.minutes, 60 * options.warm)
            errors = dict(fleet.errors)
    is_good = not soak.wrong and not errors and not any(one and one["leaks"] for one in growth.values())
    found = {
        "benchmark": "soak",
        "minutes": options.minutes,
        "peers": options.peers,
        "seed": options.seed,
        "load_1m": round(os.getloadavg()[0], 2),
        "harm": dict(soak.harm),
        "answers": soak.answers,
        "unanswered": soak.unanswered,
        "wrong_answers": len(soak.wrong),
        "wrong_minutes": round(len(soak.wrong) * LOOK_S / 60, 2),
        "wrong": soak.wrong[:SHOWN_MAX],
        "growth": growth,
        "errors": errors,
        "good": is_good,
    }
    print(json.dumps(found, indent=2))
    sys.exit(0 if is_good else 1)


if __name__ == "__main__":
    main()
