"""The statuses of every peer over the last hour, as this agent saw them. Kept in memory, bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from msgspec import Struct

from peerscope.records.identity import PeerId

WINDOW_S = 3600.0
CHANGES_MAX = 720
"""Changes kept per peer: one every five seconds for an hour."""
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
        """Take a status in; True if it differs from the last."""
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
        """The status last noted of one peer."""
        changes = self._changes.get(peer)
        return changes[-1].status if changes else None

    def of(self, peer: PeerId) -> tuple[Change, ...]:
        """The changes of one peer, oldest first."""
        return tuple(self._changes.get(peer, ()))

    def all(self) -> Iterable[tuple[PeerId, Iterable[Change]]]:
        """The changes of every peer, each oldest first."""
        return self._changes.items()

    def forget(self, peer: PeerId) -> None:
        """Nobody remembers this peer."""
        self._changes.pop(peer, None)
