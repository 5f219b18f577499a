"""Measures that nodes name themselves, over all peers.

Two values are comparable if their nodes are of one kind, and give the measure one name and one unit. The block height
of a Bitcoin node says nothing of a Monero node. The name of the node in a peer's profile is its kind. Values that do
not fit are counted apart and never averaged in.

A gauge is the last reported value, since a mean over minutes would lie behind a height that grows. A counter is its
increase per second over the last five minutes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean, median

from msgspec import Struct

from peerscope.records.identity import PeerId
from peerscope.views.links import layer_of
from peerscope.views.snapshot import Snapshot
from peerscope.views.trends import active_peers
from peerscope.views.window import MeasureKind, Window

SHOWN_MAX = 64
"""Different measures of a network. Beyond it, those of the fewest peers are left out."""


class MeasureSpread(Struct, frozen=True):
    """One value of each peer."""

    peers: int
    median: float
    min: float
    max: float


class MeasureAggregate(Struct, frozen=True):
    """One measure over all peers whose nodes are of one kind."""

    node: str
    """Kind of the nodes, as their peers name them."""
    name: str
    unit: str
    is_counter: bool
    """The values are increases per second."""
    peers: int
    mean: float
    median: float
    min: float
    max: float
    sum: float | None
    """null for a gauge: whether its values add up is unknown."""
    other_peers: int
    """Peers with such a node that give the name another unit or kind. Their values are not compared with these."""
    regions: dict[str, MeasureSpread]
    """By region of the peers."""


def measure_aggregates(snapshot: Snapshot, window: Window) -> tuple[MeasureAggregate, ...]:
    """All measures of the active peers, those of the most peers first."""
    values: defaultdict[tuple[str, MeasureKind], dict[PeerId, float]] = defaultdict(dict)
    for peer in active_peers(snapshot):
        layer = layer_of(snapshot.profiles[peer])
        for kind, value in window.measured(peer, snapshot.now).items():
            values[layer, kind][peer] = value
    stating: defaultdict[tuple[str, str], int] = defaultdict(int)
    for (layer, kind), found in values.items():
        stating[layer, kind.name] += len(found)
    ranked = sorted(values.items(), key=lambda item: (-len(item[1]), item[0]))[:SHOWN_MAX]
    return tuple(
        _aggregate(snapshot, layer, kind, found, stating[layer, kind.name] - len(found))
        for (layer, kind), found in sorted(ranked)
    )


def _aggregate(
    snapshot: Snapshot, layer: str, kind: MeasureKind, found: dict[PeerId, float], others: int
) -> MeasureAggregate:
    values = list(found.values())
    by_region: defaultdict[str, list[float]] = defaultdict(list)
    for peer, value in found.items():
        region = snapshot.places[peer].region
        if region is not None:
            by_region[region].append(value)
    whole = spread_of(values)
    return MeasureAggregate(
        node=layer,
        name=kind.name,
        unit=kind.unit,
        is_counter=kind.is_counter,
        peers=whole.peers,
        mean=fmean(values),
        median=whole.median,
        min=whole.min,
        max=whole.max,
        sum=sum(values) if kind.is_counter else None,
        other_peers=others,
        regions={region: spread_of(some) for region, some in sorted(by_region.items())},
    )


def spread_of(values: Sequence[float]) -> MeasureSpread:
    """Summarise at least one value."""
    return MeasureSpread(len(values), median(values), min(values), max(values))
