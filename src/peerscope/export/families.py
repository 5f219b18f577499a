"""Metric families of `prometheus_client`, made from our values. What is None is left out, never 0."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import ceil
from statistics import fmean, median

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from peerscope.export.names import OF_A_PEER
from peerscope.views.metrics import MetricsView

PREFIX = "peerscope_"
STATUSES = ("healthy", "degraded", "unhealthy", "unknown")
CLASSES = (*STATUSES, "down")
"""What a peer is counted as: each is in one of them."""

Labels = tuple[str, ...]
Values = Iterable[tuple[Labels, float | None]]
"""Values of labels, in the order of their names, and what was measured."""


def info(name: str, text: str, **labels: str) -> Metric:
    """One series that is always 1; its labels are what it tells."""
    return InfoMetricFamily(f"{PREFIX}{name}", text, value=labels)


def gauge(name: str, text: str, value: float | None) -> Metric:
    """One series."""
    return gauges(name, text, (), [((), value)])


def gauges(name: str, text: str, labels: Labels, values: Values) -> Metric:
    """One series for each value that is known."""
    return _filled(GaugeMetricFamily(f"{PREFIX}{name}", text, labels=labels), values)


def counters(name: str, text: str, labels: Labels, values: Values) -> Metric:
    """The same of counters; their names end in `_total`, whether or not this one does."""
    return _filled(CounterMetricFamily(f"{PREFIX}{name}", text, labels=labels), values)


def counts(name: str, text: str, label: str, by_name: Mapping[str, int]) -> Metric:
    """A `Counter` of ours: one series for each of its keys."""
    return counters(name, text, (label,), [((key,), count) for key, count in sorted(by_name.items())])


def states(
    name: str, text: str, labels: Labels, said: Iterable[tuple[Labels, str]], every: Iterable[str] = STATUSES
) -> Metric:
    """One series for each state there is, 1 for the one that holds."""
    values = [((*who, state), float(state == holds)) for who, holds in said for state in every]
    return gauges(name, f"{text} 1 for the status that holds, 0 for the others.", (*labels, "status"), values)


def spread(name: str, text: str, values: Iterable[float | None]) -> Metric:
    """Statistics of the values that are known: percentiles by nearest rank."""
    ranked = sorted(value for value in values if value is not None)
    told: dict[str, float] = {}
    if ranked:
        told = {f"p{share}": ranked[ceil(share / 100 * len(ranked)) - 1] for share in (95, 99)}
        told |= {"mean": fmean(ranked), "median": median(ranked), "max": ranked[-1]}
    return gauges(name, text, ("statistic",), [((statistic,), value) for statistic, value in told.items()])


def measured(prefix: str, views: Sequence[tuple[Labels, MetricsView]], labels: Labels = ()) -> Iterator[Metric]:
    """What peers measured, each under its labels."""
    for name in OF_A_PEER:
        parts = ((who, getattr(view, name.part)) for who, view in views)
        values = [(who, None if part is None else getattr(part, name.field)) for who, part in parts]
        make = counters if name.is_counter else gauges
        yield make(f"{prefix}{name.metric}", name.help, labels, values)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, values: Values) -> Metric:
    for labels, value in values:
        if value is not None:
            family.add_metric(labels, value)
    return family
