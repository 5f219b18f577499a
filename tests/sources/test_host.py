"""The host's checks: each stands alone, and none can hold the others up."""

import asyncio
import contextlib
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from peerscope.mesh.detection.checks import HealthConfig
from peerscope.records.bodies import RATIO_ONE, Check, Status
from peerscope.records.measures import Metrics
from peerscope.sources import host
from peerscope.sources.cgroup import CgroupLimits, Processor, limits
from peerscope.sources.host import BusyShare, Host, HostSample, HostTraffic, nearer
from peerscope.views.metrics import metrics_view

CPU, MEMORY, STORAGE, NETWORK = range(4)


class Broken(Host):
    """Its storage cannot be asked."""

    def _storage(self) -> HostSample:
        raise OSError("no such volume\x1b[31m")


class Hanging(Host):
    """Its storage does not answer until it is let go."""

    def __init__(self, volume: Path) -> None:
        super().__init__(HealthConfig(), volume)
        self.started = 0
        self.free = threading.Event()

    def _storage(self) -> HostSample:
        self.started += 1
        self.free.wait()
        return HostSample(Check(Status.HEALTHY, 5000))


def test_four_checks_come_in_the_order_of_a_report(tmp_path: Path) -> None:
    checks, _ = asyncio.run(Host(HealthConfig(), tmp_path).measure())
    assert len(checks) == 4
    assert [check for check in checks if check.status == Status.UNKNOWN] == []
    assert all(check.ratio is not None and 0 <= check.ratio <= RATIO_ONE for check in checks)
    assert checks[MEMORY].ratio  # something is always used
    assert checks[STORAGE].ratio


def test_the_storage_check_and_the_disk_metrics_give_one_ratio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the system keeps most of the volume for itself."""
    real = psutil.disk_usage(str(tmp_path))
    size, used, free = 1000 << 20, 100 << 20, 300 << 20
    reserved = real._replace(total=size, used=used, free=free, percent=25.0)
    for usage in (real, reserved):
        monkeypatch.setattr(psutil, "disk_usage", lambda _, usage=usage: usage)
        checks, system = asyncio.run(Host(HealthConfig(), tmp_path).measure())
        ratio = checks[STORAGE].ratio
        assert ratio is not None
        assert metrics_view(Metrics(system)).system.disk_ratio == pytest.approx(ratio / RATIO_ONE, abs=0.002)


def test_the_first_measurement_covers_the_time_since_the_start(tmp_path: Path) -> None:
    machine = Host(HealthConfig(), tmp_path)
    busy_until = time.process_time() + 0.3
    while time.process_time() < busy_until:
        pass
    ratio = asyncio.run(machine.measure())[0][CPU].ratio
    assert ratio is not None
    assert ratio > 0


def test_a_check_that_fails_is_unknown_with_its_reason_and_the_others_stand(tmp_path: Path) -> None:
    checks, system = asyncio.run(Broken(HealthConfig(), tmp_path).measure())
    assert checks[STORAGE].status == Status.UNKNOWN
    assert checks[STORAGE].ratio is None
    assert checks[STORAGE].message == "the storage check failed: no such volume [31m"
    assert all(checks[index].ratio is not None for index in (CPU, MEMORY, NETWORK))
    assert (system.disk_used_kib, system.disk_total_kib) == (None, None)
    assert system.memory_total_kib
    assert system.received_kib is not None


def test_one_look_gives_the_check_and_the_numbers_behind_it(tmp_path: Path) -> None:
    checks, system = asyncio.run(Host(HealthConfig(), tmp_path).measure())
    assert system.cpu == checks[CPU].ratio
    assert system.memory_used_kib is not None
    total = psutil.virtual_memory().total
    here = limits().memory  # the machine of this test may be a container
    assert system.memory_total_kib in {total // 1024, min(total, here.most if here else total) // 1024}
    assert checks[MEMORY].ratio == pytest.approx(system.memory_used_kib / system.memory_total_kib * RATIO_ONE, abs=1)
    usage = psutil.disk_usage(str(tmp_path))
    assert system.disk_total_kib == pytest.approx((usage.used + usage.free) // 1024, rel=0.01)  # others write meanwhile


MIB = 2**20


def container(place: Path, **files: str) -> Callable[[], CgroupLimits]:
    """A container with these files in its group, and what reads its limits."""
    for name, text in files.items():
        (place / name).write_text(text)
    return lambda: limits(place, place / "of nobody")


def test_in_a_container_near_its_limit_memory_is_unhealthy_however_much_the_host_has(tmp_path: Path) -> None:
    stat = f"inactive_file {14 * MIB}\n"
    files = {"memory.max": str(300 * MIB), "memory.current": str(290 * MIB), "memory.stat": stat}
    machine = Host(HealthConfig(), tmp_path, container(tmp_path, **files))
    checks, system = asyncio.run(machine.measure())
    assert (checks[MEMORY].status, checks[MEMORY].ratio) == (Status.UNHEALTHY, 9200)
    assert re.match(r"92% of the container's 300 MiB used; \d+% of the host's ", checks[MEMORY].message or "")
    assert (system.memory_used_kib, system.memory_total_kib) == (276 * 1024, 300 * 1024)


@pytest.mark.parametrize(
    ("host", "group", "expected"),
    [
        (0.5, None, (Status.HEALTHY, 5000, None)),
        (0.8, None, (Status.DEGRADED, 8000, "HOST")),
        (0.5, 0.6, (Status.HEALTHY, 6000, "of the container's 300 MiB")),
        (0.5, 0.8, (Status.DEGRADED, 8000, "GROUP; 50% of the host's 8.0 GiB")),
        (0.5, 0.95, (Status.UNHEALTHY, 9500, "GROUP; 50% of the host's 8.0 GiB")),
        (0.95, 0.8, (Status.UNHEALTHY, 9500, "HOST; 80% of the container's 300 MiB")),
        (0.7, 0.6, (Status.HEALTHY, 7000, None)),
    ],
)
def test_whichever_is_nearer_to_its_end_counts_and_both_are_named(
    host: float, group: float | None, expected: tuple[Status, int, str | None]
) -> None:
    theirs = None if group is None else BusyShare(group, "300 MiB", "GROUP")
    check = nearer(BusyShare(host, "8.0 GiB", "HOST"), theirs, HealthConfig().memory)
    assert (check.status, check.ratio, check.message) == expected


def test_a_busy_container_is_told_with_its_quota_and_how_often_it_waits(tmp_path: Path) -> None:
    def spent(used_s: float, throttled: int, periods: int) -> CgroupLimits:
        return CgroupLimits(processor=Processor(0.001, used_s, periods, throttled))

    tape = iter([spent(1.0, 0, 10), spent(1.0, 0, 20), spent(9e9, 8, 30), spent(1.0, 0, 0)])
    machine = Host(HealthConfig(), tmp_path, lambda: next(tape))
    idle, busy, anew = (machine._cpu() for _ in range(3))
    assert "throttled" not in (idle.check.message or "")
    assert (busy.check.status, busy.metrics["cpu"]) == (Status.UNHEALTHY, RATIO_ONE)
    assert re.match(
        r"100% of the container's 0.001 cores busy, throttled in 80% of periods; \d+% of the host's \d+ cores$",
        busy.check.message or "",
    )
    assert "container" not in (anew.check.message or "")  # its counters began anew


@pytest.mark.parametrize(("used", "status"), [("97", Status.UNHEALTHY), ("80", Status.DEGRADED)])
def test_a_container_that_runs_out_of_tasks_says_so(tmp_path: Path, used: str, status: Status) -> None:
    files = {"pids.max": "100\n", "pids.current": f"{used}\n"}
    check = asyncio.run(Host(HealthConfig(), tmp_path, container(tmp_path, **files)).measure())[0][MEMORY]
    assert check.status >= status
    if psutil.virtual_memory().percent < 75:
        assert check.message == f"{used} of the container's 100 processes and threads used"


@pytest.mark.parametrize("most", ["max", str(2**60), str(2**50)])
def test_without_a_limit_of_its_own_the_host_counts_and_no_container_is_named(tmp_path: Path, most: str) -> None:
    machine = Host(HealthConfig(), tmp_path, container(tmp_path, **{"memory.max": most, "memory.current": "5"}))
    checks, system = asyncio.run(machine.measure())
    assert "container" not in (checks[MEMORY].message or "")
    assert system.memory_total_kib == psutil.virtual_memory().total // 1024


def test_what_was_sent_between_two_looks_is_a_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tape = iter(
        (
            HostTraffic(10.0, 0, 5, 2048, 4096),
            HostTraffic(12.0, 0, 9, 3072, 4096),
            HostTraffic(14.0, 0, 0, 100, 5000),  # an interface was taken out
        )
    )
    monkeypatch.setattr(host, "traffic", lambda: next(tape))
    machine = Host(HealthConfig(), tmp_path)
    looks = [asyncio.run(machine.measure())[1] for _ in range(2)]
    assert [(one.received_kib, one.sent_kib) for one in looks] == [(3, 4), (0, 4)]
    assert [(one.received_bytes_s, one.sent_bytes_s) for one in looks] == [(512, 0), (None, None)]


@pytest.mark.skipif(not Path("/proc/net/snmp").exists(), reason="no /proc/net/snmp: not Linux")
def test_an_open_connection_is_counted() -> None:
    def settled() -> int:
        counts = [host.connections() or 0 for _ in range(20)]
        return max(counts)

    with contextlib.ExitStack() as opened:
        listening = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
        before = settled()
        for _ in range(40):
            opened.enter_context(socket.create_connection(listening.getsockname()))
            opened.enter_context(listening.accept()[0])
        during = settled()
    assert during >= before + 40  # both ends of each; other programs may close some of theirs


@pytest.mark.parametrize("text", ["", "Tcp: RtoMin CurrEstab\n", "Tcp: RtoMin\nTcp: 200\n", "Tcp: CurrEstab\nTcp: x\n"])
def test_a_system_that_does_not_count_connections_leaves_them_unknown(tmp_path: Path, text: str) -> None:
    counters = tmp_path / "snmp"
    assert host.connections(counters) is None
    counters.write_text(text)
    assert host.connections(counters) is None


def test_connections_are_read_by_the_name_of_their_column(tmp_path: Path) -> None:
    counters = tmp_path / "snmp"
    counters.write_text("Ip: Forwarding\nIp: 1\nTcp: RtoMin CurrEstab InSegs\nTcp: 200 17 99\n")
    assert host.connections(counters) == 17


def test_a_volume_that_is_gone_is_unknown(tmp_path: Path) -> None:
    check = asyncio.run(Host(HealthConfig(), tmp_path / "gone").measure())[0][STORAGE]
    assert check.status == Status.UNKNOWN
    assert "storage check failed" in (check.message or "")


def test_a_check_that_hangs_is_not_started_again_and_the_others_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "CHECK_TIMEOUT_S", 0.25)
    machine = Hanging(tmp_path)

    async def scenario() -> None:
        try:
            for _ in range(2):
                checks, _ = await machine.measure()
                assert checks[STORAGE].status == Status.UNKNOWN
                assert "storage check has not answered" in (checks[STORAGE].message or "")
                assert all(checks[index].ratio is not None for index in (CPU, MEMORY, NETWORK))
            assert machine.started == 1
        finally:
            machine.free.set()
        checks, _ = await machine.measure()
        while checks[STORAGE].status == Status.UNKNOWN:  # the thread wants its turn
            checks, _ = await machine.measure()
        assert checks[STORAGE].ratio == 5000

    asyncio.run(scenario())


AGENT_WITH_A_DEAD_DISK = """
import threading
from peerscope.cli import main
from peerscope.sources.host import Host

def hang(self):
    print("hangs", flush=True)
    threading.Event().wait()

Host._storage = hang
main()
"""


@pytest.mark.e2e
def test_an_agent_whose_disk_hangs_still_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-c", AGENT_WITH_A_DEAD_DISK, "run", "--state", str(tmp_path), "--http", "off"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert "hangs\n" in iter(process.stdout.readline, "")
            process.terminate()
            assert process.wait(timeout=20) == 0
        finally:
            process.kill()
