"""Mappings: which series of an exporter make up each value of a node.

A *mapping* is the name of a preset, or the path of a TOML file of this form. The default, `generic`, knows only series
that every process exports.

    node = "kubo"
    [metrics]                  # a field of NodeMetrics: series to add up, with labels that must match; "-" subtracts
    p2p_peers = [{series = "ipfs_p2p_peers_total", zero_if = "ipfs_info"}]
    active_connections = [
        {series = "libp2p_swarm_connections_opened_total"},
        {series = "libp2p_swarm_connections_closed_total", sign = "-"},
    ]
    [latency]                  # histograms or summaries, without their suffixes; or a gauge of the latency itself
    series = ["rpc_outbound_request_latency_milliseconds", "rpc_outbound_request_latency"]
    unit_s = 0.001
    [overlay]                  # neighbours: values of a label; only samples above zero count
    series = "etcd_network_active_peers"
    label = "Remote"
    rtt = {series = "etcd_network_peer_round_trip_time_seconds", label = "To"}
    [node_id]                  # the value of a label; also [version]
    series = "etcd_network_active_peers"
    label = "Local"
    [measures.sync_lag]        # values of its own kind that all peers see
    terms = [{series = "my_best_height"}, {series = "my_height", sign = "-"}]
    unit = "blocks"
    [details]
    open_files = [{series = "process_open_fds"}]

A value without any of its series is unknown. A term with `zero_if` is 0 instead, as long as that other series is there.
Many libraries export a series of labels only from its first event on.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Hashable, Iterable
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from peerscope.errors import ConfigError
from peerscope.records.measures import COUNT_MAX, MEASURES_MAX, Measure, MeasureName, NodeMetrics, Unit
from peerscope.records.texts import Name
from peerscope.sources.exposition import Samples

GENERIC = "generic"
PRESETS = "presets"
DETAILS_MAX = 32
AMOUNT_MAX = 1e300
COUNTERS = frozenset({"messages", "dht_lookups", "dht_puts", "received_bytes", "sent_bytes", "errors"})
"""The running totals among the standard values."""

Series = Annotated[str, Meta(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*\Z")]
LabelName = Annotated[str, Meta(min_length=1, max_length=128)]
UnitSeconds = Annotated[float, Meta(gt=0.0, le=1e6)]
Form = Literal["histogram", "gauge"]


class Term(Struct, frozen=True, forbid_unknown_fields=True):
    """Series of one name that have these labels, added up; or subtracted."""

    series: Series
    labels: dict[str, str] = {}
    sign: Literal["+", "-"] = "+"
    zero_if: Series | None = None
    """Without such a series the value is 0 if this other one is there."""


class Latency(Struct, frozen=True, forbid_unknown_fields=True):
    """Histograms or summaries: their `_sum` and `_count` give the mean since the last scrape. Or gauges of a mean."""

    series: Series | tuple[Series, ...]
    """Several names: those that are there count, since their name depends on the version."""
    unit_s: UnitSeconds = 1.0
    """Seconds in one of its units."""
    kind: Form = "histogram"
    labels: dict[str, str] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of its series, without suffixes."""
        return (self.series,) if isinstance(self.series, str) else self.series


class Roundtrips(Struct, frozen=True, forbid_unknown_fields=True):
    """Round-trip times of the neighbours."""

    series: Series
    label: LabelName | None = None
    """The label with the neighbour's id; by default that of the neighbours."""
    unit_s: UnitSeconds = 1.0
    kind: Form = "histogram"


class NeighbourSeries(Struct, frozen=True, forbid_unknown_fields=True):
    """The values of a label, where the sample is above zero."""

    series: Series
    label: LabelName
    labels: dict[str, str] = {}
    rtt: Roundtrips | None = None


class LabelValue(Struct, frozen=True, forbid_unknown_fields=True):
    """The value of a label of a series, if all its samples agree."""

    series: Series
    label: LabelName


class OwnValue(Struct, frozen=True, forbid_unknown_fields=True):
    """A value of the node's own kind."""

    terms: Annotated[tuple[Term, ...], Meta(min_length=1)]
    unit: Unit = ""
    kind: Literal["gauge", "counter"] = "gauge"


class Mapped(Struct, frozen=True, forbid_unknown_fields=True):
    """The series of each value."""

    node: Annotated[Name, Meta(min_length=1)]
    metrics: dict[str, tuple[Term, ...]] = {}
    details: Annotated[dict[Name, tuple[Term, ...]], Meta(max_length=DETAILS_MAX)] = {}
    measures: Annotated[dict[MeasureName, OwnValue], Meta(max_length=MEASURES_MAX)] = {}
    latency: Latency | None = None
    overlay: NeighbourSeries | None = None
    node_id: LabelValue | None = None
    version: LabelValue | None = None

    def __post_init__(self) -> None:
        for name in self.metrics:
            if name not in NodeMetrics.__struct_fields__:
                raise ValueError(
                    f"metrics.{name} is no value of a node; known: {', '.join(NodeMetrics.__struct_fields__)}"
                )

    def series(self) -> set[str]:
        """Names of all series that are wanted."""
        lists = (*self.metrics.values(), *self.details.values(), *(own.terms for own in self.measures.values()))
        names = {name for terms in lists for term in terms for name in (term.series, term.zero_if) if name}
        for means in (self.latency, self.overlay.rtt if self.overlay else None):
            if means is not None:
                bases = means.names if isinstance(means, Latency) else (means.series,)
                names |= set(bases) if means.kind == "gauge" else {f"{base}_{of}" for base in bases for of in PARTS}
        return names | {found.series for found in (self.overlay, self.node_id, self.version) if found is not None}

    def own(self, samples: Samples, parts: SumParts) -> tuple[Measure, ...]:
        """The values of its own kind, where known. `parts`: series of the last page."""
        found = {
            name: parts.total(f"measures.{name}", own.terms, samples)
            if own.kind == "counter"
            else total(own.terms, samples)
            for name, own in self.measures.items()
        }
        return tuple(
            Measure(name, value, own.unit, own.kind == "counter")
            for name, own in self.measures.items()
            if (value := amount(found[name])) is not None
        )

    def standard(self, samples: Samples, parts: SumParts) -> NodeMetrics:
        """The standard values. `parts`: series of the last page."""
        return NodeMetrics(
            **{
                name: count(parts.total(name, terms, samples) if name in COUNTERS else total(terms, samples))
                for name, terms in self.metrics.items()
            }
        )


PARTS = ("sum", "count")


class SumParts:
    """Which series made up each running total on the last page.

    A series that comes or goes makes a jump that no event made. So the total is unknown on that page.
    """

    def __init__(self) -> None:
        self._before: dict[str, set[Hashable]] = {}
        self._shrunk: set[str] = set()
        """Totals that have lost a series: those that come may be old."""

    def total(self, name: str, terms: Iterable[Term], samples: Samples) -> float | None:
        """The sum as `total` has it; None also if its series are others than on the last page."""
        wanted = tuple(terms)
        now: set[Hashable] = {
            (term.series, *sorted(labels.items()))
            for term in wanted
            for labels in samples.labels_of(term.series, term.labels)
        }
        is_steady = self.are_steady(name, now, from_zero=any(term.zero_if is not None for term in wanted))
        return total(wanted, samples) if is_steady else None

    def are_steady(self, name: str, now: set[Hashable], *, from_zero: bool) -> bool:
        """Whether these series are those of the last page. `from_zero`: new ones have counted from zero on."""
        before, self._before[name] = self._before.get(name), now
        if not before:
            return True
        if before - now:
            self._shrunk.add(name)
        return now == before or (from_zero and name not in self._shrunk)


def total(terms: Iterable[Term], samples: Samples) -> float | None:
    """Add series up; None if one has no value, or all series to add are missing, even where one to subtract exists."""
    added, is_known = 0.0, False
    for term in terms:
        if not samples.are_known(term.series, term.labels):
            return None
        values = [value for _, value in samples.of(term.series, term.labels)]
        added += sum(values) if term.sign == "+" else -sum(values)
        is_zero = not values and term.zero_if is not None and samples.has(term.zero_if)
        is_known |= term.sign == "+" and (bool(values) or is_zero)
    return added if is_known and math.isfinite(added) else None


def count(value: float | None) -> int | None:
    """A number of things; None for one that is negative or too large."""
    return None if value is None or not 0 <= round(value) <= COUNT_MAX else round(value)


def amount(value: float | None) -> int | float | None:
    """A value for a report: whole numbers as they are, others rounded to six digits. None beyond its limits."""
    if value is None or not abs(value) <= AMOUNT_MAX:
        return None
    return int(value) if value == int(value) and abs(value) <= COUNT_MAX else float(f"{value:.6g}")


def only_value(wanted: LabelValue | None, samples: Samples) -> str | None:
    """The value of a label; None if it is missing, or if samples disagree."""
    if wanted is None:
        return None
    found = {labels.get(wanted.label, "") for labels in samples.labels_of(wanted.series, {})} - {""}
    return found.pop() if len(found) == 1 else None


def load_mapping(name: str) -> Mapped:
    """Load a preset by its name, or a TOML file by its path. Raises `ConfigError`."""
    presets = files("peerscope.sources") / PRESETS
    known = sorted(entry.name.removesuffix(".toml") for entry in presets.iterdir() if entry.name.endswith(".toml"))
    try:
        text = (presets / f"{name}.toml" if name in known else Path(name)).read_text(encoding="utf-8")
        return msgspec.convert(tomllib.loads(text), Mapped)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        if isinstance(error, (tomllib.TOMLDecodeError, msgspec.ValidationError)):
            raise ConfigError(f"mapping {name}: {error}") from None
        raise ConfigError(f"no mapping {name!r}; presets are {', '.join(known)}; or give the path of a file") from None
