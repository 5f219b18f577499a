"""What parts of a peer report to each other. A part emits events and holds no other part; `routes.py` says who reacts.

An event says what has happened, or what its sender needs another part to do. Events that a reaction emits are routed
before those that wait, so that a turn runs in the order in which its causes happened.
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
    """A neighbour greeted, or was heard again after a silence."""

    peer: PeerId
    zone: str
    is_news: bool
    """The link was not up before."""
    is_regained: bool = False
    """The link was lost."""


class LinkReady(Struct, frozen=True, gc=False):
    """Everything about a new link is noted: records can be compared over it."""

    peer: PeerId


class LinkLost(Struct, frozen=True, gc=False):
    """A neighbour was silent for too long."""

    peer: PeerId


class LinkClosed(Struct, frozen=True, gc=False):
    """A link was closed on purpose."""

    peer: PeerId
    was_up: bool
    """Greeted, not lost, and no visit."""


class ConnectionReplaced(Struct, frozen=True, gc=False):
    """A peer has a new connection: it may be another life of the same peer."""

    peer: PeerId


class SilencesChanged(Struct, frozen=True, gc=False):
    """The neighbours that this peer misses are others than before."""


class Greeted(Struct, frozen=True, gc=False):
    """A peer said hello, on a link or a visit."""

    peer: PeerId


class ConnectionOver(Struct, frozen=True, gc=False):
    """A peer is connected no more, or could not be reached."""

    peer: PeerId


class NeighbourMoved(Struct, frozen=True, gc=False):
    """A neighbour belongs to another zone now."""

    peer: PeerId
    zone: str


# -- dialling ---------------------------------------------------------------------------------------


class Unreached(Struct, frozen=True, gc=False):
    """A dial or a connection came to nothing."""

    peer: PeerId


class Missing(Struct, frozen=True, gc=False):
    """The link of a neighbour is gone, and may have to be dialled."""

    peer: PeerId
    said_bye: bool = False
    """It may not want to be dialled at once."""


class Shunned(Struct, frozen=True, gc=False):
    """A neighbour on the rings misbehaved: no link with it is expected."""

    peer: PeerId


class StartFrom(Struct, frozen=True, gc=False):
    """A peer to join the network through."""

    peer: PeerId
    addresses: tuple[str, ...]


class StartNoMore(Struct, frozen=True, gc=False):
    """Peers are no places to start from any more; None for all."""

    peer: PeerId | None


class Visit(Struct, frozen=True, gc=False):
    """Connect to a peer that is no neighbour, for one exchange."""

    peer: PeerId
    addresses: tuple[str, ...]


class VisitOver(Struct, frozen=True, gc=False):
    """Nothing is left to ask a visited peer."""

    peer: PeerId


# -- records ----------------------------------------------------------------------------------------


class RecordStored(Struct, frozen=True, gc=False):
    """A record of another peer is news and stands in a ledger."""

    entry: Entry


class RecordToForward(Struct, frozen=True, gc=False):
    """Pass a stored record on. `push`: what it came in; None where it was given."""

    entry: Entry
    source: PeerId | None
    push: Push | None = None


class OriginBack(Struct, frozen=True, gc=False):
    """A buried origin speaks again: ask the source for what the origin said before."""

    source: PeerId
    kind: int
    topics: tuple[Topic, ...]


class OwnRecordMet(Struct, frozen=True, gc=False):
    """Somebody holds a record under our key that this process did not sign, and that is newer than ours."""

    record: Record
    body: Body
    clock_ms: int
    """Our version clock before it was set above the record."""


class OwnPublished(Struct, frozen=True, gc=False):
    """We signed a record. `hops`: how far to push it; None to announce it."""

    entry: Entry
    hops: int | None


class Accused(Struct, frozen=True, gc=False):
    """An accusation that our ledger refused, and others may hold."""

    observer: PeerId
    version: int


class Outrun(Struct, frozen=True, gc=False):
    """Say again, above everything so far, what we said of this kind."""

    kind: int


class Restate(Struct, frozen=True, gc=False):
    """Publish a statement."""

    body: Body
    urgent: bool


class Repeat(Struct, frozen=True, gc=False):
    """Publish what we said before, once more."""

    entry: Entry
    urgent: bool = False


# -- members and zones -------------------------------------------------------------------------------


class MemberPlaced(Struct, frozen=True, gc=False):
    """A member is on the rings of the living, or off them."""

    peer: PeerId
    alive: bool


class MemberGone(Struct, frozen=True, gc=False):
    """A peer is no member any more."""

    peer: PeerId


class Evicted(Struct, frozen=True, gc=False):
    """Every part forgets the peer and all its records."""

    peer: PeerId
    is_loss: bool = True
    """False where an operator revoked the peer or ordered to forget it."""


class RecordsDropped(Struct, frozen=True, gc=False):
    """A record of a peer was taken out of the global ledger."""

    peer: PeerId


class CertificateRenewed(Struct, frozen=True, gc=False):
    """Our certificate is another one."""


class ZoneLeft(Struct, frozen=True, gc=False):
    """We move to another zone, and are still on the rings of the old one."""

    zone: str


class ZoneRings(Struct, frozen=True, gc=False):
    """The rings of another zone are ours now."""

    zone: str
    members: tuple[PeerId, ...]


class ZoneEntered(Struct, frozen=True, gc=False):
    """We have moved."""

    zone: str


class BridgesWanted(Struct, frozen=True, gc=False):
    """Peers of other zones to be linked with, and no others."""

    peers: tuple[tuple[PeerId, tuple[str, ...]], ...]


class OwnKeyFound(Struct, frozen=True, gc=False):
    """Other zones answered a question about our own key."""

    answer: LookupAnswer


InternalEvent = (
    LinkUp
    | LinkReady
    | LinkLost
    | LinkClosed
    | ConnectionReplaced
    | SilencesChanged
    | Greeted
    | ConnectionOver
    | NeighbourMoved
    | Unreached
    | Missing
    | Shunned
    | StartFrom
    | StartNoMore
    | Visit
    | VisitOver
    | RecordStored
    | RecordToForward
    | OriginBack
    | OwnRecordMet
    | OwnPublished
    | Accused
    | Outrun
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
