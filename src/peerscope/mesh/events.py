"""Events into the core and effects out of it: its whole interface."""

from __future__ import annotations

from collections import Counter
from enum import IntEnum

from msgspec import Struct

from peerscope.mesh.internal_events import InternalEvent
from peerscope.mesh.messages import Aged, Doubt, Message, Ping, Pong, encode
from peerscope.mesh.zoning.lookup import LookupAnswer
from peerscope.records.bodies import Body, Check, DialOutcome, OtherLife, OverlayLink, PlannedAbsence
from peerscope.records.certificates import Certificate, Revocation
from peerscope.records.identity import PeerId, PeerRef
from peerscope.records.ledger import Entry
from peerscope.records.measures import Metrics


class Lane(IntEnum):
    """The transport of a message."""

    STREAM = 0
    """Reliable and in order."""
    DATAGRAM = 1
    """May be lost, but is never queued."""


class Connected(Struct, frozen=True):
    """The transport has a new connection with a peer that proved its id."""

    peer: PeerId
    dialled: bool
    """We dialled, so we send the first hello."""


class Disconnected(Struct, frozen=True):
    """The last connection with a peer is gone."""

    peer: PeerId
    reason: str


class DialFailed(Struct, frozen=True):
    """A `Dial` failed."""

    peer: PeerId
    reason: str


class Received(Struct, frozen=True):
    """Bytes from a connected peer."""

    peer: PeerId
    data: bytes


class Join(Struct, frozen=True):
    """A bootstrap peer: from a ticket, or remembered from an earlier process."""

    peer: PeerId
    addresses: tuple[str, ...]


class Recall(Struct, frozen=True):
    """Stored records of an earlier process, with their ages."""

    items: tuple[Aged, ...]
    zone: str = ""
    """Our zone then."""


class Publish(Struct, frozen=True):
    """Publish a record of ours."""

    body: Body
    urgent: bool = False


class Measured(Struct, frozen=True):
    """Results of the host checks; the core adds the p2p check and publishes the report."""

    checks: tuple[Check, ...]
    metrics: Metrics | None = None
    node: Check | None = None
    """The check of the attached node; None without one."""
    overlay: tuple[OverlayLink, ...] = ()
    """Neighbours of the node in its own network."""
    relayed: frozenset[PeerId] | None = None
    """Connected peers whose packets go through a relay; None if unknown."""


class WallClock(Struct, frozen=True):
    """The wall clock was read: Unix seconds minus monotonic seconds."""

    offset_s: float


class Credentials(Struct, frozen=True):
    """The files of operators were read: our certificate, and revocations."""

    certificate: Certificate | None = None
    revocations: tuple[Revocation, ...] = ()


class Breach(Struct, frozen=True):
    """The transport refused a message of a peer; `reason` as in `RemoteError`."""

    peer: PeerId
    reason: str


class LookUp(Struct, frozen=True):
    """Ask other zones for peers by the beginning of their ids; one `LookedUp` of the same number answers."""

    number: int
    name: str
    """1 to 64 hexadecimal digits."""


class Tried(Struct, frozen=True):
    """The answer to a `TryNode`."""

    subject: PeerId
    addresses: tuple[str, ...]
    outcomes: tuple[DialOutcome, ...]
    """One for each address."""


class Leave(Struct, frozen=True):
    """Publish our goodbye, and close all connections."""

    planned: PlannedAbsence | None = None
    """None if nobody announced the absence."""


Event = (
    Connected
    | Disconnected
    | DialFailed
    | Received
    | Join
    | Recall
    | Publish
    | Measured
    | WallClock
    | Credentials
    | Breach
    | LookUp
    | Tried
    | Leave
)


class Send(Struct, frozen=True):
    """Send these bytes to a neighbour, or drop them when its queue is full."""

    to: PeerId
    data: bytes
    lane: Lane = Lane.STREAM


class Dial(Struct, frozen=True):
    """Connect to a peer; `Connected` or `DialFailed` answers."""

    peer: PeerId
    addresses: tuple[str, ...]
    afresh: bool = False
    """Close its silent connections first: the peer may be another process by now."""


class Hangup(Struct, frozen=True):
    """Close every connection with a peer, after everything is sent."""

    peer: PeerId
    reason: str


class TryNode(Struct, frozen=True):
    """Connect to each of these addresses by TCP and close at once, where the mesh reaches this peer at the same host.

    `Tried` answers.
    """

    subject: PeerId
    addresses: tuple[str, ...]


class Stored(Struct, frozen=True):
    """A new record is in a ledger."""

    entry: Entry


class Delivered(Struct, frozen=True):
    """An urgent record first came by this path."""

    path: tuple[PeerRef, ...]
    """The origin, each peer that passed it on, and us."""
    hops_us: tuple[int | None, ...]
    """Duration from each to the next, with queues; None where a clock is unknown."""


class LinkChanged(Struct, frozen=True):
    """A link came up or was lost."""

    peer: PeerId
    up: bool
    reason: str


class Forgotten(Struct, frozen=True):
    """A peer is not remembered any more."""

    peer: PeerId


class LookedUp(Struct, frozen=True):
    """The answers of other zones to a `LookUp`, as far as they came."""

    number: int
    answer: LookupAnswer


class KeyShared(Struct, frozen=True):
    """Other processes proved to run with our key; empty when the last of them is gone."""

    others: tuple[OtherLife, ...]


Effect = Send | Dial | Hangup | TryNode | Stored | Delivered | LinkChanged | Forgotten | LookedUp | KeyShared


class Outbox:
    """Effects and internal events of one turn, in order. Encodes a message to many peers once."""

    def __init__(self) -> None:
        self._effects: list[Effect] = []
        self._internal: list[InternalEvent] = []
        self._last: tuple[Message, bytes] | None = None
        self.messages: Counter[str] = Counter()
        """Sent messages by type."""
        self.bytes: Counter[str] = Counter()
        """Sent bytes by type, before the transport's own overhead."""

    def send(self, to: PeerId, message: Message) -> None:
        """Queue a message: pings, pongs and doubts as datagrams, all others on the stream."""
        if self._last is None or self._last[0] is not message:
            self._last = (message, encode(message))
        data = self._last[1]
        name = type(message).__name__.lower()
        self.messages[name] += 1
        self.bytes[name] += len(data)
        lane = Lane.DATAGRAM if isinstance(message, Ping | Pong | Doubt) else Lane.STREAM
        self._effects.append(Send(to, data, lane))

    def add(self, effect: Effect) -> None:
        """Queue any other effect."""
        self._effects.append(effect)

    def emit(self, event: InternalEvent) -> None:
        """Queue an internal event; `routes.py` routes it in this turn."""
        self._internal.append(event)

    def take_internal(self) -> list[InternalEvent]:
        """Internal events since the last call."""
        events, self._internal = self._internal, []
        return events

    def take(self) -> list[Effect]:
        """Everything queued since the last call."""
        effects, self._effects, self._last = self._effects, [], None
        return effects
