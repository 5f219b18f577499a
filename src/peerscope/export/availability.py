"""Availability in `/metrics`: the share of time in which peers were up, by window, some minutes old."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from prometheus_client.core import Metric

from peerscope.export.families import gauges
from peerscope.views.availability import Availability, Scope
from peerscope.views.regions import REGIONS_MAX

RATIO = "Share of time in which {} up, without planned absences and unknown time."


def availability_metrics(by_window: Mapping[str, Sequence[Availability]], *, per_peer: bool) -> Iterator[Metric]:
    """Families by window. `by_window`: the rows of the network, of regions and of peers, as this agent saw them."""
    network = [((window,), row) for window, rows in by_window.items() for row in _of(rows, "network")]
    ratios = [(labels, row.up_ratio) for labels, row in network]
    yield gauges("network_availability_ratio", RATIO.format("the peers were"), ("window",), ratios)
    states = [
        ((*labels, state), value)
        for labels, row in network
        for state, value in (
            ("up", row.up_s),
            ("down", row.down_s),
            ("planned", row.planned_s),
            ("unknown", row.unknown_s),
        )
    ]
    seconds = "Seconds of all peers together, by what this agent knows of them."
    yield gauges("network_availability_seconds", seconds, ("window", "state"), states)
    regions = [
        ((row.id, window), row.up_ratio)
        for window, rows in by_window.items()
        for row in sorted(_of(rows, "region"), key=lambda row: (-row.peers, row.id))[:REGIONS_MAX]
    ]
    text = RATIO.format("the peers of a region were")
    yield gauges("region_availability_ratio", text, ("region", "window"), regions)
    if per_peer:
        peers = [
            ((row.id[:16], window), row.up_ratio) for window, rows in by_window.items() for row in _of(rows, "peer")
        ]
        yield gauges("peer_availability_ratio", RATIO.format("a peer was"), ("subject", "window"), peers)


def _of(rows: Sequence[Availability], scope: Scope) -> list[Availability]:
    return [row for row in rows if row.scope == scope]
