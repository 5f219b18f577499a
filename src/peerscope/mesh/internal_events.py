"""Internal events: messages from one part of a peer to the others. `routes.py` has the table of receivers.

An event says what has happened, or what its sender needs from another part.
"""

from __future__ import annotations

from msgspec import Struct

from peerscope.mesh.messages import Push, Topic
from peerscope.mesh.zoning.lookup import LookupAnswer
from peerscope.records.bodies import Body
from peerscope.records.identity import PeerId
from peerscope.records.ledger import Entry
from peerscope.records.record import Record

# -- links: from the handshake and the prober -----------------------------------------------------


class LinkUp(Struct, frozen=True, gc=False):
    """A neighbour sent its hello, or was heard again after a silence, or needs no dialling."""

    peer: PeerId
    zone: str
    is_news: bool
    """The link was not up before."""
    is_regained: bool = False
    """The link was lost."""


class LinkReady(Struct, frozen=True, gc=False):
    """All parts know of the new link: compare records over it."""

    peer: PeerId


class LinkLost(Struct, frozen=True, gc=False):
    """A neighbour was silent for too long."""

    peer: PeerId


class LinkDoubted(Struct, frozen=True, gc=False):
    """Pings to a neighbour lack an answer."""

    peer: PeerId
    is_wide: bool
    """All its observers should know; else those that are linked with us."""


class Doubted(Struct, frozen=True, gc=False):
    """Another observer asked this neighbour of ours in vain."""

    peer: PeerId


class LinkClosed(Struct, frozen=True, gc=False):
    """A link was closed on purpose."""

    peer: PeerId
    was_up: bool
    """It was up until now."""


class ConnectionReplaced(Struct, frozen=True, gc=False):
    """A peer has a new connection, perhaps from another process."""

    peer: PeerId


class SilencesChanged(Struct, frozen=True, gc=False):
    """The set of lost links changed."""


class Greeted(Struct, frozen=True, gc=False):
    """A peer sent its hello, on a link or a guest connection."""

    peer: PeerId


class ConnectionOver(Struct, frozen=True, gc=False):
    """A peer is not connected any more, or a dial failed."""

    peer: PeerId


class NeighbourMoved(Struct, frozen=True, gc=False):
    """A neighbour moved to another zone."""

    peer: PeerId
    zone: str


# -- dialling ---------------------------------------------------------------------------------------


class Unreached(Struct, frozen=True, gc=False):
    """A dial or a connection failed."""

    peer: PeerId


class Missing(Struct, frozen=True, gc=False):
    """The link of a neighbour is gone: dial it, if it is ours to dial."""

    peer: PeerId
    said_bye: bool = False
    """It closed the link on purpose: dial later."""


class NeighbourBanned(Struct, frozen=True, gc=False):
    """A neighbour on the rings is banned: expect no link with it."""

    peer: PeerId


class BootstrapAdded(Struct, frozen=True, gc=False):
    """Dial a bootstrap peer."""

    peer: PeerId
    addresses: tuple[str, ...]


class BootstrapDropped(Struct, frozen=True, gc=False):
    """Drop a bootstrap peer; None for all."""

    peer: PeerId | None


class ConnectAsGuest(Struct, frozen=True, gc=False):
    """Connect as a guest, for one exchange."""

    peer: PeerId
    addresses: tuple[str, ...]


class GuestDone(Struct, frozen=True, gc=False):
    """End a guest connection."""

    peer: PeerId


# -- records ----------------------------------------------------------------------------------------


class RecordStored(Struct, frozen=True, gc=False):
    """A new record of another peer is in a ledger."""

    entry: Entry


class RecordToForward(Struct, frozen=True, gc=False):
    """Pass a stored record on. `push`: the message that brought it; None if it was not pushed."""

    entry: Entry
    source: PeerId | None
    push: Push | None = None


class OriginBack(Struct, frozen=True, gc=False):
    """A buried origin has a new record: pull its earlier records from the source."""

    source: PeerId
    kind: int
    topics: tuple[Topic, ...]


class OwnRecordReceived(Struct, frozen=True, gc=False):
    """A newer record under our key came, and this process did not sign it."""

    record: Record
    body: Body
    clock_ms: int
    """Our version clock, before it was set above the record."""


class OwnPublished(Struct, frozen=True, gc=False):
    """We signed a record. `hops`: limit of the push; None to announce it."""

    entry: Entry
    hops: int | None


class Accused(Struct, frozen=True, gc=False):
    """Our ledger refused an accusation that others may hold."""

    observer: PeerId
    version: int


class Superseded(Struct, frozen=True, gc=False):
    """Publish our record of this kind again, with a newer version."""

    kind: int


class Restate(Struct, frozen=True, gc=False):
    """Publish a new record."""

    body: Body
    urgent: bool


class Repeat(Struct, frozen=True, gc=False):
    """Publish an earlier record again."""

    entry: Entry
    urgent: bool = False


# -- members and zones -------------------------------------------------------------------------------


class MemberPlaced(Struct, frozen=True, gc=False):
    """Put a member on the rings of the living, or take it off."""

    peer: PeerId
    alive: bool


class MemberGone(Struct, frozen=True, gc=False):
    """A peer left, or is forgotten."""

    peer: PeerId


class Evicted(Struct, frozen=True, gc=False):
    """Forget a peer and all its records."""

    peer: PeerId
    is_loss: bool = True
    """False where an operator revoked the peer or ordered to forget it."""


class RecordsDropped(Struct, frozen=True, gc=False):
    """A record of a peer was dropped from the global ledger."""

    peer: PeerId


class CertificateRenewed(Struct, frozen=True, gc=False):
    """Our certificate changed."""


class ZoneLeft(Struct, frozen=True, gc=False):
    """We move to another zone, and still use the rings of the old one."""

    zone: str


class ZoneRings(Struct, frozen=True, gc=False):
    """Use the rings of another zone."""

    zone: str
    members: tuple[PeerId, ...]


class ZoneEntered(Struct, frozen=True, gc=False):
    """The move is done."""

    zone: str


class BridgesWanted(Struct, frozen=True, gc=False):
    """Link with these peers of other zones, and with no others."""

    peers: tuple[tuple[PeerId, tuple[str, ...]], ...]


class OwnKeyFound(Struct, frozen=True, gc=False):
    """Other zones answered a lookup of our own key."""

    answer: LookupAnswer


InternalEvent = (
    LinkUp
    | LinkReady
    | LinkLost
    | LinkDoubted
    | Doubted
    | LinkClosed
    | ConnectionReplaced
    | SilencesChanged
    | Greeted
    | ConnectionOver
    | NeighbourMoved
    | Unreached
    | Missing
    | NeighbourBanned
    | BootstrapAdded
    | BootstrapDropped
    | ConnectAsGuest
    | GuestDone
    | RecordStored
    | RecordToForward
    | OriginBack
    | OwnRecordReceived
    | OwnPublished
    | Accused
    | Superseded
    | Restate
    | Repeat
    | MemberPlaced
    | MemberGone
    | Evicted
    | RecordsDropped
    | CertificateRenewed
    | ZoneLeft
    | ZoneRings
    | ZoneEntered
    | BridgesWanted
    | OwnKeyFound
)
