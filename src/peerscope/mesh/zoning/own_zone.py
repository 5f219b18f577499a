"""The zone of this peer, its moves, and the bridges to other zones.

All members of a zone see the same membership, so they decide alike when it is too large or too small (`names.py`). They
move at about the same time, and their links change with the rings of the new zone. Aggregators keep bridges to those of
the same rank in the zones beside theirs, on rings of zones. So summaries cross in three ways. The summary that this
peer publishes makes it an aggregator.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from math import inf

from msgspec.structs import replace

from peerscope.mesh import internal_events as e
from peerscope.mesh.detection.observers import has_left, is_reporting
from peerscope.mesh.membership.rings import Rings
from peerscope.mesh.peer_state import PeerState
from peerscope.mesh.zoning.names import WHOLE, ZoneConfig, home, is_within, parsed, redrawn
from peerscope.mesh.zoning.zone_summaries import ZoneSummary, members, zone_summaries
from peerscope.records.bodies import Body, Profile
from peerscope.records.identity import PeerId, ref

REVIEW_S = 5.0
SETTLE_TIMEOUT_S = 1.0
"""A newcomer knows all zones after this time."""


class OwnZone:
    """The zone of one peer."""

    def __init__(self, state: PeerState, config: ZoneConfig, now: float) -> None:
        self.zone = WHOLE
        self._me = state.me
        self._config = config
        self._ledger = state.ledger
        self._global_ledger = state.global_ledger
        self._out = state.out
        self._review_at = now + SETTLE_TIMEOUT_S
        self._met_own_zone = False
        """We had a neighbour of our own zone."""
        self._resumed_at = inf
        """Time at which we resumed the zone of an earlier process, which may not exist any more."""
        self._met_other_zone = False
        """We had a neighbour of another zone."""
        self._wanted_since = inf
        self._strange_since: dict[PeerId, float] = {}
        """Peers of other zones in the ledger, each with the time when that began."""
        self._zones: frozenset[str] = frozenset()
        """The zones of the network at our last move."""
        self._moved_at = -inf

    def deadline(self) -> float:
        return self._review_at

    def is_settled(self, now: float) -> bool:
        """We did not move recently, so links into other zones are not needed any more."""
        return now - self._moved_at >= self._config.grace_s

    @property
    def is_newcomer(self) -> bool:
        """On its way to a zone that it does not know yet."""
        return self.zone == WHOLE and not self._met_own_zone

    def met(self, zone: str) -> None:
        """Note a linked neighbour of this zone."""
        self._met_own_zone = self._met_own_zone or zone == self.zone
        self._met_other_zone = self._met_other_zone or zone != self.zone

    def resume(self, zone: str, now: float) -> None:
        """Resume the zone of an earlier process."""
        if parsed(zone) is not None and self.zone == WHOLE:
            self.zone, self._resumed_at = zone, now
            self._out.emit(e.ZoneRings(zone, ()))

    def placed(self, body: Body) -> Body:
        """Our body, a profile with our zone."""
        return replace(body, zone=self.zone) if isinstance(body, Profile) else body

    def is_member(self, peer: PeerId, profile: Profile, now: float) -> bool:
        """The peer is of our zone, or soon moves here after us."""
        if profile.zone == self.zone:
            return True
        is_following = now - self._moved_at < self._config.hold_s and is_within(self.zone, profile.zone)
        return is_following and home(peer, profile.region, self._zones) == self.zone

    def others(self, now: float) -> int:
        """The number of other zones with aggregators."""
        return sum(zone != self.zone for zone in zone_summaries(self._global_ledger, now))

    def review(self, now: float) -> None:
        """Move if it is time, update the bridges, and forget peers of other zones."""
        before = self.zone
        self._review_at = now + REVIEW_S
        speaking = zone_summaries(self._global_ledger, now)
        known = {zone: members(those) for zone, those in speaking.items()}
        if self._met_own_zone and len(known) > 1:
            self._out.emit(e.BootstrapDropped(None))  # bootstrap peers may be of other zones
        self._follow(known, speaking, now)
        self._bridge(now)
        for peer in self._strangers(now):
            if has_left(self._ledger, peer) or not is_reporting(self._ledger, peer, now):
                # Carriers of its records must not bring it back.
                self._ledger.bury(ref(peer), self._ledger.newest(peer), now + self._ledger.config.remember_s)
            self._out.emit(e.Evicted(peer))
        if self.zone != before:
            self._out.emit(e.ZoneEntered(self.zone))

    def _follow(self, known: dict[str, int], speaking: dict[str, list[ZoneSummary]], now: float) -> None:
        profile = self._ledger.profile(self._me)
        if profile is None:
            return
        # A zone with no aggregator but us may have no other member.
        apart = [
            zone for zone, those in speaking.items() if zone != WHOLE and any(one.peer != self._me for one in those)
        ]
        if (self.is_newcomer and apart) or (not self._met_own_zone and self._is_astray(now)):
            self._resumed_at = inf
            target = home(self._me, profile.region, apart)
            for claim in speaking.get(target, ()):
                self._out.emit(e.BootstrapAdded(claim.peer, claim.summary.addresses))
            self._change(target, apart, now)
            return
        zones = redrawn(self.zone, self._members(), known, self._config)
        if zones is None or home(self._me, profile.region, zones) == self.zone:
            self._wanted_since = inf
            return
        self._wanted_since = min(self._wanted_since, now)
        if now - self._wanted_since >= self._config.hold_s:
            self._wanted_since = inf
            self._change(home(self._me, profile.region, zones), zones, now)

    def _is_astray(self, now: float) -> bool:
        """All neighbours are of other zones: the resumed zone was cut or joined meanwhile."""
        return self._met_other_zone and now - self._resumed_at >= self._config.hold_s

    def _change(self, zone: str, zones: Iterable[str], now: float) -> None:
        if zone == self.zone:
            return
        self._out.emit(e.ZoneLeft(zone))
        self.zone, self._zones, self._moved_at = zone, frozenset(zones), now
        ours = [
            peer
            for peer in self._ledger
            if (said := self._ledger.profile(peer)) is not None
            and not said.left
            and (said.zone == zone or home(peer, said.region, self._zones) == zone)
        ]
        self._out.emit(e.ZoneRings(zone, tuple(ours)))

    def _members(self) -> dict[PeerId, str | None]:
        """Regions of the members of our zone, and of those that moved to a part of it."""
        return {
            peer: profile.region
            for peer in self._ledger
            if (profile := self._ledger.profile(peer)) is not None
            and not profile.left
            and is_within(profile.zone, self.zone)
        }

    def _bridge(self, now: float) -> None:
        """Bridge to the aggregators of our own rank in the zones beside ours."""
        if self._me not in self._global_ledger:
            self._out.emit(e.BridgesWanted(()))  # we are no aggregator
            return
        speaking = zone_summaries(self._global_ledger, now, expired=True)
        ours = next((claim.summary for claim in speaking.get(self.zone, ()) if claim.peer == self._me), None)
        wanted: dict[PeerId, tuple[str, ...]] = {}
        if ours is not None and len(speaking) > 1:
            rank = ours.aggregators.index(ref(self._me))
            names = {_place(zone): zone for zone in speaking}
            beside = Rings(members=names).neighbours(_place(self.zone))
            for place in sorted(beside):
                there = speaking[names[place]]
                claim = there[rank % len(there)]
                wanted[claim.peer] = claim.summary.addresses
        self._out.emit(e.BridgesWanted(tuple(wanted.items())))

    def _strangers(self, now: float) -> list[PeerId]:
        """Peers to forget: of other zones for longer than a move takes."""
        if (
            self.zone == WHOLE
            and not self._strange_since
            and not any(profile.zone for peer in self._ledger if (profile := self._ledger.profile(peer)) is not None)
        ):
            return []  # a network of one zone
        there = {
            peer
            for peer in self._ledger
            if peer != self._me
            and ((profile := self._ledger.profile(peer)) is None or not self.is_member(peer, profile, now))
        }
        self._strange_since = {peer: self._strange_since.get(peer, now) for peer in there}
        return sorted(peer for peer, since in self._strange_since.items() if now - since >= self._config.grace_s)


def _place(zone: str) -> PeerId:
    """The id of a zone on rings of zones."""
    return PeerId(blake2b(zone.encode(), digest_size=32, person=b"peerscope zone").digest())
