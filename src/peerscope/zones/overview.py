"""The whole network from its zones' summaries: what two of three aggregators agree on, and who does not.

Three aggregators of a zone look at ledgers that are the same up to the time records travel, so their counts differ by
what changes in that time. Of the summaries of one zone the median of each number counts; a summary that differs from
the medians by more than the zone can have changed is put aside, and its speaker is named once this lasts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median_low

from msgspec import Struct
from msgspec.structs import replace

from peerscope.mesh.zoning.zone_summaries import ZoneSummary, zone_summaries
from peerscope.records.identity import PeerId
from peerscope.records.ledger import Ledger
from peerscope.records.sketch import Sketch, SketchBody, estimate_distinct, merge_registers
from peerscope.records.summary import Summary

TOLERANCE_RATIO = 0.1
TOLERANCE_PEERS = 3
"""Two honest aggregators may differ by so much: a tenth of the zone, and three peers."""
LASTING_INTERVALS = 1.5
"""Summaries are made at different moments, so after half a zone has died honest ones differ until all have spoken
again, an interval later."""


class Zone(Struct, frozen=True):
    """One zone, as its aggregators agree."""

    zone: str
    summary: Summary
    """Each count the median of those that agree; sketches, regions and headlines of the first of them."""
    aggregators: tuple[PeerId, ...]
    """Who agrees, by rank."""
    disagreeing: tuple[PeerId, ...]
    """Aggregators of the zone whose counts the others contradict now."""
    heard_at: float
    """Local time of the newest summary."""


def zones(global_ledger: Ledger, now: float) -> list[Zone]:
    """All zones that speak, by name. `abroad`: the ledger of summaries; `now`: local monotonic seconds."""
    return [_agreed(zone, speaking) for zone, speaking in zone_summaries(global_ledger, now).items()]


class Contradictions:
    """Since when each aggregator is contradicted, for as long as somebody keeps looking."""

    def __init__(self) -> None:
        self._since: dict[PeerId, float] = {}

    def lasting(self, found: Sequence[Zone], now: float) -> list[Zone]:
        """All the zones at this look; `disagreeing` are only those whom every look since long found contradicted."""
        self._since = {peer: self._since.get(peer, now) for zone in found for peer in zone.disagreeing}
        return [
            replace(zone, disagreeing=tuple(peer for peer in zone.disagreeing if self._is_long(peer, zone, now)))
            if zone.disagreeing
            else zone
            for zone in found
        ]

    def _is_long(self, peer: PeerId, zone: Zone, now: float) -> bool:
        return now - self._since[peer] >= LASTING_INTERVALS * zone.summary.interval_ms / 1000


def _agreed(zone: str, speaking: Sequence[ZoneSummary]) -> Zone:
    counts = [median_low(column) for column in zip(*(claim.summary.counted for claim in speaking), strict=True)]
    slack = TOLERANCE_PEERS + TOLERANCE_RATIO * counts[0]
    fits = [
        max(abs(ours - theirs) for ours, theirs in zip(counts, claim.summary.counted, strict=True)) <= slack
        for claim in speaking
    ]
    # Two that contradict each other: nobody can say who is right, and nobody is named.
    is_known = sum(fits) * 2 > len(speaking)
    agreeing = [claim for claim, fit in zip(speaking, fits, strict=True) if fit] if is_known else list(speaking)
    best = min(agreeing, key=lambda claim: (_distance(claim, counts), claim.peer))
    return Zone(
        zone=zone,
        summary=best.summary,
        aggregators=tuple(claim.peer for claim in agreeing),
        disagreeing=tuple(claim.peer for claim, fit in zip(speaking, fits, strict=True) if not fit) if is_known else (),
        heard_at=max(claim.heard_at for claim in agreeing),
    )


def _distance(claim: ZoneSummary, counts: Sequence[int]) -> int:
    return sum(abs(ours - theirs) for ours, theirs in zip(counts, claim.summary.counted, strict=True))


def combined(parts: Sequence[Summary]) -> Summary:
    """One summary of all these zones, one at least: counts and sums added, sketches merged."""
    throughputs = [part.throughput_bytes_s for part in parts if part.throughput_bytes_s is not None]
    return replace(
        parts[0],
        zone="",
        aggregators=(),
        addresses=(),
        **{
            name: sum(getattr(part, name) for part in parts)
            for name in (
                *("members", "healthy", "degraded", "unhealthy", "unknown", "down"),
                *("suspect", "partitioned", "links", "links_expected"),
            )
        },
        ids=merge_registers(part.ids for part in parts),
        latency=_merged(part.latency for part in parts),
        cpu=_merged(part.cpu for part in parts),
        memory=_merged(part.memory for part in parts),
        throughput_bytes_s=sum(throughputs) if throughputs else None,
        regions=(),
        alerts=tuple(map(sum, zip(*(part.alerts for part in parts if len(part.alerts) == 4), strict=True))),
        headlines=(),
    )


def distinct(parts: Iterable[Summary]) -> float:
    """About how many different peers the zones have together, whichever states them twice (13 % standard error)."""
    return estimate_distinct(merge_registers(part.ids for part in parts))


def _merged(bodies: Iterable[SketchBody]) -> SketchBody:
    sketch = Sketch()
    for body in bodies:
        sketch.merge(Sketch.of(body))
    return sketch.to_body()
