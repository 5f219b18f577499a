"""Sources for tests that behave and misbehave on command."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any

from peerscope.records.bodies import OverlayLink
from peerscope.records.measures import NodeMetrics
from peerscope.sources.attachment import Attachment
from peerscope.sources.base import Reading

GOOD = Reading(node="toy", node_id="toy-1", metrics=NodeMetrics(tunnels=3), overlay=(OverlayLink("toy-2"),))


class Toy:
    """Does what `does` says at each question; that may be changed at any time."""

    def __init__(self, does: Callable[[], Any] = lambda: GOOD) -> None:
        self.does = does
        self.asked = 0
        self.threads: set[str] = set()
        self.closed = threading.Event()

    async def read(self) -> Any:
        self.asked += 1
        self.threads.add(threading.current_thread().name)
        found = self.does()
        return await found if asyncio.iscoroutine(found) else found

    async def close(self) -> None:
        self.closed.set()


def attached(source: Any, *, interval_s: float = 0.02, limit_s: float = 0.2, seed: int = 0) -> Attachment:
    """A source that is asked often."""
    return Attachment("toy", source, interval_s=interval_s, limit_s=limit_s, rng=Random(seed))


@contextlib.asynccontextmanager
async def at_work(part: Any) -> AsyncIterator[Any]:
    """Something that runs until the block ends."""
    running = asyncio.create_task(part.run())
    try:
        yield part
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
