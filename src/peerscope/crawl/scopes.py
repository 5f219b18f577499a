"""Which addresses a crawl may dial: those that others name are claims, and each dial is a packet in our name.

An address has a scope: public, private (RFC 1918, RFC 6598, unique local), loopback, link-local, or none of them. A
peer may name addresses of its own scope and of wider ones. So a public node cannot make the crawler probe the
operator's own network or machine, while a node on loopback may name any of them. Nobody can name multicast, reserved
and unspecified addresses, well-known metadata services of clouds, or addresses that carry another one inside (mapped,
NAT64, 6to4, Teredo). The operator may still begin at any address: seeds are not checked.
"""

from __future__ import annotations

from collections.abc import Hashable
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Generic, TypeVar

_LOOPBACK_6 = IPv6Address(1)

IpAddress = IPv4Address | IPv6Address
A = TypeVar("A", bound=Hashable)


class AddressScope(IntEnum):
    """How far an address reaches. A peer may name addresses of its own scope and of lower numbers."""

    PUBLIC = 0
    PRIVATE = 1
    LOOPBACK = 2
    LINK_LOCAL = 3
    NEVER = 4


METADATA = frozenset(
    map(ip_address, ("169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "fd00:ec2::254"))
)
"""AWS, Google and others; containers of AWS; Alibaba; Azure; AWS by IPv6. They give credentials to any asker."""
_PRIVATE = tuple(
    map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "198.18.0.0/15"))
)
_CARRIERS = tuple(
    map(ip_network, ("::ffff:0:0/96", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32"))
)


def scope(address: IpAddress) -> AddressScope:
    """AddressScope of an address."""
    if address == _LOOPBACK_6:  # within ::/96
        return AddressScope.LOOPBACK
    if address in METADATA or address.is_multicast or address.is_unspecified:
        return AddressScope.NEVER
    if any(address in network for network in _CARRIERS if network.version == address.version):
        return AddressScope.NEVER
    if address.is_loopback:
        return AddressScope.LOOPBACK
    if any(address in network for network in _PRIVATE if network.version == address.version):
        return AddressScope.PRIVATE
    if address.is_link_local:
        return AddressScope.LINK_LOCAL
    return AddressScope.PUBLIC if address.is_global and not address.is_reserved else AddressScope.NEVER


def may_name(source: IpAddress, named: IpAddress) -> bool:
    """May a peer at `source` send the crawler to `named`?"""
    reach = scope(named)
    return reach is not AddressScope.NEVER and reach <= scope(source)


class RefusedAddresses(Generic[A]):
    """Addresses that the crawl does not dial, each counted once, up to a limit."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._addresses: set[A] = set()

    def __len__(self) -> int:
        return len(self._addresses)

    def add(self, address: A) -> None:
        """Count it."""
        if len(self._addresses) < self._most:
            self._addresses.add(address)
