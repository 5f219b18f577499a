"""The last five minutes of every peer's metrics, as one value per peer and metric.

Values of the network come from one value per peer, so frequent reports weigh no more than rare ones. A gauge gives the
mean of its samples, a delay the worst. A counter gives its increase per second over pairs of neighbouring reports,
without restarts.

Samples of a peer are a set, ordered by report version, so the order and number of arrivals do not matter. Times are
those of issue by our own clock; nobody compares two clocks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from enum import Enum
from itertools import chain, pairwise, takewhile
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from peerscope.mesh.detection.observers import EXPIRY_INTERVALS
from peerscope.records.bodies import Report
from peerscope.records.identity import PeerId
from peerscope.records.ledger import Entry
from peerscope.records.measures import Measure, Metrics, increases
from peerscope.views.metrics import MetricsView, metrics_view

WINDOW_S = 300.0
SAMPLES_MAX = 64
"""Most samples of one peer: one every five seconds, and a few more."""
TOTAL_MAX = 40_000
"""Most samples of all peers, about 40 MB; beyond it every peer keeps its last two."""
RATE_S_MIN = 1.0
"""A rate over less time would mainly measure delays of reports."""


class Fold(Enum):
    """How to fold the samples of one peer into one value."""

    MEAN = "mean"
    WORST = "worst"
    RATE = "rate"


Owner = Literal["peer", "machine", "interfaces"]
"""The owner of a metric: a peer, its machine, or the network interfaces that its agent sees."""


class WindowMetric(Struct, frozen=True):
    """One metric, with one value per peer."""

    part: str
    name: str
    fold: Fold = Fold.MEAN
    field: str = ""
    """Field in the part; by default the name."""
    adds_up: bool = True
    """A sum over all peers makes sense."""
    per: Owner = "peer"
    """All agents of one owner measure the same thing, so it counts once."""


def _rate(part: str, field: str, per: Owner = "peer") -> WindowMetric:
    return WindowMetric(part, f"{field}_s", Fold.RATE, field, per=per)


METRICS = (
    WindowMetric("system", "cpu_ratio", adds_up=False, per="machine"),
    WindowMetric("system", "memory_ratio", adds_up=False, per="machine"),
    WindowMetric("system", "disk_ratio", adds_up=False, per="machine"),
    _rate("system", "received_bytes", "interfaces"),
    _rate("system", "sent_bytes", "interfaces"),
    WindowMetric("system", "connections", per="interfaces"),
    WindowMetric("node", "tunnels"),
    WindowMetric("node", "active_connections"),
    WindowMetric("node", "p2p_peers"),
    _rate("node", "messages"),
    _rate("node", "dht_lookups"),
    _rate("node", "dht_puts"),
    _rate("node", "received_bytes"),
    _rate("node", "sent_bytes"),
    _rate("node", "errors"),
    WindowMetric("performance", "average_latency_s", adds_up=False),
    WindowMetric("performance", "error_ratio", adds_up=False),
    WindowMetric("performance", "throughput_bytes_s"),
    WindowMetric("mesh_performance", "average_latency_s", adds_up=False),
    WindowMetric("mesh_performance", "error_ratio", adds_up=False),
    WindowMetric("mesh_performance", "throughput_bytes_s"),
    WindowMetric("agent", "cpu_ratio"),
    WindowMetric("agent", "rss_bytes"),
    WindowMetric("agent", "queued"),
    _rate("agent", "dropped"),
    WindowMetric("agent", "lag_s", Fold.WORST, adds_up=False),
)
"""All metrics that views aggregate over the network."""

GAUGES = tuple(measure for measure in METRICS if measure.fold is not Fold.RATE)
RATES = tuple(measure for measure in METRICS if measure.fold is Fold.RATE)
ROW = GAUGES + RATES
"""Measures in the order of a row."""
LAYERED = {"performance", "mesh_performance"}
"""The node's messages, and the mesh's own at a peer without a node. A peer measures one of them. When a node is
attached, its window begins anew."""
RUNNING_OVER = {"node"}
"""Counters of nodes may be narrow. Sources unfold the host's, and the agent's have no limit."""

_parts = tuple(dict.fromkeys(measure.part for measure in METRICS))
_gauges = [(part, [gauge.field or gauge.name for gauge in GAUGES if gauge.part == part]) for part in _parts]
_counters = [(part, [rate.field for rate in RATES if rate.part == part]) for part in _parts]
_worst = [gauge.fold is Fold.WORST for gauge in GAUGES]
_layered = [gauge.part in LAYERED for gauge in GAUGES]

Row = tuple[float | None, ...]


class MeasureKind(NamedTuple):
    """A measure without its value."""

    name: str
    unit: str
    is_counter: bool


class WindowSample(Struct, frozen=True, gc=False):
    """One report."""

    version: int
    digest: bytes
    heard_at: float
    span_s: float
    """How long this peer's samples count."""
    gauges: tuple[float | None, ...]
    counters: tuple[tuple[int | None, ...], ...]
    """By part, since each part restarts by itself."""
    has_node: bool = False
    """A node was attached, so performance is that of the node."""
    measures: tuple[Measure, ...] = ()


class WindowStep(Struct, frozen=True, gc=False):
    """Changes between two neighbouring reports."""

    seconds: float
    increases: tuple[int | None, ...]


class Window:
    """Keeps the samples of all peers, and gives a row for each."""

    def __init__(self) -> None:
        self._series: dict[PeerId, WindowSeries] = {}
        self._total = 0

    def note(self, entry: Entry) -> None:
        """Add a report from the ledger."""
        report = entry.body
        if not isinstance(report, Report) or report.metrics is None:
            return
        series = self._series.setdefault(entry.record.peer_id, WindowSeries())
        self._total -= len(series)
        series.add(sample_of(entry, report.interval_ms / 1000, report.metrics))
        series.limit(SAMPLES_MAX if self._total + len(series) <= TOTAL_MAX else 2)
        self._total += len(series)

    def row(self, peer: PeerId, now: float) -> Row | None:
        """One value for each of `ROW`; None if the peer has no sample in time."""
        series = self._series.get(peer)
        if series is None:
            return None
        self._total -= len(series)
        series.expire(now)
        self._total += len(series)
        if not len(series):
            del self._series[peer]
            return None
        return series.row

    def measured(self, peer: PeerId, now: float) -> dict[MeasureKind, float]:
        """The node's own measures: a gauge as last reported, a counter as its increase per second."""
        return {} if self.row(peer, now) is None else self._series[peer].measured

    def has_node(self, peer: PeerId) -> bool:
        """Whether the last sample of a peer is that of one with a node."""
        series = self._series.get(peer)
        return series is not None and series.has_node

    def forget(self, peer: PeerId) -> None:
        """Drop this peer."""
        series = self._series.pop(peer, None)
        self._total -= len(series) if series else 0

    def __len__(self) -> int:
        """Samples of all peers."""
        return self._total


class WindowSeries:
    """The samples of one peer, by version."""

    def __init__(self) -> None:
        self._row: Row | None = None
        self._measured: dict[MeasureKind, float] | None = None
        """Both are computed on demand: reports come far more often."""
        self._samples: list[WindowSample] = []
        self._steps: list[WindowStep] = []
        """Step number n leads from sample n to the next."""

    def __len__(self) -> int:
        return len(self._samples)

    def add(self, sample: WindowSample) -> None:
        """Insert a sample. If two have one version, the smaller digest counts, as in the ledger."""
        samples = self._samples
        if not samples or sample.version > samples[-1].version:
            if samples:
                self._steps.append(step(samples[-1], sample))
            samples.append(sample)
        else:
            place = bisect_left(samples, sample.version, key=lambda known: known.version)
            is_known = samples[place].version == sample.version
            if is_known and samples[place].digest <= sample.digest:
                return
            samples[place : place + is_known] = [sample]
            self._steps = [step(one, other) for one, other in pairwise(samples)]
        self.expire(samples[-1].heard_at)
        self._row = self._measured = None

    @property
    def has_node(self) -> bool:
        """Whether a node was attached at the last sample."""
        return bool(self._samples) and self._samples[-1].has_node

    @property
    def row(self) -> Row:
        """One value per measure."""
        if self._row is None:
            self._row = self._folded()
        return self._row

    @property
    def measured(self) -> dict[MeasureKind, float]:
        """Values of the measures in the last sample. Those that are unknown are absent."""
        if self._measured is None:
            self._measured = measured(self._samples)
        return self._measured

    def limit(self, most: int) -> None:
        """Keep only so many of the newest."""
        self._drop(len(self._samples) - most)

    def expire(self, now: float) -> None:
        """Drop samples that are too old."""
        if self._samples:
            oldest = now - self._samples[-1].span_s
            self._drop(next((i for i, one in enumerate(self._samples) if one.heard_at >= oldest), len(self._samples)))

    def _drop(self, count: int) -> None:
        if count > 0:
            del self._samples[:count], self._steps[:count]
            self._row = self._measured = None

    def _folded(self) -> Row:
        lately = takewhile(lambda sample: sample.has_node == self.has_node, reversed(self._samples))
        first = len(self._samples) - sum(1 for _ in lately)
        columns = zip(*(sample.gauges for sample in self._samples), strict=True)
        gauges = (column[first:] if layered else column for column, layered in zip(columns, _layered, strict=True))
        increased = zip(*(step.increases for step in self._steps), strict=True)
        seconds = [step.seconds for step in self._steps]
        rates = [per_second(column, seconds) for column in increased] if seconds else [None] * len(RATES)
        return (*map(folded, gauges, _worst), *rates)


def sample_of(entry: Entry, interval_s: float, metrics: Metrics) -> WindowSample:
    """Convert a report to a sample. It counts for five minutes, or for three intervals if that is longer."""
    view = metrics_view(metrics)
    return WindowSample(
        version=entry.record.version,
        digest=entry.digest,
        heard_at=entry.heard_at,
        span_s=max(WINDOW_S, EXPIRY_INTERVALS * interval_s),
        gauges=tuple(value for part, names in _gauges for value in _values(view, part, names)),
        counters=tuple(tuple(_values(view, part, names)) for part, names in _counters),
        has_node=metrics.node is not None,
        measures=metrics.measures,
    )


def measured(samples: Sequence[WindowSample]) -> dict[MeasureKind, float]:
    """The last value of each gauge and the rate of each counter, of those in the last sample."""
    last = samples[-1].measures if samples else ()
    found = {kind_of(one): float(one.value) for one in last if one.value is not None and not one.is_counter}
    counting = [kind_of(one) for one in last if one.is_counter]
    if not counting or len(samples) < 2:
        return found
    totals = [{kind_of(one): one.value for one in sample.measures if one.is_counter} for sample in samples]
    seconds = [other.heard_at - one.heard_at for one, other in pairwise(samples)]
    # A restart sets back all counters of a process, so they are compared together.
    grown = [
        increases([one.get(kind) for kind in counting], [other.get(kind) for kind in counting])
        for one, other in pairwise(totals)
    ]
    rates = (per_second(column, seconds) for column in zip(*grown, strict=True))
    return found | {kind: rate for kind, rate in zip(counting, rates, strict=True) if rate is not None}


def kind_of(one: Measure) -> MeasureKind:
    """The part of a measure that two peers must share before their values are compared."""
    return MeasureKind(one.name, one.unit, one.is_counter)


def step(one: WindowSample, other: WindowSample) -> WindowStep:
    """Compute the step between two neighbouring samples."""
    grown = (
        increases(before, now, run_over=part in RUNNING_OVER)
        for part, before, now in zip(_parts, one.counters, other.counters, strict=True)
    )
    return WindowStep(other.heard_at - one.heard_at, tuple(chain.from_iterable(grown)))


def folded(values: Sequence[float | None], worst: bool) -> float | None:
    """The mean or the greatest of the known values."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return max(known) if worst else sum(known) / len(known)


def per_second(increased: Sequence[float | None], seconds: Sequence[float]) -> float | None:
    """Increase per second over the known steps."""
    known = [(amount, passed) for amount, passed in zip(increased, seconds, strict=True) if amount is not None]
    total_s = sum(passed for _, passed in known)
    return sum(amount for amount, _ in known) / total_s if total_s >= RATE_S_MIN else None


def _values(view: MetricsView, part: str, names: list[str]) -> list[Any]:
    found = _part(view, part)
    return [None] * len(names) if found is None else [getattr(found, name) for name in names]


def _part(view: MetricsView, part: str) -> object | None:
    """A part of the metrics; None for the performance of the layer that this peer does not measure."""
    if part in LAYERED:
        is_node = part == "performance"
        return view.performance if is_node == (view.node is not None) else None
    found: object | None = getattr(view, part)
    return found
