"""Crawls of one network at several times: joined, left and changed peers, and the lengths of sessions.

A session is a run of crawls in which a peer answered. Between two crawls nobody looks. So a session lasted at least
from its first crawl to its last, and at most from the crawl before to the crawl after. Where it touches the first or
last crawl, it may have begun earlier or go on: it is open. Medians over closed sessions alone would be too short, as
long sessions are the open ones (Stutzbach and Rejaie 2006). So the view gives both numbers. A crawl that a limit ended
did not look everywhere: a peer it lacks may still be there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median

import msgspec
from msgspec import Struct

from peerscope.errors import ConfigError
from peerscope.views.crawl import CrawlView


class CrawlMoment(Struct, frozen=True):
    """One of the compared crawls."""

    at: float
    peers: int
    unreachable: int
    is_complete: bool


class VersionChange(Struct, frozen=True):
    """A peer that says another version than before."""

    peer_id: str
    old: str | None
    new: str | None


class Sessions(Struct, frozen=True):
    """Lengths of sessions over all compared crawls."""

    closed: int
    open: int
    """Sessions that touch the first or the last crawl."""
    closed_s_median: float | None
    """Half of the closed sessions lasted at least so long, by their first and last crawl."""
    closed_s_median_max: float | None
    """The same by the crawls before and after: the longest that they can have lasted."""
    open_s_median: float | None
    open_s_max: float | None
    returned: int
    """Peers that went and came back."""


class CrawlChanges(Struct, frozen=True):
    """Changes from the last but one crawl to the last, and sessions over all."""

    crawls: tuple[CrawlMoment, ...]
    joined: tuple[str, ...]
    left: tuple[str, ...]
    """Peers that no longer answer."""
    left_named: int
    """Those that left and that others still name."""
    stayed: int
    versions: tuple[VersionChange, ...]
    presence: tuple[int, ...]
    """Peers that answered in exactly one crawl, in two, and so on."""
    sessions: Sessions


def decode_crawl(data: bytes, name: str, *, now: float) -> CrawlView:
    """The result of `crawl --json`, of before `now` in Unix seconds.

    Raises `ConfigError`, which begins with the name of the file.
    """
    try:
        view = msgspec.json.decode(data, type=CrawlView)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # ValueError: invalid UTF-8
        raise ConfigError(f"{name} is no result of `peerscope crawl --json`: {error}") from None
    if view.at is None:
        raise ConfigError(f"{name} has no time `at`: an older version wrote it, so crawl again")
    if not 0.0 <= view.at < 1e11:
        raise ConfigError(f"{name} has no possible time `at`: {view.at}")
    if view.at > now:  # sorted by time, it would turn those that joined into those that left
        raise ConfigError(f"{name} is from the future: it began {view.at - now:.0f} s from now; is a clock wrong?")
    seen = Counter([*(peer.peer_id for peer in view.peers), *(gone.peer_id for gone in view.unreachable)])
    if seen and (most := max(seen, key=seen.__getitem__)) and seen[most] > 1:
        raise ConfigError(f"{name} has the peer {most} {seen[most]} times")
    return view


def changes(crawls: Sequence[tuple[str, CrawlView]]) -> CrawlChanges:
    """Compare two or more crawls, each with a name for messages. Raises `ConfigError`."""
    ordered = sorted(crawls, key=lambda crawl: crawl[1].at or 0.0)
    for (one, earlier), (other, later) in pairwise(ordered):
        if earlier.network != later.network:
            raise ConfigError(f"{one} is a crawl of {earlier.network}, but {other} of {later.network}")
        if earlier.at == later.at:
            raise ConfigError(f"{one} and {other} have the same time: are they one crawl?")
    views = [view for _, view in ordered]
    times = [view.at or 0.0 for view in views]
    answered = [{peer.peer_id: peer.version for peer in view.peers} for view in views]
    old, new = answered[-2], answered[-1]
    left = old.keys() - new.keys()
    presence = [0] * len(views)
    sessions: list[tuple[int, int]] = []
    returned = 0
    for peer in set().union(*answered):
        own = list(_runs([peer in crawl for crawl in answered]))
        returned += len(own) > 1
        presence[sum(last - first + 1 for first, last in own) - 1] += 1
        sessions += own
    return CrawlChanges(
        crawls=tuple(
            CrawlMoment(at, len(view.peers), len(view.unreachable), view.stopped is None and not view.unasked)
            for at, view in zip(times, views, strict=True)
        ),
        joined=tuple(sorted(new.keys() - old.keys())),
        left=tuple(sorted(left)),
        left_named=len(left & {gone.peer_id for gone in views[-1].unreachable}),
        stayed=len(old.keys() & new.keys()),
        versions=tuple(
            VersionChange(peer, old[peer], new[peer])
            for peer in sorted(old.keys() & new.keys())
            if old[peer] != new[peer]
        ),
        presence=tuple(presence),
        sessions=_lengths(sessions, times, returned),
    )


def _runs(present: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """First and last crawl of each run of crawls with the peer."""
    first = None
    for number, here in enumerate([*present, False]):
        if here and first is None:
            first = number
        elif not here and first is not None:
            yield first, number - 1
            first = None


def _lengths(sessions: Sequence[tuple[int, int]], times: Sequence[float], returned: int) -> Sessions:
    end = len(times) - 1
    closed = [(first, last) for first, last in sessions if first > 0 and last < end]
    still = [times[last] - times[first] for first, last in sessions if first == 0 or last == end]
    return Sessions(
        closed=len(closed),
        open=len(still),
        closed_s_median=_median([times[last] - times[first] for first, last in closed]),
        closed_s_median_max=_median([times[last + 1] - times[first - 1] for first, last in closed]),
        open_s_median=_median(still),
        open_s_max=round(max(still), 3) if still else None,
        returned=returned,
    )


def _median(values: Sequence[float]) -> float | None:
    return round(median(values), 3) if values else None
