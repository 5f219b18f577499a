"""How soon a survivor is linked again with a peer that was killed and started again on its port.

    .venv/bin/python benchmarks/redial.py [--rounds 20] [--pause-max 6] [--remembers]

Prints JSON. Two real agents on loopback, the survivor on IPv6 and the other on IPv4. So the link goes through the
second socket of the other, whose port is a new one after each start: the survivor has to leave the path that it knows.
Each round kills the other with SIGKILL and starts it again, with its key and its port, after a pause between nothing
and `--pause-max` seconds. Without `--remembers` the benchmark deletes its file of remembered peers, so that it dials
nobody: only the survivor can restore the link. `silent_s` runs from the kill to the survivor's own event that
the link is lost, `linked_s` to its event that the link is up: from the loss, or from the ready line of the new process
where that comes later. Wants a network namespace of its own:
`unshare --net .venv/bin/python scripts/loopback .venv/bin/python benchmarks/redial.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

from peerscope.host.state import PEERS_FILE

GIVE_UP_S = 90.0
GOAL_S = 3.0
SETTLE_S = 2.0
"""How long a link stands before its peer is killed."""


def main() -> None:
    """Measure, print, and end with 1 where a round took longer than the goal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--pause-max", type=float, default=6.0)
    parser.add_argument("--remembers", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        rounds = measure(Path(place), options.rounds, options.pause_max, remembers=options.remembers)
    linked, silent = [one[0] for one in rounds], [one[1] for one in rounds if one[1] is not None]
    known = [seconds for seconds in linked if seconds is not None]
    found = {
        "benchmark": "redial",
        "rounds": options.rounds,
        "pause_s_max": options.pause_max,
        "remembers": options.remembers,
        "load_1m": round(os.getloadavg()[0], 2),
        "linked_s": spread(known),
        "silent_s": spread(silent),
        "each_s": [None if seconds is None else round(seconds, 2) for seconds in linked],
        "never": len(linked) - len(known),
    }
    print(json.dumps(found, indent=2))
    sys.exit(0 if len(known) == len(linked) and max(known) <= GOAL_S else 1)


def spread(seconds: list[float]) -> dict[str, float] | None:
    """The middle and the worst."""
    return {"median": round(median(seconds), 2), "max": round(max(seconds), 2)} if seconds else None


def measure(
    place: Path, rounds: int, pause_max_s: float, *, remembers: bool
) -> list[tuple[float | None, float | None]]:
    """By round: seconds to the link, as in the module's docstring, None where it never came; and seconds from the kill
    until the survivor missed the other, None where it started again before that."""
    listen, state, found = f"127.0.0.1:{free_port()}", place / "victim", list[tuple[float | None, float | None]]()
    survivor = victim = Agent(place / "survivor", "[::1]:0")
    try:
        for number in range(rounds):
            began_at = time.time()
            victim = Agent(state, listen, survivor.ready["ticket"])  # its packets leave from its IPv6 socket
            survivor.link(victim.ready["peer_id"], up=True, since=began_at)
            time.sleep(SETTLE_S)
            victim.kill()
            killed_at = time.time()
            time.sleep(pause_max_s * number / max(1, rounds - 1))
            if not remembers:
                (state / PEERS_FILE).unlink(missing_ok=True)
            victim = Agent(state, listen)
            linked_at = survivor.link(victim.ready["peer_id"], up=True, since=killed_at)
            known_at = max(victim.ready_at, survivor.missed_at or 0.0)
            linked_s = None if linked_at is None else max(0.0, linked_at - known_at)
            found.append((linked_s, None if survivor.missed_at is None else survivor.missed_at - killed_at))
            print(f"round {number + 1} of {rounds}: {found[-1]}", file=sys.stderr, flush=True)
            victim.kill()
            survivor.link(victim.ready["peer_id"], up=False, since=victim.ready_at)
    finally:
        victim.kill()
        survivor.kill()
    return found


class Agent:
    """One real process, and the events that it prints."""

    def __init__(self, state: Path, listen: str, *tickets: str) -> None:
        command = [sys.executable, "-m", "peerscope", "run", "--json", "--until-eof", "--http", "off"]
        command += ["--state", str(state), "--listen", listen]
        command += [word for ticket in tickets for word in ("--join", ticket)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        alone = os.environ | {"PEERSCOPE_NODE__DETECT": "false"}  # whatever nodes run on this machine
        self._process = subprocess.Popen(command, text=True, env=alone, **pipes)
        self._events: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.ready = self._events.get(timeout=GIVE_UP_S)
        self.ready_at = time.time()
        self.missed_at: float | None = None
        """When it said that a link was lost, on the way to the event last asked for."""

    def link(self, peer_id: str, *, up: bool, since: float) -> float | None:
        """When this agent said that its link with a peer is up, or is not; None if it never does."""
        end, self.missed_at = time.monotonic() + GIVE_UP_S, None
        while (left := end - time.monotonic()) > 0:
            try:
                event = self._events.get(timeout=left)
            except queue.Empty:
                break
            if event["event"] != "link" or event["peer_id"] != peer_id or event["at"] <= since:
                continue
            if event["up"] is up:
                return float(event["at"])
            self.missed_at = float(event["at"])
        return None

    def kill(self) -> None:
        """As a crash would."""
        self._process.send_signal(signal.SIGKILL)  # harmless where it has ended
        self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._events.put(json.loads(line))


def free_port() -> int:
    """A UDP port that nobody uses now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


if __name__ == "__main__":
    main()
