"""Whether this peer speaks for its zone, and when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from math import inf

from peerscope.alerts.aggregators import aggregators, rank
from peerscope.alerts.model import Alert
from peerscope.mesh.peer import Peer
from peerscope.mesh.zoning.names import WHOLE
from peerscope.records.bodies import Kind
from peerscope.records.summary import Summary
from peerscope.views.links import MergedLink
from peerscope.views.snapshot import Snapshot
from peerscope.zones.summary import summary

CANDIDATES = 16
"""A peer further down in the order of its zone does not check whether those before it are well."""
LOOK_INTERVAL_S = 5.0
"""Between two looks, or half an interval where that is shorter."""


class SummaryPublisher:
    """Makes the summaries of one peer."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._look_at = -inf
        self._spoke_at = -inf
        self._zone = WHOLE

    def is_due(self, peer: Peer, now: float) -> bool:
        """It may be our turn: then look at the zone and call `update`. Call this often."""
        zone = peer.own_zone.zone
        if now < self._look_at and zone == self._zone:
            return False
        self._look_at, moved = now + min(LOOK_INTERVAL_S, self._interval_s / 2), zone != self._zone
        self._zone = zone
        if zone == WHOLE and (not peer.global_ledger.counts[Kind.SUMMARY] or peer.own_zone.is_newcomer):
            return False  # nobody is beyond our zone, or it is none of ours
        if now < self._spoke_at + self._interval_s and not moved:
            return False
        ours = rank(zone, peer.me)
        before = (member for member in peer.neighbours.rings.members() if rank(zone, member) < ours)
        return next(islice(before, CANDIDATES - 1, None), None) is None

    def update(
        self, snapshot: Snapshot, links: Sequence[MergedLink], alerts: Iterable[Alert], rings: int
    ) -> Summary | None:
        """A summary to publish, where this peer acts for its zone. `rings`: of links between agents."""
        acting, profile = aggregators(snapshot, self._zone).acting, snapshot.ledger.profile(snapshot.me)
        if snapshot.me not in acting:
            return None
        self._spoke_at = snapshot.now
        return summary(
            snapshot,
            links,
            alerts,
            zone=self._zone,
            aggregators=acting,
            addresses=profile.addresses if profile else (),
            interval_s=self._interval_s,
            rings=rings,
        )
