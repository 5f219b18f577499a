"""Entries of `peer.join`: tickets, and ids of peers with their addresses or names.

A ticket holds addresses, which may change with the machine's lease. So an entry can also be ID@HOST:PORT, where the
host may be a name, or ID@NAME, whose SRV records give host and port. Each entry has the id: a connection proves it, so
another machine that answers for a name cannot pose as the peer.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from peerscope.errors import ConfigError
from peerscope.host.addresses import is_direct, is_ip, is_name, is_port
from peerscope.host.extras import brought_by
from peerscope.records.identity import PEER_ID_BYTES, PeerId
from peerscope.transport.iroh import parse_ticket

ENTRIES_MAX = 256
"""The agent dials each missing peer, and looks up each of its names, again and again."""


class Start(Struct, frozen=True):
    """Where to find a peer to start from."""

    addresses: tuple[str, ...] = ()
    """Each "host:port" with an IP address, or the URL of a relay."""
    names: tuple[str, ...] = ()
    """Each "name:port", or "name" with SRV records; looked up at each dial."""

    @property
    def places(self) -> tuple[str, ...]:
        """All names and addresses, for people."""
        return self.names + self.addresses


def parse_joins(entries: Iterable[str], key: str = "peer.join") -> dict[PeerId, Start]:
    """Parse all entries, and combine those of one peer. Raises `ConfigError`, which names the key."""
    found: dict[PeerId, Start] = {}
    for number, entry in enumerate(entries):
        if number >= ENTRIES_MAX:
            raise ConfigError(f"{key} has more than {ENTRIES_MAX} entries; two or three are enough")
        try:
            peer, start = parse_join(entry)
        except ConfigError as error:
            raise ConfigError(f"{key}: {error}") from None
        known = found.get(peer, Start())
        found[peer] = Start(_union(known.addresses, start.addresses), _union(known.names, start.names))
    return found


def parse_join(entry: str) -> tuple[PeerId, Start]:
    """Parse a peer and its place. Raises `ConfigError`."""
    text = entry.strip()
    identity, at, place = text.partition("@")
    if not at:
        host = text.rpartition(":")[0] or text
        if is_ip(host.strip("[]")) or (is_name(host) and ("." in host or ":" in text)):
            raise ConfigError(
                f"{text[:80]!r} does not say which peer; put its id in front, as ID@{text[:80]}, or give its ticket; "
                "`peerscope init` prints the id, `peerscope run` the ticket"
            )
        peer, addresses = parse_ticket(text)
        return peer, Start(addresses)
    peer = _id(identity, text)
    if is_name(place):
        with brought_by("dns", "ID@NAME, a name without a port,"):
            import dns.resolver  # noqa: F401
        return peer, Start(names=(place,))
    if is_direct(place):
        return peer, Start((place,))
    host, _, port = place.rpartition(":")
    if not (is_name(host) and is_port(port)):
        raise ConfigError(
            f"{place[:80]!r} is no address of a peer; write ID@HOST:PORT, for example ID@seed.example.org:4600, or "
            "ID@NAME where the name has SRV records"
        )
    return peer, Start(names=(place,))


def _id(text: str, entry: str) -> PeerId:
    try:
        peer = bytes.fromhex(text)
    except ValueError:
        peer = b""
    if len(peer) != PEER_ID_BYTES or not text.isalnum():
        raise ConfigError(
            f"{entry[:80]!r}: the part before the @ must be the id of a peer, {2 * PEER_ID_BYTES} hexadecimal digits"
        )
    return PeerId(peer)


def _union(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one + other))
