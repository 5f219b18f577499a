"""Processes that the kernel killed for lack of memory: the agent, the node, or one beside them in their container.

The kernel counts such kills by control group, and for the whole machine. A kill in the agent's own group is surely one
of ours. A kill elsewhere on the machine counts only if something of ours ended with it. That is the node, if it stopped
answering soon after; or the last life of this agent, if it ended without a goodbye.

Sources: kernel documentation, admin-guide/cgroup-v2 (`memory.events`) and cgroup-v1/memory (`memory.oom_control`).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from peerscope.host.state import write_whole
from peerscope.sources.cgroup import MEMBERSHIP, ROOT, memory_kills, number_in

VMSTAT = Path("/proc/vmstat")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
FILE = "life.json"
WINDOW_S = 600.0
"""A kill is reported for this time."""
NODE_LAG_S = 180.0
"""The node counts as gone up to so long after its end: telemetry that stops is noticed after a minute."""
RESTART_S = 600.0
"""A life that ended longer ago says nothing about kills since."""
TOUCH_S = 60.0


class KillCounters(Struct, frozen=True):
    """Kills since the machine started. None: the system does not count them."""

    boot: str
    """Names this start of the machine."""
    group: int | None = None
    """In the control group of this agent."""
    machine: int | None = None


class Life(KillCounters, frozen=True):
    """The counters in the life of an agent, for its next one."""

    ended: bool = False
    """It said goodbye."""


class Kills(Struct, frozen=True):
    """Kills of the last ten minutes."""

    count: int
    text: str = ""
    """The last one, for people."""


def kill_counters(
    root: Path = ROOT, membership: Path = MEMBERSHIP, vmstat: Path = VMSTAT, boot: Path = BOOT_ID
) -> KillCounters:
    """Read all counters. Never raises."""
    try:
        name = boot.read_text("ascii").strip()[:64]
    except (OSError, ValueError):
        name = ""
    return KillCounters(name, memory_kills(root, membership), number_in(vmstat, "oom_kill"))


class MemoryKills:
    """Follows the counters over time. Call `look` every few seconds, and `close` at a goodbye."""

    def __init__(self, place: Path | None = None, read: Callable[[], KillCounters] = kill_counters) -> None:
        """`place`: file of the last life; None to keep none."""
        self._place = place
        self._read = read
        self._found: deque[tuple[float, int, str]] = deque(maxlen=64)
        self._elsewhere: deque[tuple[float, int]] = deque(maxlen=64)
        self._last: KillCounters | None = None
        self._touched_at = 0.0
        self._was_node_down = False

    def look(self, now: float, *, is_node_down: bool) -> Kills | None:
        """Kills of ours in the last ten minutes; None if the system does not count them."""
        counters = self._read()
        if self._last is None:
            self._recall(counters, now)
        else:
            self._note(self._last, counters, now)
        if is_node_down and not self._was_node_down:
            count = sum(count for at, count in self._elsewhere if now - at <= NODE_LAG_S)
            self._elsewhere.clear()
            self._add(now, count, "the node stopped answering after the kernel killed {} on this machine")
        self._was_node_down = is_node_down
        if counters != self._last:
            self._last = counters
            self._keep(is_over=False)
        elif now - self._touched_at >= TOUCH_S:
            self._touch(now)
        while self._found and now - self._found[0][0] > WINDOW_S:
            self._found.popleft()
        if counters.group is None and counters.machine is None:
            return None
        return Kills(sum(count for _, count, _ in self._found), self._found[-1][2] if self._found else "")

    def close(self) -> None:
        """Note for the next life that this one ended as it should."""
        if self._last is not None:
            self._keep(is_over=True)

    def _note(self, before: KillCounters, after: KillCounters, now: float) -> None:
        ours, everywhere = _grown(before.group, after.group), _grown(before.machine, after.machine)
        self._add(now, ours, "the kernel killed {} in the agent's container or service for lack of memory")
        if everywhere > ours:
            self._elsewhere.append((now, everywhere - ours))

    def _recall(self, counters: KillCounters, now: float) -> None:
        """Compare with the last life, if it ended a moment ago and without a goodbye."""
        if self._place is None:
            return
        try:
            last = msgspec.json.decode(self._place.read_bytes(), type=Life)
            age_s = time.time() - self._place.stat().st_mtime
        except (OSError, msgspec.MsgspecError, ValueError):
            return
        if last.ended or not last.boot or last.boot != counters.boot or not 0 <= age_s <= RESTART_S:
            return
        count = max(_grown(last.group, counters.group), _grown(last.machine, counters.machine))
        self._add(now, count, "the agent's last life ended without a goodbye, and the kernel killed {} meanwhile")

    def _add(self, now: float, count: int, text: str) -> None:
        if count > 0:
            self._found.append((now, count, text.format("one process" if count == 1 else f"{count} processes")))

    def _keep(self, *, is_over: bool) -> None:
        last = self._last
        if self._place is not None and last is not None:
            life = Life(last.boot, last.group, last.machine, is_over)
            with contextlib.suppress(OSError):  # other parts report a directory that is not writable
                write_whole(self._place, msgspec.json.encode(life))

    def _touch(self, now: float) -> None:
        """Date the file, since the next life must know when this one ended."""
        self._touched_at = now
        if self._place is not None:
            with contextlib.suppress(OSError):
                os.utime(self._place)


def _grown(before: int | None, after: int | None) -> int:
    """The growth of a counter; 0 if it is unknown or began anew, as in a new container."""
    return 0 if before is None or after is None else max(0, after - before)
