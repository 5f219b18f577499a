"""Seals pings for plain UDP with ChaCha20-Poly1305 (RFC 8439), and opens them; no I/O.

Each end of a connection offers the other a key to write to it. The offer is a frame of the QUIC stream, which is
encrypted and proves both ids. So each direction has its own key. A packet is:

    format (1 byte) | key id (8) | counter (8) | sealed: kind (1), heard (8), data | tag (16)

- The nonce is the counter, and the header is the associated data. A `Sealer` never repeats a counter, and goes on
  counting under the next key. It begins at a random number, so even a key that comes twice meets no old nonce.
- The key of a packet is a hash of the offered key and the ids of sender and receiver. A peer cannot pass the offer of
  another peer on as its own and have our packets read there.
- `heard` is the highest counter that the sender has opened from the other end: each packet acknowledges.
- An `Opener` takes each counter once. Behind the highest it takes back a window, as IPsec does (RFC 6479).
"""

from __future__ import annotations

import struct
from enum import IntEnum
from hashlib import blake2b
from typing import Annotated

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from msgspec import Meta, Struct

from peerscope.errors import RemoteError
from peerscope.records.identity import PeerId

FORMAT = 1
KEY_BYTES, KEY_ID_BYTES, TAG_BYTES = 32, 8, 16
DATAGRAM_BYTES_MAX = 1_100
"""A ping with its load (`mesh/dissemination/batches.py`); with all headers below 1,200 bytes, which pass everywhere."""
WINDOW = 256
"""Counters behind the highest that are still taken: minutes of pings."""
COUNTER_MAX = 2**64 - 1
COUNTER_BITS_FIRST = 62
"""A sealer begins at a random counter of so many bits."""
OFFER_TAG = 120
"""Tag of an offer among the messages of a stream; `mesh.messages` leaves tags from 120 on to transports. An agent
without sealed pings counts such a message as unknown, which is no offence."""
_HEADER = struct.Struct(f">B{KEY_ID_BYTES}sQ")
_INNER = struct.Struct(">BQ")
OVERHEAD_BYTES = _HEADER.size + _INNER.size + TAG_BYTES
PACKET_BYTES_MAX = OVERHEAD_BYTES + DATAGRAM_BYTES_MAX


class PacketKind(IntEnum):
    """Purposes of a packet."""

    PROBE = 0
    """Asks for an `ANSWER`: do packets arrive in both directions?"""
    ANSWER = 1
    DATA = 2


class Offer(Struct, frozen=True, array_like=True, tag=OFFER_TAG):
    """A key to write to the sender of the offer. Later formats may append fields."""

    format: Annotated[int, Meta(ge=FORMAT, le=255)]
    """The newest format that the sender opens; it opens all older ones too."""
    port: Annotated[int, Meta(ge=1, le=65_535)]
    """UDP port of the sender."""
    key_id: Annotated[bytes, Meta(min_length=KEY_ID_BYTES, max_length=KEY_ID_BYTES)]
    """Names the key in each packet."""
    key: Annotated[bytes, Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]

    def __repr__(self) -> str:
        return f"Offer(port={self.port})"  # logs and tracebacks show no key


class Opened(Struct, frozen=True, gc=False):
    """The content of one packet."""

    kind: PacketKind
    heard: int
    """Highest counter that the sender has opened from us."""
    data: bytes
    is_newest: bool
    """No packet with a higher counter has come."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Offer)


def encode_offer(offer: Offer) -> bytes:
    return _encoder.encode(offer)


def is_offer(data: bytes) -> bool:
    """Whether a message of the stream is for this module and not for the core."""
    return len(data) > 1 and data[1] == OFFER_TAG and 0x91 <= data[0] <= 0x9F


def decode_offer(data: bytes) -> Offer:
    """Raises `RemoteError` ("ping-offer-malformed")."""
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise RemoteError("ping-offer-malformed", str(error)) from error


def key_id_of(packet: bytes) -> bytes:
    """The name of the key in the header. Raises `RemoteError` ("ping-malformed") for bytes that are no packet."""
    if not OVERHEAD_BYTES <= len(packet) <= PACKET_BYTES_MAX or packet[0] != FORMAT:
        raise RemoteError("ping-malformed", f"{len(packet)} bytes")
    return packet[1 : 1 + KEY_ID_BYTES]


class Sealer:
    """Seals the packets to one peer. Its counter only grows, through all keys."""

    __slots__ = ("_cipher", "_key_id", "counter")

    def __init__(self, first: int) -> None:
        """`first`: the first counter, random, below 2**62."""
        assert 0 <= first < 2**COUNTER_BITS_FIRST
        self.counter = first
        """Counter of the next packet."""
        self._cipher: ChaCha20Poly1305 | None = None
        self._key_id = b""

    @property
    def has_key(self) -> bool:
        return self._cipher is not None

    def use(self, offer: Offer, sender: PeerId, receiver: PeerId) -> None:
        """Seal with this key from now on."""
        self._cipher, self._key_id = _cipher(offer.key, sender, receiver), offer.key_id

    def seal(self, kind: PacketKind, heard: int, data: bytes = b"") -> bytes:
        """One packet. Needs a key."""
        assert self._cipher is not None
        assert self.counter <= COUNTER_MAX  # at a million packets a second this takes 400,000 years
        header = _HEADER.pack(FORMAT, self._key_id, self.counter)
        nonce = self.counter.to_bytes(12, "big")
        self.counter += 1
        return header + self._cipher.encrypt(nonce, _INNER.pack(kind, heard) + data, header)


class Opener:
    """Opens the packets of one peer under one key."""

    __slots__ = ("_cipher", "_seen", "highest", "key_id")

    def __init__(self, offer: Offer, sender: PeerId, receiver: PeerId) -> None:
        self.key_id = offer.key_id
        self.highest = -1
        """The highest counter so far; -1 before the first packet."""
        self._seen = 0
        """Bit n: the counter `highest - n` came."""
        self._cipher = _cipher(offer.key, sender, receiver)

    def open(self, packet: bytes) -> Opened:
        """Open a packet with this key id, once. `key_id_of` has checked its length.

        Raises `RemoteError` ("ping-replayed", "ping-forged", "ping-malformed"); then nothing has changed.
        """
        _, _, counter = _HEADER.unpack_from(packet)
        behind = self.highest - counter
        if behind >= WINDOW or (behind >= 0 and self._seen >> behind & 1):
            raise RemoteError("ping-replayed", f"counter {counter}")
        try:
            plain = self._cipher.decrypt(counter.to_bytes(12, "big"), packet[_HEADER.size :], packet[: _HEADER.size])
        except InvalidTag:
            raise RemoteError("ping-forged", f"counter {counter}") from None
        number, heard = _INNER.unpack_from(plain)
        if number > PacketKind.DATA:
            raise RemoteError("ping-malformed", f"kind {number}")
        if behind < 0:
            shift = -behind
            self._seen = (self._seen << shift | 1) & (1 << WINDOW) - 1 if self.highest >= 0 and shift < WINDOW else 1
            self.highest = counter
        else:
            self._seen |= 1 << behind
        return Opened(PacketKind(number), heard, plain[_INNER.size :], behind < 0)


def _cipher(key: bytes, sender: PeerId, receiver: PeerId) -> ChaCha20Poly1305:
    bound = blake2b(sender + receiver, digest_size=KEY_BYTES, key=key, person=b"peerscope-pings1")
    return ChaCha20Poly1305(bound.digest())
