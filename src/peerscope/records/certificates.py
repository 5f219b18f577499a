"""Membership signed by an operator: certificates and their revocations.

A certificate states that a peer belongs to a network for a time. Others cannot use it, since a connection proves the
id of the peer at its other end. A revocation names a serial number or a peer. It voids the certificate with that
number, or all certificates of that peer that began before; a later one is good again.

Both are Ed25519 signatures (RFC 8032) of a key that signs nothing else. A prefix of the signed bytes distinguishes them
from each other and from records. Members merge revocations as a set that only grows until they expire, so they agree in
whatever order they receive them.
"""

from __future__ import annotations

import struct
from typing import Annotated

from msgspec import Meta, Struct

from peerscope.records.identity import PEER_ID_BYTES, SIGNATURE_BYTES, PeerId, Signer, verify_ed25519
from peerscope.records.texts import Milliseconds, Name

SERIAL_BYTES = 8
REVOCATIONS_MAX = 96
"""As many as one record has room for, about 150 bytes each."""
CERTIFICATE_BYTES_MAX = 440
"""With the longest network name."""
_CERTIFICATE = b"peerscope certificate 1\0"
_REVOCATION = b"peerscope revocation 1\0"
_SPAN = struct.Struct(">QQ")

Id = Annotated[bytes, Meta(min_length=PEER_ID_BYTES, max_length=PEER_ID_BYTES)]
Serial = Annotated[bytes, Meta(min_length=SERIAL_BYTES, max_length=SERIAL_BYTES)]
Signature = Annotated[bytes, Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]


class Certificate(Struct, frozen=True, array_like=True, gc=False):
    """An operator's word that a peer is a member."""

    subject: Id
    network: Name
    serial: Serial
    not_before_ms: Milliseconds
    """Wall clock, milliseconds since 1970; the same for all times here."""
    not_after_ms: Milliseconds
    operator: Id
    signature: Signature

    def is_signed(self) -> bool:
        """The signature is the operator's. Settings of the reader say whether it trusts that operator."""
        data = _certified(self.subject, self.network, self.serial, self.not_before_ms, self.not_after_ms)
        return verify_ed25519(PeerId(self.operator), data, self.signature)


class Revocation(Struct, frozen=True, array_like=True, gc=False):
    """An operator's word that one certificate, or all certificates of a peer, are void."""

    target: Annotated[bytes, Meta(min_length=SERIAL_BYTES, max_length=PEER_ID_BYTES)]
    """A serial number, or a peer's id."""
    revoked_at_ms: Milliseconds
    not_after_ms: Milliseconds
    """All that it revokes has expired by then, and peers forget it."""
    operator: Id
    signature: Signature

    def is_signed(self, network: str) -> bool:
        """The signature is the operator's, for this network."""
        data = _revoked(self.target, network, self.revoked_at_ms, self.not_after_ms)
        return verify_ed25519(PeerId(self.operator), data, self.signature)

    def voids(self, certificate: Certificate) -> bool:
        """It voids this certificate."""
        if self.target == certificate.serial:
            return self.operator == certificate.operator
        return self.target == certificate.subject and certificate.not_before_ms <= self.revoked_at_ms


class Revoked(Struct, frozen=True, array_like=True, gc=False):
    """Body of a record: revocations that its origin passes on, each signed by its operator."""

    items: Annotated[tuple[Revocation, ...], Meta(max_length=REVOCATIONS_MAX)] = ()
    certificate: Certificate | None = None
    """As in `Orders`."""


def certify(
    operator: Signer, subject: PeerId, network: str, *, serial: bytes, not_before_ms: int, not_after_ms: int
) -> Certificate:
    """Sign a certificate for one peer. `serial`: eight bytes that this operator never used before."""
    signature = operator.sign(_certified(subject, network, serial, not_before_ms, not_after_ms))
    return Certificate(subject, network, serial, not_before_ms, not_after_ms, operator.peer_id, signature)


def revoke(operator: Signer, target: bytes, network: str, *, revoked_at_ms: int, not_after_ms: int) -> Revocation:
    """Sign a revocation. `target`: a serial number or a peer's id."""
    signature = operator.sign(_revoked(target, network, revoked_at_ms, not_after_ms))
    return Revocation(target, revoked_at_ms, not_after_ms, operator.peer_id, signature)


def _certified(subject: bytes, network: str, serial: bytes, not_before_ms: int, not_after_ms: int) -> bytes:
    # Only the last part has no fixed length, so that no two certificates have the same bytes.
    return b"".join((_CERTIFICATE, subject, serial, _SPAN.pack(not_before_ms, not_after_ms), network.encode()))


def _revoked(target: bytes, network: str, revoked_at_ms: int, not_after_ms: int) -> bytes:
    return b"".join(
        (_REVOCATION, bytes((len(target),)), target, _SPAN.pack(revoked_at_ms, not_after_ms), network.encode())
    )
