"""Identity of a peer: an Ed25519 public key (RFC 8032), with short forms for people and links."""

from __future__ import annotations

from typing import NewType, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PeerId = NewType("PeerId", bytes)
"""32 bytes: the public key. Hexadecimal in JSON and on screens."""

PeerRef = NewType("PeerRef", bytes)
"""The first 8 bytes of a PeerId. Enough to name a peer inside one network: finding a second key
with the same 64 bits costs about 2**64 key generations."""

PEER_ID_BYTES = 32
PEER_REF_BYTES = 8
SIGNATURE_BYTES = 64
SHORT_HEX = 10


def ref(peer: PeerId) -> PeerRef:
    """The 8-byte form in records and announcements."""
    return PeerRef(peer[:PEER_REF_BYTES])


def short(peer: PeerId | PeerRef) -> str:
    """Ten hex digits for people; the command line accepts any unambiguous prefix."""
    return peer.hex()[:SHORT_HEX]


class Signer(Protocol):
    """Signs with the key of a peer. The simulator has a cheaper one."""

    @property
    def peer_id(self) -> PeerId: ...

    def sign(self, data: bytes) -> bytes: ...


class Verifier(Protocol):
    """Returns whether `signature` is `peer`'s over `data`. Never raises, whatever the bytes."""

    def __call__(self, peer: PeerId, data: bytes, signature: bytes) -> bool: ...


class Identity:
    """An Ed25519 key pair; the same key is the transport's endpoint key."""

    def __init__(self, secret: bytes) -> None:
        """`secret`: the 32-byte seed of RFC 8032. Raises ValueError on another length."""
        self._key = Ed25519PrivateKey.from_private_bytes(secret)
        self._peer_id = PeerId(self._key.public_key().public_bytes_raw())

    @property
    def peer_id(self) -> PeerId:
        return self._peer_id

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data)


def verify_ed25519(peer: PeerId, data: bytes, signature: bytes) -> bool:
    """The `Verifier` of real networks."""
    try:
        Ed25519PublicKey.from_public_bytes(peer).verify(signature, data)
    except (InvalidSignature, ValueError):  # ValueError: the bytes are no key at all
        return False
    return True
