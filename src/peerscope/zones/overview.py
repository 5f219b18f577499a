"""The whole network from the summaries of its zones, by a majority of the three aggregators of each.

Aggregators of a zone have equal ledgers except for records on their way, so honest counts differ little. The median of
each number counts. A summary that differs more from the medians than the zone can have changed is put aside. Views name
its aggregator once this lasts.
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
"""Two honest aggregators differ by at most a tenth of the zone and three peers."""
LASTING_INTERVALS = 1.5
"""Aggregators publish at different moments. After half a zone has died, honest summaries differ until the next of each,
an interval later."""


class Zone(Struct, frozen=True):
    """One zone, as its aggregators agree."""

    zone: str
    summary: Summary
    """Summary of the aggregator whose counts are nearest to the medians."""
    aggregators: tuple[PeerId, ...]
    """Aggregators that agree, by rank."""
    disagreeing: tuple[PeerId, ...]
    """Aggregators whose counts the others contradict now."""
    heard_at: float
    """Local time of the newest summary."""


def zones(global_ledger: Ledger, now: float) -> list[Zone]:
    """All zones with summaries, by name. `global_ledger`: records of all zones; `now`: local monotonic seconds."""
    return [_agreed(zone, speaking) for zone, speaking in zone_summaries(global_ledger, now).items()]


class Contradictions:
    """Keeps since when the others contradict each aggregator."""

    def __init__(self) -> None:
        self._since: dict[PeerId, float] = {}

    def lasting(self, found: Sequence[Zone], now: float) -> list[Zone]:
        """Return the zones, with only those in `disagreeing` that every call found contradicted for long."""
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
    counts = [median_low(column) for column in zip(*(one.summary.counted for one in speaking), strict=True)]
    slack = TOLERANCE_PEERS + TOLERANCE_RATIO * counts[0]
    fits = [
        max(abs(ours - theirs) for ours, theirs in zip(counts, one.summary.counted, strict=True)) <= slack
        for one in speaking
    ]
    # If two contradict each other, either may be right, so neither is named.
    is_known = sum(fits) * 2 > len(speaking)
    agreeing = [one for one, fit in zip(speaking, fits, strict=True) if fit] if is_known else list(speaking)
    best = min(agreeing, key=lambda one: (_distance(one, counts), one.peer))
    return Zone(
        zone=zone,
        summary=best.summary,
        aggregators=tuple(one.peer for one in agreeing),
        disagreeing=tuple(one.peer for one, fit in zip(speaking, fits, strict=True) if not fit) if is_known else (),
        heard_at=max(one.heard_at for one in agreeing),
    )


def _distance(one: ZoneSummary, counts: Sequence[int]) -> int:
    return sum(abs(ours - theirs) for ours, theirs in zip(counts, one.summary.counted, strict=True))


def combined(parts: Sequence[Summary]) -> Summary:
    """Combine the summaries of one or more zones: add counts and sums, merge sketches."""
    throughputs = [part.throughput_bytes_s for part in parts if part.throughput_bytes_s is not None]
    of_nodes = [part.node_throughput_bytes_s for part in parts if part.node_throughput_bytes_s is not None]
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
        node_throughput_bytes_s=sum(of_nodes) if of_nodes else None,
        regions=(),
        alerts=tuple(map(sum, zip(*(part.alerts for part in parts if len(part.alerts) == 4), strict=True))),
        headlines=(),
    )


def distinct(parts: Iterable[Summary]) -> float:
    """Estimate how many different peers the zones have together (13 % standard error)."""
    return estimate_distinct(merge_registers(part.ids for part in parts))


def _merged(bodies: Iterable[SketchBody]) -> SketchBody:
    sketch = Sketch()
    for body in bodies:
        sketch.merge(Sketch.of(body))
    return sketch.to_body()
