"""Alerts and notices of a peer, and orders of its operator.

Two kinds of record exist. `Alerts` holds conditions that this peer reports, active or lately resolved, and notices that
it has sent. `Orders` holds silences, acknowledgements and peers to forget, from the operator at this peer. Times are
ages at the moment of issue, so that nobody compares two clocks.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from peerscope.records.certificates import Certificate
from peerscope.records.identity import PEER_ID_BYTES
from peerscope.records.texts import Milliseconds, Name, Number, Ref, Text

STATEMENTS_MAX = 256
NOTICES_MAX = 128
ORDERS_MAX = 64
MATCHERS_MAX = 8
METADATA_MAX = 8
CONFIRMED_BY_MAX = 16
WINDOWS_MAX = 16
ACKNOWLEDGED_MAX = 256
"""Alerts in one acknowledgement of an incident: as many as one peer states."""
ALERT_DIGEST_BYTES = 8


AlertDigest = Annotated[bytes, Meta(min_length=ALERT_DIGEST_BYTES, max_length=ALERT_DIGEST_BYTES)]


class Severity(IntEnum):
    """How much an alert matters. A worse one is greater."""

    LOW = 0
    MEDIUM = 1
    HIGH = 2
    CRITICAL = 3


class Statement(Struct, frozen=True, array_like=True, gc=False):
    """One alert, as one peer states it."""

    rule: Name
    """Name of the rule, the first half of the alert's id: "cpu-high"."""
    subject: Name
    """The other half: "" for the origin, else the first 16 hex digits of a peer's id, a region or a group."""
    severity: Annotated[int, Meta(ge=0, le=3)]
    firing_ms: Milliseconds
    """How long before this record it began to fire."""
    resolved_ms: Milliseconds | None = None
    """How long before this record it ended; None while it fires."""
    is_flapping: bool = False
    text: Text | None = None
    """The finding, in numbers."""
    metadata: Annotated[tuple[tuple[Name, Name], ...], Meta(max_length=METADATA_MAX)] = ()
    confirmed_by: Annotated[tuple[Ref, ...], Meta(max_length=CONFIRMED_BY_MAX)] = ()
    """Observers with evidence for it."""
    confidence: Annotated[int, Meta(ge=0, le=10_000)] | None = None
    """In ten-thousandths, if the detection knows it."""
    episode: Milliseconds = 0
    """Identifies this firing: its begin in Unix milliseconds, by the origin's own clock. It stays as it is while the
    condition lasts, and nobody compares it with another clock. 0 if the origin does not give it."""
    value: Number | None = None
    """The value when this record was written, in the unit of the signal. Another value alone is no new record."""
    threshold: Number | None = None
    """The limit at the origin: operators may change it."""
    for_ms: Milliseconds | None = None
    """How long the origin waits before the condition fires."""
    unit: Name | None = None
    """Unit of value and threshold. Like `runbook` only for rules and detections that are not packaged."""
    runbook: Text | None = None


class Notice(Struct, frozen=True, array_like=True, gc=False):
    """A message to people that this peer has sent, or is about to send."""

    key: Name
    """Id of the alert or incident, with the state in the message."""
    sent_ms: Milliseconds
    """How long before this record."""
    severity: Annotated[int, Meta(ge=0, le=3)] = 0
    """The severity in the message. Another message with the same key follows only when it is worse."""
    delivered: bool = True
    """False while the message is on its way. Such a claim holds others back only while its author lives."""
    episode: Milliseconds = 0
    """`Statement.episode` of the alert; 0 if the author does not give it."""
    repeat: Annotated[int, Meta(ge=0, le=2**31)] = 0
    """Number of the repetition; 0 for any other message."""


class Alerts(Struct, frozen=True, array_like=True, gc=False):
    """This peer's alerts and notices. Only the gravest fit; `omitted` counts the others."""

    statements: Annotated[tuple[Statement, ...], Meta(max_length=STATEMENTS_MAX)] = ()
    notices: Annotated[tuple[Notice, ...], Meta(max_length=NOTICES_MAX)] = ()
    omitted: Annotated[int, Meta(ge=0, le=2**31)] = 0


class SilenceWindow(Struct, frozen=True, array_like=True, gc=False):
    """One time in which a silence holds."""

    in_ms: Annotated[int, Meta(ge=-(2**53), le=2**53 - 1)]
    """How long after this record it begins; negative if it has begun."""
    for_ms: Milliseconds


class Silence(Struct, frozen=True, array_like=True, gc=False):
    """Until it ends, no message about alerts that fit all matchers is sent.

    A silence that begins later, or repeats, lists its next times in `windows`; its `for_ms` is 0. So agents that do not
    know windows take it for one that is over.
    """

    id: Annotated[str, Meta(min_length=8, max_length=16, pattern="^[0-9a-f]+\\Z")]
    matchers: Annotated[tuple[tuple[Name, Name], ...], Meta(min_length=1, max_length=MATCHERS_MAX)]
    """(field, value); a `*` in the value stands for anything."""
    begun_ms: Milliseconds
    """How long before this record it began."""
    for_ms: Milliseconds
    """How long it lasts from its begin."""
    author: Name
    reason: Text
    windows: Annotated[tuple[SilenceWindow, ...], Meta(max_length=WINDOWS_MAX)] = ()
    """The next times in which it holds. The origin publishes further ones as these pass."""
    repeats: Text = ""
    """The rule (RFC 5545 RRULE) as the operator wrote it, for people; no peer evaluates it."""
    zone: Name = ""
    """IANA name of the time zone in which the rule is meant."""


class Acknowledgement(Struct, frozen=True, array_like=True, gc=False):
    """A person works on this alert or incident, so its messages are not repeated."""

    key: Name
    """Id of the alert or incident."""
    sent_ms: Milliseconds
    author: Name
    reason: Text = ""
    alerts: Annotated[tuple[AlertDigest, ...], Meta(max_length=ACKNOWLEDGED_MAX)] = ()
    """Digests of the ids of the alerts that the incident held: it counts for them in any other incident too."""


class Forget(Struct, frozen=True, array_like=True, gc=False):
    """A peer is gone for good. All peers forget it until it publishes a newer record."""

    peer: Annotated[bytes, Meta(min_length=PEER_ID_BYTES, max_length=PEER_ID_BYTES)]
    """Full id."""
    until: Milliseconds
    """Records up to this version are forgotten: the peer's version clock cannot have been further."""
    sent_ms: Milliseconds
    author: Name
    reason: Text = ""
    is_lifted: bool = False
    """It revokes earlier orders about this peer."""


class Orders(Struct, frozen=True, array_like=True, gc=False):
    """Orders of the operator at this peer for the whole network."""

    silences: Annotated[tuple[Silence, ...], Meta(max_length=ORDERS_MAX)] = ()
    acknowledgements: Annotated[tuple[Acknowledgement, ...], Meta(max_length=ORDERS_MAX)] = ()
    certificate: Certificate | None = None
    """The origin's, if the network requires one: peers in other zones do not have its profile."""
    forgotten: Annotated[tuple[Forget, ...], Meta(max_length=ORDERS_MAX)] = ()


def aged(body: Orders | Alerts, by_ms: int) -> Orders | Alerts:
    """Add to all ages in the body, for a record that is issued so much later."""
    if isinstance(body, Alerts):
        return replace(
            body,
            statements=tuple(
                replace(
                    one,
                    firing_ms=one.firing_ms + by_ms,
                    resolved_ms=None if one.resolved_ms is None else one.resolved_ms + by_ms,
                )
                for one in body.statements
            ),
            notices=tuple(replace(one, sent_ms=one.sent_ms + by_ms) for one in body.notices),
        )
    return replace(
        body,
        silences=tuple(
            replace(
                one,
                begun_ms=one.begun_ms + by_ms,
                windows=tuple(replace(window, in_ms=window.in_ms - by_ms) for window in one.windows),
            )
            for one in body.silences
        ),
        acknowledgements=tuple(replace(one, sent_ms=one.sent_ms + by_ms) for one in body.acknowledgements),
        forgotten=tuple(replace(one, sent_ms=one.sent_ms + by_ms) for one in body.forgotten),
    )
