"""An aggregator's summary of its zone: counts, sums and sketches that merge with those of other zones."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from peerscope.records.certificates import Certificate
from peerscope.records.sketch import Registers, Sketch, SketchBody
from peerscope.records.texts import Name, Ref, Text

SUMMARY_BYTES_MAX = 8 * 1024
HEADLINES_MAX = 5
REGIONS_MAX = 16

Total = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Members = Annotated[int, Meta(ge=0, le=100_000)]


class RegionLine(Struct, frozen=True, array_like=True, gc=False):
    """One region within the zone."""

    region: Name
    members: Members
    healthy: Members
    degraded: Members
    unhealthy: Members
    unknown: Members
    down: Members


class Headline(Struct, frozen=True, array_like=True, gc=False):
    """One of the gravest alerts or incidents."""

    id: Name
    severity: Annotated[int, Meta(ge=0, le=3)]
    title: Text


class Summary(Struct, frozen=True, array_like=True, gc=False):
    """A zone, as one of its aggregators sees it. It counts every member once, under its status."""

    zone: Name
    aggregators: Annotated[tuple[Ref, ...], Meta(max_length=3)]
    """The zone's aggregators by rank, as the origin sees them. It is one of them."""
    addresses: Annotated[tuple[Name, ...], Meta(max_length=4)]
    """Where peers of other zones dial the origin."""
    interval_ms: Annotated[int, Meta(ge=100, le=86_400_000)]
    """Time to the next summary. This one expires after three intervals without another."""
    members: Members
    """All that have not left."""
    healthy: Members
    degraded: Members
    unhealthy: Members
    unknown: Members
    down: Members
    suspect: Members = 0
    """Accused and not down; also counted under their status."""
    partitioned: Members = 0
    """Lost together; also counted as down."""
    ids: Registers = bytes(64)
    """HyperLogLog of the members' ids."""
    latency: SketchBody = SketchBody()
    """Round trips of the links inside the zone, seconds."""
    links: Members = 0
    links_expected: Members = 0
    cpu: SketchBody = SketchBody()
    """Busy shares of the hosts, 0 to 1."""
    memory: SketchBody = SketchBody()
    throughput_bytes_s: Total | None = None
    """Sum over the members that report theirs."""
    regions: Annotated[tuple[RegionLine, ...], Meta(max_length=REGIONS_MAX)] = ()
    """The largest; none if the zone is one region or a part of it."""
    alerts: Annotated[tuple[Members, ...], Meta(max_length=4)] = ()
    """Active ones by severity, low first."""
    headlines: Annotated[tuple[Headline, ...], Meta(max_length=HEADLINES_MAX)] = ()
    certificate: Certificate | None = None
    """As in `Orders`."""
    node_throughput_bytes_s: Total | None = None
    """The part of `throughput_bytes_s` that is the nodes'; the rest is the mesh's own, at members without a node."""

    @property
    def counted(self) -> tuple[int, ...]:
        """Counts on which the aggregators of the zone must agree."""
        return self.members, self.healthy, self.degraded, self.unhealthy, self.unknown, self.down


def withdrawn(summary: Summary) -> Summary:
    """Replace an aggregator's last summary of a zone that it leaves: an empty one without aggregators."""
    return Summary(summary.zone, (), (), summary.interval_ms, 0, 0, 0, 0, 0, 0)


def check(summary: Summary) -> None:
    """Raise `RemoteError` ("malformed-sketch") if no values can give one of its sketches."""
    for sketch in (summary.latency, summary.cpu, summary.memory):
        Sketch.of(sketch)
