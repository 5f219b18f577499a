"""`beam` or `beam:LOGFILE`: measures an unmodified Beam daemon by its processes, their sockets, and its request log.

The daemon (`beam-tunnel-daemon`, in Beam's `packages/tunnel-daemon/src/tunnel.rs`) offers no counters. This source
observes from outside:

- each process that listens is one tunnel, since a daemon forwards one port;
- open TCP connections are its established sockets. Its QUIC peers share one UDP socket, so their number is unknown;
- each request is one line of its log, `← METHOD URI STATUS elapsed (size)`, written after the answer. Only successes
  have a size, which is rounded. A request without an answer has the status ERROR. The log never has the size of a
  request, so bytes received are unknown. The log has these lines only with `RUST_LOG=info`.

Counts begin with the start of this agent.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import psutil
from msgspec import Struct

from peerscope.errors import SourceError
from peerscope.host.clock import monotonic
from peerscope.records.measures import NodeMetrics
from peerscope.sources.base import Reading
from peerscope.sources.means import LastMean

DAEMON = "beam-tunnel-daemon"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
"""The daemon's log library colours lines also when they go to a file."""
REQUEST = re.compile(
    r"(?:←|<-) [A-Z]+ \S+ (?P<status>[0-9]{3}|ERROR) (?P<elapsed>[0-9]+(?:\.[0-9]+)?)(?P<unit>ns|µs|μs|us|ms|s)"
    r"(?: \((?P<size>[0-9]+(?:\.[0-9]+)?) (?P<size_unit>B|KB|MB|GB)\))?\s*$"
)
SECONDS = {"ns": 1e-9, "µs": 1e-6, "μs": 1e-6, "us": 1e-6, "ms": 1e-3, "s": 1.0}
"""As Rust writes a duration. There are two signs for micro."""
BYTES = {"B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3}


class Request(Struct, frozen=True):
    """One line of the log."""

    is_error: bool
    """The status is 400 or above, or there is none."""
    elapsed_s: float
    size_bytes: int | None
    """Size of the answer; None where the log has none."""


def parse(line: str) -> Request | None:
    """Parse a request line, with any text before its arrow; None for all other lines."""
    if "←" not in line and "<-" not in line:
        return None
    found = REQUEST.search(COLOURS.sub("", line))
    if found is None:
        return None
    status, size = found["status"], found["size"]
    return Request(
        is_error=status == "ERROR" or int(status) >= 400,
        elapsed_s=float(found["elapsed"]) * SECONDS[found["unit"]],
        size_bytes=None if size is None else round(float(size) * BYTES[found["size_unit"]]),
    )


class BeamSource:
    """All Beam daemons of this machine."""

    def __init__(self, argument: str = "") -> None:
        """`argument`: path of the log; empty for none."""
        self._log = LogFile(Path(argument).expanduser()) if argument else None
        self._messages = self._errors = self._sent_bytes = self._others = 0
        self._mean = LastMean()

    async def read(self) -> Reading:
        """Measure all daemons. Raises `SourceError` if none runs, or if the log cannot be read."""
        daemons = list(_daemons())
        if not daemons:
            raise SourceError(f"no process called {DAEMON} runs")
        now = monotonic()
        self._mean.note(self._follow() if self._log else None, now)
        latency_s, latency_age_s = self._mean.at(now)
        sockets = [found for daemon in daemons if (found := _sockets(daemon)) is not None]
        is_known = len(sockets) == len(daemons)
        has_log = self._log is not None
        return Reading(
            node="beam",
            metrics=NodeMetrics(
                tunnels=sum(listening > 0 for listening, _, _ in sockets) if is_known else None,
                active_connections=sum(established for _, established, _ in sockets) if is_known else None,
                messages=self._messages if has_log else None,
                sent_bytes=self._sent_bytes if has_log else None,
                errors=self._errors if has_log else None,
            ),
            latency_s=latency_s,
            latency_age_s=latency_age_s,
            details={
                "processes": float(len(daemons)),
                "udp_sockets": float(sum(datagrams for _, _, datagrams in sockets)) if is_known else None,
                "cpu_s": _sum(daemon.cpu_s for daemon in daemons),
                "memory_bytes": _sum(daemon.memory_bytes for daemon in daemons),
                "other_log_lines": float(self._others + self._log.oversized) if self._log else None,
            },
        )

    async def close(self) -> None:
        """Close the log."""
        if self._log is not None:
            self._log.close()

    def _follow(self) -> float | None:
        """Count new lines. Returns the mean time of their requests."""
        assert self._log is not None
        total_s, count = 0.0, 0
        for line in self._log.lines():
            request = parse(line.decode("utf-8", "replace"))
            if request is None:
                self._others += bool(line.strip())
                continue
            total_s, count = total_s + request.elapsed_s, count + 1
            self._messages += 1
            self._errors += request.is_error
            self._sent_bytes += request.size_bytes or 0
        return total_s / count if count else None


class _Daemon(Struct, frozen=True):
    process: psutil.Process
    cpu_s: float | None = None
    memory_bytes: float | None = None


def _daemons() -> Iterator[_Daemon]:
    for process in psutil.process_iter(["name", "cmdline"]):
        # The kernel cuts names at 15 characters, so look at the command line too.
        names = {process.info["name"], Path((process.info["cmdline"] or [""])[0]).name}
        if DAEMON not in names:
            continue
        try:
            with process.oneshot():
                times = process.cpu_times()
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                yield _Daemon(process, times.user + times.system, float(process.memory_info().rss))
        except psutil.NoSuchProcess:
            continue
        except psutil.AccessDenied:
            yield _Daemon(process)


def _sum(values: Iterable[float | None]) -> float | None:
    """Add values; None if any of them is unknown."""
    known = list(values)
    return None if None in known else sum(value for value in known if value is not None)


def _sockets(daemon: _Daemon) -> tuple[int, int, int] | None:
    """Count sockets that listen, that are connected, and of UDP; None without permission."""
    try:
        found = daemon.process.net_connections(kind="inet")
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        return None
    states = [connection.status for connection in found]
    return states.count(psutil.CONN_LISTEN), states.count(psutil.CONN_ESTABLISHED), states.count(psutil.CONN_NONE)


LINE_BYTES_MAX = 65_536
CHUNK_BYTES = 1024 * 1024
LOOK_BYTES_MAX = 16 * 1024 * 1024
"""Most bytes to read in one call; the rest waits for the next."""


class LogFile:
    """Follows a log that another program writes, through rotation and truncation.

    It begins at the end of the file. It cannot see that a file was cut if the file has since grown beyond the last
    position.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.oversized = 0
        """Lines that were too long and so skipped."""
        self._file: BinaryIO | None = None
        self._begun = b""
        self._skips = False

    def lines(self) -> Iterator[bytes]:
        """Yield the whole lines since the last call, without line ends. Raises `SourceError` if there was no file."""
        if self._file is None:
            self._open(at_end=True)
        left = LOOK_BYTES_MAX
        while left > 0:
            assert self._file is not None
            data = self._file.read(min(CHUNK_BYTES, left))
            if not data and not self._renewed():
                return
            left -= len(data)
            yield from self._split(data)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self, *, at_end: bool) -> None:
        try:
            file = self.path.open("rb")
        except OSError as error:
            raise SourceError(f"the log {self.path} cannot be read: {error.strerror}") from None
        if at_end:
            file.seek(0, os.SEEK_END)
        self.close()
        self._file, self._begun, self._skips = file, b"", False

    def _renewed(self) -> bool:
        """Whether there is another file, or the same one was cut. Between two files of a rotation there is none."""
        assert self._file is not None
        mine = os.fstat(self._file.fileno())
        try:
            there = os.stat(self.path)
        except OSError:
            return False
        if (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino):
            self._open(at_end=False)
            return True
        if mine.st_size < self._file.tell():
            self._file.seek(0)
            self._begun, self._skips = b"", False
            return True
        return False

    def _split(self, data: bytes) -> Iterator[bytes]:
        *whole, self._begun = (self._begun + data).split(b"\n")
        for line in whole:
            if self._skips or len(line) > LINE_BYTES_MAX:
                self.oversized += 1
                self._skips = False
            else:
                yield line
        if len(self._begun) > LINE_BYTES_MAX:  # drop it, and skip the rest of the line
            self._begun, self._skips = b"", True
