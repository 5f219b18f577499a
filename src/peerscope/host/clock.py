"""The clock of an agent: seconds that never go back, and that pass while the machine sleeps.

`time.monotonic` stands still while a laptop is suspended on Linux and macOS. Ages that are reckoned by it come out too
small afterwards: an agent that slept for two days would bring back peers that all others have forgotten.

Everything that hands `now` to the core, or compares times with it, reads this clock. asyncio's timers run by
`loop.time()`, which goes on to stand still. So only *differences* may cross over, as time-outs: a timer that was set
before the machine slept comes late by at most its own length, and no loop of the agent sets one beyond a few seconds
where that matters.
"""

from __future__ import annotations

import sys
import time


def _clock_id() -> int | None:
    """The system's clock that counts sleep; None where Python knows of none."""
    if sys.platform == "darwin":  # there CLOCK_MONOTONIC counts sleep, though `time.monotonic` does not
        return getattr(time, "CLOCK_MONOTONIC", None)
    return getattr(time, "CLOCK_BOOTTIME", None)  # Linux, FreeBSD, OpenBSD


_CLOCK = _clock_id()


def asleep() -> float:
    """Seconds that the machine slept since it started, to a fraction of a millisecond; 0 where nobody counts them."""
    return monotonic() - time.monotonic()


def stopwatch() -> float:
    """Seconds for measuring how long work takes: those that the machine sleeps do not count."""
    return time.monotonic()


def monotonic() -> float:
    """Seconds since some moment; only differences mean something."""
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)
