"""The quota of records from other zones, and the records to drop beyond it.

Records for all zones come from peers that are otherwise unknown here. So the global ledger keeps a fixed number of
strangers for each kind. Strangers never displace members of our own zone, which that zone's ledger bounds, or peers
that the settings trust. A hash of the id selects the strangers, not the order of arrival. So all peers keep the same
ones, and do not offer each other records beyond the quota. A record that says nothing any more goes first.
"""

from __future__ import annotations

from collections.abc import Container
from hashlib import blake2b
from heapq import nlargest

from msgspec.structs import replace

from peerscope.mesh.zoning.zone_summaries import EXPIRY_INTERVALS
from peerscope.records.alerts import Orders
from peerscope.records.blocks import Blocks
from peerscope.records.bodies import WORLD, Body, Kind, kind_of
from peerscope.records.certificates import Revoked
from peerscope.records.identity import PeerId
from peerscope.records.ledger import Ledger, LedgerConfig
from peerscope.records.summary import Summary

STRANGERS_MAX: dict[int, int] = {
    Kind.SUMMARY: 2_048,  # three aggregators each of six hundred zones
    Kind.ORDERS: 512,  # guesses: more people than look after one network; 16 kB each at most
    Kind.REVOKED: 128,  # each repeats what all members know
    Kind.BLOCKS: 512,
}
"""By kind, the kept origins of other zones."""
assert STRANGERS_MAX.keys() == WORLD


def remote_origins_max(config: LedgerConfig) -> LedgerConfig:
    """Bounds of the global ledger, far above the quota."""
    return replace(config, origins_max=2 * (config.origins_max + sum(STRANGERS_MAX.values())))


class RemoteQuota:
    """The quota of the global ledger."""

    def __init__(self, ledger: Ledger, global_ledger: Ledger, me: PeerId, trusted: Container[PeerId] = ()) -> None:
        """`ledger`: of our zone; `trusted`: peers that are never strangers."""
        self._ledger = ledger
        self._global_ledger = global_ledger
        self._me = me
        self._trusted = trusted

    def make(self, origin: PeerId, body: Body, heard_at: float, now: float) -> list[PeerId]:
        """Drop records in favour of a new one. Returns their origins, perhaps the new one's."""
        kind = kind_of(body)
        most = STRANGERS_MAX[kind]
        if self._global_ledger.counts[kind] < most or self._global_ledger.get(origin, kind) is not None:
            return []
        strangers = [
            (_is_spent(entry.body, entry.heard_at, now), _lot(peer, kind), peer)
            for peer in self._global_ledger
            if (entry := self._global_ledger.get(peer, kind)) is not None and self._is_stranger(peer)
        ]
        if self._is_stranger(origin):
            strangers.append((_is_spent(body, heard_at, now), _lot(origin, kind), origin))
        gone = [peer for _, _, peer in nlargest(max(0, len(strangers) - most), strangers)]
        for peer in gone:
            if peer != origin:
                self._global_ledger.drop(peer, kind)
        return gone

    def expire(self, now: float) -> list[PeerId]:
        """Drop records older than `remember_s`, and return their origins."""
        oldest = now - self._global_ledger.config.remember_s
        old = [
            (peer, entry.record.kind)
            for peer in self._global_ledger
            for entry in self._global_ledger.entries(peer)
            if peer != self._me and entry.heard_at < oldest
        ]
        for peer, kind in old:
            self._global_ledger.drop(peer, kind)
        return [peer for peer, _ in old]

    def _is_stranger(self, peer: PeerId) -> bool:
        return peer != self._me and peer not in self._ledger and peer not in self._trusted


def has_content(body: Body) -> bool:
    match body:
        case Orders():
            return bool(body.silences or body.acknowledgements or body.forgotten)
        case Revoked():
            return bool(body.items)
        case Blocks():
            return bool(body.blocks)
        case _:
            return True


def _is_spent(body: Body, heard_at: float, now: float) -> bool:
    """The record has no content, or has expired."""
    if isinstance(body, Summary):
        return now > heard_at + EXPIRY_INTERVALS * body.interval_ms / 1000
    return not has_content(body)


def _lot(peer: PeerId, kind: int) -> bytes:
    """The rank among strangers: the same for all peers, different for each kind."""
    return blake2b(peer, digest_size=8, salt=bytes((kind,)), person=b"peerscope room").digest()
