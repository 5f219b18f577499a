"""Tokens that say on which machine a peer runs, without naming it.

A token is a hash of one identifier, keyed with the secret of the network, or with its name where it has no secret. So
members see which peers share a machine, and nobody learns an identifier of it. With another secret or name, one machine
has other tokens. Any member can copy the token of another: it can claim to run beside it, nothing more.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated, Literal

from msgspec import Meta, Struct

TOKEN_BYTES = 8
HOST_ADDRESSES_MAX = 4
"""Public addresses of one machine in its tokens. Few machines have more."""

HostToken = Annotated[bytes, Meta(min_length=TOKEN_BYTES, max_length=TOKEN_BYTES)]
Identifier = Literal["boot", "machine", "network", "address"]


class HostTokens(Struct, frozen=True, array_like=True, gc=False):
    """Where one peer runs. None for what its agent could not read."""

    boot: HostToken | None = None
    """The running kernel: equal for all containers of a machine, different for two machines from one image."""
    machine: HostToken | None = None
    """The installed system: equal for all machines from one image that was not given an id of its own."""
    network: HostToken | None = None
    """Network interfaces that its agent sees: different for two containers, unless they use those of their machine."""
    addresses: Annotated[tuple[HostToken, ...], Meta(max_length=HOST_ADDRESSES_MAX)] = ()
    """Public addresses on the machine's own interfaces. The address of a router that translates is none of them."""


def host_key(secret: str, name: str) -> bytes:
    """The key of all tokens of a network: from its secret, or from its name if it has none."""
    source = f"secret {secret}" if secret else f"name {name}"
    return blake2b(source.encode(), digest_size=32, person=b"peerscope host").digest()


def host_token(key: bytes, what: Identifier, identifier: str) -> bytes:
    """The token of one identifier. Equal texts of two kinds give different tokens."""
    return blake2b(f"{what} {identifier}".encode(), digest_size=TOKEN_BYTES, key=key).digest()


@lru_cache(maxsize=16_384)
def ip_of(address: str) -> IPv4Address | IPv6Address | None:
    """The IP address in a "host:port"; None where the host is a name."""
    try:
        return ip_address(address.rpartition(":")[0].strip("[]"))
    except ValueError:
        return None
