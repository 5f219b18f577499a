"""What can happen to a peer, and what it asks of the outside: the whole border of the core."""

from __future__ import annotations

from collections import Counter
from enum import IntEnum

from msgspec import Struct

from peerscope.mesh.internal_events import InternalEvent
from peerscope.mesh.messages import Aged, Message, Ping, Pong, encode
from peerscope.mesh.zoning.lookup import LookupAnswer
from peerscope.records.bodies import Body, Check, OtherLife, OverlayLink
from peerscope.records.certificates import Certificate, Revocation
from peerscope.records.identity import PeerId, PeerRef
from peerscope.records.ledger import Entry
from peerscope.records.measures import Metrics


class Lane(IntEnum):
    """How a message travels."""

    STREAM = 0
    """Reliable and in order."""
    DATAGRAM = 1
    """May be lost, never waits behind anything."""


class Connected(Struct, frozen=True):
    """The transport has a new connection with a peer that proved its id."""

    peer: PeerId
    dialled: bool
    """We dialled, so we speak first."""


class Disconnected(Struct, frozen=True):
    """The last connection with a peer is gone."""

    peer: PeerId
    reason: str


class DialFailed(Struct, frozen=True):
    """A `Dial` came to nothing."""

    peer: PeerId
    reason: str


class Received(Struct, frozen=True):
    """Bytes from a connected peer."""

    peer: PeerId
    data: bytes


class Join(Struct, frozen=True):
    """A peer to start from: a ticket, or one remembered from an earlier life."""

    peer: PeerId
    addresses: tuple[str, ...]


class Recall(Struct, frozen=True):
    """Records kept from an earlier time, with their ages."""

    items: tuple[Aged, ...]
    zone: str = ""
    """Where we belonged then."""


class Publish(Struct, frozen=True):
    """A new statement of ours."""

    body: Body
    urgent: bool = False


class Measured(Struct, frozen=True):
    """What the host checks found; the core adds the p2p check and issues the report."""

    checks: tuple[Check, ...]
    metrics: Metrics | None = None
    node: Check | None = None
    """Whether the node beside us answers; None where none is attached."""
    overlay: tuple[OverlayLink, ...] = ()
    """Its neighbours in its own network."""
    relayed: frozenset[PeerId] | None = None
    """Connected peers whose packets go through a relay; None where that is not known."""


class WallClock(Struct, frozen=True):
    """Unix seconds minus monotonic seconds, as read now."""

    offset_s: float


class Credentials(Struct, frozen=True):
    """What operators signed, as read now: our certificate, and whose membership is void."""

    certificate: Certificate | None = None
    revocations: tuple[Revocation, ...] = ()


class Breach(Struct, frozen=True):
    """A peer sent what the transport does not even hand on; `reason` as in `RemoteError`."""

    peer: PeerId
    reason: str


class LookUp(Struct, frozen=True):
    """Ask other zones for the peers whose ids begin so; answered by one `Informed` of the same number."""

    number: int
    name: str
    """1 to 64 hexadecimal digits."""


class Leave(Struct, frozen=True):
    """Say goodbye to everybody."""


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
    | Leave
)


class Send(Struct, frozen=True):
    """Give these bytes to a neighbour; never waits, may be dropped when its queue is full."""

    to: PeerId
    data: bytes
    lane: Lane = Lane.STREAM


class Dial(Struct, frozen=True):
    """Try to connect; answered by `Connected` or `DialFailed`."""

    peer: PeerId
    addresses: tuple[str, ...]
    afresh: bool = False
    """The peer is silent on its connections: close them first, since it may be another process by now."""


class Hangup(Struct, frozen=True):
    """Close every connection with a peer, once what was sent is out."""

    peer: PeerId
    reason: str


class Stored(Struct, frozen=True):
    """A record is news and stands in the ledger now."""

    entry: Entry


class Delivered(Struct, frozen=True):
    """Urgent news reached us first by this path."""

    path: tuple[PeerRef, ...]
    """The origin, every peer that passed it on, and us."""
    hops_us: tuple[int | None, ...]
    """How long it took from each to the next, what waiting there was included; None where clocks are not known."""


class LinkChanged(Struct, frozen=True):
    """A link came up or was lost."""

    peer: PeerId
    up: bool
    reason: str


class Forgotten(Struct, frozen=True):
    """A peer that said nothing for too long is no longer remembered."""

    peer: PeerId


class LookedUp(Struct, frozen=True):
    """What other zones answered to an `Inquire`, or as far as they did."""

    number: int
    answer: LookupAnswer


class KeyShared(Struct, frozen=True):
    """Other processes run with our key, as far as they can be proved; none where the last of them is gone."""

    others: tuple[OtherLife, ...]


Effect = Send | Dial | Hangup | Stored | Delivered | LinkChanged | Forgotten | LookedUp | KeyShared


class Outbox:
    """Effects of one turn, in order. Encodes a message once, however many it goes to."""

    def __init__(self) -> None:
        self._effects: list[Effect] = []
        self._internal: list[InternalEvent] = []
        self._last: tuple[Message, bytes] | None = None
        self.messages: Counter[str] = Counter()
        """Sent messages by type."""
        self.bytes: Counter[str] = Counter()
        """Sent bytes by type, before the transport's own overhead."""

    def send(self, to: PeerId, message: Message) -> None:
        """Queue one message; pings and pongs as datagrams, all else on the stream."""
        if self._last is None or self._last[0] is not message:
            self._last = (message, encode(message))
        data = self._last[1]
        name = type(message).__name__.lower()
        self.messages[name] += 1
        self.bytes[name] += len(data)
        lane = Lane.DATAGRAM if isinstance(message, Ping | Pong) else Lane.STREAM
        self._effects.append(Send(to, data, lane))

    def add(self, effect: Effect) -> None:
        """Queue any other effect."""
        self._effects.append(effect)

    def emit(self, event: InternalEvent) -> None:
        """Queue an event for other parts of this peer; `routes.py` routes it in this turn."""
        self._internal.append(event)

    def take_internal(self) -> list[InternalEvent]:
        """Internal events since the last call."""
        events, self._internal = self._internal, []
        return events

    def take(self) -> list[Effect]:
        """Everything queued since the last call."""
        effects, self._effects, self._last = self._effects, [], None
        return effects
