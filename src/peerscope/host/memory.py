"""Returns free memory to the system.

CPython keeps up to 2,000 freed tuples of each length up to 20, and other small objects. Under load these lists fill up
over hours to several megabytes, which looks like a leak. Only a full search for garbage empties them, and an agent
makes so little garbage that Python searches everything about once an hour.

glibc keeps memory that an agent needed only at the start, or for one large answer. `malloc_trim(3)` returns whole free
pages. Other C libraries do that by themselves or cannot; nothing is done there.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
from collections.abc import Callable, Coroutine

FIRST_S = 20.0
"""The start of an agent takes less."""
TRIM_INTERVAL_S = 300.0


def shrinking() -> list[Coroutine[None, None, None]]:
    """The loop that returns memory until cancelled."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return [_shrink(lambda: 0)]
    return [_shrink(lambda: trim(ctypes.c_size_t(0)))]


async def _shrink(trim: Callable[[], int]) -> None:
    wait_s = FIRST_S
    while True:
        await asyncio.sleep(wait_s)
        gc.collect()
        trim()
        wait_s = TRIM_INTERVAL_S
