"""What an agent tells of its network as it happens: links, verdicts, statuses, regions.

Verdicts are judged soon after evidence arrives and, while somebody is suspected, also as time passes; statuses and
regions at leisure. Whatever other peers say, nothing here ends the agent.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from peerscope.host.clock import monotonic
from peerscope.host.duty_cycle import DutyCycle
from peerscope.host.failures import FailureLog
from peerscope.mesh.events import Effect, Forgotten, KeyShared, LinkChanged, Stored
from peerscope.records.bodies import Observations, OtherLife, Profile, Report
from peerscope.views.changes import RegionChanges, VerdictChanges
from peerscope.views.links import MergedLink
from peerscope.views.regions import RegionHealth
from peerscope.views.snapshot import Snapshot
from peerscope.views.timeline import LinkPast, Timeline

JUDGE_INTERVAL_S = 0.25
"""Between judgements while somebody is suspected."""
TOGETHER_S = 0.02
"""Evidence that arrives within this time is judged together."""
STATUSES_S = 1.0
REGIONS_S = 5.0

NEW_IDENTITY = "stop the agent on the copy, and run there: peerscope init --new-identity --state DIR"
"""What to do where two agents run with one key."""

log = logging.getLogger(__name__)

Listener = Callable[[dict[str, Any]], None]


class EventLog:
    """Turns the core's effects and the passing of time into events for whoever listens."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        regions: Callable[[], list[RegionHealth]],
        links: Callable[[], Sequence[MergedLink]],
        region_hold_s: float,
        failure_log: FailureLog | None = None,
    ) -> None:
        """`moment`, `regions`, `links`: how to look at the network now. `looks`: counts those that fail."""
        self.timeline = Timeline()
        self.links = LinkPast()
        """Which links there were over the last hour."""
        self.regions: list[RegionHealth] = []
        """Every region, as of the last look: a few seconds ago."""
        self._snapshot = snapshot
        self._look_at_regions = regions
        self._look_at_links = links
        self._failure_log = failure_log or FailureLog()
        self._listeners: list[Listener] = []
        self._verdicts = VerdictChanges()
        self._regions = RegionChanges(region_hold_s)
        self._is_stirred = False
        self._judging: asyncio.TimerHandle | None = None
        self._judgement = DutyCycle()

    def listen(self, listener: Listener) -> None:
        """Call with every event: {"event": ..., "at": Unix seconds, ...}."""
        self._listeners.append(listener)

    def tell(self, event: str, **values: object) -> None:
        """Give every listener one event."""
        message = {"event": event, "at": time.time(), **values}
        for listener in self._listeners:
            with self._failure_log.at("a listener to events"):
                listener(message)

    def note(self, effect: Effect) -> None:
        """Take an effect of the core in."""
        match effect:
            case LinkChanged(peer, up, reason):
                self.tell("link", peer_id=peer.hex(), up=up, reason=reason)
            case Stored(entry):
                if isinstance(entry.body, Observations | Profile):
                    self._is_stirred = True
                    self._judge_in(TOGETHER_S)
                elif isinstance(entry.body, Report):
                    told = self.timeline.last(entry.record.peer_id)
                    self._is_stirred = self._is_stirred or entry.body.status.name.lower() != told
            case Forgotten(peer):
                if (told := self.timeline.last(peer)) is not None:
                    self.tell("forgotten", peer_id=peer.hex(), status=told)
                self.timeline.forget(peer)
            case KeyShared(others):
                self._note_sharers(others)
            case _:
                pass

    async def run(self) -> None:
        """Statuses for the timeline, within a second after news; everything again after a while, as reports expire."""
        await asyncio.sleep(JUDGE_INTERVAL_S)  # our own profile is in the ledger by then
        reviewing, again_at = DutyCycle(), 0.0
        try:
            while True:
                now = monotonic()
                with self._failure_log.at("the review of peers"), reviewing.looking():
                    if self._is_stirred or now >= again_at:
                        self._is_stirred = not self._verdicts.is_calm  # then time alone brings news
                        if self._note_statuses():
                            self._note_links()  # who is found down has lost its links with that
                    if now >= again_at:
                        again_at = now + REGIONS_S
                        self._note_regions()
                        self._note_links()
                await asyncio.sleep(reviewing.wait_s(STATUSES_S))
        finally:
            if self._judging is not None:
                self._judging.cancel()

    def _note_sharers(self, others: Sequence[OtherLife]) -> None:
        places = [{"addresses": one.addresses, "region": one.region} for one in others]
        self.tell("shared-key", others=places)
        if others:
            where = "; ".join(", ".join(one.addresses) or "an unknown address" for one in others)
            log.error("another agent runs with this peer's key, at %s: %s", where, NEW_IDENTITY)
        else:
            log.warning("no other agent runs with this peer's key any more")

    def _judge_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if self._judging is not None:
            if self._judging.when() <= loop.time() + seconds:
                return
            self._judging.cancel()
        self._judging = loop.call_later(seconds, self._judge)

    def _judge(self) -> None:
        self._judging = None
        with self._failure_log.at("the verdicts on peers"), self._judgement.looking():
            self._note_verdicts()
        if not self._verdicts.is_calm:  # then verdicts also change with time alone
            self._judge_in(self._judgement.wait_s(JUDGE_INTERVAL_S))

    def _note_verdicts(self) -> None:
        for change in self._verdicts.update(self._snapshot()):
            self.tell(
                "verdict",
                peer_id=change.peer.hex(),
                verdict=change.verdict.value,
                majority=change.majority,
                accused_by=change.accused_by,
                observers=change.observers,
            )

    def _note_statuses(self) -> bool:
        """True if one has changed."""
        snapshot, has_news = self._snapshot(), False
        for peer in snapshot.peers:
            state = snapshot.statuses[peer]
            if self.timeline.observe(peer, state, snapshot.wall):
                self.tell("status", peer_id=peer.hex(), status=state)
                has_news = True
        return has_news

    def _note_links(self) -> None:
        self.links.observe(self._look_at_links(), self._snapshot().wall)

    def _note_regions(self) -> None:
        self.regions = self._look_at_regions()
        for change in self._regions.update(self.regions, monotonic()):
            self.tell("region", **msgspec.structs.asdict(change))
