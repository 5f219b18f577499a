"""Host names of the operator's own settings, looked up in the system's resolver or in DNS.

A look-up may take as long as the resolver likes. So each runs in a thread of its own, at most one for each name, and
who asks waits a few seconds. Names come from our own settings only: what other peers say of their addresses is never
looked up, since a member could otherwise make all others ask for any name.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Mapping
from math import inf

from peerscope.errors import ConfigError
from peerscope.host.addresses import is_ip, is_loopback, is_name, join_address, split_address
from peerscope.host.threads import in_thread
from peerscope.records.identity import PeerId, short

WAIT_S = 5.0
"""How long a dial waits for its names; those that answer later serve the next one."""
ADDRESSES_MAX = 16
"""Of one name. A dial sends its first packet to each."""
TARGETS_MAX = 8
"""Of the SRV records of one name."""
PAUSE_FIRST_S, PAUSE_MAX_S = 1.0, 60.0
"""Between two look-ups of a name that fails; each time twice as long."""
SERVICE = "_peerscope._udp"

log = logging.getLogger(__name__)


class _Name:
    """One name, and how its look-ups went."""

    __slots__ = ("failures", "found", "next_at", "under_way")

    def __init__(self) -> None:
        self.found: tuple[str, ...] = ()
        self.failures = 0
        self.next_at = -inf
        self.under_way: asyncio.Future[tuple[str, ...]] | None = None


class Names:
    """The names by which peers of our settings are found."""

    def __init__(self, of: Mapping[PeerId, tuple[str, ...]] | None = None) -> None:
        """`of`: each "name:port", or "name" for its SRV records."""
        self._of = {peer: names for peer, names in (of or {}).items() if names}
        self._names: dict[str, _Name] = {name: _Name() for names in self._of.values() for name in names}

    async def addresses(self, peer: PeerId) -> tuple[str, ...]:
        """Where a peer's names lead now, each "ip:port"; empty where it has none, or none of them answers."""
        names = self._of.get(peer, ())
        if not names:
            return ()
        found = await asyncio.gather(*(self._look_up(name, peer) for name in names))
        return tuple(dict.fromkeys(address for addresses in found for address in addresses))[: 2 * ADDRESSES_MAX]

    async def _look_up(self, text: str, peer: PeerId) -> tuple[str, ...]:
        name, now = self._names[text], asyncio.get_running_loop().time()
        if name.under_way is None:
            if now < name.next_at:
                return ()
            try:
                name.under_way = in_thread(lambda: look_up(text), f"name {text}")
            except RuntimeError:  # no thread to be had now; the dial goes on without
                return ()
            name.under_way.add_done_callback(lambda done: self._ended(text, peer, done))
        await asyncio.wait((name.under_way,), timeout=WAIT_S)
        return name.found if name.under_way is None else ()

    def _ended(self, text: str, peer: PeerId, done: asyncio.Future[tuple[str, ...]]) -> None:
        name = self._names[text]
        name.under_way = None
        error = None if done.cancelled() else done.exception()
        if done.cancelled() or error is not None:
            name.found = ()
            name.failures += 1
            pause_s = min(PAUSE_FIRST_S * 2.0 ** min(name.failures - 1, 16), PAUSE_MAX_S)
            name.next_at = asyncio.get_running_loop().time() + pause_s
            if name.failures == 1:
                log.warning("%s of peer %s in peer.join: %s; still trying", text, short(peer), error)
            return
        if name.failures:
            log.info("%s of peer %s in peer.join is found again", text, short(peer))
        name.found, name.failures, name.next_at = done.result(), 0, -inf


def look_up(text: str) -> tuple[str, ...]:
    """Addresses, each "ip:port", of "name:port", or of the SRV records of "name". Waits, so call it in a thread.

    Raises `OSError` with a text for people where there are none.
    """
    targets = [split_address(text, "name")] if ":" in text else _targets(text)
    found: dict[str, None] = {}
    trouble: OSError | None = None
    for host, port in targets:
        try:
            found |= dict.fromkeys(join_address(address, port) for address in hosts(host))
        except OSError as error:
            trouble = error
    if not found:
        raise trouble or OSError("no address")
    return tuple(found)[:ADDRESSES_MAX]


def hosts(name: str) -> tuple[str, ...]:
    """IP addresses of a name (A and AAAA, or /etc/hosts), as the system has them. Waits. Raises `OSError`."""
    try:
        answers = socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    except UnicodeError:
        raise OSError("no name that can be looked up") from None
    except socket.gaierror as error:
        raise OSError(error.strerror or "the name is not known") from None
    found = dict.fromkeys(str(answer[4][0]) for answer in answers)
    return tuple(address for address in found if is_ip(address))[:ADDRESSES_MAX]


async def bindable(listen: str, key: str) -> str:
    """The "ip:port" to listen on, of "host:port" whose host may be a name of this machine; IPv4 before IPv6.

    Leaves the port free; one that is taken is no matter here. Raises `ConfigError` that names the key.
    """
    host, port = split_address(listen, key)
    found: tuple[str, ...] = (host,)
    if not is_ip(host):
        if not is_name(host):
            raise ConfigError(f"{key} is {listen!r}: {host!r} is neither an IP address nor a host name")
        looking = in_thread(lambda: hosts(host), f"name {host}")
        try:
            async with asyncio.timeout(WAIT_S):
                found = await looking
        except TimeoutError:
            raise ConfigError(f"{key} is {listen!r}: no answer about the name within {WAIT_S:g} s") from None
        except OSError as error:
            raise ConfigError(f"{key} is {listen!r}: the name cannot be looked up: {error}") from None
        if is_loopback(host):  # the settings were checked for one that only this machine reaches
            found = tuple(address for address in found if is_loopback(address))
    trouble = "it has no address"
    for address in sorted(found, key=lambda one: ":" in one):
        try:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.bind((address, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                trouble = f"{address} cannot be used here: {error.strerror}"
                continue
        return join_address(address, port)
    raise ConfigError(f"{key} is {listen!r}: {trouble}; name an address of this machine")


def _targets(name: str) -> list[tuple[str, int]]:
    """Hosts and ports of a name's SRV records, the preferred first (RFC 2782)."""
    import dns.exception
    import dns.resolver

    asked = f"{SERVICE}.{name}"
    try:
        answer = dns.resolver.Resolver().resolve(asked, "SRV", lifetime=WAIT_S)
    except (dns.exception.DNSException, OSError, UnicodeError) as error:
        raise OSError(f"no SRV records of {asked}: {error}") from None
    records = sorted(answer, key=lambda one: (one.priority, -one.weight))[:TARGETS_MAX]
    found = [(one.target.to_text(omit_final_dot=True), one.port) for one in records]
    targets = [(host, port) for host, port in found if host and port]
    if not targets:
        raise OSError(f"the SRV records of {asked} say that there is no such service")
    return targets
