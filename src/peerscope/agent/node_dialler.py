"""The sockets of dial-back: connects to the nodes of other peers by TCP, and closes at once."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Sequence

from peerscope.core import Effect, Event
from peerscope.host.addresses import split_address
from peerscope.mesh.dial_back import may_try
from peerscope.mesh.events import Tried, TryNode
from peerscope.records.bodies import DialOutcome
from peerscope.records.hosts import ip_of
from peerscope.records.identity import PeerId

TIMEOUT_S = 5.0
AT_ONCE = 2
NO_ROUTE = frozenset((errno.ENETUNREACH, errno.EHOSTUNREACH))
"""If they come after the first packet, a router or the last network on the way answered."""
OWN = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENOSPC, errno.EPERM))
"""Our own machine lacks something, whenever it says so."""


class NodeDialler:
    """Carries out `TryNode`, a few at a time."""

    def __init__(
        self,
        reached_at: Callable[[PeerId], str | None],
        feed: Callable[[Event], None],
        own_addresses: Callable[[], Sequence[str]],
    ) -> None:
        """`reached_at`: IP at which our connection with a peer arrives. `feed`: takes the answers. `own_addresses`:
        where others dial this agent."""
        self._reached_at = reached_at
        self._feed = feed
        self._own_addresses = own_addresses
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    def note(self, effect: Effect) -> None:
        """Take an effect of the core in."""
        if isinstance(effect, TryNode):
            task = asyncio.get_running_loop().create_task(self._try(effect.subject, effect.addresses))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Give up what is under way."""
        for task in self._tasks:
            task.cancel()

    async def _try(self, subject: PeerId, addresses: Sequence[str]) -> None:
        async with self._turn:
            outcomes = []
            for address in addresses:
                # Asked before each attempt: the peer may have moved.
                may = may_try(address, self._reached_at(subject)) and not self._is_ours(address)
                outcomes.append(await connect(address) if may else DialOutcome.ELSEWHERE)
        self._feed(Tried(subject, tuple(addresses), tuple(outcomes)))

    def _is_ours(self, address: str) -> bool:
        """It leads to this machine. A proxy in front of us may make all members seem to be here.

        A remote member could then probe our own ports. Only an agent that is reached on loopback alone tries loopback.
        """
        host, ours = ip_of(address), {ip_of(one) for one in self._own_addresses()}
        if all(one is not None and one.is_loopback for one in ours):
            return False
        return host is None or host.is_loopback or host in ours


async def connect(address: str, timeout_s: float = TIMEOUT_S) -> DialOutcome:
    """Connect to an "ip:port" and close. Nothing is sent or read."""
    host, port = split_address(address, "address")
    try:
        link = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    except OSError:
        return DialOutcome.UNABLE
    with link:
        link.setblocking(False)
        # An error at once is of this machine: it has no route, or a rule forbids. Only a port here refuses at once.
        first = link.connect_ex((host, port))
        if first == errno.ECONNREFUSED:
            return DialOutcome.REFUSED
        if first not in (0, errno.EINPROGRESS):
            return DialOutcome.UNABLE
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.get_running_loop().sock_connect(link, (host, port))
        except OSError as error:
            return _outcome(error)
    return DialOutcome.REACHED


def _outcome(error: OSError) -> DialOutcome:
    """Name the network's answer to the first packet."""
    if isinstance(error, TimeoutError):
        return DialOutcome.SILENT
    if isinstance(error, ConnectionRefusedError):
        return DialOutcome.REFUSED
    if error.errno in OWN:
        return DialOutcome.UNABLE
    return DialOutcome.NO_ROUTE if error.errno in NO_ROUTE else DialOutcome.FAILED
