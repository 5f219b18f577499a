"""What `peer.join` may hold: tickets, and ids with the addresses or names at which such a peer is found.

A ticket holds addresses. They end with the machine's lease, so a peer can also be given as ID@HOST:PORT, where the host
may be a name, or as ID@NAME, whose SRV records say host and port. The id stands in each entry: a connection proves it,
so that whoever answers for a name cannot stand in for the peer.
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
"""Each peer that is missed is dialled, and each of its names looked up, again and again."""


class Start(Struct, frozen=True):
    """A peer to start from."""

    addresses: tuple[str, ...] = ()
    """Each "host:port" with an IP address, or the URL of a relay."""
    names: tuple[str, ...] = ()
    """Each "name:port", or "name" where SRV records say the rest; looked up at each dial."""

    @property
    def places(self) -> tuple[str, ...]:
        """All of it, for people to read."""
        return self.names + self.addresses


def parse_joins(entries: Iterable[str], key: str = "peer.join") -> dict[PeerId, Start]:
    """Everything to start from, by peer; of several entries for one peer all hold. Raises `ConfigError` under a key."""
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
    """A peer and where it is. Raises `ConfigError`."""
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
            f"{place[:80]!r} is no place of a peer; write ID@HOST:PORT, for example ID@seed.example.org:4600, or "
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
            f"{entry[:80]!r}: what stands before the @ must be the id of a peer, {2 * PEER_ID_BYTES} hexadecimal digits"
        )
    return PeerId(peer)


def _union(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one + other))
