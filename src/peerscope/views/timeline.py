"""The last hour, as this agent saw it: statuses of peers and links, bounded and in memory.

`replay` gives statuses and links at a beginning, and their changes since then. Links have no round-trip times. After
more changes than the limits allow, the hour begins later, and `Replay.since` shows when.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from math import inf

from msgspec import Struct

from peerscope.records.identity import PeerId
from peerscope.views.links import MergedLink

WINDOW_S = 3600.0
CHANGES_MAX = 720
"""Most changes per peer: one every five seconds for an hour."""
PEERS_MAX = 10_000


class Change(Struct, frozen=True):
    """From this time on the peer had this status."""

    at: float
    """Unix seconds."""
    status: str


class Timeline:
    """Changes of status, by peer."""

    def __init__(self) -> None:
        self._changes: dict[PeerId, deque[Change]] = {}

    def observe(self, peer: PeerId, status: str, wall: float) -> bool:
        """Record a status; return True if it differs from the last."""
        changes = self._changes.get(peer)
        if changes is None:
            if len(self._changes) >= PEERS_MAX:
                return False
            changes = self._changes[peer] = deque(maxlen=CHANGES_MAX)
        is_news = not changes or changes[-1].status != status
        if is_news:
            changes.append(Change(wall, status))
        while len(changes) > 1 and changes[1].at <= wall - WINDOW_S:
            changes.popleft()  # the one that still held when the window began stays
        return is_news

    def last(self, peer: PeerId) -> str | None:
        """The last status of one peer."""
        changes = self._changes.get(peer)
        return changes[-1].status if changes else None

    def of(self, peer: PeerId) -> tuple[Change, ...]:
        """The changes of one peer, oldest first."""
        return tuple(self._changes.get(peer, ()))

    def all(self) -> Iterable[tuple[PeerId, Iterable[Change]]]:
        """The changes of every peer, each oldest first."""
        return self._changes.items()

    def forget(self, peer: PeerId) -> None:
        """Drop this peer."""
        self._changes.pop(peer, None)


LINK_CHANGES_MAX = 50_000
"""Most changes in an hour: a network of 10,000 peers that falls apart and heals."""
STATUS_CHANGES_MAX = 100_000

Key = tuple[str, str, str]
"""Both ends and the layer."""


class Replay(Struct, frozen=True):
    """The network between two times. Seconds count from `since`; numbers stand for names, statuses and layers."""

    since: float
    """Unix seconds; later than the query if less is known."""
    until: float
    names: tuple[str, ...]
    """Full ids of peers, then ends of links that are not known peers."""
    statuses: tuple[str, ...]
    layers: tuple[str, ...]
    peers: tuple[tuple[int, int], ...]
    """(name, status) of each peer at the beginning."""
    links: tuple[tuple[int, int, int], ...]
    """(end, other end, layer) of each link at the beginning."""
    status_changes: tuple[tuple[float, int, int], ...]
    """(seconds, name, status), by time."""
    link_changes: tuple[tuple[float, int, int, int, bool], ...]
    """(seconds, end, other end, layer, whether it came up), by time."""


class LinkPast:
    """Keeps the links of the last hour."""

    def __init__(self) -> None:
        self.begin = inf
        """Links are known from this Unix second on."""
        self._base: set[Key] = set()
        """The links at `begin`."""
        self._present: frozenset[Key] = frozenset()
        self._changes: deque[tuple[float, Key, bool]] = deque()
        self._seen: Sequence[MergedLink] | None = None
        self._at = 0.0

    def observe(self, links: Sequence[MergedLink], wall: float) -> None:
        """Record the links at this time. The same object as last time means that nothing changed."""
        at = self._at = max(self._at, wall)  # a clock that was set back changes no order
        if links is not self._seen:
            present = frozenset((link.source, link.target, link.layer) for link in links)
            if self.begin == inf:
                self.begin, self._base = at, set(present)
            else:
                self._changes.extend((at, key, False) for key in sorted(self._present - present))
                self._changes.extend((at, key, True) for key in sorted(present - self._present))
            self._seen, self._present = links, present
        self._forget(at - WINDOW_S)

    def links_at(self, since: float) -> set[Key]:
        """The links at a time that is not before `begin`."""
        found = set(self._base)
        for at, key, up in self._changes:
            if at > since:
                break
            _apply(found, key, up)
        return found

    def changes(self, since: float) -> Iterator[tuple[float, Key, bool]]:
        """Links that came and went after that time, oldest first."""
        return (change for change in self._changes if change[0] > since)

    def _forget(self, before: float) -> None:
        while self._changes and (len(self._changes) > LINK_CHANGES_MAX or self._changes[0][0] <= before):
            self.begin, key, up = self._changes.popleft()
            _apply(self._base, key, up)
        self.begin = max(self.begin, before)


def replay(timeline: Timeline, past: LinkPast, since: float, now: float) -> Replay:
    """Statuses and links from `since` until `now`, both Unix seconds, as far as they are kept."""
    since = min(now, max(since, now - WINDOW_S, past.begin))
    changes = sorted(
        (
            (change.at, peer.hex(), change.status)
            for peer, held in timeline.all()
            for change in held
            if change.at > since
        ),
    )
    if len(changes) > STATUS_CHANGES_MAX:
        changes = changes[-STATUS_CHANGES_MAX:]
        since = max(since, changes[0][0])
        changes = [change for change in changes if change[0] > since]
    names, statuses, layers = _Numbers(), _Numbers(), _Numbers()
    peers = []
    for peer, held in timeline.all():
        place = names[peer.hex()]
        if before := [change.status for change in held if change.at <= since]:
            peers.append((place, statuses[before[-1]]))
    return Replay(
        since=since,
        until=now,
        peers=tuple(peers),
        status_changes=tuple((_after(since, at), names[peer], statuses[status]) for at, peer, status in changes),
        links=tuple((names[one], names[other], layers[layer]) for one, other, layer in sorted(past.links_at(since))),
        link_changes=tuple(
            (_after(since, at), names[one], names[other], layers[layer], up)
            for at, (one, other, layer), up in past.changes(since)
        ),
        names=tuple(names),
        statuses=tuple(statuses),
        layers=tuple(layers),
    )


class _Numbers(dict[str, int]):
    """Numbers words in the order of their first use."""

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self)
        return number


def _apply(links: set[Key], key: Key, up: bool) -> None:
    if up:
        links.add(key)
    else:
        links.discard(key)


def _after(since: float, at: float) -> float:
    return round(at - since, 1)
