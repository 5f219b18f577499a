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
from peerscope.records.bodies import WORLD, Profile
from peerscope.records.identity import PeerId, Signer
from peerscope.records.ledger import Ledger
from peerscope.records.record import VERSION_MAX


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


class VersionClock:
    """Turns monotonic seconds into wall time and versions.

    The version clock never goes back and never stands still, whatever happens to the wall clock.
    """

    def __init__(self, wall_offset_s: float) -> None:
        """`wall_offset_s`: Unix seconds minus monotonic seconds."""
        self._wall_offset_s = wall_offset_s
        self._clock_offset_s = wall_offset_s
        """Turns monotonic time into the version clock. It only grows: others date our life by it."""
        self._version = 0

    def wall(self, now: float) -> float:
        """Unix seconds at `now`, by our own wall clock."""
        return now + self._wall_offset_s

    def set_wall(self, offset_s: float) -> None:
        """The wall clock was read: Unix seconds minus monotonic seconds."""
        self._wall_offset_s = offset_s
        self._clock_offset_s = max(self._clock_offset_s, offset_s)

    def wall_ms(self, now: float) -> int:
        """Our wall clock in milliseconds since 1970."""
        return max(1, round(self.wall(now) * 1000))

    def wall_us(self, now: float) -> int:
        """The same in microseconds, as pushes carry it."""
        return min(max(0, round(self.wall(now) * 1e6)), VERSION_MAX)

    def clock_ms(self, now: float) -> int:
        """Our version clock in milliseconds."""
        return min(max(self._version, round((now + self._clock_offset_s) * 1000), 1), VERSION_MAX)

    def ahead_ms(self, now: float) -> int:
        """How far the version clock runs ahead of the wall clock."""
        return max(0, self.clock_ms(now) - self.wall_ms(now))

    def next_version(self, now: float) -> int:
        """The version of a new statement, above all before it."""
        self._version = max(self._version + 1, self.clock_ms(now))
        return self._version

    def outbid(self, version: int, now: float) -> None:
        """Give no version from here on that is not above this one."""
        self._version = max(self._version, version)
        self._clock_offset_s = max(self._clock_offset_s, version / 1000 - now)


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
