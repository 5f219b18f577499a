"""What a node can tell of itself, one event a line (NDJSON), and how a batch of lines is read.

A line is refused by itself: good ones in the same batch are kept. Fields that are not listed are ignored, so that a
newer node can talk to an older agent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from peerscope.records.measures import Count
from peerscope.views.traces import HopEvent

REASON_MAX = 200
_PLACE = " - at `$"

Label = Annotated[str, Meta(min_length=1, max_length=128)]
Seconds = Annotated[float, Meta(ge=0.0, le=3600.0)]
Instant = Annotated[float, Meta(ge=0.0, le=1e11)]
"""Unix seconds."""


class Gauge(Struct, frozen=True, tag="gauge", gc=False):
    """How many there are now."""

    name: Literal["tunnels", "active_connections", "p2p_peers"]
    value: Count


class Message(Struct, frozen=True, tag="message", gc=False):
    """One message of the node's own protocol."""

    direction: Literal["in", "out"]
    bytes: Count
    error: bool = False
    latency_s: Seconds | None = None


class Connection(Struct, frozen=True, tag="connection", gc=False):
    """A connection came or went."""

    event: Literal["opened", "closed"]
    remote: Label
    """Id or address of the other end."""
    rtt_s: Seconds | None = None


class Dht(Struct, frozen=True, tag="dht", gc=False):
    """One operation on the distributed hash table."""

    op: Literal["put", "lookup"]
    key: Label
    values: Annotated[tuple[Label, ...], Meta(max_length=64)] | None = None
    """Hashes of what was put or found."""
    consistent: bool | None = None
    """Whether all that were asked said the same."""
    closest: Annotated[tuple[Label, ...], Meta(max_length=64)] | None = None
    """Ids of the nodes found nearest to the key, in hexadecimal and as long as the key's own."""


class Log(Struct, frozen=True, tag="log", gc=False):
    """A line of the node's log."""

    level: Annotated[str, Meta(max_length=16)]
    message: Annotated[str, Meta(max_length=2048)]


Event = Gauge | Message | Connection | Dht | HopEvent | Log
Hook = Callable[[Event], None]

_decode = msgspec.json.Decoder(Event).decode


class RefusedEvent(Struct, frozen=True):
    """A line that is no event."""

    line: int
    """From 1."""
    reason: str


def read_lines(lines: Iterable[bytes], first: int, counts: Counter[str]) -> tuple[list[Event], list[RefusedEvent]]:
    """The events of some lines, and what is wrong with the others; empty lines are nothing.

    `first`: number of the first line. `counts`: gains one for each refused line, by reason.
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
    """Under what a refused line is counted, and its reason for people."""
    text, _, place = str(error).partition(_PLACE)
    if not isinstance(error, msgspec.ValidationError):
        return "no-json", text
    where = place.rstrip("`").removeprefix(".")
    if where == "type":
        return "unknown-type", f"unknown type {text.removeprefix('Invalid value ')}"
    return "malformed-event", f"{where}: {text}" if where else text
