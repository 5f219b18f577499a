"""Downtime that an operator ordered in advance."""

from __future__ import annotations

from peerscope.alerts.rules import Rule
from peerscope.alerts.silences import REF_HEX, StandingOrders, fits, spellings
from peerscope.records.identity import PeerId
from peerscope.views.snapshot import Snapshot


def planned_peers(orders: StandingOrders, snapshot: Snapshot, rule: Rule) -> frozenset[PeerId]:
    """Peers that do not live now, as a silence ordered in advance foresaw. `rule`: the one about peers that are down.

    A silence that somebody orders when a peer is down already does not make the downtime a planned one.
    """
    silences = orders.planned
    if not silences:
        return frozenset()
    found = set()
    for peer in snapshot.peers:
        if snapshot.is_living(peer):
            continue
        values = {
            "id": (f"{rule.name}-{peer.hex()[:REF_HEX]}",),
            "type": (rule.type,),
            "rule": (rule.name,),
            "peer": spellings(peer.hex()),
            "region": (snapshot.places[peer].region or "",),
            "severity": (rule.severity,),
        }
        if any(fits(silence.matchers, values) for silence in silences):
            found.add(peer)
    return frozenset(found)
