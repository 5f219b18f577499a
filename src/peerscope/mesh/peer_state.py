"""The shared state of the parts of one peer: its identity, its ledgers and its links.

A part gets this instead of other parts. Each field has one writer, named beside it; all other parts only read.
`NeighbourView` and `ZoneView` are the readable sides of two parts, so that a type checker enforces it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from peerscope.mesh.detection.detector import DetectorConfig
from peerscope.mesh.detection.links import Links, LocalHealth
from peerscope.mesh.events import Outbox
from peerscope.mesh.grid import Grid
from peerscope.mesh.limits.reputation import Reputations
from peerscope.mesh.membership.admission import Admission
from peerscope.mesh.membership.rings import Rings
from peerscope.mesh.membership.shared_key import SharedKey
from peerscope.records.bodies import WORLD, Profile
from peerscope.records.identity import PeerId, Signer
from peerscope.records.ledger import Ledger
from peerscope.records.record import VERSION_MAX


class NeighbourView(Protocol):
    """The rings and our neighbours; see `membership/neighbours.py`."""

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


class OwnZoneView(Protocol):
    """The zone of this peer; see `zoning/own_zone.py`."""

    @property
    def zone(self) -> str: ...
    @property
    def is_newcomer(self) -> bool: ...
    def is_settled(self, now: float) -> bool: ...
    def is_member(self, peer: PeerId, profile: Profile, now: float) -> bool: ...
    def others(self, now: float) -> int: ...


class Clocks(NamedTuple):
    """The clocks of a process, read at one moment."""

    now: float
    """Monotonic seconds."""
    wall_offset_s: float
    """Unix seconds minus monotonic seconds."""


class VersionClock:
    """Converts monotonic seconds to wall time and versions. The version clock only grows, unlike the wall clock."""

    def __init__(self, wall_offset_s: float) -> None:
        """`wall_offset_s`: Unix seconds minus monotonic seconds."""
        self._wall_offset_s = wall_offset_s
        self._clock_offset_s = wall_offset_s
        """Version clock minus monotonic seconds. It only grows."""
        self._version = 0

    def wall(self, now: float) -> float:
        """Unix seconds at `now`, by our own wall clock."""
        return now + self._wall_offset_s

    def set_wall(self, offset_s: float) -> None:
        """Set the wall clock: Unix seconds minus monotonic seconds."""
        self._wall_offset_s = offset_s
        self._clock_offset_s = max(self._clock_offset_s, offset_s)

    def wall_ms(self, now: float) -> int:
        """Our wall clock in milliseconds since 1970."""
        return max(1, round(self.wall(now) * 1000))

    def wall_us(self, now: float) -> int:
        """Our wall clock in microseconds since 1970, for pushes."""
        return min(max(0, round(self.wall(now) * 1e6)), VERSION_MAX)

    def clock_ms(self, now: float) -> int:
        """Our version clock in milliseconds."""
        return min(max(self._version, round((now + self._clock_offset_s) * 1000), 1), VERSION_MAX)

    def ahead_ms(self, now: float) -> int:
        """How far the version clock runs ahead of the wall clock."""
        return max(0, self.clock_ms(now) - self.wall_ms(now))

    def next_version(self, now: float) -> int:
        """The version of a new record, above all before it."""
        self._version = max(self._version + 1, self.clock_ms(now))
        return self._version

    def outbid(self, version: int, now: float) -> None:
        """Make all further versions greater than this one."""
        self._version = max(self._version, version)
        self._clock_offset_s = max(self._clock_offset_s, version / 1000 - now)


@dataclass(kw_only=True)
class PeerState:
    """The shared state; `parts.py` builds it."""

    signer: Signer
    detector: DetectorConfig
    out: Outbox
    """Every part adds to it."""
    refused: Counter[str]
    """Refused messages and records of other peers, by reason; written by `Peer` and the receiver."""
    ledger: Ledger
    """Records of our zone; written by the receiver, the publisher, and where peers are forgotten."""
    global_ledger: Ledger
    """Records for all zones: summaries, orders, revocations and block lists."""
    clock: VersionClock
    admission: Admission
    """Written by the revocations."""
    reputations: Reputations
    """Written by `Peer`."""
    shared_key: SharedKey
    """Written by `Peer` and the publisher."""
    links: Links
    """Written by the handshake and the prober."""
    local_health: LocalHealth
    """Written by `Peer`."""
    grid: Grid
    neighbours: NeighbourView = field(init=False)
    own_zone: OwnZoneView = field(init=False)

    @property
    def me(self) -> PeerId:
        return self.signer.peer_id

    def ledger_of(self, kind: int) -> Ledger:
        """The ledger for records of this kind."""
        return self.global_ledger if kind in WORLD else self.ledger

    def is_near(self, peer: PeerId) -> bool:
        """The peer is linked, and of our own zone."""
        link = self.links.get(peer)
        return link is not None and link.zone == self.own_zone.zone
