"""Who may join: a shared secret, proved without being shown.

The transport has already proved each end's peer id. The proof binds the secret to both ids, in order, so that it
can neither be sent back to its maker nor used by anybody else.
"""

from __future__ import annotations

import hmac
from hashlib import blake2b

from msgspec import Struct

from peerscope.errors import ConfigError, RemoteError
from peerscope.mesh.messages import WIRE_VERSION, Hello, Neighbors
from peerscope.records.identity import PeerId


class NetworkConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which network this peer belongs to."""

    name: str = "peerscope"
    """Peers of another name are refused."""
    public: bool = False
    """Strangers are members: observers behind one address prefix then have one voice together."""
    secret: str = ""
    """Known to all members, 16 characters or more; empty: whoever reaches our port and knows the name may join."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= 64 or not self.name.isprintable():
            raise ConfigError(f"network.name is {self.name!r}; must be 1 to 64 printable characters")
        if self.secret and len(self.secret) < 16:
            raise ConfigError(
                "network.secret is too short to keep anybody out; use 16 characters or more, "
                "for example from `openssl rand -hex 16`"
            )


def prove(config: NetworkConfig, sender: PeerId, receiver: PeerId) -> bytes:
    """What `sender` shows `receiver`; empty where the network has no secret."""
    if not config.secret:
        return b""
    key = blake2b(config.secret.encode(), digest_size=32, person=b"peerscope secret").digest()
    return blake2b(sender + receiver, key=key, digest_size=32, person=b"peerscope proof").digest()


def admit(hello: Hello | Neighbors, sender: PeerId, me: PeerId, config: NetworkConfig) -> None:
    """Raise `RemoteError` ("wire-version", "other-network", "not-a-member") unless the sender may be answered."""
    if not hello.wire_min <= WIRE_VERSION <= hello.wire_max:
        raise RemoteError("wire-version", f"it speaks {hello.wire_min} to {hello.wire_max}, we {WIRE_VERSION}")
    if hello.network != config.name:
        raise RemoteError("other-network", "it belongs to a network of another name")
    if not hmac.compare_digest(hello.proof, prove(config, sender, me)):
        raise RemoteError("not-a-member", "it did not prove the network's secret")
