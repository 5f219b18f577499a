"""Questions of people about peers of other zones: handed to the core, awaited until it has an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count

from peerscope.core import Effect, Event
from peerscope.mesh.events import LookedUp, LookUp
from peerscope.mesh.zoning.lookup import LookupAnswer

NUMBER_MAX = 2**32
ANSWER_TIMEOUT_S = 8.0
"""Longer than the core takes; it ends what an agent that is stopping would leave open."""


class LookupRequests:
    """The questions that wait in one agent."""

    def __init__(self, feed: Callable[[Event], None]) -> None:
        """`feed`: hands the core an event."""
        self._feed = feed
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[LookupAnswer]] = {}

    async def about(self, name: str) -> LookupAnswer:
        """Ask other zones about the peers whose ids begin so. Raises TimeoutError."""
        number = next(self._numbers) % NUMBER_MAX
        waiting: asyncio.Future[LookupAnswer] = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting
        try:
            self._feed(LookUp(number, name))
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await waiting
        finally:
            del self._waiting[number]

    def note(self, effect: Effect) -> None:
        """Something happened in the core: perhaps an answer."""
        if isinstance(effect, LookedUp):
            waiting = self._waiting.get(effect.number)
            if waiting is not None and not waiting.done():
                waiting.set_result(effect.answer)
