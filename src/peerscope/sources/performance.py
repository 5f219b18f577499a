"""Latency, errors and throughput of a peer: from the readings of its node, or from the mesh's own messages.

Rates are differences of counters. A value out of range becomes unknown, since every other peer would refuse the whole
report.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from operator import attrgetter
from statistics import fmean

from msgspec import Struct
from msgspec.structs import astuple

from peerscope.mesh.detection.checks import quantised
from peerscope.records.bodies import RATIO_ONE
from peerscope.records.measures import COUNT_MAX, MEASURE_US_MAX, NodeMetrics, PerformanceMetrics, increases
from peerscope.sources.base import Reading


class TrafficCounters(Struct, frozen=True):
    """Running totals of the mesh's own messages in this process."""

    sent_bytes: int
    received_bytes: int
    received: int
    """Messages, those that were refused included."""
    refused: int


def node_metrics(before: Reading | None, now: Reading | None, seconds: float) -> tuple[NodeMetrics, PerformanceMetrics]:
    """Metrics of an attached node, and its performance in the `seconds` between its two last readings."""
    if now is None:
        return NodeMetrics(), PerformanceMetrics()
    metrics = NodeMetrics(*(countable(value) for value in astuple(now.metrics)))
    latency_us = None if now.latency_s is None else microseconds(now.latency_s)
    if before is None or before.node != now.node:
        return metrics, PerformanceMetrics(latency_us)
    messages, errors, received_bytes, sent_bytes, *_ = increases(
        _counters(comparable(before, now)), _counters(now.metrics), run_over=True
    )
    moved = None if received_bytes is None or sent_bytes is None else received_bytes + sent_bytes
    return metrics, PerformanceMetrics(latency_us, share(errors, messages), per_second(moved, seconds))


def comparable(before: Reading, now: Reading) -> NodeMetrics:
    """The metrics of before, without those that another source gives now.

    Each source counts from a beginning of its own, so the difference between two sources would look like a flood.
    """
    if before.counted_by == now.counted_by:
        return before.metrics
    pairs = zip_longest(astuple(before.metrics), before.counted_by, now.counted_by)
    return NodeMetrics(*(value if old == new else None for value, old, new in pairs))


def mesh_performance(
    before: TrafficCounters, now: TrafficCounters, seconds: float, rtts_s: Sequence[float]
) -> PerformanceMetrics:
    """Performance of the mesh's own traffic in `seconds`.

    Latency is the mean RTT of the links that are up. The error ratio is that of refused to received messages.
    Throughput counts bytes both ways, without the overhead of the transport.
    """
    moved = now.sent_bytes - before.sent_bytes + now.received_bytes - before.received_bytes
    refused, received = now.refused - before.refused, now.received - before.received
    return PerformanceMetrics(
        microseconds(fmean(rtts_s)) if rtts_s else None, share(refused, received), per_second(moved, seconds)
    )


_counters = attrgetter("messages", "errors", "received_bytes", "sent_bytes", "dht_lookups", "dht_puts")
"""All counters of a node: a restart lowers all of them, an overflow only one."""


def countable(value: object) -> int | None:
    """The value, if it is a count in range; else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= COUNT_MAX else None


def per_second(amount: int | None, seconds: float) -> int | None:
    """A rate in range; else None."""
    return None if amount is None or seconds <= 0 else countable(round(amount / seconds))


def share(part: int | None, whole: int | None) -> int | None:
    """`part / whole` in ten-thousandths, one at most; None if the whole is 0 or unknown."""
    return min(RATIO_ONE, quantised(part / whole)) if part is not None and whole else None


def microseconds(seconds: float) -> int | None:
    """A duration in microseconds, an hour at most; None if it is negative or no number."""
    return min(MEASURE_US_MAX, round(seconds * 1e6)) if 0 <= seconds < float("inf") else None
