"""The clock of an agent: seconds that never go back, and that pass while the machine sleeps.

`time.monotonic` stands still while a laptop is suspended on Linux and macOS. Ages by that clock are too small
afterwards. An agent that slept for two days would bring back peers that all others have forgotten.

All code that passes `now` to the core, or compares times with it, reads this clock. The timers of asyncio use
`loop.time()`, which still stands still. So convert only *differences* between the two, as timeouts. A timer that was
set before the machine slept is late by at most its own length, which is a few seconds wherever that matters.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable


def _clock_id() -> int | None:
    """The system's clock that counts sleep; None where Python has none."""
    if sys.platform == "darwin":  # there CLOCK_MONOTONIC counts sleep, though `time.monotonic` does not
        return getattr(time, "CLOCK_MONOTONIC", None)
    return getattr(time, "CLOCK_BOOTTIME", None)  # Linux, FreeBSD, OpenBSD


_CLOCK = _clock_id()


async def pause(seconds: float, moments: Callable[[float], float]) -> None:
    """Sleep for about so long, until one of the `moments` at which this process is awake anyway."""
    await asyncio.sleep(max(0.0, moments(monotonic() + seconds) - monotonic()))


def asleep() -> float:
    """Seconds that the machine has slept since its start, to a fraction of a millisecond; 0 where unknown."""
    return monotonic() - time.monotonic()


def stopwatch() -> float:
    """Seconds for measuring how long work takes: those that the machine sleeps do not count."""
    return time.monotonic()


def monotonic() -> float:
    """Seconds since an arbitrary moment; use only differences."""
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)
