"""Bodies of records: frozen, bounded structs, one per kind.

Every length has its limit here, and the decoder checks it. New fields come last and have defaults, so that older and
newer agents read each other (msgspec's schema evolution). Numbers are quantised integers: a msgpack float costs nine
bytes, a small integer one to three. No body can contain itself, so the garbage collector skips them (`gc=False`): large
ledgers would slow it down.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from peerscope.errors import RemoteError
from peerscope.records.alerts import Alerts, Orders
from peerscope.records.blocks import Blocks
from peerscope.records.certificates import Certificate, Revoked
from peerscope.records.hosts import HostTokens
from peerscope.records.measures import Metrics
from peerscope.records.summary import SUMMARY_BYTES_MAX, Summary, check
from peerscope.records.texts import HostAndPort, Microseconds, Milliseconds, Name, OverlayId, Ref, Text

BODY_BYTES_MAX = 4096
ALERTS_BYTES_MAX = 16 * 1024
"""An aggregator reports on its whole zone; an operator's orders may be as long."""
REVOKED_BYTES_MAX = 16 * 1024
"""Room for `REVOCATIONS_MAX`."""
BLOCKS_BYTES_MAX = 16 * 1024
"""Room for `BLOCKS_MAX` with their reasons."""
ADDRESSES_MAX = 8
LINKS_MAX = 64
OBSERVATIONS_MAX = 128
ANSWERS_MAX = 32
"""Four rings give a peer eight observers, small networks and joins a few more. A full report has room for so many."""
OVERLAY_MAX = 32
LIVES_MAX = 4
NODE_ADDRESSES_MAX = 2
"""Addresses of a node for others to try: one of each family."""
DIALS_MAX = 16
"""A peer tries the nodes of about six others; chance gives some a few more."""
DIMENSIONS_MAX = 8
CHECKS = ("cpu", "memory", "storage", "network", "p2p", "node")
"""In the order of a report; the sixth only if a node is attached."""

RATIO_ONE = 10_000
"""Ratios travel in ten-thousandths."""
SKEW_PARTS = 10_000
"""Parts of a second in which the offsets of clocks travel."""


class Kind(IntEnum):
    """Topics of records. Peers carry a number that is not listed here along, undecoded."""

    PROFILE = 0
    REPORT = 1
    OBSERVATIONS = 2
    ALERTS = 3
    SUMMARY = 4
    ORDERS = 5
    REVOKED = 6
    BLOCKS = 7


WORLD = frozenset((Kind.SUMMARY, Kind.ORDERS, Kind.REVOKED, Kind.BLOCKS))
"""Kinds that reach all zones; all others stay in the zone of their origin."""


class Status(IntEnum):
    """How a peer judges one of its checks, or itself. A worse one is greater, except `UNKNOWN`."""

    HEALTHY = 0
    DEGRADED = 1
    UNHEALTHY = 2
    UNKNOWN = 3


RegionSource = Literal["declared", "country"]
Life = Annotated[int, Meta(ge=0, le=2**32 - 1)]


class OtherLife(Struct, frozen=True, array_like=True, gc=False):
    """Another process that signs with the origin's key, as its profile describes it."""

    life: Life
    """Its number; 0 if its agent has none."""
    is_running: bool = False
    """The origin can prove that it runs at the same time, so it is no earlier process of the same machine."""
    addresses: Annotated[tuple[Name, ...], Meta(max_length=ADDRESSES_MAX)] = ()
    region: Name | None = None


class PlannedAbsence(Struct, frozen=True, array_like=True, gc=False):
    """An operator's announcement that the peer leaves for maintenance."""

    for_ms: Milliseconds | None = None
    """How long after this record the peer is to be back; None if that is open."""
    reason: Text = ""


class Profile(Struct, frozen=True, array_like=True, gc=False):
    """A peer's description of itself. Published when it changes; `left` means that the peer leaves."""

    addresses: Annotated[tuple[Name, ...], Meta(max_length=ADDRESSES_MAX)]
    """Where others dial the peer, "host:port"."""
    region: Name | None
    version: Name
    """Version of the agent."""
    started_at_ms: Milliseconds
    """Start of the process, by its own wall clock."""
    left: bool = False
    zone: Name = ""
    node: Name | None = None
    """Name of the node monitored beside the peer."""
    labels: Annotated[tuple[tuple[Name, Name], ...], Meta(max_length=16)] = ()
    roles: Annotated[tuple[Name, ...], Meta(max_length=8)] = ()
    region_source: RegionSource = "declared"
    """Source of the region: the operator, or a table of address ranges."""
    node_id: OverlayId | None = None
    """Name that the node has among its neighbours in its own network."""
    exporter: HostAndPort | None = None
    """Where others reach this peer's /metrics; None if they cannot."""
    certificate: Certificate | None = None
    """An operator's word that the peer is a member, if the network requires it. All peers check it, not only those
    that the peer links with."""
    relay: Name | None = None
    """URL of the relay that also reaches the peer; None if it has none."""
    life: Life = 0
    """A random number of the process, by which others distinguish two with one key; 0 if the agent has none."""
    met: Annotated[tuple[OtherLife, ...], Meta(max_length=LIVES_MAX)] = ()
    """Other processes that published a newer profile under this key, the last first."""
    host: HostTokens | None = None
    """On which machine the peer runs; None if its agent does not say."""
    planned: PlannedAbsence | None = None
    """With `left`: the absence is planned."""
    node_addresses: Annotated[tuple[HostAndPort, ...], Meta(max_length=NODE_ADDRESSES_MAX)] = ()
    """Where the node says it is reached by TCP. Others may try these."""
    dials: bool = False
    """The peer tries the nodes of others."""

    @property
    def reached_at(self) -> tuple[str, ...]:
        """All addresses that others can dial."""
        return self.addresses if self.relay is None else (*self.addresses, self.relay)


class Check(Struct, frozen=True, array_like=True, gc=False):
    """Result of one health check."""

    status: Annotated[int, Meta(ge=0, le=3)]
    ratio: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    """The measured value in ten-thousandths; None when the check could not run."""
    message: Text | None = None
    """Only if the numbers do not say it: healthy checks have none."""


class LinkReading(Struct, frozen=True, array_like=True, gc=False):
    """One link that is up, as this end sees it."""

    peer: Ref
    rtt_us: Microseconds | None = None
    loss: Annotated[int, Meta(ge=0, le=RATIO_ONE)] | None = None
    watches: bool = True
    """The neighbour is one of our ring neighbours, so it may accuse us."""
    flaps: Annotated[int, Meta(ge=0, le=255)] = 0
    """How often the link was lately lost and regained."""
    skew_s: Annotated[int, Meta(ge=-(2**40), le=2**40)] = 0
    """How far the neighbour's wall clock is ahead of ours, in whole seconds."""
    via_relay: bool | None = None
    """Its packets go through a relay; None if that is unknown."""
    skew_rest: Annotated[int, Meta(ge=-SKEW_PARTS, le=SKEW_PARTS)] | None = None
    """The rest of the offset beyond `skew_s`, in ten-thousandths of a second; None before a ping measured it."""

    @property
    def ahead_s(self) -> float | None:
        """How far the neighbour's wall clock is ahead of ours, to a ten-thousandth of a second."""
        return None if self.skew_rest is None else self.skew_s + self.skew_rest / SKEW_PARTS

    @property
    def rtt_s(self) -> float | None:
        return None if self.rtt_us is None else self.rtt_us / 1e6

    @property
    def loss_ratio(self) -> float | None:
        return None if self.loss is None else self.loss / RATIO_ONE


class Coordinate(Struct, frozen=True, array_like=True, gc=False):
    """A peer's position in the space of latencies (Vivaldi with height), in microseconds."""

    vector_us: Annotated[
        tuple[Annotated[int, Meta(ge=-600_000_000, le=600_000_000)], ...], Meta(min_length=2, max_length=DIMENSIONS_MAX)
    ]
    height_us: Microseconds
    """Latency of the access line, which every packet pays before it reaches the space."""
    error: Annotated[int, Meta(ge=0, le=15_000)]
    """Relative error of its own predictions, in ten-thousandths."""
    adjustment_us: Annotated[int, Meta(ge=-600_000_000, le=600_000_000)] = 0
    """Half of the mean by which the space lately predicted too little: the other half is the other end's."""


class OverlayLink(Struct, frozen=True, array_like=True, gc=False):
    """One neighbour of the node monitored beside a peer, in that node's own network."""

    node: OverlayId
    rtt_us: Microseconds | None = None


class DialOutcome(IntEnum):
    """The end of an attempt to connect to a node."""

    REACHED = 0
    REFUSED = 1
    """The machine answered that nothing listens there."""
    SILENT = 2
    """No answer."""
    NO_ROUTE = 3
    ELSEWHERE = 4
    """Not tried: the mesh does not reach this member at that address."""
    FAILED = 5
    """Any other error, or one of a later version."""
    UNABLE = 6
    """Not tried: the dialer's own machine refused, for example without a descriptor or a route."""


UNTRIED = frozenset((DialOutcome.ELSEWHERE, DialOutcome.UNABLE))
"""Outcomes without a packet to the node: they prove nothing about it."""


class DialReading(Struct, frozen=True, array_like=True, gc=False):
    """Attempts of this peer to connect to the node beside another one."""

    subject: Ref
    checksum: Annotated[int, Meta(ge=0, le=2**16 - 1)]
    """A hash of the addresses in the subject's profile, so that outcomes for earlier addresses do not count."""
    outcomes: Annotated[tuple[Annotated[int, Meta(ge=0, le=255)], ...], Meta(max_length=NODE_ADDRESSES_MAX)]
    """In the order of the addresses."""
    age_s: Annotated[int, Meta(ge=0, le=86_400)]


class Answer(Struct, frozen=True, array_like=True, gc=False):
    """A refutation: the accused lives, and has read this observer's accusations up to this version."""

    observer: Ref
    version: Annotated[int, Meta(ge=1, le=2**53 - 1)]


class Report(Struct, frozen=True, array_like=True, gc=False):
    """A peer's own health and its links, every interval and at once when the status changes."""

    interval_ms: Annotated[int, Meta(ge=100, le=86_400_000)]
    """Time to the next report. The peer's status becomes unknown after three intervals without one."""
    checks: Annotated[tuple[Check, ...], Meta(max_length=8)]
    """In the order of `CHECKS`."""
    links: Annotated[tuple[LinkReading, ...], Meta(max_length=LINKS_MAX)] = ()
    expected: Annotated[int, Meta(ge=0, le=LINKS_MAX)] = 0
    """Neighbours that this peer should have links to now."""
    coordinate: Coordinate | None = None
    overlay: Annotated[tuple[OverlayLink, ...], Meta(max_length=OVERLAY_MAX)] = ()
    """Neighbours of the node beside this peer. They never become observers."""
    metrics: Metrics | None = None
    """Measured in the last interval."""
    answers: Annotated[tuple[Answer, ...], Meta(max_length=ANSWERS_MAX)] = ()
    """Accusations that this peer has read and refutes, even if they state a wrong time of its clock."""
    refuted: Annotated[tuple[Ref, ...], Meta(max_length=ANSWERS_MAX)] = ()
    """Observers whose accusations this peer refuted so often that they no longer count."""
    overlay_cut: bool = False
    """The node has more neighbours than `overlay` lists."""
    dialled: Annotated[tuple[DialReading, ...], Meta(max_length=DIALS_MAX)] = ()
    """Nodes of other peers that this peer tried to reach."""

    @property
    def status(self) -> Status:
        """Unhealthy if any check is; degraded if any is, or if any could not run."""
        worst = {check.status for check in self.checks}
        if Status.UNHEALTHY in worst:
            return Status.UNHEALTHY
        if worst & {Status.DEGRADED, Status.UNKNOWN}:
            return Status.DEGRADED
        return Status.HEALTHY if self.checks else Status.UNKNOWN


class Observation(Struct, frozen=True, array_like=True, gc=False):
    """An accusation: this peer had a link to the subject and no longer hears it."""

    subject: Ref
    heard_ms: Milliseconds
    """The subject's own version clock when it was last heard."""
    silence_ms: Milliseconds
    """How long it had been silent when this record was issued."""
    reason: Name = "silent"


class Observations(Struct, frozen=True, array_like=True, gc=False):
    """All accusations of this peer now. A subject that it hears again is no longer listed."""

    lost: Annotated[tuple[Observation, ...], Meta(max_length=OBSERVATIONS_MAX)] = ()


class Opaque(Struct, frozen=True):
    """Body of a kind that this version does not know: carried, never decoded."""

    data: bytes


Certified = Profile | Summary | Orders | Revoked | Blocks
"""Bodies with the certificate of their origin. Other bodies need none."""
Body = Profile | Report | Observations | Alerts | Orders | Summary | Revoked | Blocks | Opaque

_encoder = msgspec.msgpack.Encoder()
_decoders: dict[int, msgspec.msgpack.Decoder[Body]] = {
    Kind.PROFILE: msgspec.msgpack.Decoder(Profile),
    Kind.REPORT: msgspec.msgpack.Decoder(Report),
    Kind.OBSERVATIONS: msgspec.msgpack.Decoder(Observations),
    Kind.ALERTS: msgspec.msgpack.Decoder(Alerts),
    Kind.ORDERS: msgspec.msgpack.Decoder(Orders),
    Kind.SUMMARY: msgspec.msgpack.Decoder(Summary),
    Kind.REVOKED: msgspec.msgpack.Decoder(Revoked),
    Kind.BLOCKS: msgspec.msgpack.Decoder(Blocks),
}
_kinds: dict[type[Body], Kind] = {
    Profile: Kind.PROFILE,
    Report: Kind.REPORT,
    Observations: Kind.OBSERVATIONS,
    Alerts: Kind.ALERTS,
    Orders: Kind.ORDERS,
    Summary: Kind.SUMMARY,
    Revoked: Kind.REVOKED,
    Blocks: Kind.BLOCKS,
}
_bytes_max: dict[int, int] = {
    Kind.ALERTS: ALERTS_BYTES_MAX,
    Kind.ORDERS: ALERTS_BYTES_MAX,
    Kind.SUMMARY: SUMMARY_BYTES_MAX,
    Kind.REVOKED: REVOKED_BYTES_MAX,
    Kind.BLOCKS: BLOCKS_BYTES_MAX,
}


def kind_of(body: Body) -> Kind:
    """The kind of a body that this version knows."""
    return _kinds[type(body)]


def body_bytes_max(kind: int) -> int:
    """Length of the longest body of this kind."""
    return _bytes_max.get(kind, BODY_BYTES_MAX)


def encode_body(body: Body) -> bytes:
    """Bytes that a peer signs and sends."""
    return _encoder.encode(body)


def decode_body(kind: int, data: bytes) -> Body:
    """Raise `RemoteError` ("oversized-body", "malformed-body", "malformed-sketch") if the bytes are no such body."""
    most = body_bytes_max(kind)
    if len(data) > most:
        raise RemoteError("oversized-body", f"{len(data)} bytes; at most {most}")
    decoder = _decoders.get(kind)
    if decoder is None:
        return Opaque(data)
    try:
        body = decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # ValueError: invalid UTF-8
        raise RemoteError("malformed-body", str(error)) from error
    if isinstance(body, Summary):
        check(body)
    return body
