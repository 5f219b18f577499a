"""What all peers measured: the last five minutes and the last day, kept in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from peerscope.host.failures import FailureLog
from peerscope.mesh.events import Effect, Forgotten, Stored
from peerscope.views.aggregates import NetworkMetrics, network_metrics
from peerscope.views.links import MergedLink
from peerscope.views.snapshot import Snapshot
from peerscope.views.trends import MINUTE_S, Day, Minute, look
from peerscope.views.window import Window


class Aggregates:
    """Collects every peer's reports as they come, and looks at the network once a minute."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        links: Callable[[], list[MergedLink]],
        failure_log: FailureLog | None = None,
    ) -> None:
        """`moment`, `links`: how to look at the network now. `looks`: counts those that fail."""
        self.window = Window()
        self.day = Day()
        self._snapshot = snapshot
        self._links = links
        self._failure_log = failure_log or FailureLog()

    def note(self, effect: Effect) -> None:
        """Take an effect of the core in."""
        match effect:
            case Stored(entry):
                self.window.note(entry)
            case Forgotten(peer):
                self.window.forget(peer)
            case _:
                pass

    def metrics(self) -> NetworkMetrics:
        """Aggregates and trends now."""
        snapshot = self._snapshot()
        return network_metrics(snapshot, self.window, self.day.trends(snapshot.wall))

    async def run(self, recall: Awaitable[list[Minute]] | None = None) -> None:
        """Look once in every minute of the wall clock. `recall`: what an earlier life saw."""
        if recall is not None:
            with self._failure_log.at("the recall of the last day"):
                self.day.restore(await recall)
        while True:
            await asyncio.sleep(MINUTE_S - time.time() % MINUTE_S)
            with self._failure_log.at("the tally of the minute"):
                self.day.note(look(self._snapshot(), self._links()))
