"""`prometheus:URL#MAPPING&OPTION=VALUE`: scrapes the Prometheus metrics of a node.

`mapping.py` explains mappings, `exposition.py` the rules for pages, and `endpoint.py` the credentials.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping

import msgspec

from peerscope.errors import SourceError
from peerscope.host.clock import monotonic
from peerscope.records.bodies import OVERLAY_MAX, OverlayLink
from peerscope.records.texts import Name, OverlayId
from peerscope.sources.base import Reading
from peerscope.sources.endpoint import OPTIONS, Endpoint
from peerscope.sources.exposition import Samples, Wanted
from peerscope.sources.mapping import (
    GENERIC,
    PARTS,
    NeighbourSeries,
    Roundtrips,
    SumParts,
    load_mapping,
    only_value,
    total,
)
from peerscope.sources.means import RunningMean
from peerscope.sources.neighbours import is_overlay_id, refusing
from peerscope.sources.place import parse_place

RTT_US_MAX = 600_000_000
SERIES_SHOWN = 3


class PrometheusSource:
    """One exporter."""

    def __init__(self, argument: str) -> None:
        """`argument`: URL, and after a `#` the mapping. Raises `ConfigError`."""
        place = parse_place(argument, OPTIONS)
        self._endpoint = Endpoint(place, "http://127.0.0.1:5001/debug/metrics/prometheus")
        self._url = self._endpoint.url
        self._mapping = load_mapping(place.word or GENERIC)
        self._wanted = Wanted(self._mapping.series())
        self._parts = SumParts()
        self._latency = RunningMean()
        self._rtts: dict[str, RunningMean] = {}

    async def read(self) -> Reading:
        """Scrape once. Blocks its thread, which is the source's own. Raises `SourceError`."""
        page = self._endpoint.get(headers={"Accept": "text/plain; version=0.0.4"})
        return self.reading(page.data, page.content_type)

    def reading(self, data: bytes, content_type: str = "text/plain") -> Reading:
        """Read the values of one page. Raises `SourceError`."""
        try:
            samples = self._wanted.read(data, content_type)
        except SourceError as error:
            raise SourceError(f"{self._url} {error}") from None
        self._check(samples)
        mapping, now = self._mapping, monotonic()
        ids = _ids(mapping.overlay, samples) if mapping.overlay else set()
        latency_s, latency_age_s = self._latency_at(samples, now)
        return Reading(
            node=mapping.node,
            node_id=_valid(only_value(mapping.node_id, samples), OverlayId),
            version=_valid(only_value(mapping.version, samples), Name),
            metrics=mapping.standard(samples, self._parts),
            overlay=self._overlay(mapping.overlay, ids, samples, now) if mapping.overlay else (),
            latency_s=latency_s,
            latency_age_s=latency_age_s,
            measures=mapping.own(samples, self._parts),
            details=refusing(
                {name: total(terms, samples) for name, terms in mapping.details.items()},
                sum(not is_overlay_id(one) for one in ids),
            ),
        )

    async def close(self) -> None:
        """Nothing stays open: each scrape has a connection of its own."""

    def _check(self, samples: Samples) -> None:
        """Refuse a page without any value."""
        if samples:
            return
        if names := samples.names:
            more = f" and {len(names) - SERIES_SHOWN} others" if len(names) > SERIES_SHOWN else ""
            raise SourceError(f"{self._url} has {', '.join(names[:SERIES_SHOWN])}{more}, but without a value (NaN)")
        raise SourceError(
            f"{self._url} has none of the series of a {self._mapping.node} node; choose another mapping with #NAME"
        )

    def _latency_at(self, samples: Samples, now: float) -> tuple[float | None, float | None]:
        wanted = self._mapping.latency
        if wanted is None:
            return None, None
        if wanted.kind == "gauge":
            found = [value for name in wanted.names for _, value in samples.of(name, wanted.labels)]
            self._latency.note_mean(sum(found) / len(found) * wanted.unit_s if found else None, now)
        else:
            totals = {key: pair for name in wanted.names for key, _, pair in _pairs(samples, name, wanted.labels)}
            self._latency.note(totals, wanted.unit_s, now)
        return self._latency.at(now)

    def _overlay(self, wanted: NeighbourSeries, ids: set[str], samples: Samples, now: float) -> tuple[OverlayLink, ...]:
        """The neighbours in the order of their ids, so that the same ones are kept where there are too many."""
        nodes = sorted(one for one in ids if is_overlay_id(one))[:OVERLAY_MAX]
        if wanted.rtt is None:
            return tuple(OverlayLink(node) for node in nodes)
        self._rtts = {node: self._rtts.get(node) or RunningMean() for node in nodes}
        _note_rtts(self._rtts, wanted.rtt, wanted.rtt.label or wanted.label, samples, now)
        return tuple(OverlayLink(node, _microseconds(self._rtts[node].at(now)[0])) for node in nodes)


def _ids(wanted: NeighbourSeries, samples: Samples) -> set[str]:
    found = samples.of(wanted.series, wanted.labels)
    return {name for labels, value in found if value > 0 and (name := labels.get(wanted.label))}


def _note_rtts(rtts: Mapping[str, RunningMean], wanted: Roundtrips, label: str, samples: Samples, now: float) -> None:
    if wanted.kind == "gauge":
        for labels, value in samples.of(wanted.series, {}):
            if (mean := rtts.get(labels.get(label, ""))) is not None:
                mean.note_mean(value * wanted.unit_s, now)
        return
    totals: dict[str, dict[Hashable, tuple[float, float]]] = defaultdict(dict)
    for key, labels, pair in _pairs(samples, wanted.series, {}):
        totals[labels.get(label, "")][key] = pair
    for node, mean in rtts.items():
        mean.note(totals[node], wanted.unit_s, now)


def _pairs(
    samples: Samples, name: str, labels: Mapping[str, str]
) -> Iterator[tuple[Hashable, dict[str, str], tuple[float, float]]]:
    """The sum and the count of each histogram of this name."""
    sums, counts = (
        {tuple(found.items()): value for found, value in samples.of(f"{name}_{part}", labels)} for part in PARTS
    )
    for key in sums.keys() & counts.keys():
        yield (name, key), dict(key), (sums[key], counts[key])


def _valid(text: str | None, kind: object) -> str | None:
    """The text if it can stand in a report, since others choose it."""
    try:
        return msgspec.convert(text, kind) if text else None
    except msgspec.ValidationError:
        return None


def _microseconds(seconds: float | None) -> int | None:
    return None if seconds is None else min(RTT_US_MAX, round(seconds * 1e6))
