"""The host's own health: CPU, memory, storage and network interfaces, by psutil.

One sample of each gives both its check and its metrics. Each is taken on its own: one that fails or hangs is `unknown`
with its reason, its metrics are unknown, and the others stand.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import psutil
from msgspec import Struct

from peerscope.clock import monotonic
from peerscope.mesh.checks import HealthConfig, failed, judge, quantised
from peerscope.records.bodies import Check
from peerscope.records.counters import increases
from peerscope.records.measures import SystemMetrics
from peerscope.threads import in_thread

CHECK_TIMEOUT_S = 2.0
FIRST_SAMPLE_S = 0.3
KIB = 1024
TCP_COUNTERS = Path("/proc/net/snmp")
"""Linux: one small file, 0.03 ms to read. Listing sockets costs a hundred times that, and root on macOS."""


class Sample(Struct, frozen=True):
    """What one look at the host gave."""

    check: Check
    metrics: dict[str, int | None] = {}
    """By field of `SystemMetrics`."""


class Host:
    """The four checks of the machine; the fifth, p2p, belongs to the core."""

    def __init__(self, config: HealthConfig, volume: Path) -> None:
        """`volume`: any path on the volume whose filling up would stop us."""
        self._config = config
        self._volume = volume
        self._traffic: Traffic | None = None
        with contextlib.suppress(Exception):  # whatever fails here fails again, and is told, when measured
            self._traffic = traffic()
        self._running: dict[str, asyncio.Future[Sample]] = {}
        self._cpu_times = psutil.cpu_times()

    async def measure(self) -> tuple[tuple[Check, ...], SystemMetrics]:
        """The checks cpu, memory, storage and network, in the order a report has them, and what they were made of."""
        looks = (self._cpu, self._memory, self._storage, self._network)
        samples = await asyncio.gather(*(self._guarded(look) for look in looks))
        found = {name: value for sample in samples for name, value in sample.metrics.items()}
        return tuple(sample.check for sample in samples), SystemMetrics(**found)

    async def _guarded(self, check: Callable[[], Sample]) -> Sample:
        """Run one check in a thread; a check that still hangs from before is not started again."""
        name = check.__name__.lstrip("_")
        running = self._running.get(name)
        if running is None or running.done():
            running = self._running[name] = in_thread(check, f"check {name}")
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                return await asyncio.shield(running)
        except TimeoutError:
            return Sample(failed(f"the {name} check has not answered for {CHECK_TIMEOUT_S:.0f} s"))
        except Exception as error:
            return Sample(failed(f"the {name} check failed: {error or type(error).__name__}"))

    def _cpu(self) -> Sample:
        # Not psutil.cpu_percent: it keeps the last reading per thread, and checks run in any.
        before, self._cpu_times = self._cpu_times, psutil.cpu_times()
        passed = [max(0.0, now - then) for now, then in zip(self._cpu_times, before, strict=True)]
        spent = dict(zip(self._cpu_times._fields, passed, strict=True))
        total = sum(passed) - spent.get("guest", 0.0) - spent.get("guest_nice", 0.0)  # counted in user and nice
        idle = spent["idle"] + spent.get("iowait", 0.0)
        ratio = min(1.0, max(0.0, 1.0 - idle / total)) if total > 0 else 0.0
        check = judge(ratio, self._config.cpu, f"{ratio:.0%} of {psutil.cpu_count()} cores busy")
        return Sample(check, {"cpu": quantised(ratio)})

    def _memory(self) -> Sample:
        memory = psutil.virtual_memory()
        used = memory.total - memory.available
        message = f"{used / 2**30:.1f} of {memory.total / 2**30:.1f} GiB used"
        check = judge(used / memory.total, self._config.memory, message)
        return Sample(check, {"memory_used_kib": used // KIB, "memory_total_kib": memory.total // KIB})

    def _storage(self) -> Sample:
        disk = psutil.disk_usage(str(self._volume))
        message = f"{disk.percent:.0f} % of the volume of {self._volume} used, {disk.free / 2**30:.1f} GiB free"
        check = judge(disk.percent / 100, self._config.storage, message)
        return Sample(check, {"disk_used_kib": disk.used // KIB, "disk_total_kib": disk.total // KIB})

    def _network(self) -> Sample:
        now = traffic()
        before, self._traffic = self._traffic or now, now
        bad, packets = max(0, now.bad - before.bad), max(0, now.packets - before.packets)
        ratio = bad / (packets + bad) if bad else 0.0
        moved = increases((before.received_bytes, before.sent_bytes), (now.received_bytes, now.sent_bytes))
        seconds = now.at - before.at
        received_bytes_s, sent_bytes_s = (
            None if amount is None or seconds <= 0 else round(amount / seconds) for amount in moved
        )
        return Sample(
            judge(ratio, self._config.network, f"{bad} errors and drops in {packets} packets"),
            {
                "received_kib": now.received_bytes // KIB,
                "sent_kib": now.sent_bytes // KIB,
                "received_bytes_s": received_bytes_s,
                "sent_bytes_s": sent_bytes_s,
                "connections": connections(),
            },
        )


class Traffic(Struct, frozen=True):
    """Counters of all interfaces, loopback included. psutil unfolds those that run over."""

    at: float
    """Monotonic seconds."""
    bad: int
    """Errors and drops."""
    packets: int
    received_bytes: int
    sent_bytes: int


def traffic() -> Traffic:
    """All interfaces since they came up."""
    found = psutil.net_io_counters()
    bad = found.errin + found.errout + found.dropin + found.dropout
    return Traffic(monotonic(), bad, found.packets_recv + found.packets_sent, found.bytes_recv, found.bytes_sent)


def connections(counters: Path = TCP_COUNTERS) -> int | None:
    """Open TCP connections of this host, or of its network namespace: `tcpCurrEstab` of RFC 4022. None where the
    system does not tell for little work."""
    try:
        names, values = (line.split() for line in counters.read_text("ascii").splitlines() if line.startswith("Tcp:"))
        return int(values[names.index("CurrEstab")])
    except (OSError, ValueError, IndexError):
        return None
