"""`prometheus:URL#MAPPING&OPTION=VALUE`: scrapes the Prometheus metrics of a node.

A *mapping* lists the series of each value. It is the name of a preset (kubo, js-libp2p, rust-libp2p, generic) or the
path of a TOML file of this form. The default, `generic`, knows only series that every process exports.

    node = "kubo"
    [metrics]                  # a field of NodeMetrics: series to add up, with labels that must match; "-" subtracts
    p2p_peers = [{series = "ipfs_p2p_peers_total"}]
    active_connections = [
        {series = "libp2p_swarm_connections_opened_total"},
        {series = "libp2p_swarm_connections_closed_total", sign = "-"},
    ]
    [latency]                  # a histogram or summary in seconds, without its suffix
    series = "rpc_outbound_request_latency"
    unit_s = 0.001
    [details]
    open_files = [{series = "process_open_fds"}]

A value without any of its series is unknown. Exporters have thousands of lines; only those of wanted series are parsed.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from peerscope.errors import ConfigError, SourceError
from peerscope.records.measures import NodeMetrics
from peerscope.sources.base import Reading
from peerscope.sources.endpoint import OPTIONS, Endpoint
from peerscope.sources.place import parse_place

COUNT_MAX = 2**53 - 1
GENERIC = "generic"
PRESETS = "presets"

Sample = tuple[str, Mapping[str, str], float]


class Term(Struct, frozen=True, forbid_unknown_fields=True):
    """Series of one name that have these labels, added up; or subtracted."""

    series: Annotated[str, Meta(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*\Z")]
    labels: dict[str, str] = {}
    sign: Literal["+", "-"] = "+"


class Latency(Struct, frozen=True, forbid_unknown_fields=True):
    """A histogram or summary: its `_sum` and `_count` give the mean since the last scrape."""

    series: str
    unit_s: float = 1.0
    """Seconds in one of its units."""


class Mapped(Struct, frozen=True, forbid_unknown_fields=True):
    """The series of each value."""

    node: Annotated[str, Meta(min_length=1, max_length=64)]
    metrics: dict[str, tuple[Term, ...]] = {}
    details: dict[str, tuple[Term, ...]] = {}
    latency: Latency | None = None

    def __post_init__(self) -> None:
        for name in self.metrics:
            if name not in NodeMetrics.__struct_fields__:
                raise ValueError(
                    f"metrics.{name} is no value of a node; known: {', '.join(NodeMetrics.__struct_fields__)}"
                )

    def series(self) -> set[str]:
        """Names of all series that are wanted."""
        lists = (*self.metrics.values(), *self.details.values())
        named = {term.series for terms in lists for term in terms}
        return named | ({f"{self.latency.series}_sum", f"{self.latency.series}_count"} if self.latency else set())


class PrometheusSource:
    """One exporter."""

    def __init__(self, argument: str) -> None:
        """`argument`: URL, and after a `#` the mapping. Raises `ConfigError`."""
        place = parse_place(argument, OPTIONS)
        self._endpoint = Endpoint(place, "http://127.0.0.1:5001/debug/metrics/prometheus")
        self._url = self._endpoint.url
        self._parse = _parser()
        self._mapping = load_mapping(place.word or GENERIC)
        self._wanted = re.compile("|".join(sorted(map(re.escape, self._mapping.series()))) or r"(?!)")
        self._latency = (0.0, 0.0)
        self._is_first = True

    async def read(self) -> Reading:
        """Scrape once. Blocks its thread, which is the source's own. Raises `SourceError`."""
        page = self._endpoint.get(headers={"Accept": "text/plain; version=0.0.4"})
        return self.reading(page.data.decode("utf-8", "replace"))

    def reading(self, text: str) -> Reading:
        """Read the values of one page. Raises `SourceError`."""
        samples = list(self._samples(text))
        if not samples:
            raise SourceError(
                f"{self._url} has none of the series of a {self._mapping.node} node; choose another mapping with #NAME"
            )
        fields = {name: _count(_sum(terms, samples)) for name, terms in self._mapping.metrics.items()}
        return Reading(
            node=self._mapping.node,
            metrics=NodeMetrics(**fields),
            latency_s=self._latency_s(samples),
            details={name: _sum(terms, samples) for name, terms in self._mapping.details.items()},
        )

    async def close(self) -> None:
        """Nothing stays open: each scrape has a connection of its own."""

    def _samples(self, text: str) -> Iterator[Sample]:
        names = self._mapping.series()
        lines = [line for line in text.splitlines() if self._wanted.match(line)]
        try:
            for sample in self._parse("\n".join(lines) + "\n"):
                if sample[0] in names and math.isfinite(sample[2]):
                    yield sample
        except ValueError as error:
            raise SourceError(f"{self._url} answers what is no exposition format: {error}") from None

    def _latency_s(self, samples: list[Sample]) -> float | None:
        """Mean since the last scrape; None in the first one, or without messages."""
        series = self._mapping.latency
        if series is None:
            return None
        total, count = (_sum((Term(f"{series.series}_{part}"),), samples) or 0.0 for part in ("sum", "count"))
        before, self._latency = self._latency, (total, count)
        was_first, self._is_first = self._is_first, False
        gained_s, gained = (total - before[0]) * series.unit_s, count - before[1]
        return gained_s / gained if not was_first and gained > 0 and gained_s >= 0 else None


def load_mapping(name: str) -> Mapped:
    """Load a preset by its name, or a TOML file by its path. Raises `ConfigError`."""
    presets = files("peerscope.sources") / PRESETS
    known = sorted(entry.name.removesuffix(".toml") for entry in presets.iterdir() if entry.name.endswith(".toml"))
    try:
        text = (presets / f"{name}.toml" if name in known else Path(name)).read_text(encoding="utf-8")
        return msgspec.convert(tomllib.loads(text), Mapped)
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"no mapping {name!r}; presets are {', '.join(known)}; or give the path of a file") from None
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"mapping {name}: {error}") from None


def _parser() -> Callable[[str], Iterable[Sample]]:
    from prometheus_client.parser import text_string_to_metric_families  # only this source needs it

    def parse(text: str) -> Iterator[Sample]:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                yield sample.name, sample.labels, sample.value

    return parse


def _sum(terms: Iterable[Term], samples: list[Sample]) -> float | None:
    """Add series up; None if all series to add are missing, even where one to subtract exists."""
    total, is_known = 0.0, False
    for term in terms:
        for name, labels, value in samples:
            if name == term.series and term.labels.items() <= labels.items():
                total += value if term.sign == "+" else -value
                is_known |= term.sign == "+"
    return total if is_known else None


def _count(value: float | None) -> int | None:
    return None if value is None else min(COUNT_MAX, max(0, round(value)))
