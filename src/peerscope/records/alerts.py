"""What a peer says of its alerts, of messages it sent to people, and what its operator ordered.

Two kinds of record. `Alerts`: the conditions this peer stands for, active or lately resolved, and the notices it has
sent. `Orders`: silences, acknowledgements, and peers to be forgotten, in the name of the operator at this peer. Times
are ages at the moment of issue, so that no two clocks are compared.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from peerscope.records.certificates import Certificate
from peerscope.records.identity import PEER_ID_BYTES
from peerscope.records.texts import Milliseconds, Name, Ref, Text

STATEMENTS_MAX = 256
NOTICES_MAX = 128
ORDERS_MAX = 64
MATCHERS_MAX = 8
METADATA_MAX = 8
CONFIRMED_BY_MAX = 16


class Severity(IntEnum):
    """How much it matters. Ordered: worse is greater."""

    LOW = 0
    MEDIUM = 1
    HIGH = 2
    CRITICAL = 3


class Statement(Struct, frozen=True, array_like=True, gc=False):
    """One alert, as one peer states it."""

    rule: Name
    """Name of the rule, the first half of the alert's id: "cpu-high"."""
    subject: Name
    """The other half: "" for the peer that speaks, else the first 16 hex digits of a peer's id, a region, a group."""
    severity: Annotated[int, Meta(ge=0, le=3)]
    firing_ms: Milliseconds
    """How long before this record it began to fire."""
    resolved_ms: Milliseconds | None = None
    """How long before this record it ended; None while it fires."""
    is_flapping: bool = False
    text: Text | None = None
    """What was found, in numbers."""
    metadata: Annotated[tuple[tuple[Name, Name], ...], Meta(max_length=METADATA_MAX)] = ()
    confirmed_by: Annotated[tuple[Ref, ...], Meta(max_length=CONFIRMED_BY_MAX)] = ()
    """The observers whose evidence it rests on."""
    confidence: Annotated[int, Meta(ge=0, le=10_000)] | None = None
    """In ten-thousandths, where the detection can say."""
    episode: Milliseconds = 0
    """Names this time that it fires: when it began, in Unix milliseconds by the speaker's own clock. It is never
    compared with another clock, and stays as it is while the condition lasts. 0: the speaker gives no name."""


class Notice(Struct, frozen=True, array_like=True, gc=False):
    """A message to people that this peer has sent, or is about to send."""

    key: Name
    """What it was about: an alert's or an incident's id, with the state told."""
    sent_ms: Milliseconds
    """How long before this record."""
    severity: Annotated[int, Meta(ge=0, le=3)] = 0
    """What was told; the same key is told again only when worse."""
    delivered: bool = True
    """False while the message is on its way: a claim, which holds others back only while its author lives."""
    episode: Milliseconds = 0
    """Names the episode that the message is about; 0 where the author gives no name."""
    repeat: Annotated[int, Meta(ge=0, le=2**31)] = 0
    """Which repetition it is; 0 for any other message."""


class Alerts(Struct, frozen=True, array_like=True, gc=False):
    """This peer's alerts and notices; those that do not fit are counted, the gravest are kept."""

    statements: Annotated[tuple[Statement, ...], Meta(max_length=STATEMENTS_MAX)] = ()
    notices: Annotated[tuple[Notice, ...], Meta(max_length=NOTICES_MAX)] = ()
    omitted: Annotated[int, Meta(ge=0, le=2**31)] = 0


class Silence(Struct, frozen=True, array_like=True, gc=False):
    """No message is sent about alerts that all matchers fit, until it ends."""

    id: Annotated[str, Meta(min_length=8, max_length=16, pattern="^[0-9a-f]+\\Z")]
    matchers: Annotated[tuple[tuple[Name, Name], ...], Meta(min_length=1, max_length=MATCHERS_MAX)]
    """(field, value with `*` for anything): all must fit."""
    begun_ms: Milliseconds
    """How long before this record it began."""
    for_ms: Milliseconds
    """How long it lasts from then on."""
    author: Name
    reason: Text


class Acknowledgement(Struct, frozen=True, array_like=True, gc=False):
    """Somebody looks after this alert or incident: it is not repeated any more."""

    key: Name
    """Id of the alert or incident."""
    sent_ms: Milliseconds
    author: Name
    reason: Text = ""


class Forget(Struct, frozen=True, array_like=True, gc=False):
    """A peer is gone for good: nobody remembers it until it speaks again."""

    peer: Annotated[bytes, Meta(min_length=PEER_ID_BYTES, max_length=PEER_ID_BYTES)]
    """Full id."""
    until: Milliseconds
    """Its records up to this version are forgotten: its own version clock cannot have been further."""
    sent_ms: Milliseconds
    author: Name
    reason: Text = ""
    is_lifted: bool = False
    """It takes back what was ordered about this peer before."""


class Orders(Struct, frozen=True, array_like=True, gc=False):
    """What the operator at this peer ordered for the whole network."""

    silences: Annotated[tuple[Silence, ...], Meta(max_length=ORDERS_MAX)] = ()
    acknowledgements: Annotated[tuple[Acknowledgement, ...], Meta(max_length=ORDERS_MAX)] = ()
    certificate: Certificate | None = None
    """The speaker's, where the network asks for one: in other zones nobody holds its profile."""
    forgotten: Annotated[tuple[Forget, ...], Meta(max_length=ORDERS_MAX)] = ()


def aged(said: Orders | Alerts, by_ms: int) -> Orders | Alerts:
    """The same, to be said so much later: all times in it are ages."""
    if isinstance(said, Alerts):
        return replace(
            said,
            statements=tuple(
                replace(
                    one,
                    firing_ms=one.firing_ms + by_ms,
                    resolved_ms=None if one.resolved_ms is None else one.resolved_ms + by_ms,
                )
                for one in said.statements
            ),
            notices=tuple(replace(one, sent_ms=one.sent_ms + by_ms) for one in said.notices),
        )
    orders = said
    return replace(
        orders,
        silences=tuple(replace(one, begun_ms=one.begun_ms + by_ms) for one in orders.silences),
        acknowledgements=tuple(replace(one, sent_ms=one.sent_ms + by_ms) for one in orders.acknowledgements),
        forgotten=tuple(replace(one, sent_ms=one.sent_ms + by_ms) for one in orders.forgotten),
    )
