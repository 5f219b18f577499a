"""The host's own health: CPU, memory, storage and network interfaces, by psutil.

Each check runs on its own: one that fails or hangs is `unknown` with its reason, and the others stand.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from pathlib import Path

import psutil

from peerscope.mesh.checks import HealthConfig, failed, judge
from peerscope.records.bodies import Check

CHECK_TIMEOUT_S = 2.0
FIRST_SAMPLE_S = 0.3


class Host:
    """The four checks of the machine; the fifth, p2p, belongs to the core."""

    def __init__(self, config: HealthConfig, volume: Path) -> None:
        """`volume`: any path on the volume whose filling up would stop us."""
        self._config = config
        self._volume = volume
        self._packets = (0, 0)
        with contextlib.suppress(Exception):  # whatever fails here fails again, and is told, when measured
            self._packets = _packets()
        self._running: dict[str, asyncio.Future[Check]] = {}
        self._cpu_times = psutil.cpu_times()

    async def measure(self) -> tuple[Check, ...]:
        """cpu, memory, storage and network, in the order a report has them."""
        checks = (self._cpu, self._memory, self._storage, self._network)
        return tuple(await asyncio.gather(*(self._guarded(check) for check in checks)))

    async def _guarded(self, check: Callable[[], Check]) -> Check:
        """Run one check in a thread; a check that still hangs from before is not started again."""
        name = check.__name__.lstrip("_")
        running = self._running.get(name)
        if running is None or running.done():
            running = self._running[name] = in_thread(check)
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                return await asyncio.shield(running)
        except TimeoutError:
            return failed(f"the {name} check has not answered for {CHECK_TIMEOUT_S:.0f} s")
        except Exception as error:
            return failed(f"the {name} check failed: {error or type(error).__name__}")

    def _cpu(self) -> Check:
        # Not psutil.cpu_percent: it keeps the last reading per thread, and checks run in any.
        before, self._cpu_times = self._cpu_times, psutil.cpu_times()
        passed = [max(0.0, now - then) for now, then in zip(self._cpu_times, before, strict=True)]
        spent = dict(zip(self._cpu_times._fields, passed, strict=True))
        total = sum(passed) - spent.get("guest", 0.0) - spent.get("guest_nice", 0.0)  # counted in user and nice
        idle = spent["idle"] + spent.get("iowait", 0.0)
        ratio = min(1.0, max(0.0, 1.0 - idle / total)) if total > 0 else 0.0
        return judge(ratio, self._config.cpu, f"{ratio:.0%} of {psutil.cpu_count()} cores busy")

    def _memory(self) -> Check:
        memory = psutil.virtual_memory()
        used = memory.total - memory.available
        message = f"{used / 2**30:.1f} of {memory.total / 2**30:.1f} GiB used"
        return judge(used / memory.total, self._config.memory, message)

    def _storage(self) -> Check:
        disk = psutil.disk_usage(str(self._volume))
        message = f"{disk.percent:.0f} % of the volume of {self._volume} used, {disk.free / 2**30:.1f} GiB free"
        return judge(disk.percent / 100, self._config.storage, message)

    def _network(self) -> Check:
        before, self._packets = self._packets, _packets()
        bad, total = (max(0, now - then) for now, then in zip(self._packets, before, strict=True))
        ratio = bad / (total + bad) if bad else 0.0
        return judge(ratio, self._config.network, f"{bad} errors and drops in {total} packets")


def _packets() -> tuple[int, int]:
    """Errors and drops, and packets, of all interfaces since they came up."""
    counters = psutil.net_io_counters()
    bad = counters.errin + counters.errout + counters.dropin + counters.dropout
    return bad, counters.packets_recv + counters.packets_sent


def in_thread(check: Callable[[], Check]) -> asyncio.Future[Check]:
    """Run a check in a thread that ends with the process: one that hangs on a dead mount must not keep us alive."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Check] = loop.create_future()

    def settle(result: Check | None, error: Exception | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        elif result is not None:
            done.set_result(result)

    def work() -> None:
        result, failure = None, None
        try:
            result = check()
        except Exception as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=work, name=f"check {check.__name__}", daemon=True).start()
    return done
