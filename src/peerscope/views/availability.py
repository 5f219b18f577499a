"""Availability: for which share of a time the peers were up, as one agent saw them.

The base is two lists in the history. Changes say since when a peer has had which state. Watched times say when this
agent watched at all. A state lasts until the next one of the same peer, but not beyond the end of
the process that saw it. Time in which nobody watched is unknown: the agent did not run, or its machine slept.

Each second of a peer counts once:

    up       alive or suspect: a suspicion alone is no downtime
    down     down or partitioned: from here nobody reached the peer; also a planned absence that took too long
    planned  left with a goodbye, or down within a silence that was ordered in advance
    unknown  nobody watched

`up_ratio` is up / (up + down). A peer counts from the time at which this agent first knew it, and until it is
forgotten. Regions and the network add up the seconds of their peers, so each peer has the same weight.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from itertools import accumulate
from math import inf
from typing import Literal

from msgspec import Struct

from peerscope.records.identity import PeerId

HOUR_S, DAY_S = 3600.0, 86_400.0
WINDOWS = {"1h": HOUR_S, "24h": DAY_S, "7d": 7 * DAY_S, "30d": 30 * DAY_S}
"""Windows of the metrics and of the page."""
ABSENCE_S = 2.0
"""A longer time without a turn of the core is absence. The core takes a turn at least every second."""


class WatchedState(IntEnum):
    """State of a peer. Files hold these numbers, so only append."""

    ALIVE = 0
    SUSPECT = 1
    DOWN = 2
    PARTITIONED = 3
    LEFT = 4
    PLANNED = 5
    """Down within a silence that was ordered in advance, or left with an announcement."""
    OVERDUE = 6
    """It left with an announcement, and the announced time is over."""
    FORGOTTEN = 7
    """No longer known, so its time does not count."""


UP = (WatchedState.ALIVE, WatchedState.SUSPECT)
DOWN = (WatchedState.DOWN, WatchedState.PARTITIONED, WatchedState.OVERDUE)
PLANNED = (WatchedState.LEFT, WatchedState.PLANNED)

Scope = Literal["peer", "region", "network"]


class StateChange(Struct, frozen=True):
    """From this time on a peer had this state."""

    peer: PeerId
    at: float
    """Unix seconds."""
    state: int


class WatchedTime(Struct, frozen=True):
    """A time in which this agent watched without a break."""

    begin: float
    until: float
    is_start: bool
    """A process began with it, so states from before do not hold."""


class WatchedPeer(Struct, frozen=True):
    """The history of one peer."""

    peer: PeerId
    region: str | None
    since: float
    """Unix seconds at which this agent first knew it."""
    changes: tuple[tuple[float, int], ...]
    """(Unix seconds, state), by time. The first may be before the window."""


class Availability(Struct, frozen=True):
    """Share of time by state, of one peer, one region or the network."""

    scope: Scope
    id: str
    """Full id of a peer, name of a region, or "network"."""
    since: float
    """Unix seconds at which the window begins."""
    up_ratio: float | None
    """up / (up + down); null if neither was seen."""
    down_s: float
    unknown_s: float
    window_s: float = 0.0
    """Seconds that count: up, down, planned and unknown. A region has the sum over its peers."""
    up_s: float = 0.0
    planned_s: float = 0.0
    suspect_s: float = 0.0
    """Part of `up_s`."""
    by_verdict: dict[str, float] = {}
    """Seconds of each state that occurred."""
    peers: int = 1
    """Peers with any time in the window."""
    region: str | None = None
    """The region of a peer; null for other rows."""


def availability(
    watched: Iterable[WatchedPeer], times: Sequence[WatchedTime], since: float, until: float
) -> list[Availability]:
    """The network, then regions, then peers, by id. `times`: sorted by their begin."""
    if times and 0 <= until - times[-1].until <= ABSENCE_S:
        until = times[-1].until  # the present second is not over
    clock = WatchClock(times)
    counted = [(one, seconds) for one in watched if (seconds := _count(one, clock, since, until)) is not None]
    regions: dict[str, list[_Seconds]] = {}
    for one, seconds in counted:
        if one.region is not None:
            regions.setdefault(one.region, []).append(seconds)
    peers = (_row("peer", one.peer.hex(), since, [seconds], one.region) for one, seconds in counted)
    return [
        _row("network", "network", since, [seconds for _, seconds in counted]),
        *(_row("region", name, since, regions[name]) for name in sorted(regions)),
        *sorted(peers, key=lambda row: row.id),
    ]


class WatchClock:
    """Counts the seconds in which this agent watched."""

    def __init__(self, times: Sequence[WatchedTime]) -> None:
        """`times`: sorted by their begin. Where two overlap, since a clock was set back, the later begin counts."""
        self._begins = [one.begin for one in times]
        self._ends = [min(one.until, after) for one, after in zip(times, [*self._begins[1:], inf], strict=False)]
        self._before = [0.0, *accumulate(end - begin for begin, end in zip(self._begins, self._ends, strict=True))]
        self._process_ends: list[float] = []
        end = 0.0
        for index in range(len(times) - 1, -1, -1):
            if index == len(times) - 1 or times[index + 1].is_start:
                end = self._ends[index]
            self._process_ends.append(end)
        self._process_ends.reverse()

    def seconds(self, begin: float, end: float) -> float:
        """Watched seconds between two times."""
        return max(0.0, self._until(end) - self._until(begin))

    def process_end(self, at: float) -> float:
        """When the process that watched at this time last watched; this time itself if none did."""
        place = bisect_right(self._begins, at) - 1
        return max(at, self._process_ends[place]) if place >= 0 else at

    @property
    def last(self) -> float:
        """When anybody last watched."""
        return self._ends[-1] if self._ends else 0.0

    def _until(self, at: float) -> float:
        place = bisect_right(self._begins, at) - 1
        if place < 0:
            return 0.0
        return self._before[place] + min(at, self._ends[place]) - self._begins[place]


class _Seconds(Struct, frozen=True):
    by_state: dict[WatchedState, float]
    unknown: float


def _count(one: WatchedPeer, clock: WatchClock, since: float, until: float) -> _Seconds | None:
    """Count the seconds of one peer; None if it has none in the window."""
    begin, end = max(since, one.since), until
    by_state: dict[WatchedState, float] = defaultdict(float)
    forgotten = 0.0
    last_end = begin
    held = max(0, bisect_right(one.changes, (begin, inf)) - 1)
    for at, next_at, number in _spans(one.changes[held:], until):
        state = WatchedState(number)
        if state is WatchedState.FORGOTTEN:
            forgotten += max(0.0, next_at - max(at, begin))
            last_end = at
        else:
            last_end = min(next_at, clock.process_end(at))
            first = max(at, begin)
            if last_end > first:
                by_state[state] += clock.seconds(first, last_end)
    if last_end < clock.last:  # not seen again: known no longer, or this agent has not found it again yet
        end = min(end, max(last_end, begin))
        if one.changes and one.changes[-1][1] == WatchedState.FORGOTTEN:
            forgotten -= max(0.0, until - max(one.changes[-1][0], begin))
    total = end - begin - forgotten
    if total <= 0:
        return None
    return _Seconds(by_state, max(0.0, total - sum(by_state.values())))


def _spans(changes: Sequence[tuple[float, int]], until: float) -> Iterator[tuple[float, float, int]]:
    """(begin, end, state) of each change before `until`."""
    for (at, state), (next_at, _) in zip(changes, [*changes[1:], (until, -1)], strict=False):
        if at < until:
            yield at, min(next_at, until), state


def _row(scope: Scope, name: str, since: float, counted: Sequence[_Seconds], region: str | None = None) -> Availability:
    by_state: dict[WatchedState, float] = defaultdict(float)
    for one in counted:
        for state, seconds in one.by_state.items():
            by_state[state] += seconds
    up, down, planned = (sum(by_state[state] for state in states) for states in (UP, DOWN, PLANNED))
    unknown = sum(one.unknown for one in counted)
    return Availability(
        scope=scope,
        id=name,
        since=since,
        up_ratio=up / (up + down) if up + down > 0 else None,
        down_s=_short(down),
        unknown_s=_short(unknown),
        window_s=_short(up + down + planned + unknown),
        up_s=_short(up),
        planned_s=_short(planned),
        suspect_s=_short(by_state[WatchedState.SUSPECT]),
        by_verdict={state.name.lower(): _short(by_state[state]) for state in WatchedState if by_state[state] > 0},
        peers=len(counted),
        region=region,
    )


def _short(seconds: float) -> float:
    return round(seconds, 3)
