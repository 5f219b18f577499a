"""Trends of the network: the last hour against the 23 before it.

The agent keeps one value per minute for a day. Trends compare means over minutes, so one hour weighs as much as
twenty-three.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean, median
from typing import Literal

from msgspec import Struct

from peerscope.records.bodies import RATIO_ONE
from peerscope.records.identity import PeerId
from peerscope.views.links import MergedLink
from peerscope.views.snapshot import Snapshot

MINUTE_S = 60
HOUR = 60
"""Minutes."""
DAY = 24 * HOUR
STEADY_RATIO = 0.05
"""A smaller change counts as stable."""
LATELY_MIN = HOUR // 2
BEFORE_MIN = HOUR
"""Known minutes of the last hour, and of those before, that a trend needs."""

Direction = Literal["up", "down", "stable", "unknown"]


class Trend(Struct, frozen=True):
    """One number, then and now."""

    direction: Direction
    change_ratio: float | None
    """Share of the previous value; null if that is 0 or unknown."""
    current: float | None
    """Mean of the last hour."""
    previous: float | None
    """Mean of the 23 hours before."""


class Trends(Struct, frozen=True):
    """Trends of the network."""

    peer_count: Trend
    average_latency: Trend
    """Trend of the median over all links."""
    error_rate: Trend
    """Trend of the mean error ratio over the nodes, or over the mesh if no peer has a node."""


class Minute(Struct, frozen=True):
    """The network in one minute."""

    at: float
    """Unix seconds at which the minute began."""
    peers: float | None = None
    """Living peers with a fresh report."""
    latency_s: float | None = None
    error_ratio: float | None = None
    is_of_nodes: bool = False
    """The error ratio is that of nodes. Else it is that of the mesh, since no peer has a node."""


def look(snapshot: Snapshot, links: Sequence[MergedLink]) -> Minute:
    """Measure this minute. `links`: those between agents."""
    reports = [report for peer in active_peers(snapshot) if (report := snapshot.fresh_reports[peer]) is not None]
    rtts = [link.measured_s for link in links if link.measured_s is not None]
    measured = [report.metrics for report in reports if report.metrics is not None]
    with_node = [metrics for metrics in measured if metrics.node is not None]
    errors = [
        metrics.performance.error / RATIO_ONE
        for metrics in with_node or measured
        if metrics.performance.error is not None
    ]
    return Minute(
        at=snapshot.wall // MINUTE_S * MINUTE_S,
        peers=len(reports),
        latency_s=median(rtts) if rtts else None,
        error_ratio=fmean(errors) if errors else None,
        is_of_nodes=bool(with_node),
    )


def active_peers(snapshot: Snapshot) -> list[PeerId]:
    """Living peers with a fresh report."""
    return [peer for peer, report in snapshot.living_reports.items() if report is not None]


class Day:
    """Keeps the minutes of the last 24 hours."""

    def __init__(self) -> None:
        self._minutes: dict[float, Minute] = {}

    def note(self, minute: Minute) -> None:
        """Keep one minute; a second value for it replaces the first."""
        self._minutes[minute.at] = minute
        oldest = minute.at - (DAY - 1) * MINUTE_S
        for at in [at for at in self._minutes if not oldest <= at <= minute.at]:  # later ones: the clock was set back
            del self._minutes[at]

    def minutes(self) -> list[Minute]:
        """Known minutes, oldest first; there may be gaps."""
        return [self._minutes[at] for at in sorted(self._minutes)]

    def restore(self, minutes: Iterable[Minute]) -> None:
        """Add minutes of an earlier process, except those that this one has itself."""
        earlier = sorted(minutes, key=lambda minute: minute.at)[-DAY:]
        self._minutes = {minute.at: minute for minute in earlier} | self._minutes

    def trends(self, wall: float) -> Trends:
        """The trends at this Unix time."""
        turn, begin = wall - HOUR * MINUTE_S, wall - DAY * MINUTE_S
        minutes = self.minutes()
        lately = [minute for minute in minutes if turn < minute.at <= wall]
        before = [minute for minute in minutes if begin < minute.at <= turn]
        return Trends(
            peer_count=trend([m.peers for m in lately], [m.peers for m in before]),
            average_latency=trend([m.latency_s for m in lately], [m.latency_s for m in before]),
            error_rate=trend(_errors(lately, minutes), _errors(before, minutes)),
        )


def _errors(some: Sequence[Minute], minutes: Sequence[Minute]) -> list[float | None]:
    """Error ratios of the layer that is measured now: nodes and mesh are not compared with each other."""
    return [one.error_ratio if one.is_of_nodes == minutes[-1].is_of_nodes else None for one in some]


def trend(last_hour: Sequence[float | None], before: Sequence[float | None]) -> Trend:
    """Compare the last hour with the 23 hours before, by minute; None is a minute without a value."""
    lately, earlier = ([value for value in values if value is not None] for values in (last_hour, before))
    current = fmean(lately) if lately else None
    previous = fmean(earlier) if earlier else None
    if current is None or previous is None or len(lately) < LATELY_MIN or len(earlier) < BEFORE_MIN:
        return Trend("unknown", None, current, previous)
    if previous == 0:
        return Trend("stable" if current == 0 else "up", 0.0 if current == 0 else None, current, previous)
    change_ratio = (current - previous) / previous
    if abs(change_ratio) <= STEADY_RATIO:
        return Trend("stable", change_ratio, current, previous)
    return Trend("up" if change_ratio > 0 else "down", change_ratio, current, previous)
