"""The wire messages. `encode` and `decode` are the only way between them and bytes.

Every message is a msgpack array whose first element is its tag. Limits are checked when decoding; ours are kept
by the code that builds them. Appending fields with defaults is compatible; anything else needs a new wire version.
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

WIRE_VERSION = 1
"""The newest way of speaking that this agent knows."""
WIRE_VERSION_MIN = 1
"""The oldest. Raised only when nobody speaks it any more: agents that share no version cannot be linked."""
WIRE = (WIRE_VERSION_MIN, WIRE_VERSION)
MESSAGE_BYTES_MAX = 64 * 1024
KEYS_MAX = 512
RECORDS_MAX = 64
PATH_MAX = 16
FINGERPRINT_BYTES = 8
NONCE_BYTES = 16
NEIGHBOURS_MAX = LINKS_MAX
FOUND_MAX = 2
"""Two show that a name is ambiguous."""

KindNumber = Annotated[int, Meta(ge=0, lt=KINDS_MAX)]
Version = Annotated[int, Meta(ge=1, le=VERSION_MAX)]
Sequence = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Bucket = Annotated[int, Meta(ge=0, le=255)]
Nonce = Annotated[bytes, Meta(max_length=NONCE_BYTES)]
Count = Annotated[int, Meta(ge=0, le=65_535)]


class Hello(Struct, frozen=True, array_like=True, tag=0):
    """First message on every connection: from the end that dialled, then from the other if it admits the first.
    Nothing else is heard before it; in a network with a secret, a `Challenge` goes before both."""

    wire_min: Annotated[int, Meta(ge=1, le=255)]
    wire_max: Annotated[int, Meta(ge=1, le=255)]
    network: Name
    """Name of the network; peers of another network are refused."""
    proof: Annotated[bytes, Meta(max_length=32)]
    """Keyed hash over both peer ids and the receiver's last nonce, where the network has a secret; else empty."""
    clock_ms: Milliseconds
    """The sender's version clock."""
    reply: bool = False
    visit: bool = False
    """Only a few pings are wanted: no link, no records. The answer repeats it where the other end agrees."""
    nonce: Nonce = b""
    """Where the network has a secret: the answer must prove it over this number."""
    certificate: Certificate | None = None
    """An operator's word that the sender is a member."""
    zone: Name = ""
    """The sender's. To a peer of another zone only summaries go."""


class Ping(Struct, frozen=True, array_like=True, tag=1):
    """Are you there? Carries what the pinger measured, so that one exchange serves both ends."""

    seq: Sequence
    clock_ms: Milliseconds
    """The sender's version clock."""
    ahead_ms: Milliseconds = 0
    """How far it runs ahead of the sender's wall clock."""
    rtt_us: Annotated[int, Meta(ge=0, le=600_000_000)] | None = None
    loss: Annotated[int, Meta(ge=0, le=RATIO_ONE)] | None = None
    coordinate: Coordinate | None = None
    """The sender's place, where it moved since it last said so."""


class Pong(Struct, frozen=True, array_like=True, tag=2):
    """Here I am: answers the ping with the same number."""

    seq: Sequence
    clock_ms: Milliseconds
    ahead_ms: Milliseconds = 0
    coordinate: Coordinate | None = None
    """As in `Ping`."""


class Push(Struct, frozen=True, array_like=True, tag=3):
    """Urgent news, passed on by everyone to whom it is news."""

    record: Record
    age_ms: Milliseconds
    ttl: Annotated[int, Meta(ge=0, le=32)]
    path: Annotated[tuple[Ref, ...], Meta(max_length=PATH_MAX)]
    """The origin and every peer that passed it on, in order."""
    hops_us: Annotated[tuple[Microseconds | None, ...], Meta(max_length=PATH_MAX)] = ()
    """How long it took from each peer of the path to the next, as the receiving ends found; None where one could not
    tell. One fewer than the path, or empty where nobody told."""
    sent_us: Annotated[int, Meta(ge=0, le=2**53 - 1)] | None = None
    """When the last of the path sent it: microseconds since 1970 by its own wall clock."""


class Key(Struct, frozen=True, array_like=True):
    """Names one version of one record."""

    origin: Ref
    kind: KindNumber
    version: Version


class Announce(Struct, frozen=True, array_like=True, tag=4):
    """Records that the sender holds and the receiver may lack; it pulls what it does."""

    keys: Annotated[tuple[Key, ...], Meta(max_length=KEYS_MAX)]


class Topic(Struct, frozen=True, array_like=True):
    """One topic of one peer, whatever the version."""

    origin: Ref
    kind: KindNumber


class Pull(Struct, frozen=True, array_like=True, tag=5):
    """Send me the newest you have of these."""

    topics: Annotated[tuple[Topic, ...], Meta(max_length=KEYS_MAX)]


class Aged(Struct, frozen=True, array_like=True):
    """A record and how long ago it was issued, as far as its carriers can tell."""

    record: Record
    age_ms: Milliseconds


class Records(Struct, frozen=True, array_like=True, tag=6):
    """Answer to a pull, and the second half of a sync."""

    items: Annotated[tuple[Aged, ...], Meta(max_length=RECORDS_MAX)]


class Digest(Struct, frozen=True, array_like=True, tag=7):
    """Fingerprints of everything the sender holds, one per equal part of the id space."""

    bits: Annotated[int, Meta(ge=0, le=8)]
    """The id space is cut into 2**bits parts by its leading bits."""
    fingerprints: Annotated[bytes, Meta(max_length=256 * FINGERPRINT_BYTES)]
    world: bool = False
    """Of what crosses the borders of zones; else of all the rest."""


class Held(Struct, frozen=True, array_like=True):
    """A record the sender holds; the digest tells two statements of one version apart."""

    origin: Ref
    kind: KindNumber
    version: Version
    digest: Annotated[bytes, Meta(min_length=4, max_length=4)]
    """Its first four bytes."""


class Inventory(Struct, frozen=True, array_like=True, tag=8):
    """What the sender holds in the parts that differ, so that the receiver can pull and give."""

    bits: Annotated[int, Meta(ge=0, le=8)]
    parts: Annotated[tuple[Bucket, ...], Meta(max_length=256)]
    """`held` is complete for these parts."""
    held: Annotated[tuple[Held, ...], Meta(max_length=KEYS_MAX)]
    world: bool = False
    """As in the digest."""


class Bye(Struct, frozen=True, array_like=True, tag=9):
    """The sender closes this link on purpose: not a failure."""

    reason: Name


class Neighbors(Struct, frozen=True, array_like=True, tag=10):
    """Whom are you linked to? From anybody who proves the network's secret as in a hello, without becoming a member."""

    wire_min: Annotated[int, Meta(ge=1, le=255)]
    wire_max: Annotated[int, Meta(ge=1, le=255)]
    network: Name
    proof: Annotated[bytes, Meta(max_length=32)]
    certificate: Certificate | None = None
    """As in a hello."""


class Vicinity(Struct, frozen=True, array_like=True, tag=11):
    """Answer to `Neighbors`: profiles signed by those they speak of, so that nobody gives an address for another."""

    profile: Record
    """The sender's own."""
    neighbours: Annotated[tuple[Record, ...], Meta(max_length=NEIGHBOURS_MAX)]
    """Profiles of those to whom its links are up."""
    more: Annotated[int, Meta(ge=0, le=65_535)] = 0
    """Neighbours that are left out: no profile is known, or the message would be too large."""


class Challenge(Struct, frozen=True, array_like=True, tag=12):
    """From the end that was dialled, where the network has a secret: prove it over this number, never used before."""

    nonce: Annotated[bytes, Meta(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]


class Moved(Struct, frozen=True, array_like=True, tag=13):
    """From a neighbour: it belongs to another zone now."""

    zone: Name


class Find(Struct, frozen=True, array_like=True, tag=14):
    """What do you know of the peers of your zone whose ids begin so? From any member, asked mostly of aggregators."""

    nonce: Sequence
    name: Annotated[str, Meta(pattern=r"^[0-9a-f]{1,64}\Z")]
    """The beginning of an id, or all of it, in hexadecimal digits."""


class Opinion(Struct, frozen=True, array_like=True, gc=False):
    """What the evidence says of one peer, as the sender weighs it: its word, which nobody can check from afar."""

    verdict: Name
    accused_by: Count
    """How many say that they lost it."""
    observers: Count
    """How many have a say."""
    accusing: Count = 0
    """How many of the votes accuse."""
    voices: Count = 0
    """How many votes the observers have."""
    quorum: Count = 0
    """So many accusing votes make it down."""


class FoundPeer(Struct, frozen=True, array_like=True):
    """One peer: what it said of itself, signed, and what is thought of it."""

    records: Annotated[tuple[Aged, ...], Meta(max_length=2)]
    """Its profile, and its newest report if there is one."""
    opinion: Opinion | None
    """None of a peer that moved to another zone: there it is judged."""


class Found(Struct, frozen=True, array_like=True, tag=15):
    """Answer to `Find`."""

    nonce: Sequence
    """That of the question."""
    zone: Name
    """The sender's."""
    peers: Annotated[tuple[FoundPeer, ...], Meta(max_length=FOUND_MAX)] = ()
    """By id; none where nobody of that name is known."""
    more: Count = 0
    """Peers of that name that are left out."""


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
)
TAG_MAX = 15

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def common_wire(theirs: Hello | Neighbors, ours: tuple[int, int] = WIRE) -> int:
    """The newest version that both ends speak. Raises `RemoteError` ("wire-version") where there is none."""
    version = min(theirs.wire_max, ours[1])
    if version < max(theirs.wire_min, ours[0]):
        spoken = f"it speaks {theirs.wire_min} to {theirs.wire_max}, we {ours[0]} to {ours[1]}"
        raise RemoteError("wire-version", spoken)
    return version


def encode(message: Message) -> bytes:
    """Bytes of one message."""
    return _encoder.encode(message)


def decode(data: bytes) -> Message:
    """Raise `RemoteError` ("oversized-message", "malformed-message") if the bytes are no message of ours.

    A kind of message that only newer agents know is told apart ("unknown-message"): sending it is no offence.
    """
    if len(data) > MESSAGE_BYTES_MAX:
        raise RemoteError("oversized-message", f"{len(data)} bytes; at most {MESSAGE_BYTES_MAX}")
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # ValueError: invalid UTF-8
        reason = "unknown-message" if _tag(data) > TAG_MAX else "malformed-message"
        raise RemoteError(reason, str(error)) from error


def _tag(data: bytes) -> int:
    """The small number that begins a msgpack array; -1 where the bytes begin otherwise."""
    head = {0xDC: 3, 0xDD: 5}.get(data[0], 1 if 0x91 <= data[0] <= 0x9F else 0) if data else 0
    return data[head] if head and len(data) > head and data[head] < 0x80 else -1
