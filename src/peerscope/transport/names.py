"""Looks up host names of the operator's settings, in the system's resolver or in DNS.

A resolver may take any time. So each lookup runs in a thread of its own, at most one per name, and a dial waits for
it a few seconds. Only names of our own settings are looked up, never those from other peers: a member could otherwise
make all others ask for any name.
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
"""How long a dial waits for its names; later answers serve the next dial."""
ADDRESSES_MAX = 16
"""Addresses of one name. A dial sends its first packet to each."""
TARGETS_MAX = 8
"""SRV records of one name to use."""
PAUSE_FIRST_S, PAUSE_MAX_S = 1.0, 60.0
"""Pause between two lookups of a name that fails; it doubles each time."""
SERVICE = "_peerscope._udp"

log = logging.getLogger(__name__)


class _Name:
    """One name, and the state of its lookups."""

    __slots__ = ("failures", "found", "next_at", "under_way")

    def __init__(self) -> None:
        self.found: tuple[str, ...] = ()
        self.failures = 0
        self.next_at = -inf
        self.under_way: asyncio.Future[tuple[str, ...]] | None = None


class Names:
    """Finds peers of our settings by their names."""

    def __init__(self, of: Mapping[PeerId, tuple[str, ...]] | None = None) -> None:
        """`of`: names by peer, each "name:port", or "name" with SRV records."""
        self._of = {peer: names for peer, names in (of or {}).items() if names}
        self._names: dict[str, _Name] = {name: _Name() for names in self._of.values() for name in names}

    async def addresses(self, peer: PeerId) -> tuple[str, ...]:
        """Look up the addresses of a peer, each "ip:port"; empty without names or answers."""
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
            except RuntimeError:  # no free thread now; the dial goes on without names
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
    """Look up "name:port", or the SRV records of "name": addresses, each "ip:port". Blocks, so call it in a thread.

    Raises `OSError` with a text for people if there are none.
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
    """Ask the system for the IP addresses of a name (A and AAAA, or /etc/hosts). Blocks. Raises `OSError`."""
    try:
        answers = socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    except UnicodeError:
        raise OSError("the name is not valid") from None
    except socket.gaierror as error:
        raise OSError(error.strerror or "the name is not known") from None
    found = dict.fromkeys(str(answer[4][0]) for answer in answers)
    return tuple(address for address in found if is_ip(address))[:ADDRESSES_MAX]


async def bindable(listen: str, key: str) -> str:
    """Find the "ip:port" for "host:port", whose host may be a name of this machine; IPv4 before IPv6.

    A port that is in use is no error here. Raises `ConfigError`, which names the key.
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
        if is_loopback(host):  # the check of the settings relied on that
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
    """Hosts and ports from the SRV records of a name, in order of preference (RFC 2782)."""
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
