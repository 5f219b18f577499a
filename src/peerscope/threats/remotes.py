"""New connections of the monitored node by remote: how many the busiest one opened in a minute.

A flood may come from more remotes than fit in memory. So only the busiest are counted (Space-Saving: Metwally, Agrawal
and El Abbadi 2005). A remote that takes the place of another inherits its count as a possible error. Its certain
connections are its count less that error.

A relay is no remote: it passes on the connections of its users. So the user counts, and nobody where only the relay is
known.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from ipaddress import ip_address

from msgspec import Struct

WINDOW_S = 60.0
STEP_S = 2.0
COUNTED_MAX = 256
_MULTIADDR = re.compile(r"/(?:ip[46]|dns[46]?)/([^/]+)")
_WITH_PORT = re.compile(r"(?:[a-z][a-z0-9+.-]*://)?(?:\[(.+)\](?::[0-9]+)?|([^:]+):[0-9]+)\Z")
_IPV4 = re.compile(r"[0-9]+(?:\.[0-9]+){3}\Z")
_ID = re.compile(r"/(?:p2p|ipfs)/([^/]+)")
RELAYED = "/p2p-circuit"


class Busiest(Struct, frozen=True):
    """The remote with the most new connections in one minute."""

    remote: str
    opened: int
    """For certain."""
    of: int
    """New connections of all remotes in that minute."""


class RemoteCount:
    """The busiest remotes of one step."""

    def __init__(self) -> None:
        self.total = 0
        self._counts: dict[str, int] = {}
        self._errors: dict[str, int] = {}

    def add(self, remote: str | None) -> None:
        """Count one more; of an unknown remote only in the total."""
        self.total += 1
        if remote is None:
            return
        if remote in self._counts:
            self._counts[remote] += 1
        elif len(self._counts) < COUNTED_MAX:
            self._counts[remote], self._errors[remote] = 1, 0
        else:
            least = min(self._counts, key=self._counts.__getitem__)
            error = self._counts.pop(least)
            del self._errors[least]
            self._counts[remote], self._errors[remote] = error + 1, error

    def certain(self) -> dict[str, int]:
        """Connections that each remote opened for certain."""
        return {remote: count - self._errors[remote] for remote, count in self._counts.items()}


class Remotes:
    """New connections by remote in the last minute, which slides in steps of `STEP_S`. `now` is monotonic seconds."""

    def __init__(self) -> None:
        self._steps: deque[tuple[int, RemoteCount]] = deque()

    def opened(self, remote: str, now: float) -> None:
        """The node has a new connection with an id or an address."""
        step = int(now // STEP_S)
        if not self._steps or self._steps[-1][0] < step:
            self._forget(step)
            self._steps.append((step, RemoteCount()))
        self._steps[-1][1].add(user_of(remote))

    def busiest(self, now: float) -> Busiest | None:
        """The busiest remote; None without any connection of a known one."""
        self._forget(int(now // STEP_S))
        certain: Counter[str] = Counter()
        for _, counted in self._steps:
            certain.update(counted.certain())
        if not certain:
            return None
        opened, remote = max((count, remote) for remote, count in certain.items())
        return Busiest(remote, opened, sum(counted.total for _, counted in self._steps))

    def _forget(self, step: int) -> None:
        while self._steps and self._steps[0][0] <= step - WINDOW_S / STEP_S:
            self._steps.popleft()


def user_of(remote: str) -> str | None:
    """The remote without what differs for each connection; an id as it is.

    That is the address without its port. Through a relay it is the id of the user, as the relay carries many; None if
    the text does not name one.
    """
    _, is_relayed, behind = remote.rpartition(RELAYED)
    if is_relayed:
        user = _ID.search(behind)
        return user.group(1) if user else None
    if found := _MULTIADDR.search(remote):
        return _plain(found.group(1))
    found = _WITH_PORT.match(remote)
    address = next(part for part in found.groups() if part) if found else remote
    is_address = found is None or found.group(1) is not None or _IPV4.match(address)
    return _plain(address) if is_address else remote


def _plain(address: str) -> str:
    """One spelling of an IP address; other text as it is."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    return str(getattr(ip, "ipv4_mapped", None) or ip)
