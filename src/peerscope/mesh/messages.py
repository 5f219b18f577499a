"""Wire messages. Only `encode` and `decode` convert between them and bytes.

Every message is a msgpack array with a tag as its first element. Decoding checks the limits; the code that builds
messages keeps them. New fields with defaults at the end are compatible; anything else needs a new wire version.

Tags from 120 on belong to transports, which exchange such frames between themselves (`transport/sealed.py`).
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from peerscope.errors import RemoteError
from peerscope.records.bodies import LINKS_MAX, RATIO_ONE, Coordinate
from peerscope.records.certificates import Certificate
from peerscope.records.record import KINDS_MAX, VERSION_MAX, Record
from peerscope.records.texts import Microseconds, Milliseconds, Name, Ref

WIRE_VERSION = 2
"""The newest wire version of this agent."""
WIRE_VERSION_MIN = 1
"""The oldest wire version. Agents without a common version cannot link, so it rises only when no agent needs it."""
WIRE = (WIRE_VERSION_MIN, WIRE_VERSION)
MESSAGE_BYTES_MAX = 64 * 1024
KEYS_MAX = 512
RECORDS_MAX = 64
PATH_MAX = 16
FINGERPRINT_BYTES = 8
NONCE_BYTES = 16
NEIGHBOURS_MAX = LINKS_MAX
DOUBTED_MAX = 32
LOAD_WIRE = 2
"""From this wire version on, pings carry keys and records, the time of the next ping, and doubts."""
FOUND_MAX = 2
"""Peers in one `Found`: two show that a name is ambiguous."""

KindNumber = Annotated[int, Meta(ge=0, lt=KINDS_MAX)]
Version = Annotated[int, Meta(ge=1, le=VERSION_MAX)]
Sequence = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Bucket = Annotated[int, Meta(ge=0, le=255)]
Nonce = Annotated[bytes, Meta(max_length=NONCE_BYTES)]
Count = Annotated[int, Meta(ge=0, le=65_535)]


class Hello(Struct, frozen=True, array_like=True, tag=0):
    """First message on every connection: from the end that dialled, then from the other if it admits the first.

    In a network with a secret, a `Challenge` goes before both.
    """

    wire_min: Annotated[int, Meta(ge=1, le=255)]
    wire_max: Annotated[int, Meta(ge=1, le=255)]
    network: Name
    """Name of the network; peers of another network are refused."""
    proof: Annotated[bytes, Meta(max_length=32)]
    """Keyed hash over both peer ids and the receiver's last nonce; empty without a network secret."""
    clock_ms: Milliseconds
    """The sender's version clock."""
    reply: bool = False
    visit: bool = False
    """The sender is a guest: a few pings, no link, no records. The answer repeats it if the other end agrees."""
    nonce: Nonce = b""
    """Input of the proof in the answer; empty without a network secret."""
    certificate: Certificate | None = None
    """The certificate of the sender's membership."""
    zone: Name = ""
    """Zone of the sender. A peer of another zone gets only records for all zones."""


class Push(Struct, frozen=True, array_like=True, tag=3):
    """An urgent record. Each peer that did not know it passes it on."""

    record: Record
    age_ms: Milliseconds
    ttl: Annotated[int, Meta(ge=0, le=32)]
    path: Annotated[tuple[Ref, ...], Meta(max_length=PATH_MAX)]
    """The origin and each peer that passed it on, in order."""
    hops_us: Annotated[tuple[Microseconds | None, ...], Meta(max_length=PATH_MAX)] = ()
    """Measured duration from each peer of the path to the next, or None: one fewer than the path, or empty."""
    sent_us: Annotated[int, Meta(ge=0, le=2**53 - 1)] | None = None
    """Time of sending by the last peer of the path: microseconds since 1970 by its wall clock."""


class Key(Struct, frozen=True, array_like=True):
    """Names one version of one record."""

    origin: Ref
    kind: KindNumber
    version: Version


class Announce(Struct, frozen=True, array_like=True, tag=4):
    """Keys of records that the sender holds. The receiver pulls those that it lacks."""

    keys: Annotated[tuple[Key, ...], Meta(max_length=KEYS_MAX)]


class Topic(Struct, frozen=True, array_like=True):
    """Names one record in any version."""

    origin: Ref
    kind: KindNumber


class Pull(Struct, frozen=True, array_like=True, tag=5):
    """Asks for the newest records of these topics."""

    topics: Annotated[tuple[Topic, ...], Meta(max_length=KEYS_MAX)]


class Aged(Struct, frozen=True, array_like=True):
    """A record and its age, as far as its carriers know it."""

    record: Record
    age_ms: Milliseconds


class Load(Struct, frozen=True, array_like=True):
    """News that travel in a ping or a pong: they cost no message of their own."""

    keys: Annotated[tuple[Key, ...], Meta(max_length=KEYS_MAX)] = ()
    """As in `Announce`."""
    records: Annotated[tuple[Aged, ...], Meta(max_length=RECORDS_MAX)] = ()
    """Records whose earlier versions the receiver pulled from the sender."""
    spare: Annotated[tuple[Topic, ...], Meta(max_length=KEYS_MAX)] = ()
    """Topics of which the sender need not get records from the receiver: it has them from elsewhere."""


class Ping(Struct, frozen=True, array_like=True, tag=1):
    """A probe. It carries the measurements of its sender, so that one exchange serves both ends."""

    seq: Sequence
    clock_ms: Milliseconds
    """The sender's version clock."""
    ahead_ms: Milliseconds = 0
    """How far the version clock is ahead of the sender's wall clock."""
    rtt_us: Annotated[int, Meta(ge=0, le=600_000_000)] | None = None
    loss: Annotated[int, Meta(ge=0, le=RATIO_ONE)] | None = None
    coordinate: Coordinate | None = None
    """The sender's coordinate, if it moved."""
    next_ms: Annotated[int, Meta(ge=0, le=600_000)] | None = None
    """Milliseconds until the sender pings again, at most."""
    answered: Sequence | None = None
    """Number of the last ping of the sender that was answered: the load of that pong arrived."""
    load: Load | None = None
    """News that travel along."""


class Pong(Struct, frozen=True, array_like=True, tag=2):
    """The answer to the ping with the same number."""

    seq: Sequence
    clock_ms: Milliseconds
    ahead_ms: Milliseconds = 0
    coordinate: Coordinate | None = None
    """As in `Ping`."""
    load: Load | None = None
    """As in `Ping`."""


class Records(Struct, frozen=True, array_like=True, tag=6):
    """Answer to a pull, or records that the receiver lacks after a comparison."""

    items: Annotated[tuple[Aged, ...], Meta(max_length=RECORDS_MAX)]


class Digest(Struct, frozen=True, array_like=True, tag=7):
    """Fingerprints of a ledger of the sender, one per equal part of the id space."""

    bits: Annotated[int, Meta(ge=0, le=8)]
    """The id space is cut into 2**bits parts by its leading bits."""
    fingerprints: Annotated[bytes, Meta(max_length=256 * FINGERPRINT_BYTES)]
    world: bool = False
    """The ledger of records for all zones; else that of the own zone."""


class Held(Struct, frozen=True, array_like=True):
    """A record of the sender. The digest distinguishes two statements of one version."""

    origin: Ref
    kind: KindNumber
    version: Version
    digest: Annotated[bytes, Meta(min_length=4, max_length=4)]
    """Its first four bytes."""


class Inventory(Struct, frozen=True, array_like=True, tag=8):
    """Records of the sender in the parts that differ, so that the receiver can pull and give."""

    bits: Annotated[int, Meta(ge=0, le=8)]
    parts: Annotated[tuple[Bucket, ...], Meta(max_length=256)]
    """`held` is complete for these parts."""
    held: Annotated[tuple[Held, ...], Meta(max_length=KEYS_MAX)]
    world: bool = False
    """As in the digest."""


class Bye(Struct, frozen=True, array_like=True, tag=9):
    """The sender closes this link on purpose."""

    reason: Name


class Neighbors(Struct, frozen=True, array_like=True, tag=10):
    """Asks for the neighbours of the receiver, with a proof as in a hello. The sender need not become a member."""

    wire_min: Annotated[int, Meta(ge=1, le=255)]
    wire_max: Annotated[int, Meta(ge=1, le=255)]
    network: Name
    proof: Annotated[bytes, Meta(max_length=32)]
    certificate: Certificate | None = None
    """As in a hello."""


class Vicinity(Struct, frozen=True, array_like=True, tag=11):
    """Answer to `Neighbors`: signed profiles, so that no peer gives an address for another."""

    profile: Record
    """Profile of the sender."""
    neighbours: Annotated[tuple[Record, ...], Meta(max_length=NEIGHBOURS_MAX)]
    """Profiles of peers with a link that is up."""
    more: Annotated[int, Meta(ge=0, le=65_535)] = 0
    """Neighbours left out: without a known profile, or beyond the message size."""


class Challenge(Struct, frozen=True, array_like=True, tag=12):
    """Asks the end that dialled for a proof of the network secret, over a nonce that was never used before."""

    nonce: Annotated[bytes, Meta(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]


class Moved(Struct, frozen=True, array_like=True, tag=13):
    """The sender moved to another zone."""

    zone: Name


class Find(Struct, frozen=True, array_like=True, tag=14):
    """Asks for peers by the beginning of their ids. Any member may send it, mostly to aggregators."""

    nonce: Sequence
    name: Annotated[str, Meta(pattern=r"^[0-9a-f]{1,64}\Z")]
    """The beginning of an id, or all of it, in hexadecimal digits."""


class Opinion(Struct, frozen=True, array_like=True, gc=False):
    """The verdict of the sender on one peer: a claim that the receiver cannot check."""

    verdict: Name
    accused_by: Count
    """Observers that lost the peer."""
    observers: Count
    """Observers that count."""
    accusing: Count = 0
    """Accusing votes."""
    voices: Count = 0
    """Votes of the observers."""
    quorum: Count = 0
    """So many accusing votes make the peer down."""


class FoundPeer(Struct, frozen=True, array_like=True):
    """One found peer: its own records, and the opinion of the sender."""

    records: Annotated[tuple[Aged, ...], Meta(max_length=2)]
    """Its profile, and its newest report if there is one."""
    opinion: Opinion | None
    """None for a peer that moved to another zone."""


class Found(Struct, frozen=True, array_like=True, tag=15):
    """Answer to `Find`."""

    nonce: Sequence
    """Nonce of the question."""
    zone: Name
    """Zone of the sender."""
    peers: Annotated[tuple[FoundPeer, ...], Meta(max_length=FOUND_MAX)] = ()
    """Known peers of that name, by id."""
    more: Count = 0
    """Further peers of that name."""


class Doubt(Struct, frozen=True, array_like=True, tag=16):
    """Pings to these peers went unanswered: their observers should look. No evidence, and unsigned."""

    subjects: Annotated[tuple[Ref, ...], Meta(max_length=DOUBTED_MAX)]
    hops: Annotated[int, Meta(ge=0, le=32)] = 0
    """So often may it be passed on."""


Message = (
    Hello
    | Ping
    | Pong
    | Push
    | Announce
    | Pull
    | Records
    | Digest
    | Inventory
    | Bye
    | Neighbors
    | Vicinity
    | Challenge
    | Moved
    | Find
    | Found
    | Doubt
)
TAG_MAX = 16

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def common_wire(theirs: Hello | Neighbors, ours: tuple[int, int] = WIRE) -> int:
    """The newest common version. Raises `RemoteError` ("wire-version") if there is none."""
    version = min(theirs.wire_max, ours[1])
    if version < max(theirs.wire_min, ours[0]):
        spoken = f"it speaks {theirs.wire_min} to {theirs.wire_max}, we {ours[0]} to {ours[1]}"
        raise RemoteError("wire-version", spoken)
    return version


def encode(message: Message) -> bytes:
    return _encoder.encode(message)


def decode(data: bytes) -> Message:
    """Raise `RemoteError` ("oversized-message", "malformed-message") if the bytes are no message.

    The tag of a newer agent's message gives "unknown-message", which is no offence.
    """
    if len(data) > MESSAGE_BYTES_MAX:
        raise RemoteError("oversized-message", f"{len(data)} bytes; at most {MESSAGE_BYTES_MAX}")
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # ValueError: invalid UTF-8
        reason = "unknown-message" if _tag(data) > TAG_MAX else "malformed-message"
        raise RemoteError(reason, str(error)) from error


def _tag(data: bytes) -> int:
    """The small number at the start of a msgpack array; -1 for other bytes."""
    head = {0xDC: 3, 0xDD: 5}.get(data[0], 1 if 0x91 <= data[0] <= 0x9F else 0) if data else 0
    return data[head] if head and len(data) > head and data[head] < 0x80 else -1
