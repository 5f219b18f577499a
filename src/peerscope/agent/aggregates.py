"""What all peers measured: the last five minutes and the last day, kept in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from peerscope.host.failures import Looks
from peerscope.mesh.events import Effect, Forgotten, Stored
from peerscope.views.aggregates import NetworkMetrics, network_metrics
from peerscope.views.links import Link
from peerscope.views.snapshot import Moment
from peerscope.views.trends import MINUTE_S, Day, Minute, look
from peerscope.views.window import Window


class Tally:
    """Collects every peer's reports as they come, and looks at the network once a minute."""

    def __init__(
        self, moment: Callable[[], Moment], links: Callable[[], list[Link]], looks: Looks | None = None
    ) -> None:
        """`moment`, `links`: how to look at the network now. `looks`: counts those that fail."""
        self.window = Window()
        self.day = Day()
        self._moment = moment
        self._links = links
        self._looks = looks or Looks()

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
        moment = self._moment()
        return network_metrics(moment, self.window, self.day.trends(moment.wall))

    async def run(self, recall: Awaitable[list[Minute]] | None = None) -> None:
        """Look once in every minute of the wall clock. `recall`: what an earlier life saw."""
        if recall is not None:
            with self._looks.at("the recall of the last day"):
                self.day.restore(await recall)
        while True:
            await asyncio.sleep(MINUTE_S - time.time() % MINUTE_S)
            with self._looks.at("the tally of the minute"):
                self.day.note(look(self._moment(), self._links()))
