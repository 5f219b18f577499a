"""What all parts of one peer may read: who it is, what it holds, and with whom it is linked.

A part is given this instead of other parts. Each field has one writer, named beside it; everybody else only reads.
`NeighbourView` and `ZoneView` are what may be read of the two parts that others ask most, so that a type checker sees
to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Protocol

from peerscope.mesh.detection.detector import DetectorConfig
from peerscope.mesh.detection.links import Links, LocalHealth
from peerscope.mesh.events import Outbox
from peerscope.mesh.limits.reputation import Reputations
from peerscope.mesh.membership.admission import Admission
from peerscope.mesh.membership.rings import Rings
from peerscope.mesh.membership.shared_key import SharedKey
from peerscope.mesh.version_clock import VersionClock
from peerscope.records.bodies import WORLD, Profile
from peerscope.records.identity import PeerId, Signer
from peerscope.records.ledger import Ledger


class NeighbourView(Protocol):
    """The rings, and the neighbours they give us; `membership/neighbours.py` says more of each."""

    @property
    def rings(self) -> Rings: ...
    @property
    def lost(self) -> Set[PeerId]: ...
    @property
    def bootstrap(self) -> Mapping[PeerId, tuple[str, ...]]: ...
    @property
    def bridges(self) -> Mapping[PeerId, tuple[str, ...]]: ...
    @property
    def turned_away(self) -> Mapping[PeerId, str]: ...
    @property
    def wanted(self) -> frozenset[PeerId]: ...
    def expected(self, up: set[PeerId], now: float) -> set[PeerId]: ...
    def unreached(self, now: float) -> set[PeerId]: ...


class ZoneView(Protocol):
    """The zone that this peer belongs to; `zoning/own_zone.py` says more of each."""

    @property
    def zone(self) -> str: ...
    @property
    def is_newcomer(self) -> bool: ...
    def is_settled(self, now: float) -> bool: ...
    def is_member(self, peer: PeerId, profile: Profile, now: float) -> bool: ...
    def others(self, now: float) -> int: ...


@dataclass(kw_only=True)
class PeerState:
    """The state that the parts of one peer share; `parts.py` builds it."""

    signer: Signer
    detector: DetectorConfig
    out: Outbox
    """Effects and internal events of this turn; every part adds to it."""
    refused: Counter[str]
    """Refused messages and records of other peers, by reason; written by `Peer` and the receiver."""
    ledger: Ledger
    """Records of our zone; written by the receiver, the publisher, and where peers are forgotten."""
    global_ledger: Ledger
    """Records that cross the boundaries of zones: summaries, and what operators ordered, revoked and blocked."""
    clock: VersionClock
    admission: Admission
    """Who may join; written by the revocations."""
    reputations: Reputations
    """What neighbours did; written by `Peer`."""
    shared_key: SharedKey
    """Other processes that sign with our key; written by `Peer` and, as our profile names them, by the publisher."""
    links: Links
    """Written by the handshake and the prober."""
    local_health: LocalHealth
    """How far we trust our own silence; written by `Peer`."""
    neighbours: NeighbourView = field(init=False)
    own_zone: ZoneView = field(init=False)

    @property
    def me(self) -> PeerId:
        """Our id."""
        return self.signer.peer_id

    def ledger_of(self, kind: int) -> Ledger:
        """Where records of this kind are kept."""
        return self.global_ledger if kind in WORLD else self.ledger

    def is_near(self, peer: PeerId) -> bool:
        """A linked peer of our own zone."""
        link = self.links.get(peer)
        return link is not None and link.zone == self.own_zone.zone
