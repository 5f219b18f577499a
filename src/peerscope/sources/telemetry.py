"""Telemetry: events that the node beside us sends, over HTTP (NDJSON, one a line) or in the same process.

Events wait in a bounded queue and are counted in small portions, so that a burst does not delay the agent. While the
queue is full, senders over HTTP must wait, and events of the same process are dropped and counted. Any thread may call
the in-process methods.

Valid lines of a batch are kept; each invalid line is refused by itself. Unknown fields are ignored, so that a newer
node can talk to an older agent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from peerscope.errors import NotYetError, SourceError
from peerscope.records.measures import MEASURES_MAX, Amount, Count, Measure, MeasureName, NodeMetrics, Unit
from peerscope.sources.base import Reading
from peerscope.views.traces import HopEvent

REASON_MAX = 200
_PLACE = " - at `$"

Label = Annotated[str, Meta(min_length=1, max_length=128)]
Seconds = Annotated[float, Meta(ge=0.0, le=3600.0)]
Instant = Annotated[float, Meta(ge=0.0, le=1e11)]
"""Unix seconds."""


class Gauge(Struct, frozen=True, tag="gauge", gc=False):
    """A number at present."""

    name: Literal["tunnels", "active_connections", "p2p_peers"]
    value: Count


class Message(Struct, frozen=True, tag="message", gc=False):
    """One message of the node's own protocol."""

    direction: Literal["in", "out"]
    bytes: Count
    error: bool = False
    latency_s: Seconds | None = None


class Connection(Struct, frozen=True, tag="connection", gc=False):
    """A connection was opened or closed."""

    event: Literal["opened", "closed"]
    remote: Label
    """Id or address of the other end."""
    rtt_s: Seconds | None = None


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


class MeasureEvent(Struct, frozen=True, tag="measure", gc=False):
    """A value that the node names itself, such as its block height."""

    name: MeasureName
    value: Amount | None
    """null from the moment at which it is unknown."""
    unit: Unit = ""
    is_counter: bool = False
    """A running total; else a value of the moment."""


class Log(Struct, frozen=True, tag="log", gc=False):
    """A line of the node's log."""

    level: Annotated[str, Meta(max_length=16)]
    message: Annotated[str, Meta(max_length=2048)]


Event = Gauge | Message | Connection | Dht | HopEvent | MeasureEvent | Log
Hook = Callable[[Event], None]

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
    if where == "type":
        return "unknown-type", f"unknown type {text.removeprefix('Invalid value ')}"
    return "malformed-event", f"{where}: {text}" if where else text


QUEUE_MAX = 100_000
PORTION = 1_000
"""Events to count before other tasks of the event loop run: about a millisecond."""
REMOTES_MAX = 65_536

log = logging.getLogger(__name__)


class Telemetry:
    """Takes events in, counts them, and passes them on. A source like the others: `read` returns the sums."""

    def __init__(self, name: str = "") -> None:
        """`name`: kind of the node, such as "beam"."""
        self.name = name
        self.on_event: list[Hook] = []
        """Called with every event, in the agent's event loop."""
        self.silence_s = 0.0
        """Seconds after which a node that sent events over HTTP counts as gone; 0 for never."""
        self.heard = asyncio.Event()
        """Set with the first counted event."""
        self.received: Counter[str] = Counter()
        """Events counted, by type."""
        self.refused: Counter[str] = Counter()
        """Refused lines and events, by reason."""
        self._queue: deque[Event] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting = asyncio.Event()
        self._heard_at: float | None = None
        self._since = time.monotonic()
        self._is_inside = False
        self._gauges: dict[str, int] = {}
        self._measures: dict[str, Measure] = {}
        self._messages = self._bytes_in = self._bytes_out = self._errors = 0
        self._latency_s, self._latencies = 0.0, 0
        self._lookups = self._puts = 0
        self._inconsistent = 0
        self._connections = 0
        self._remotes: Counter[str] = Counter()

    # -- what the node calls -----------------------------------------------------------------------

    def gauge(self, name: str, value: int) -> None:
        """Report the present number of "tunnels", "active_connections" or "p2p_peers"."""
        self._report({"type": "gauge", "name": name, "value": value})

    def measure(self, name: str, value: float | None, unit: str = "", *, is_counter: bool = False) -> None:
        """Report a value of your own, such as "block_height" in "blocks". Up to 16 names; all peers see them."""
        self._report({"type": "measure", "name": name, "value": value, "unit": unit, "is_counter": is_counter})

    def message(self, direction: str, bytes: int, *, error: bool = False, latency_s: float | None = None) -> None:
        """Report a message that went "in" or "out"."""
        self._report(
            {"type": "message", "direction": direction, "bytes": bytes, "error": error, "latency_s": latency_s}
        )

    def connection_opened(self, remote: str, *, rtt_s: float | None = None) -> None:
        """Report an open connection with `remote`, an id or an address."""
        self._report({"type": "connection", "event": "opened", "remote": remote, "rtt_s": rtt_s})

    def connection_closed(self, remote: str) -> None:
        """Report that the connection with `remote` was closed."""
        self._report({"type": "connection", "event": "closed", "remote": remote})

    def dht_put(self, key: str, values: Sequence[str] | None = None) -> None:
        """Report a put under a key; `values`: hashes of the values."""
        self._report({"type": "dht", "op": "put", "key": key, "values": values})

    def dht_lookup(
        self,
        key: str,
        values: Sequence[str] | None = None,
        *,
        consistent: bool | None = None,
        closest: Sequence[str] | None = None,
    ) -> None:
        """Report the lookup of a key.

        `consistent`: whether all nodes that were asked gave the same answer. `closest`: ids of the nodes nearest to
        the key.
        """
        found = {"values": values, "consistent": consistent, "closest": closest}
        self._report({"type": "dht", "op": "lookup", "key": key, **found})

    def hop(self, message_id: str, hop: str, peer: str, at: float | None = None) -> None:
        """Report that a message was "sent", "received", "forwarded" or "delivered"; `at`: Unix seconds."""
        at = time.time() if at is None else at
        self._report({"type": "hop", "message_id": message_id, "hop": hop, "peer": peer, "at": at})

    def log(self, level: str, message: str) -> None:
        """Report a line of the node's log."""
        self._report({"type": "log", "level": level, "message": message})

    def _report(self, event: dict[str, object]) -> None:
        """Raises `ValueError` for an invalid event: the caller is the node's own code."""
        self._is_inside = True
        try:
            made = msgspec.convert(event, Event, strict=True)
        except msgspec.ValidationError as error:
            raise ValueError(f"no such event: {error}") from None
        if not self.take([made]):
            self.refused["queue-full"] += 1

    # -- inside ------------------------------------------------------------------------------------

    @property
    def has_heard(self) -> bool:
        """Whether any event was counted."""
        return self._heard_at is not None

    @property
    def queued(self) -> int:
        """Events that wait to be counted."""
        return len(self._queue)

    def take(self, events: Sequence[Event]) -> bool:
        """Queue all of these events, or none if the queue has no space for all."""
        if len(self._queue) + len(events) > QUEUE_MAX:
            return False
        self._queue.extend(events)
        if events and self._loop is not None and not self._waiting.is_set():
            with contextlib.suppress(RuntimeError):  # the loop is closed, so no event counts any more
                self._loop.call_soon_threadsafe(self._waiting.set)
        return True

    async def run(self) -> None:
        """Count queued events until cancelled."""
        self._loop = asyncio.get_running_loop()
        while True:
            # Clear it first: an event that arrives from here on sets it again.
            self._waiting.clear()
            while self._queue:
                for _ in range(min(PORTION, len(self._queue))):
                    self._count(self._queue.popleft())
                self._heard_at = time.monotonic()
                self.heard.set()
                await asyncio.sleep(0)
            await self._waiting.wait()

    async def read(self) -> Reading:
        """The sums so far. Raises `SourceError` if the node has been silent for too long; `NotYetError` before that."""
        if self._heard_at is None:
            is_overdue = not self.silence_s or time.monotonic() - self._since > self.silence_s
            raise (SourceError if is_overdue else NotYetError)("the node has sent no telemetry yet")
        silence_s = time.monotonic() - self._heard_at
        # A node in our own process lives as long as we do: it may simply have no events.
        if self.silence_s and silence_s > self.silence_s and not self._is_inside:
            raise SourceError(f"the node has sent no telemetry for {silence_s:.0f} s")
        latency_s = self._latency_s / self._latencies if self._latencies else None
        self._latency_s, self._latencies = 0.0, 0
        details = {f"{kind}_events": float(count) for kind, count in sorted(self.received.items())}
        return Reading(
            node=self.name or "node",
            metrics=self._metrics(),
            latency_s=latency_s,
            measures=tuple(self._measures[name] for name in sorted(self._measures)),
            details={**details, "inconsistent_lookups": float(self._inconsistent) if self._lookups else None},
        )

    async def close(self) -> None:
        """Nothing is open."""

    def _metrics(self) -> NodeMetrics:
        """The sums; None where no event of that kind came."""
        heard, gauges = self.received, self._gauges
        connected = heard["connection"] > 0
        return NodeMetrics(
            tunnels=gauges.get("tunnels"),
            active_connections=gauges.get("active_connections", self._connections if connected else None),
            messages=self._messages if heard["message"] else None,
            p2p_peers=gauges.get("p2p_peers", len(self._remotes) if connected else None),
            dht_lookups=self._lookups if heard["dht"] else None,
            dht_puts=self._puts if heard["dht"] else None,
            received_bytes=self._bytes_in if heard["message"] else None,
            sent_bytes=self._bytes_out if heard["message"] else None,
            errors=self._errors if heard["message"] else None,
        )

    def _count(self, event: Event) -> None:
        match event:
            case Message():
                self._messages += 1
                self._errors += event.error
                if event.direction == "in":
                    self._bytes_in += event.bytes
                else:
                    self._bytes_out += event.bytes
                if event.latency_s is not None:
                    self._latency_s += event.latency_s
                    self._latencies += 1
            case Gauge():
                self._gauges[event.name] = event.value
            case MeasureEvent(name, value, unit, is_counter):
                if name in self._measures or len(self._measures) < MEASURES_MAX:
                    self._measures[name] = Measure(name, value, unit, is_counter)
                else:
                    self.refused["too-many-measures"] += 1
            case Connection():
                self._connect(event)
            case Dht():
                self._puts += event.op == "put"
                self._lookups += event.op == "lookup"
                self._inconsistent += event.consistent is False
            case HopEvent() | Log():
                pass
        self.received[type(event).__name__.lower().removesuffix("event")] += 1
        for hook in self.on_event:
            try:
                hook(event)
            except Exception:
                log.exception("a listener of telemetry failed")

    def _connect(self, event: Connection) -> None:
        if event.event == "opened":
            self._connections += 1
            if event.remote in self._remotes or len(self._remotes) < REMOTES_MAX:
                self._remotes[event.remote] += 1
            return
        # Connections that were open before we listened close too.
        self._connections = max(0, self._connections - 1)
        if event.remote in self._remotes:
            self._remotes[event.remote] -= 1
            if not self._remotes[event.remote]:
                del self._remotes[event.remote]
