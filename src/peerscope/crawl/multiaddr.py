"""The part of libp2p's ids and multiaddrs that a crawl needs: base58 ids, and TCP over IP."""

from __future__ import annotations

import re
from hashlib import sha256
from ipaddress import ip_address
from typing import NamedTuple

from peerscope.crawl.scopes import IpAddress

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
ID_CHARACTERS_MAX = 64
_TCP = re.compile(
    r"/ip[46]/(?P<ip>[0-9a-fA-F.:]{2,45})/tcp/(?P<port>[0-9]{1,5})(/p2p/(?P<peer>[1-9A-HJ-NP-Za-km-z]+))?", re.ASCII
)
_NAMED = re.compile(
    r"/dns[46]?/(?P<name>[A-Za-z0-9._-]{1,253})/tcp/(?P<port>[0-9]{1,5})/p2p/(?P<peer>[1-9A-HJ-NP-Za-km-z]+)", re.ASCII
)


class TcpAddress(NamedTuple):
    """Where a node listens."""

    ip: IpAddress
    port: int

    def __str__(self) -> str:
        return f"/ip{self.ip.version}/{self.ip}/tcp/{self.port}"


def tcp_address(text: str, peer: str | None = None) -> TcpAddress | None:
    """The address of a multiaddr if it is plain TCP over IP, and of this peer where it names one."""
    found = _TCP.fullmatch(text)
    if found is None or (found["peer"] is not None and peer is not None and found["peer"] != peer):
        return None
    try:
        ip = ip_address(found["ip"])
    except ValueError:
        return None
    port = int(found["port"])
    if not 0 < port <= 65535 or f"/ip{ip.version}/" != text[:5]:
        return None
    return TcpAddress(ip, port)


def seed(text: str) -> tuple[str, str, int] | None:
    """Peer, host and port of a multiaddr to begin at, whose host may be a name; None if it is no such."""
    found = _TCP.fullmatch(text) or _NAMED.fullmatch(text)
    if found is None or found["peer"] is None or kad_id(found["peer"]) is None or not 0 < int(found["port"]) <= 65535:
        return None
    return found["peer"], found.groupdict().get("ip") or found["name"], int(found["port"])


def kad_id(peer: str) -> int | None:
    """Place of a peer in the key space: the SHA-256 of its id's bytes. None if the id is not base58."""
    if not 0 < len(peer) <= ID_CHARACTERS_MAX or any(character not in ALPHABET for character in peer):
        return None
    number = 0
    for character in peer:
        number = number * 58 + ALPHABET.index(character)
    zeros = len(peer) - len(peer.lstrip("1"))
    return int.from_bytes(sha256(bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8)).digest())
