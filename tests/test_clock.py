"""The agent's clock counts while the machine sleeps, and no part of the agent reckons by another one."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from peerscope.host.clock import monotonic

ROOT = Path(__file__).parents[1] / "src" / "peerscope"
ELSEWHERE = {
    "host/clock.py",
    "host/systemd.py",  # systemd asks for CLOCK_MONOTONIC
    "export/remote_write.py",
    "host/failures.py",
    "sources/process.py",
    "sources/digest.py",
    "sources/endpoint.py",
    "sources/telemetry.py",
    "web/guard.py",
}
"""Files that measure spans of their own, which no sleep should lengthen, and hand no time to anybody."""
ASLEEP_S = 864_000
NAMESPACE = ["unshare", "--time", "--boottime", str(ASLEEP_S), "--"]
"""A machine that has slept for ten days since it started, as far as its clocks show (time_namespaces(7))."""
AGENT = """
import asyncio, json, sys
from pathlib import Path
from live import came_true, settings
from peerscope import Monitor

async def main(state):
    async with Monitor(settings(history={"interval_s": 1}), state / "one") as one:
        join = [one.self_view().ticket]
        async with Monitor(settings(peer={"join": join}), state / "two") as two:
            known = lambda: len(one.peer.ledger) == len(two.peer.ledger) == 2
            await came_true(lambda: known() and one.peer.links.up() and two.peer.links.up(), "they are linked")
            reports = lambda: all(m.peer.ledger.report(p.peer.me) for m in (one, two) for p in (one, two))
            await came_true(reports, "both have reported")
            await came_true(lambda: (state / "one" / "history.db").exists(), "the history is written")
            moments = [one.snapshot(), two.snapshot()]
            ages = [m.now - e.heard_at for m in moments for peer in m.ledger for e in m.ledger.entries(peer)]
            clocks = [one.clock()[0], moments[0].now]
            print(json.dumps({
                "ages": ages,
                "spread": max(clocks) - min(clocks),
                "uptime": one.self_view().uptime_s,
                "offset": max(abs(e.skew_s) for m in moments for peer in m.ledger for e in m.ledger.entries(peer)),
                "alerts": [alert.id for alert in one.alerts()],
                "wall": abs(one.snapshot().wall - __import__("time").time()),
            }))

asyncio.run(main(Path(sys.argv[1])))
"""


def in_namespace(*command: str) -> str:
    """What a program prints there; skips where this machine does not let us make one."""
    if subprocess.run([*NAMESPACE, "true"], capture_output=True).returncode:
        pytest.skip("no right to make a time namespace")
    done = subprocess.run([*NAMESPACE, *command], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_never_goes_back() -> None:
    readings = [monotonic() for _ in range(1000)]
    assert readings == sorted(readings)


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="no such clock here")
def test_it_counts_the_time_that_the_machine_slept() -> None:
    code = "import time; from peerscope.host.clock import monotonic; print(monotonic() - time.monotonic())"
    ahead_s = float(in_namespace(sys.executable, "-c", code))
    before = time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
    assert abs(ahead_s - before - ASLEEP_S) < 60


@pytest.mark.e2e
@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="no such clock here")
def test_after_a_sleep_no_part_of_an_agent_mixes_the_two_clocks(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text(f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n{AGENT}")
    said = json.loads(in_namespace(sys.executable, str(tmp_path / "agent.py"), str(tmp_path)))
    assert len(said["ages"]) >= 8  # profiles and reports of both, at both
    assert all(-ASLEEP_S / 2 < age < ASLEEP_S / 2 for age in said["ages"])
    assert {name: said[name] < ASLEEP_S / 2 for name in ("spread", "uptime", "offset", "wall")} == dict.fromkeys(
        ("spread", "uptime", "offset", "wall"), True
    )
    assert said["alerts"] == []


def test_no_other_part_reads_the_clock_that_stands_still() -> None:
    found = {
        str(place.relative_to(ROOT))
        for place in ROOT.rglob("*.py")
        if re.search(r"\btime\.monotonic(_ns)?\b|from time import .*monotonic", place.read_text())
    }
    assert {place for place in found if not place.startswith(("sim/", "cli/"))} == ELSEWHERE
