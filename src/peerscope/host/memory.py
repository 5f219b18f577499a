"""Memory that is free again, given back to the system.

What an agent needs only while it starts, or for one large answer, glibc would keep for later. `malloc_trim(3)` gives
whole free pages back. Other libraries of C do so by themselves, or not at all: there nothing is done.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable, Coroutine

FIRST_S = 20.0
"""By then an agent has started."""
TRIM_INTERVAL_S = 300.0


def shrinking() -> list[Coroutine[None, None, None]]:
    """What gives memory back until it is cancelled; nothing where that cannot be done."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return []
    return [_shrink(lambda: trim(ctypes.c_size_t(0)))]


async def _shrink(trim: Callable[[], int]) -> None:
    wait_s = FIRST_S
    while True:
        await asyncio.sleep(wait_s)
        trim()
        wait_s = TRIM_INTERVAL_S
