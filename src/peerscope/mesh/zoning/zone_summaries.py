"""The aggregators of each zone, by their summaries.

Any peer can claim to aggregate a zone. The largest group of summaries that name each other counts, so a lone stranger
achieves nothing. See docs/explanation/scaling.md for strangers with many keys.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import inf
from statistics import median_low

from msgspec import Struct

from peerscope.records.bodies import Kind
from peerscope.records.identity import PeerId, ref
from peerscope.records.ledger import Entry, Ledger
from peerscope.records.summary import Summary

EXPIRY_INTERVALS = 3
"""A summary expires after so many of its own intervals."""
ZONES_MAX = 512
"""Zones kept, those with most members first: any peer can invent names."""


class ZoneSummary(Struct, frozen=True):
    """A summary, its origin, and the local time of its issue."""

    peer: PeerId
    summary: Summary
    heard_at: float


def zone_summaries(global_ledger: Ledger, now: float, *, expired: bool = False) -> dict[str, list[ZoneSummary]]:
    """The aggregators of each zone, by rank. `expired`: also those with expired summaries."""
    by_zone: defaultdict[str, list[ZoneSummary]] = defaultdict(list)
    for origin in sorted(global_ledger):
        entry = global_ledger.get(origin, Kind.SUMMARY)
        if entry is not None and (claim := _claim(entry, -inf if expired else now)) is not None:
            by_zone[claim.summary.zone].append(claim)
    found = {zone: _recognised(those) for zone, those in sorted(by_zone.items())}
    if len(found) <= ZONES_MAX:
        return found
    largest = sorted(found, key=lambda zone: (-members(found[zone]), zone))[:ZONES_MAX]
    return {zone: found[zone] for zone in sorted(largest)}


def members(speaking: Sequence[ZoneSummary]) -> int:
    """The number of members of one zone, as the median of its aggregators."""
    return median_low(claim.summary.members for claim in speaking)


def _claim(entry: Entry, now: float) -> ZoneSummary | None:
    body = entry.body
    if not isinstance(body, Summary) or ref(entry.record.peer_id) not in body.aggregators:
        return None
    if now > entry.heard_at + EXPIRY_INTERVALS * body.interval_ms / 1000 or body.members != sum(body.counted[1:]):
        return None
    return ZoneSummary(entry.record.peer_id, body, entry.heard_at)


def _recognised(zone_summaries: Sequence[ZoneSummary]) -> list[ZoneSummary]:
    """The largest group of claims that name one claim and are named by it, in the order of that one.

    The newest of equal groups counts. Others of the group need not name each other.
    """
    groups = [
        (one, [other for other in zone_summaries if _names(one, other) and _names(other, one)])
        for one in zone_summaries
    ]
    middle, best = max(groups, key=lambda found: (len(found[1]), _newest(found[1])))
    order = middle.summary.aggregators
    return sorted(best, key=lambda claim: (order.index(ref(claim.peer)), claim.peer))


def _names(one: ZoneSummary, other: ZoneSummary) -> bool:
    return ref(other.peer) in one.summary.aggregators


def _newest(zone_summaries: Iterable[ZoneSummary]) -> float:
    return max(claim.heard_at for claim in zone_summaries)
