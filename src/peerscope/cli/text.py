"""How the verbs write ids, numbers, tables and series in a terminal."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Column, Table

from peerscope.errors import ConfigError

SHORT_HEX = 10
"""As in records/identity.py, which takes longer to load."""
STYLES = {"healthy": "green", "degraded": "yellow", "unhealthy": "red", "down": "bold red", "left": "dim"}
SEVERITIES = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "dim"}
"""The gravest first."""
RANK = {severity: place for place, severity in enumerate(SEVERITIES)}
REGION_SOURCES = {"country": "by address", "latency": "a guess, by latency"}
"""How a region was found that no operator declared."""
BLOCKS = "▁▂▃▄▅▆▇█"
GAP = "·"


def columns(*titles: str, **options: Any) -> Table:
    """An empty table without a frame. In a narrow terminal its cells wrap, and none is cut."""
    return Table(*(Column(title, overflow="fold") for title in titles), box=None, pad_edge=False, **options)


def facts() -> Table:
    """An empty table of names and values, indented below a heading."""
    return columns(show_header=False, padding=(0, 1, 0, 4))


def age(seconds: float | None) -> str:
    """A length of time in one unit."""
    if seconds is None:
        return "-"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def clock(at: float) -> str:
    """A date and time in the zone of this terminal, with its offset. `at`: Unix seconds."""
    return time.strftime("%Y-%m-%d %H:%M %z", time.localtime(at))


def counted(number: int, what: str, many: str | None = None) -> str:
    """A number of things: 1 peer, 2 peers. `many`: the plural, if it is not made by an s."""
    return f"{number} {what if number == 1 else many or what + 's'}"


def milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.1f} ms"


def percent(ratio: float | None, digits: int = 0) -> str:
    return "-" if ratio is None else f"{ratio:.{digits}%}"


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "bytes" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def sparkline(values: Sequence[float | None], low: float | None = None) -> str:
    """A block for each value, a dot where it is unknown. `low`: value of the lowest block; default: the least value."""
    known = [value for value in values if value is not None]
    low, high = min(known, default=0.0) if low is None else low, max(known, default=0.0)
    scale = (len(BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(GAP if value is None else BLOCKS[round((value - low) * scale)] for value in values)


def write_file(place: Path, text: str) -> None:
    """Write the whole file, or leave the old one. Raises `ConfigError`."""
    try:
        handle, draft = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(draft, 0o666 & ~_umask())
            os.replace(draft, place)
        except BaseException:
            os.unlink(draft)
            raise
    except OSError as error:
        raise ConfigError(f"{place}: cannot be written: {error.strerror}; name another file with -o") from None


def _umask() -> int:
    """The umask of this process, which cannot be read without setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
