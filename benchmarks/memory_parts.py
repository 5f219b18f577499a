"""An agent that says, on a signal, of which parts its memory consists.

    python benchmarks/memory_parts.py DIR run ...      # as `python -m peerscope run ...`

On SIGUSR2 it writes DIR/PID.json. `ask` sends the signal and reads the file. Without arguments it prints its own
parts. Linux with glibc and CPython's own allocator only: it uses `mallinfo2(3)`, `sys._debugmallocstats` and
`sqlite3_memory_used`.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PATIENCE_S = 5.0
POLL_S = 0.05


class MallocInfo(ctypes.Structure):
    """`struct mallinfo2` of glibc."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
        )
    )


def parts() -> dict[str, int]:
    """Bytes of this process, by part.

    `python`: blocks of up to 512 bytes in use. `python_kept`: tuples and other objects that Python has freed and keeps
    for the next ones. `python_free`: room in the arenas of the blocks. `sqlite`: in use by SQLite.
    `malloc`: in use by everything else, which is larger Python objects, iroh and OpenSSL. `malloc_free`: free in the
    heaps of glibc. `rest`: all other resident memory, less reserved memory that nobody has touched.
    """
    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = MallocInfo
    info = libc.mallinfo2()
    sqlite = _sqlite_bytes()
    arenas, blocks, kept = _python_bytes()
    rss = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    found = {
        "python": blocks - kept,
        "python_kept": kept,
        "python_free": arenas - blocks,
        "sqlite": sqlite,
        "malloc": info.uordblks + info.hblkhd - sqlite,
        "malloc_free": info.fordblks,
    }
    return found | {"rest": rss - sum(found.values())}


def ask(pid: int, place: Path) -> dict[str, int] | None:
    """The parts of a running agent's memory; None if it does not answer in time."""
    answer = place / f"{pid}.json"
    answer.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR2)
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if answer.exists():
            found: dict[str, int] = json.loads(answer.read_text())
            return found
        time.sleep(POLL_S)
    return None


def _python_bytes() -> tuple[int, int, int]:
    """Bytes of the arenas, of the blocks in use in them, and of blocks that hold freed objects; all 0 with another
    allocator, as under tracemalloc.

    CPython writes them as text to standard error alone.
    """
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            sys._debugmallocstats()
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
        file.seek(0)
        said = file.read().decode()
    arenas = re.search(r"(\d[\d,]*) arenas \* [\d,]+ bytes/arena\s+=\s+([\d,]+)", said)
    blocks = re.search(r"# bytes in allocated blocks\s+=\s+([\d,]+)", said)
    if arenas is None or blocks is None:
        return 0, 0, 0
    kept = re.findall(r"\d+ free .*Py\w+Objects \* \d+ bytes each =\s+([\d,]+)", said)
    return _number(arenas.group(2)), _number(blocks.group(1)), sum(map(_number, kept))


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def _sqlite_bytes() -> int:
    import _sqlite3

    try:
        used = ctypes.CDLL(_sqlite3.__file__).sqlite3_memory_used  # of the very library that Python uses
    except (OSError, AttributeError):
        return 0
    used.restype = ctypes.c_int64
    return int(used())


def _answer(place: Path, *_: Any) -> None:
    whole = place / f"{os.getpid()}.json"
    part = whole.with_suffix(".part")
    part.write_text(json.dumps(parts()))
    part.rename(whole)


def main() -> None:
    """Run an agent that answers the signal."""
    place = Path(sys.argv.pop(1))
    signal.signal(signal.SIGUSR2, lambda *_: _answer(place))
    from peerscope.cli import main as run

    run()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main()
    else:
        print(json.dumps(parts()))
