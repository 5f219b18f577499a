"""The host's own health: CPU, memory, storage and network interfaces, by psutil.

A container or a service may have limits of its own. The checks of CPU and memory, and their metrics, then describe
the host or the group: the one with the higher ratio.

One sample of each quantity gives its check and its metrics. A sample that fails or hangs makes its own check `unknown`,
with the reason, and its own metrics; the others are not affected.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import psutil
from msgspec import Struct
from msgspec.structs import replace

from peerscope.host.clock import monotonic
from peerscope.host.threads import in_thread
from peerscope.mesh.detection.checks import HealthConfig, failed, judge
from peerscope.mesh.detection.checks import Thresholds as Thresholds
from peerscope.records.bodies import Check
from peerscope.records.measures import SystemMetrics, increases
from peerscope.sources.cgroup import CgroupLimits, limits

CHECK_TIMEOUT_S = 2.0
FIRST_SAMPLE_S = 0.3
KIB = 1024
TCP_COUNTERS = Path("/proc/net/snmp")
"""Linux only. Reading this file takes 0.03 ms. Listing sockets takes a hundred times that, and needs root on macOS."""


class HostSample(Struct, frozen=True):
    """One measurement: its check and its metrics."""

    check: Check
    metrics: dict[str, int | None] = {}
    """By field of `SystemMetrics`."""


class BusyShare(Struct, frozen=True):
    """Used share of a resource."""

    ratio: float
    of: str
    text: str


class Host:
    """The four checks of the machine; the fifth, p2p, belongs to the core."""

    def __init__(self, config: HealthConfig, volume: Path, limits: Callable[[], CgroupLimits] = limits) -> None:
        """`volume`: any path on the volume of the state directory. `limits`: reads the limits of our group."""
        self._limits = limits
        self._processor, self._processor_at = limits().processor, monotonic()
        self._config = config
        self._volume = volume
        self._traffic: HostTraffic | None = None
        with contextlib.suppress(Exception):  # it fails again when measured, and is reported there
            self._traffic = traffic()
        self._running: dict[str, asyncio.Future[HostSample]] = {}
        self._cpu_times = psutil.cpu_times()

    async def measure(self) -> tuple[tuple[Check, ...], SystemMetrics]:
        """Measure cpu, memory, storage and network: the checks, in the order of a report, and the metrics."""
        checks = (self._cpu, self._memory, self._storage, self._network)
        samples = await asyncio.gather(*(self._guarded(check) for check in checks))
        found = {name: value for sample in samples for name, value in sample.metrics.items()}
        return tuple(sample.check for sample in samples), SystemMetrics(**found)

    async def _guarded(self, check: Callable[[], HostSample]) -> HostSample:
        """Run one check in a thread. A check that still hangs is not started again."""
        name = check.__name__.lstrip("_")
        running = self._running.get(name)
        try:
            if running is None or running.done():
                running = self._running[name] = in_thread(check, f"check {name}")  # fails without a free thread
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                return await asyncio.shield(running)
        except TimeoutError:
            return HostSample(failed(f"the {name} check has not answered for {CHECK_TIMEOUT_S:.0f} s"))
        except Exception as error:
            return HostSample(failed(f"the {name} check failed: {error or type(error).__name__}"))

    def _cpu(self) -> HostSample:
        # Not psutil.cpu_percent: it keeps the last reading per thread, and each check runs in another thread.
        before, self._cpu_times = self._cpu_times, psutil.cpu_times()
        passed = [max(0.0, now - then) for now, then in zip(self._cpu_times, before, strict=True)]
        spent = dict(zip(self._cpu_times._fields, passed, strict=True))
        total = sum(passed) - spent.get("guest", 0.0) - spent.get("guest_nice", 0.0)  # counted in user and nice
        idle = spent["idle"] + spent.get("iowait", 0.0)
        ratio = min(1.0, max(0.0, 1.0 - idle / total)) if total > 0 else 0.0
        host = BusyShare(ratio, f"{psutil.cpu_count()} cores", f"{ratio:.0%} of {psutil.cpu_count()} cores busy")
        check = nearer(host, self._quota(), self._config.cpu)
        return HostSample(check, {"cpu": check.ratio})

    def _quota(self) -> BusyShare | None:
        """The share of its quota of processor time that our group has used since the last call."""
        now, after, before = monotonic(), self._limits().processor, self._processor
        seconds, self._processor, self._processor_at = now - self._processor_at, after, now
        if after is None or before is None or seconds <= 0 or after.used_s < before.used_s:
            return None
        ratio = min(1.0, (after.used_s - before.used_s) / seconds / after.cores)
        text = f"{ratio:.0%} of the container's {after.cores:g} cores busy"
        periods = (after.periods or 0) - (before.periods or 0)
        waited = (after.throttled or 0) - (before.throttled or 0)
        if 0 < waited <= periods:
            text += f", throttled in {waited / periods:.0%} of periods"
        return BusyShare(ratio, f"{after.cores:g} cores", text)

    def _memory(self) -> HostSample:
        memory, limits = psutil.virtual_memory(), self._limits()
        used, total, group = memory.total - memory.available, memory.total, None
        host = BusyShare(used / total, _size(total), f"{used / 2**30:.1f} of {total / 2**30:.1f} GiB used")
        if limits.memory is not None and limits.memory.most < total:
            share = min(1.0, limits.memory.ratio)
            most = _size(limits.memory.most)
            group = BusyShare(share, most, f"{share:.0%} of the container's {most} used")
            if share >= host.ratio:
                used, total = limits.memory.used, limits.memory.most
        check = nearer(host, group, self._config.memory)
        if limits.tasks is not None:
            tasks = f"{limits.tasks.used} of the container's {limits.tasks.most} processes and threads used"
            full = judge(min(1.0, limits.tasks.ratio), self._config.memory, tasks)
            check = full if full.status > check.status else check
        return HostSample(check, {"memory_used_kib": used // KIB, "memory_total_kib": total // KIB})

    def _storage(self) -> HostSample:
        disk = psutil.disk_usage(str(self._volume))
        message = f"{disk.percent:.0f} % of the volume of {self._volume} used, {disk.free / 2**30:.1f} GiB free"
        check = judge(disk.percent / 100, self._config.storage, message)
        # Without the reserve of the system, as in `percent` and df: one output must not give two ratios of one volume.
        return HostSample(check, {"disk_used_kib": disk.used // KIB, "disk_total_kib": (disk.used + disk.free) // KIB})

    def _network(self) -> HostSample:
        now = traffic()
        before, self._traffic = self._traffic or now, now
        bad, packets = max(0, now.bad - before.bad), max(0, now.packets - before.packets)
        ratio = bad / (packets + bad) if bad else 0.0
        moved = increases((before.received_bytes, before.sent_bytes), (now.received_bytes, now.sent_bytes))
        seconds = now.at - before.at
        received_bytes_s, sent_bytes_s = (
            None if amount is None or seconds <= 0 else round(amount / seconds) for amount in moved
        )
        return HostSample(
            judge(ratio, self._config.network, f"{bad} errors and drops in {packets} packets"),
            {
                "received_kib": now.received_bytes // KIB,
                "sent_kib": now.sent_bytes // KIB,
                "received_bytes_s": received_bytes_s,
                "sent_bytes_s": sent_bytes_s,
                "connections": connections(),
            },
        )


def nearer(host: BusyShare, group: BusyShare | None, limits: Thresholds) -> Check:
    """Judge the higher ratio of host and group. The message names both, and always says if the group counts."""
    if group is None:
        return judge(host.ratio, limits, host.text)
    if group.ratio < host.ratio:
        return judge(host.ratio, limits, f"{host.text}; {group.ratio:.0%} of the container's {group.of}")
    check = judge(group.ratio, limits, f"{group.text}; {host.ratio:.0%} of the host's {host.of}")
    return check if check.message else replace(check, message=f"of the container's {group.of}")


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


class HostTraffic(Struct, frozen=True):
    """Counters of all interfaces, loopback included. psutil corrects counters that overflow."""

    at: float
    """Monotonic seconds."""
    bad: int
    """Errors and drops."""
    packets: int
    received_bytes: int
    sent_bytes: int


def traffic() -> HostTraffic:
    """Read the counters of all interfaces."""
    found = psutil.net_io_counters()
    bad = found.errin + found.errout + found.dropin + found.dropout
    return HostTraffic(monotonic(), bad, found.packets_recv + found.packets_sent, found.bytes_recv, found.bytes_sent)


def connections(counters: Path = TCP_COUNTERS) -> int | None:
    """Count open TCP connections of this host or its network namespace: `tcpCurrEstab` of RFC 4022.

    None where the system has no cheap counter.
    """
    try:
        names, values = (line.split() for line in counters.read_text("ascii").split("\n") if line.startswith("Tcp:"))
        return int(values[names.index("CurrEstab")])
    except (OSError, ValueError, IndexError):
        return None
