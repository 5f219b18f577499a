"""Spreads the packets or dials of a crawl over time."""

from __future__ import annotations

import asyncio

from peerscope.host.clock import monotonic


class Pace:
    """At most `rate` turns per second, evenly spread; those who wait get their turns in order."""

    def __init__(self, rate: float) -> None:
        self._pause_s = 1.0 / rate
        self._free_at = 0.0

    async def turn(self) -> None:
        """Wait for the next turn."""
        now = monotonic()
        mine = max(now, self._free_at)
        self._free_at = mine + self._pause_s
        if mine > now:
            await asyncio.sleep(mine - now)
