"""Limits and use of a container or service: control groups of Linux, version 2 and version 1.

psutil shows the host, which is the wrong number inside a container with 300 MiB. The kernel ends processes at the limit
of the group, even if the host has memory left. A limit covers all groups below, so we read each group from ours up to
the root, and the tightest limit counts. For memory, that is the group nearest to its limit. Files that the kernel can
drop at any time (`inactive_file`) do not count as used, as in the kubelet and `docker stats`.

Sources: kernel documentation, admin-guide/cgroup-v2 and cgroup-v1; cgroups(7). A container may see its own group as the
root of the mount, under another path than /proc/self/cgroup names. We skip groups that do not exist.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
FILE_BYTES_MAX = 64 * 1024
DEPTH_MAX = 32
UNLIMITED = 1 << 60
"""Version 1 writes "no limit" as the largest number of whole pages, which differs by architecture."""
INT_DIGITS_MAX = 20


class Used(Struct, frozen=True):
    """A limited quantity: bytes, or a count."""

    used: int
    most: int

    @property
    def ratio(self) -> float:
        return self.used / self.most


class Processor(Struct, frozen=True):
    """A quota of processor time, and counters of the group that has it."""

    cores: float
    """Limit of the group."""
    used_s: float
    periods: int | None
    throttled: int | None
    """Periods in which the group had to wait. Like `periods` it only grows."""


class CgroupLimits(Struct, frozen=True):
    """The limits of our group. None: there is no limit, or it cannot be read."""

    memory: Used | None = None
    processor: Processor | None = None
    tasks: Used | None = None
    """Processes and threads."""


def limits(root: Path = ROOT, membership: Path = MEMBERSHIP) -> CgroupLimits:
    """Read all limits. Never raises: a file that is missing, unreadable or garbage gives no limit."""
    paths = _paths(_text(membership))
    memory = [_memory(group, unified) for group, unified in _groups(root, paths, "memory")]
    processor = [_processor(root, group, unified) for group, unified in _groups(root, paths, "cpu")]
    tasks = [_tasks(group) for group, _ in _groups(root, paths, "pids")]
    return CgroupLimits(
        max((one for one in memory if one is not None), key=lambda one: one.ratio, default=None),
        min((one for one in processor if one is not None), key=lambda one: one.cores, default=None),
        max((one for one in tasks if one is not None), key=lambda one: one.ratio, default=None),
    )


def memory_kills(root: Path = ROOT, membership: Path = MEMBERSHIP) -> int | None:
    """How many processes of our own group the kernel has killed for lack of memory; None if that is unknown."""
    own = next(_groups(root, _paths(_text(membership)), "memory"), None)  # those above hold others as well
    if own is None:
        return None
    group, unified = own
    return number_in(group / ("memory.events" if unified else "memory.oom_control"), "oom_kill")


def number_in(place: Path, name: str) -> int | None:
    """The number behind this name in a file of names and numbers; None without it."""
    return _table(place).get(name)


def _paths(membership: str) -> dict[str, str]:
    """Map each controller to our group; version 2 has the name "". Names of groups may hold other ends of lines."""
    found: dict[str, str] = {}
    for line in membership.split("\n"):
        _, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if colon:
            for controller in controllers.split(","):
                found.setdefault(controller, path)
    return found


def _groups(root: Path, paths: dict[str, str], controller: str) -> Iterator[tuple[Path, bool]]:
    """Yield our group and those above it, and whether they are of version 2. A controller belongs to one version."""
    unified = controller not in paths
    mounts = [root, root / "unified"] if unified else [_mount(root, controller)]
    parts = [part for part in paths.get("" if unified else controller, "/").split("/") if part]
    if ".." in parts or len(parts) > DEPTH_MAX:  # our group lies outside this mount
        parts = []
    for mount in mounts:
        for depth in range(len(parts), -1, -1):
            group = mount.joinpath(*parts[:depth])
            if group.is_dir():
                yield group, unified


def _mount(root: Path, controller: str) -> Path:
    """Find the directory of a controller of version 1: alone, or with the other one of its pair."""
    names = [controller, *(("cpu,cpuacct", "cpuacct,cpu") if controller.startswith("cpu") else ())]
    return next((root / name for name in names if (root / name).is_dir()), root / controller)


def _memory(group: Path, unified: bool) -> Used | None:
    most = _number(group / ("memory.max" if unified else "memory.limit_in_bytes"))
    current = _number(group / ("memory.current" if unified else "memory.usage_in_bytes"))
    if not most or most >= UNLIMITED or current is None:
        return None
    droppable = _table(group / "memory.stat").get("inactive_file" if unified else "total_inactive_file", 0)
    return Used(max(0, current - droppable), most)


def _processor(root: Path, group: Path, unified: bool) -> Processor | None:
    counters = _table(group / "cpu.stat")
    if unified:
        quota, _, period = _text(group / "cpu.max").strip().partition(" ")
        most, per, used = _whole(quota), _whole(period), counters.get("usage_usec")
        used_s = None if used is None else used / 1e6
    else:
        most, per = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
        used_s = _used_s(root, group)
    if not most or not per or used_s is None:
        return None
    return Processor(most / per, used_s, counters.get("nr_periods"), counters.get("nr_throttled"))


def _used_s(root: Path, group: Path) -> float | None:
    """Processor time of a group of version 1, from `cpuacct`: in the same directory, or in a hierarchy of its own."""
    beside = _mount(root, "cpuacct") / group.relative_to(_mount(root, "cpu"))
    used_ns = (_number(place / "cpuacct.usage") for place in (group, beside))
    return next((used / 1e9 for used in used_ns if used is not None), None)


def _tasks(group: Path) -> Used | None:
    most, current = _number(group / "pids.max"), _number(group / "pids.current")
    return None if not most or current is None else Used(current, most)


def _table(place: Path) -> dict[str, int]:
    """Parse lines of a name and a number."""
    found = {}
    for line in _text(place).split("\n"):
        name, _, text = line.partition(" ")
        number = _whole(text)
        if number is not None:
            found[name] = number
    return found


def _number(place: Path) -> int | None:
    return _whole(_text(place).strip())


def _whole(text: str) -> int | None:
    """Parse a number; None for "max", -1, and everything else."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= INT_DIGITS_MAX else None


def _text(place: Path) -> str:
    """Read the beginning of a file; "" on failure."""
    try:
        with place.open("rb") as file:
            return file.read(FILE_BYTES_MAX).decode("utf-8", "replace")
    except OSError:
        return ""
