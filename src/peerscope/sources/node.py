"""The P2P program beside this peer, merged from all its sources."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from operator import is_
from random import Random

import msgspec
from msgspec import Struct
from msgspec.structs import astuple

from peerscope.errors import ConfigError
from peerscope.host.clock import monotonic
from peerscope.mesh.detection.checks import MESSAGE_MAX
from peerscope.records.bodies import Check, Status
from peerscope.records.measures import MEASURES_MAX, Measure, NodeMetrics
from peerscope.sources.attachment import ANSWERS, Attachment
from peerscope.sources.base import UNNAMED, Reading, Source, make_source
from peerscope.sources.telemetry import Telemetry
from peerscope.views.metrics import MeasureView

METRICS = NodeMetrics.__struct_fields__


class NodeConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The node monitored beside this peer."""

    sources: tuple[str, ...] = ()
    """Specs of its sources, "NAME" or "NAME:ARGUMENT". The first one with a value counts."""
    name: str = ""
    """Name of the node; empty for the name from its source. It names a layer: give all peers of a network the same."""
    timeout_s: float = 5.0  # a guess: an answer that takes longer helps nobody at a report interval of 5 s
    """Time for each answer of a source."""
    detect: bool = True
    """Without sources, `peerscope run` finds a node on this machine and attaches it."""
    silence_s: float = 60.0
    """A node that sent telemetry counts as gone after this silence. 0 switches this off."""
    dial_back: bool = True
    """Other peers may try the addresses that the node announces, where a source knows any."""
    dial_others: bool = True
    """Try the nodes of other peers: by TCP, without a byte, only where the mesh reaches the member itself."""

    def __post_init__(self) -> None:
        if len(self.name) > 64 or not self.name.isprintable():
            raise ConfigError(f"node.name is {self.name!r}; must be up to 64 printable characters")
        if not 0.1 <= self.timeout_s <= 60:
            raise ConfigError(f"node.timeout_s is {self.timeout_s}; must lie between 0.1 and 60")
        if not 0 <= self.silence_s <= 86_400:
            raise ConfigError(f"node.silence_s is {self.silence_s}; must lie between 0 and 86400")


class SourceView(Struct, frozen=True):
    """One source."""

    source: str
    status: str
    """healthy, unhealthy, or unknown before the first answer."""
    message: str
    failures: int
    """Failures in a row."""
    age_s: float | None
    """Seconds since its last answer."""


class NodeView(Struct, frozen=True):
    """The node beside this agent, with values that are not sent to others."""

    node: str | None
    """null where none is attached."""
    node_id: str | None
    version: str | None
    check: str | None
    metrics: dict[str, int | None]
    latency_s: float | None
    measures: tuple[MeasureView, ...]
    details: dict[str, float | str | None]
    neighbours: tuple[str, ...]
    sources: tuple[SourceView, ...]
    latency_age_s: float | None = None
    """Age of the latency if nothing has happened since; null if it is of now."""


class Node:
    """Asks every source and merges the answers. Telemetry that is not listed counts from its first event on."""

    def __init__(self, config: NodeConfig, interval_s: float, rng: Random) -> None:
        """`interval_s`: between requests. Raises `ConfigError`; nothing is asked before `run`."""
        self._config = config
        sources = [(spec, make_source(spec)) for spec in config.sources]
        listed = [source for _, source in sources if isinstance(source, Telemetry)]
        if len(listed) > 1:
            raise ConfigError("node.sources lists telemetry twice")
        self.telemetry = listed[0] if listed else Telemetry("")
        """Events that the node itself sends."""
        self.telemetry.silence_s = config.silence_s
        if not listed:
            sources.append(("telemetry", self.telemetry))
        self._listed = bool(listed)
        self._attached = partial(Attachment, interval_s=interval_s, limit_s=config.timeout_s, rng=rng)
        self._attachments = [self._attached(spec, source) for spec, source in sources]
        self._running: asyncio.TaskGroup | None = None
        self._found: Attachment | None = None
        self._asking: asyncio.Task[None] | None = None
        self._last: Reading | None = None
        self._merged: list[Reading] = []
        """The readings in `_last`."""

    @property
    def attachments(self) -> list[Attachment]:
        """The sources that count: telemetry that is not listed only after its first event, one that was found until
        then."""
        if self._listed or self.telemetry.has_heard:
            return self._attachments
        return [*self._attachments[:-1], *([self._found] if self._found else [])]

    @property
    def name(self) -> str | None:
        """Name of the node, also while it does not answer; None where no node is attached."""
        if not self.attachments:
            return None
        if self._config.name or self._last is not None:
            return self._config.name or (self._last.node if self._last else None)
        # Telemetry may come from any kind of node, other sources do not.
        return next((attached.kind for attached in self.attachments if attached.kind != "telemetry"), "telemetry")

    @property
    def node_id(self) -> str | None:
        """Its last known id in its own network."""
        return self._last.node_id if self._last else None

    @property
    def addresses(self) -> tuple[str, ...]:
        """Addresses that it last announced."""
        return self._last.addresses if self._last else ()

    @property
    def version(self) -> str | None:
        """Its last known version."""
        return self._last.version if self._last else None

    def attach(self, name: str, source: Source) -> None:
        """Ask this source too, after those of the settings. Call it before `run`, or from the event loop of `run`."""
        attachment = self._attached(name, source)
        self._attachments.insert(len(self._attachments) - (not self._listed), attachment)
        if self._running is not None:
            self._running.create_task(attachment.run())

    def attach_found(self, spec: str) -> None:
        """Attach the one source that was found while this runs. Telemetry replaces it: the node itself speaks then.

        Raises `ConfigError`.
        """
        self._found = self._attached(spec, make_source(spec))
        if self._running is not None:
            self._asking = self._running.create_task(self._found.run())

    def current(self) -> Reading | None:
        """The readings of all sources that answer, merged field by field; None where none answers."""
        answering = [(one.name, reading) for one in self.attachments if (reading := one.current()) is not None]
        readings = [reading for _, reading in answering]
        if not readings:
            return None
        if len(readings) == len(self._merged) and all(map(is_, readings, self._merged)):
            return self._last  # nothing new: the same object, since callers calculate differences
        self._merged = readings
        merged = msgspec.structs.replace(merge(readings), counted_by=_counted_by(answering))
        # A source that fails for a while must not change the id of the node, nor its name.
        if merged.node_id is None and self._last is not None:
            merged = msgspec.structs.replace(merged, node_id=self._last.node_id)
        if merged.node == UNNAMED and self._last is not None:
            merged = msgspec.structs.replace(merged, node=self._last.node)
        self._last = merged
        return merged

    def check(self) -> Check | None:
        """Healthy if all sources answer, degraded if some do, unhealthy if none does. None before the first answer.

        A source that still waits for the node does not count beside others; alone it makes the check unknown.
        """
        # All peers see this, so it names only the kind of a source, not its address.
        checks = [(attached.kind, check) for attached in self.attachments if (check := attached.check()) is not None]
        if any(check.status != Status.UNKNOWN for _, check in checks):
            checks = [(kind, check) for kind, check in checks if check.status != Status.UNKNOWN]
        bad = [f"{kind}: {check.message}" for kind, check in checks if check.status != Status.HEALTHY]
        if not checks:
            return None
        if not bad:
            return ANSWERS
        status = Status.DEGRADED
        if len(bad) == len(checks):
            status = max(Status(check.status) for _, check in checks)  # all wait, or all fail
        return Check(status, None, "; ".join(bad)[:MESSAGE_MAX])

    def view(self) -> NodeView:
        """Everything known about the node."""
        now, reading, check = monotonic(), self.current(), self.check()
        return NodeView(
            node=self.name,
            node_id=self.node_id,
            version=reading.version if reading else None,
            check=None if check is None else check.message or "answers",
            metrics={name: getattr(reading.metrics, name) if reading else None for name in METRICS},
            latency_s=reading.latency_s if reading else None,
            measures=tuple(MeasureView(*astuple(one)) for one in reading.measures) if reading else (),
            details=dict(reading.details) if reading else {},
            neighbours=tuple(link.node for link in reading.overlay) if reading else (),
            sources=tuple(_shown(attached, now) for attached in self.attachments),
            latency_age_s=reading.latency_age_s if reading else None,
        )

    async def run(self) -> None:
        """Ask and listen until cancelled."""
        asked = self.attachments
        work = [self.telemetry.run(), *(attached.run() for attached in asked)]
        if len(self._attachments) > len(asked) or self._found in asked:
            work.append(self._run_when_heard(self._attachments[-1]))
        try:
            async with asyncio.TaskGroup() as self._running:
                for one in work:
                    self._running.create_task(one)
        finally:
            self._running = None

    async def _run_when_heard(self, telemetry: Attachment) -> None:
        await self.telemetry.heard.wait()
        if self._found is not None:
            self._found, self._last, self._merged = None, None, []  # another program's id and values
        if self._asking is not None:
            self._asking.cancel()
        await telemetry.run()


def merge(readings: Sequence[Reading]) -> Reading:
    """Take the first known value of each field, and details of all. Takes at least one reading.

    A source that does not know the node's kind gives it no name.
    """
    first, *others = readings
    for other in others:
        first = Reading(
            node=other.node if first.node == UNNAMED else first.node,
            node_id=first.node_id if first.node_id is not None else other.node_id,
            version=first.version if first.version is not None else other.version,
            metrics=NodeMetrics(*(_first(getattr(first.metrics, f), getattr(other.metrics, f)) for f in METRICS)),
            overlay=first.overlay or other.overlay,
            latency_s=first.latency_s if first.latency_s is not None else other.latency_s,
            latency_age_s=first.latency_age_s if first.latency_s is not None else other.latency_age_s,
            measures=_united(first.measures, other.measures),
            addresses=first.addresses or other.addresses,
            details={**other.details, **first.details},
        )
    return first


def _counted_by(answering: Sequence[tuple[str, Reading]]) -> tuple[str | None, ...]:
    """The source of each metric."""
    return tuple(next((name for name, one in answering if getattr(one.metrics, f) is not None), None) for f in METRICS)


def _united(some: Sequence[Measure], others: Sequence[Measure]) -> tuple[Measure, ...]:
    """The measures of both, each name once."""
    named = {one.name: one for one in (*others, *some)}
    return tuple(named[name] for name in sorted(named))[:MEASURES_MAX]


def _first(one: int | None, other: int | None) -> int | None:
    return other if one is None else one


def _shown(attached: Attachment, now: float) -> SourceView:
    check = attached.check()
    return SourceView(
        source=attached.name,
        status="unknown" if check is None else Status(check.status).name.lower(),
        message="not asked yet" if check is None else check.message or "answers",
        failures=attached.failures,
        age_s=None if attached.answered_at is None else now - attached.answered_at,
    )
