"""Records: signed, versioned statements of one peer, of one kind each.

No peer can issue records of another: the origin's key signs origin, kind, version, date and body. Versions order the
records of one origin only; nobody compares the clocks of two peers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from hashlib import blake2b
from typing import Annotated

from msgspec import Meta, Struct

from peerscope.errors import RemoteError
from peerscope.records.bodies import Body, decode_body, encode_body, kind_of
from peerscope.records.identity import PEER_ID_BYTES, SIGNATURE_BYTES, PeerId, Signer, Verifier, verify_ed25519

VERSION_MAX = 2**53 - 1
KINDS_MAX = 32
_CONTEXT = b"peerscope record 1\0"
_HEAD = struct.Struct(">BQQ")


class Record(Struct, frozen=True, array_like=True, gc=False):
    """A signed statement, as it crosses the wire."""

    origin: Annotated[bytes, Meta(min_length=PEER_ID_BYTES, max_length=PEER_ID_BYTES)]
    kind: Annotated[int, Meta(ge=0, lt=KINDS_MAX)]
    version: Annotated[int, Meta(ge=1, le=VERSION_MAX)]
    """max(previous + 1, the origin's wall clock in milliseconds)."""
    ahead_ms: Annotated[int, Meta(ge=0, le=VERSION_MAX)]
    """How far the version runs ahead of the origin's wall clock; 0 unless that clock went backwards."""
    body: bytes
    signature: Annotated[bytes, Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]

    @property
    def peer_id(self) -> PeerId:
        """The origin, typed."""
        return PeerId(self.origin)

    @property
    def issued_at(self) -> float:
        """Unix seconds by the origin's own wall clock."""
        return (self.version - self.ahead_ms) / 1000

    def signed_bytes(self) -> bytes:
        """The canonical bytes under the signature."""
        return _signed_bytes(self.origin, self.kind, self.version, self.ahead_ms, self.body)

    def digest(self) -> bytes:
        """16 bytes that identify the statement, equal for two valid signatures over it."""
        return blake2b(self.signed_bytes(), digest_size=16).digest()


def sign(signer: Signer, body: Body, *, version: int, wall_ms: int) -> Record:
    """Issue a record. `wall_ms`: our wall clock now, in milliseconds."""
    kind, data, origin = kind_of(body), encode_body(body), signer.peer_id
    ahead_ms = max(0, version - wall_ms)
    signature = signer.sign(_signed_bytes(origin, kind, version, ahead_ms, data))
    return Record(origin, kind, version, ahead_ms, data, signature)


def verify(record: Record, verifier: Verifier) -> Body:
    """Return the body of a valid record.

    Raises `RemoteError`: "malformed-record", "malformed-body", "malformed-sketch", "oversized-body", "forged". Decoding
    comes before the signature, since it is cheaper by far.
    """
    if record.ahead_ms > record.version:
        raise RemoteError("malformed-record", "dated before 1970")
    body = decode_body(record.kind, record.body)
    if not verifier(record.peer_id, record.signed_bytes(), record.signature):
        raise RemoteError("forged", f"the signature is not {record.origin.hex()[:10]}'s")
    return body


Inspector = Callable[[Record], tuple[Record, Body]]
"""Checks a record from another peer and returns the one to keep, with its body. Raises as `verify` does."""


def inspect(record: Record) -> tuple[Record, Body]:
    """The `Inspector` of real networks."""
    return record, verify(record, verify_ed25519)


def _signed_bytes(origin: bytes, kind: int, version: int, ahead_ms: int, body: bytes) -> bytes:
    return b"".join((_CONTEXT, origin, _HEAD.pack(kind, version, ahead_ms), body))
