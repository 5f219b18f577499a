"""New connections of the monitored node by remote: how many the busiest one opened in a minute.

A flood may come from more remotes than fit in memory. So only the busiest are counted (Space-Saving: Metwally, Agrawal
and El Abbadi 2005). A remote that takes the place of another inherits its count as a possible error. Its certain
connections are its count less that error.
"""

from __future__ import annotations

import re

from msgspec import Struct

WINDOW_S = 60.0
COUNTED_MAX = 256
_MULTIADDR = re.compile(r"/(?:ip[46]|dns[46]?)/([^/]+)")
_WITH_PORT = re.compile(r"\[(.+)\](?::[0-9]+)?\Z|([^:]+):[0-9]+\Z")


class Busiest(Struct, frozen=True):
    """The remote with the most new connections in one minute."""

    remote: str
    opened: int
    """For certain."""
    of: int
    """New connections of all remotes in that minute."""


class RemoteCount:
    """The busiest remotes of one minute."""

    def __init__(self) -> None:
        self.total = 0
        self._counts: dict[str, int] = {}
        self._errors: dict[str, int] = {}

    def add(self, remote: str) -> None:
        """Count one more."""
        self.total += 1
        if remote in self._counts:
            self._counts[remote] += 1
        elif len(self._counts) < COUNTED_MAX:
            self._counts[remote], self._errors[remote] = 1, 0
        else:
            least = min(self._counts, key=self._counts.__getitem__)
            error = self._counts.pop(least)
            del self._errors[least]
            self._counts[remote], self._errors[remote] = error + 1, error

    def busiest(self) -> Busiest | None:
        """The remote that opened the most for certain; None without any."""
        if not self._counts:
            return None
        opened, remote = max((count - self._errors[remote], remote) for remote, count in self._counts.items())
        return Busiest(remote, opened, self.total)


class Remotes:
    """New connections by remote in this minute and the one before. `now` is monotonic seconds."""

    def __init__(self) -> None:
        self._minute = 0
        self._now, self._before = RemoteCount(), RemoteCount()

    def opened(self, remote: str, now: float) -> None:
        """The node has a new connection with an id or an address."""
        self._turn(now)
        self._now.add(host_of(remote))

    def busiest(self, now: float) -> Busiest | None:
        """The busiest remote of either minute; None without any connection."""
        self._turn(now)
        found = [one for one in (self._now.busiest(), self._before.busiest()) if one is not None]
        return max(found, key=lambda one: one.opened, default=None)

    def _turn(self, now: float) -> None:
        minute = int(now // WINDOW_S)
        if minute != self._minute:
            self._before = self._now if minute == self._minute + 1 else RemoteCount()
            self._minute, self._now = minute, RemoteCount()


def host_of(remote: str) -> str:
    """The address without its port, which differs for each connection; an id as it is."""
    found = _MULTIADDR.search(remote) or _WITH_PORT.match(remote)
    return next(part for part in found.groups() if part) if found else remote
