"""Whether this peer speaks for its zone, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
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
"""Whoever is further down in the order of its zone need not look whether those before it are well."""
LOOK_INTERVAL_S = 5.0
"""Between two looks, or half an interval where that is shorter."""


class SummaryPublisher:
    """Makes the summaries of one peer."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._look_at = -inf
        self._spoke_at = -inf
        self._zone = WHOLE

    def update(
        self,
        peer: Peer,
        look: Callable[[], tuple[Snapshot, Sequence[MergedLink], Iterable[Alert]]],
        addresses: Sequence[str],
        now: float,
    ) -> Summary | None:
        """A summary to publish, where it is our turn. Call often; `look` is called only when it may be."""
        zone = peer.own_zone.zone
        if now < self._look_at and zone == self._zone:
            return None
        self._look_at, moved = now + min(LOOK_INTERVAL_S, self._interval_s / 2), zone != self._zone
        self._zone = zone
        if zone == WHOLE and (not peer.global_ledger.counts[Kind.SUMMARY] or peer.own_zone.is_newcomer):
            return None  # nobody is beyond our zone, or it is none of ours
        if now < self._spoke_at + self._interval_s and not moved:
            return None
        ours = rank(zone, peer.me)
        before = (member for member in peer.neighbours.rings.members() if rank(zone, member) < ours)
        if next(islice(before, CANDIDATES - 1, None), None) is not None:
            return None
        snapshot, links, alerts = look()
        acting = aggregators(snapshot, zone).acting
        if peer.me not in acting:
            return None
        self._spoke_at = now
        return summary(
            snapshot,
            links,
            alerts,
            zone=zone,
            aggregators=acting,
            addresses=addresses,
            interval_s=self._interval_s,
            rings=peer.config.links.rings,
        )
