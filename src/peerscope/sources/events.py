"""The events of telemetry: one JSON object each, with a `type`.

Unknown fields are ignored, so that a newer node can talk to an older agent. Only "\\n" ends a line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta, Struct

from peerscope.records.bodies import ADDRESSES_MAX
from peerscope.records.measures import COUNT_MAX, Amount, Count, MeasureName, Unit
from peerscope.records.texts import Name, OverlayId, Text
from peerscope.sources.refusals import plain_words
from peerscope.views.traces import HopEvent

REASON_MAX = 200
STANDARD = frozenset({"tunnels", "active_connections", "p2p_peers"})
"""Gauges with a place of their own among a node's values."""
_PLACE = " - at `$"

Label = Annotated[str, Meta(min_length=1, max_length=128)]
Seconds = Annotated[float, Meta(ge=0.0, le=3600.0)]
Instant = Annotated[float, Meta(ge=0.0, le=1e11)]
"""Unix seconds."""


class Gauge(Struct, frozen=True, tag="gauge", gc=False):
    """A number at present, or a running total of the node's own kind."""

    name: MeasureName
    """"tunnels", "active_connections", "p2p_peers", or a name of the node's own: at most 16 of those."""
    value: Amount
    unit: Unit = ""
    """Such as "blocks". The first event of a name declares its unit and kind."""
    kind: Literal["gauge", "counter"] | None = None

    def __post_init__(self) -> None:
        if self.name in STANDARD and not (isinstance(self.value, int) and 0 <= self.value <= COUNT_MAX):
            raise ValueError(f"{self.name} is {self.value}; must be a whole number from 0 on")
        if self.kind == "counter" and not 0 <= self.value <= COUNT_MAX:
            raise ValueError(f"{self.name} is {self.value}; a running total lies between 0 and {COUNT_MAX}")


class Message(Struct, frozen=True, tag="message", gc=False):
    """One message of the node's own protocol."""

    direction: Literal["in", "out"]
    bytes: Count
    error: bool = False
    latency_s: Seconds | None = None


class Connection(Struct, frozen=True, tag="connection", gc=False):
    """A connection was opened or closed, or its round-trip time was measured."""

    event: Literal["opened", "closed", "measured"]
    remote: Label
    """Id or address of the other end. The id names the neighbour where an address ends in "/p2p/ID"."""
    rtt_s: Seconds | None = None


class NodeIdentity(Struct, frozen=True, tag="node", gc=False):
    """The node introduces itself. A field that is left out keeps its last value."""

    id: OverlayId | None = None
    """Its id in its own network."""
    name: Annotated[Name, Meta(min_length=1)] | None = None
    """Kind of the node, such as "beam"."""
    version: Name | None = None
    addresses: Annotated[tuple[Text, ...], Meta(max_length=ADDRESSES_MAX)] | None = None
    """Where others can reach it by TCP: "HOST:PORT"."""
    started_at: Instant | None = None
    """If it differs from before, the node has restarted: its connections and gauges are forgotten."""


class Dht(Struct, frozen=True, tag="dht", gc=False):
    """One operation on the distributed hash table."""

    op: Literal["put", "lookup"]
    key: Label
    values: Annotated[tuple[Label, ...], Meta(max_length=64)] | None = None
    """Hashes of the values that were put or found."""
    consistent: bool | None = None
    """Whether all nodes that were asked gave the same answer."""
    closest: Annotated[tuple[Label, ...], Meta(max_length=64)] | None = None
    """Ids of the nodes nearest to the key, in hexadecimal and as long as the key."""


class Log(Struct, frozen=True, tag="log", gc=False):
    """A line of the node's log."""

    level: Annotated[str, Meta(max_length=16)]
    message: Annotated[str, Meta(max_length=2048)]


Event = Gauge | Message | Connection | NodeIdentity | Dht | HopEvent | Log

KINDS = {kind: str(kind.__struct_config__.tag) for kind in get_args(Event)}
"""The type of each event, as senders write it."""

_decode = msgspec.json.Decoder(Event).decode


class RefusedEvent(Struct, frozen=True):
    """An invalid line."""

    line: int
    """From 1."""
    reason: str


def read_lines(lines: Iterable[bytes], first: int, counts: Counter[str]) -> tuple[list[Event], list[RefusedEvent]]:
    """Decode lines: the events, and the refused lines with their reasons. Empty lines are ignored.

    `first`: number of the first line. `counts`: counts refused lines by reason.
    """
    events: list[Event] = []
    refused: list[RefusedEvent] = []
    for number, line in enumerate(lines, first):
        try:
            events.append(_decode(line))
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # ValueError: invalid UTF-8
            if line.strip():
                kind, reason = _explained(error)
                counts[kind] += 1
                refused.append(RefusedEvent(number, reason[:REASON_MAX]))
    return events, refused


def _explained(error: Exception) -> tuple[str, str]:
    """The counter of a refused line, and the reason for people."""
    text, _, place = str(error).partition(_PLACE)
    if not isinstance(error, msgspec.ValidationError):
        return "no-json", text
    where = place.rstrip("`").removeprefix(".")
    if where == "type" and text.startswith("Invalid value"):
        return "unknown-type", f"unknown type {text.removeprefix('Invalid value ')}"
    reason = plain_words(text)
    if where:
        return "malformed-event", f"{where}: {reason}"
    return "malformed-event", f"the event {reason}" if reason.startswith("must") else reason
