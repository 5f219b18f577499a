"""Which zone this peer belongs to, when that changes, and the bridges to other zones.

All members of a zone see the same membership, so they decide alike when it is too large or too small (`zones.py`), and
move at about the same time; their links change with the rings of the new zone. Aggregators keep bridges: the first of a
zone to the firsts of the zones beside it on rings of zones, and so on, so that summaries cross in three ways. Who
aggregates is told from outside, by the summary that this peer publishes.
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
"""A newcomer hears of all zones within this time."""


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
        self._has_company = False
        """We had a neighbour of our own zone: we are no newcomer."""
        self._resumed_at = inf
        """We went on where an earlier life was, at that time; whether that zone still exists is not known."""
        self._is_abroad = False
        """We had a neighbour of another zone."""
        self._wanted_since = inf
        self._strange_since: dict[PeerId, float] = {}
        """Peers in the ledger that are of other zones."""
        self._zones: frozenset[str] = frozenset()
        """The zones among which peers were divided when we last moved."""
        self._moved_at = -inf

    def deadline(self) -> float:
        """When `review` has something to do."""
        return self._review_at

    def is_settled(self, now: float) -> bool:
        """We did not move lately: links into other zones, by which they hear of each other, have done their duty."""
        return now - self._moved_at >= self._config.grace_s

    @property
    def is_newcomer(self) -> bool:
        """On its way to a zone that it does not know yet."""
        return self.zone == WHOLE and not self._has_company

    def met(self, zone: str) -> None:
        """A neighbour of this zone is linked."""
        self._has_company = self._has_company or zone == self.zone
        self._is_abroad = self._is_abroad or zone != self.zone

    def resume(self, zone: str, now: float) -> None:
        """Go on where an earlier life of ours was, until we hear otherwise."""
        if parsed(zone) is not None and self.zone == WHOLE:
            self.zone, self._resumed_at = zone, now
            self._out.emit(e.ZoneRings(zone, ()))

    def placed(self, body: Body) -> Body:
        """What we say of ourselves, with our zone."""
        return replace(body, zone=self.zone) if isinstance(body, Profile) else body

    def is_member(self, peer: PeerId, profile: Profile, now: float) -> bool:
        """Of our zone; for a while after we moved also those who are to move here."""
        if profile.zone == self.zone:
            return True
        is_following = now - self._moved_at < self._config.hold_s and is_within(self.zone, profile.zone)
        return is_following and home(peer, profile.region, self._zones) == self.zone

    def others(self, now: float) -> int:
        """How many other zones are spoken for."""
        return sum(zone != self.zone for zone in zone_summaries(self._global_ledger, now))

    def review(self, now: float) -> None:
        """Move where it is time to; keep the bridges; forget peers that have been strangers for long."""
        before = self.zone
        self._review_at = now + REVIEW_S
        speaking = zone_summaries(self._global_ledger, now)
        known = {zone: members(those) for zone, those in speaking.items()}
        if self._has_company and len(known) > 1:
            self._out.emit(e.StartNoMore(None))  # they brought us here, and live elsewhere
        self._follow(known, speaking, now)
        self._bridge(now)
        for peer in self._strangers(now):
            if has_left(self._ledger, peer) or not is_reporting(self._ledger, peer, now):
                # A carrier of its records must not bring it back.
                self._ledger.bury(ref(peer), self._ledger.newest(peer), now + self._ledger.config.remember_s)
            self._out.emit(e.Evicted(peer))
        if self.zone != before:
            self._out.emit(e.ZoneEntered(self.zone))

    def _follow(self, known: dict[str, int], speaking: dict[str, list[ZoneSummary]], now: float) -> None:
        profile = self._ledger.profile(self._me)
        if profile is None:
            return
        # Where only we speak, nobody else may be.
        apart = [
            zone for zone, those in speaking.items() if zone != WHOLE and any(one.peer != self._me for one in those)
        ]
        if (self.is_newcomer and apart) or (not self._has_company and self._is_astray(now)):
            self._resumed_at = inf
            target = home(self._me, profile.region, apart)
            for claim in speaking.get(target, ()):
                self._out.emit(e.StartFrom(claim.peer, claim.summary.addresses))
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
        """All whom we meet are of other zones than the one that we remembered: it was cut or joined meanwhile."""
        return self._is_abroad and now - self._resumed_at >= self._config.hold_s

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
        """Regions of those in our zone, and of those who were lately and are in a part of it now."""
        return {
            peer: profile.region
            for peer in self._ledger
            if (profile := self._ledger.profile(peer)) is not None
            and not profile.left
            and is_within(profile.zone, self.zone)
        }

    def _bridge(self, now: float) -> None:
        """Those of other zones to whom we should be linked: of each zone beside ours the one of our own rank."""
        if self._me not in self._global_ledger:
            self._out.emit(e.BridgesWanted(()))  # nobody here speaks for a zone
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
        """Whom we need not remember: of other zones for longer than a move takes."""
        if (
            self.zone == WHOLE
            and not self._strange_since
            and not any(profile.zone for peer in self._ledger if (profile := self._ledger.profile(peer)) is not None)
        ):
            return []  # as ever in a network of one zone
        there = {
            peer
            for peer in self._ledger
            if peer != self._me
            and ((profile := self._ledger.profile(peer)) is None or not self.is_member(peer, profile, now))
        }
        self._strange_since = {peer: self._strange_since.get(peer, now) for peer in there}
        return sorted(peer for peer, since in self._strange_since.items() if now - since >= self._config.grace_s)


def _place(zone: str) -> PeerId:
    """A zone's place among zones, as rings want it."""
    return PeerId(blake2b(zone.encode(), digest_size=32, person=b"peerscope zone").digest())
