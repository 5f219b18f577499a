"""Changes in the network as one peer sees it: verdicts, statuses and regions; and the past hour and day."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from peerscope.records.bodies import Observations, Profile, Report
from peerscope.records.identity import PeerId
from peerscope.records.ledger import Entry
from peerscope.views.aggregates import NetworkMetrics, network_metrics
from peerscope.views.changes import RegionChange, RegionChanges, VerdictChange, VerdictChanges
from peerscope.views.links import MergedLink
from peerscope.views.regions import RegionHealth
from peerscope.views.snapshot import Snapshot
from peerscope.views.timeline import LinkPast, Timeline
from peerscope.views.trends import MINUTE_S, Day, look
from peerscope.views.verdict_log import VerdictLog
from peerscope.views.window import Window


class StatusChanged(Struct, frozen=True):
    """A peer has another status than before, or is seen for the first time; an effect of the core."""

    peer: PeerId
    status: str


class PeerForgotten(Struct, frozen=True):
    """A peer with a known status is no longer remembered; an effect of the core."""

    peer: PeerId
    status: str
    """The last one."""


class News:
    """Remembers what was reported of each peer and region, and what all peers measured."""

    def __init__(self, region_hold_s: float) -> None:
        """`region_hold_s`: how long a region's change must last."""
        self.timeline = Timeline()
        """Statuses of the last hour."""
        self.verdict_log = VerdictLog()
        """States of all peers for the history, with the times in which we watched."""
        self.links = LinkPast()
        """Which links there were over the last hour."""
        self.window = Window()
        """Measurements of all peers in the last five minutes."""
        self.day = Day()
        """The minutes of the last day."""
        self._verdicts = VerdictChanges()
        self._regions = RegionChanges(region_hold_s)
        self._has_evidence = False
        self._minute: float | None = None

    @property
    def is_calm(self) -> bool:
        """Nobody is suspected, so time alone changes no verdict."""
        return self._verdicts.is_calm

    def stored(self, entry: Entry) -> bool:
        """Take a record in that is news; True if verdicts may change with it."""
        self.window.note(entry)
        if isinstance(entry.body, Observations | Profile):
            self._has_evidence = True
            return True
        if isinstance(entry.body, Report):
            last = self.timeline.last(entry.record.peer_id)
            self._has_evidence = self._has_evidence or entry.body.status.name.lower() != last
        return False

    def forgotten(self, peer: PeerId) -> list[PeerForgotten]:
        """Drop what is known of a peer."""
        last = self.timeline.last(peer)
        self.window.forget(peer)
        self.timeline.forget(peer)
        return [] if last is None else [PeerForgotten(peer, last)]

    def verdicts(self, snapshot: Snapshot) -> list[VerdictChange]:
        """Verdicts that have changed."""
        return self._verdicts.update(snapshot)

    def statuses(self, snapshot: Snapshot, *, is_again: bool = False) -> list[StatusChanged]:
        """Statuses that have changed since the last evidence. `is_again`: look also without, as reports expire."""
        if not (self._has_evidence or is_again):
            return []
        self._has_evidence = not self.is_calm  # then time alone brings news
        found = ((peer, snapshot.statuses[peer]) for peer in snapshot.peers)
        return [StatusChanged(*one) for one in found if self.timeline.observe(*one, snapshot.wall)]

    def regions(self, found: list[RegionHealth], now: float) -> list[RegionChange]:
        """Regions whose status has changed for long enough."""
        return self._regions.update(found, now)

    def is_new_minute(self, wall: float) -> bool:
        """A minute of the wall clock has begun since the last call."""
        before, self._minute = self._minute, wall // MINUTE_S
        return before not in (None, self._minute)

    def count_minute(self, snapshot: Snapshot, links: Sequence[MergedLink]) -> None:
        """Keep what the network is like in this minute."""
        self.day.note(look(snapshot, links))

    def metrics(self, snapshot: Snapshot) -> NetworkMetrics:
        """Aggregates and trends now."""
        return network_metrics(snapshot, self.window, self.day.trends(snapshot.wall))
