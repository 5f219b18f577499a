"""Metrics in a peer's report, and differences of counters.

Every value is optional: None if it was not measured, never 0. Numbers are quantised integers, as in all bodies.

A counter grows until its process restarts. After it went down, its increase is unknown. A counter of 32 or 64 bits
that ran over also goes down, but alone: from just below its limit to just above zero. A restart sets back all counters
of a process at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, TypeVar

from msgspec import Meta, Struct

RATIO_MAX = 1_000_000
"""A hundred times one, in ten-thousandths: shares of one core may add up to more than one."""
MEASURE_US_MAX = 3_600_000_000

COUNT_MAX = 2**53 - 1

Count = Annotated[int, Meta(ge=0, le=COUNT_MAX)]
Ratio = Annotated[int, Meta(ge=0, le=RATIO_MAX)]
Duration = Annotated[int, Meta(ge=0, le=MEASURE_US_MAX)]
MEASURES_MAX = 16
DIGITS = 6
MeasureName = Annotated[str, Meta(min_length=1, max_length=48, pattern=r"^[a-z][a-z0-9_]*\Z")]
"""As in Prometheus, without its capital letters."""
Unit = Annotated[str, Meta(max_length=16, pattern=r"^[a-z0-9_/]*\Z")]
Amount = Annotated[int, Meta(ge=-COUNT_MAX, le=COUNT_MAX)] | Annotated[float, Meta(ge=-1e300, le=1e300)]
"""Whole numbers are exact; others are rounded to six digits."""


def run_on(total: int) -> int:
    """A running total that we add up ourselves. Beyond the limit it begins anew, as after a restart."""
    return total % (COUNT_MAX + 1)


class SystemMetrics(Struct, frozen=True, array_like=True, gc=False):
    """The host. Sizes are in KiB, which loses nothing and saves bytes."""

    cpu: Ratio | None = None
    """Share of all cores (or of the container's quota, if that is more) busy over the interval, in ten-thousandths."""
    memory_used_kib: Count | None = None
    memory_total_kib: Count | None = None
    disk_used_kib: Count | None = None
    disk_total_kib: Count | None = None
    """The volume of the state directory."""
    received_kib: Count | None = None
    sent_kib: Count | None = None
    """By all interfaces since the host started: counters."""
    received_bytes_s: Count | None = None
    sent_bytes_s: Count | None = None
    """Over the last interval."""
    connections: Count | None = None
    """Open TCP connections of the host."""


class NodeMetrics(Struct, frozen=True, array_like=True, gc=False):
    """The P2P node beside the peer, if one is attached."""

    tunnels: Count | None = None
    active_connections: Count | None = None
    messages: Count | None = None
    """Processed, both ways: a counter."""
    p2p_peers: Count | None = None
    dht_lookups: Count | None = None
    dht_puts: Count | None = None
    """Counters."""
    received_bytes: Count | None = None
    sent_bytes: Count | None = None
    """Counters."""
    errors: Count | None = None
    """Messages that failed: a counter."""


class Measure(Struct, frozen=True, array_like=True, gc=False):
    """A value that a node names itself, such as its block height."""

    name: MeasureName
    value: Amount | None
    unit: Unit = ""
    """Such as "bytes", "seconds", "blocks"."""
    is_counter: bool = False
    """A running total; else a value of the moment."""


class ReportedNode(NodeMetrics, frozen=True, array_like=True, gc=False):
    """The values of a node in a report, with those that it names itself. Older agents read the first part."""

    measures: Annotated[tuple[Measure, ...], Meta(max_length=MEASURES_MAX)] = ()
    """Values that the node names itself, each name once."""

    def __post_init__(self) -> None:
        if len(self.measures) > 1 and len({one.name for one in self.measures}) < len(self.measures):
            raise ValueError("a measure has two values")  # a decoder makes it a refusal of the whole body
        if any(one.is_counter and one.value is not None and one.value < 0 for one in self.measures):
            raise ValueError("a running total is negative")  # one of them would make scrapers refuse a whole page


class PerformanceMetrics(Struct, frozen=True, array_like=True, gc=False):
    """Traffic in the last interval: the node's if `Metrics.node` is set, else the mesh's own."""

    latency_us: Duration | None = None
    """Mean over the messages."""
    error: Ratio | None = None
    """Share of messages that failed, in ten-thousandths."""
    throughput_bytes_s: Count | None = None
    """Both ways."""


class AgentMetrics(Struct, frozen=True, array_like=True, gc=False):
    """Costs and losses of the agent itself."""

    cpu: Ratio | None = None
    """Share of one core over the interval, in ten-thousandths."""
    rss_kib: Count | None = None
    queued: Count | None = None
    """Messages and events waiting inside the agent."""
    dropped: Count | None = None
    """Messages dropped or refused since the start: a counter; the reasons stay with the peer."""
    lag_us: Duration | None = None
    """How late the event loop came, at worst, over the interval."""
    anomaly: Ratio | None = None
    """Share of this peer's values in the last minutes that were unlike before, in ten-thousandths."""


class Metrics(Struct, frozen=True, array_like=True, gc=False):
    """All metrics of one peer in one interval."""

    system: SystemMetrics = SystemMetrics()
    node: ReportedNode | None = None
    """None if no node is attached."""
    performance: PerformanceMetrics = PerformanceMetrics()
    agent: AgentMetrics = AgentMetrics()

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Values that the node names itself; none without a node."""
        return self.node.measures if isinstance(self.node, ReportedNode) else ()


def quantised_measures(measures: Iterable[Measure]) -> tuple[Measure, ...]:
    """Measures as reports carry them, by name: whole numbers exact, others with six digits, each name once.

    Those with the name of a standard value are left out: that has a place of its own.
    """
    named = {one.name: one for one in measures if one.name not in NodeMetrics.__struct_fields__}
    return tuple(_quantised(named[name]) for name in sorted(named))[:MEASURES_MAX]


def _quantised(one: Measure) -> Measure:
    value = one.value
    if one.is_counter and value is not None and value < 0:
        return Measure(one.name, None, one.unit, True)
    if not isinstance(value, float):
        return one
    rounded = value if value.is_integer() else float(f"{value:.{DIGITS}g}")
    if rounded.is_integer() and abs(rounded) <= COUNT_MAX:
        rounded = int(rounded)  # up to eight bytes shorter
    return Measure(one.name, rounded, one.unit, one.is_counter)


N = TypeVar("N", int, float)
WIDTHS = (2**32, 2**64)
MARGIN = 16
"""Running over begins in the last sixteenth of the range and ends in the first."""


def increases(before: Sequence[N | None], now: Sequence[N | None], *, run_over: bool = False) -> tuple[N | None, ...]:
    """Increase of each counter of one process; None if it is unknown, and for all if the process restarted.

    `run_over`: counters may be narrow. If only one counter is known, and it was in the last sixteenth of such a range,
    a restart looks like running over.
    """
    steps = [None if old is None or new is None else new - old for old, new in zip(before, now, strict=True)]
    fell = [index for index, step in enumerate(steps) if step is not None and step < 0]
    if len(fell) == 1 and run_over:
        steps[fell[0]] = _unfolded(before[fell[0]] or 0, now[fell[0]] or 0)
        fell = [] if steps[fell[0]] is not None else fell
    return (None,) * len(steps) if fell else tuple(steps)


def _unfolded(before: N, now: N) -> N | None:
    """Increase of a counter that ran over its limit; None if it did not."""
    for width in WIDTHS:
        margin = width // MARGIN
        if width - margin <= before < width and now < margin:
            return width - before + now
    return None
