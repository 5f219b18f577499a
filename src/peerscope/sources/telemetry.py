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
from collections.abc import Callable, Sequence

import msgspec

from peerscope.errors import NotYetError, SourceError
from peerscope.host.clock import monotonic
from peerscope.records.measures import NodeMetrics, run_on
from peerscope.sources.base import UNNAMED, Reading
from peerscope.sources.events import KINDS, STANDARD, Connection, Dht, Event, Gauge, Log, Message, NodeIdentity
from peerscope.sources.means import LastMean
from peerscope.sources.reported import REFUSALS, Connections, Declared, LogLines
from peerscope.views.traces import HopEvent

QUEUE_MAX = 100_000
PORTION = 1_000
"""Events to count before other tasks of the event loop run: about a millisecond."""

Hook = Callable[[Event], None]

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
        self._declared = Declared()
        self._messages = self._bytes_in = self._bytes_out = self._errors = 0
        self._latency_s, self._latencies = 0.0, 0
        self._mean = LastMean()
        self._lookups = self._puts = 0
        self._inconsistent = 0
        self._connections = Connections()
        self._node = NodeIdentity()
        self._lines = LogLines()
        self._last_refusal = ""
        """For people: senders over HTTP do not learn of what is refused after it waited."""

    # -- what the node calls -----------------------------------------------------------------------

    def gauge(self, name: str, value: float, *, unit: str = "", kind: str | None = None) -> None:
        """Report the present number of "tunnels", "active_connections" or "p2p_peers", or a value of the node's own.

        `unit`: such as "blocks". `kind`: "gauge" or "counter".
        """
        self._report({"type": "gauge", "name": name, "value": value, "unit": unit, "kind": kind})

    def node(
        self,
        id: str | None = None,
        *,
        name: str | None = None,
        version: str | None = None,
        addresses: Sequence[str] | None = None,
        started_at: float | None = None,
    ) -> None:
        """Introduce the node: its id in its own network, its kind, its version, and where others can reach it.

        `started_at`: Unix seconds; a new value means that the node has restarted.
        """
        said = {"id": id, "name": name, "version": version, "addresses": addresses, "started_at": started_at}
        self._report({"type": "node", **said})

    def message(self, direction: str, bytes: int, *, error: bool = False, latency_s: float | None = None) -> None:
        """Report a message that went "in" or "out"."""
        self._report(
            {"type": "message", "direction": direction, "bytes": bytes, "error": error, "latency_s": latency_s}
        )

    def connection_opened(self, remote: str, *, rtt_s: float | None = None) -> None:
        """Report an open connection with `remote`, an id or an address."""
        self._report({"type": "connection", "event": "opened", "remote": remote, "rtt_s": rtt_s})

    def connection_measured(self, remote: str, rtt_s: float) -> None:
        """Report the round-trip time of an open connection."""
        self._report({"type": "connection", "event": "measured", "remote": remote, "rtt_s": rtt_s})

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
        now = monotonic()
        self._mean.note(self._latency_s / self._latencies if self._latencies else None, now)
        self._latency_s, self._latencies = 0.0, 0
        latency_s, latency_age_s = self._mean.at(now)
        events: dict[str, float | str | None] = {
            f"{kind}_events": float(count) for kind, count in sorted(self.received.items())
        }
        return Reading(
            node=self.name or self._node.name or UNNAMED,
            node_id=self._node.id,
            version=self._node.version,
            metrics=self._metrics(),
            overlay=self._connections.overlay(),
            latency_s=latency_s,
            latency_age_s=latency_age_s,
            measures=self._declared.measures(),
            addresses=self._node.addresses or (),
            details={
                **events,
                "inconsistent_lookups": float(self._inconsistent) if self._lookups else None,
                **self._lines.details(),
                **self._refusals(),
            },
        )

    async def close(self) -> None:
        """Nothing is open."""

    def _refusals(self) -> dict[str, float | str | None]:
        count = self.refused.total()
        known: dict[str, float | str | None] = {"refused_events": float(count)} if count else {}
        return known | {"last_refusal": self._last_refusal} if self._last_refusal else known

    def _metrics(self) -> NodeMetrics:
        """The sums; None where no event of that kind came."""
        heard, gauges = self.received, self._gauges
        connected = heard["connection"] > 0
        return NodeMetrics(
            tunnels=gauges.get("tunnels"),
            active_connections=gauges.get("active_connections", self._connections.count if connected else None),
            messages=self._messages if heard["message"] else None,
            p2p_peers=gauges.get("p2p_peers", self._connections.remotes if connected else None),
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
                    self._bytes_in = run_on(self._bytes_in + event.bytes)
                else:
                    self._bytes_out = run_on(self._bytes_out + event.bytes)
                if event.latency_s is not None:
                    self._latency_s += event.latency_s
                    self._latencies += 1
            case Gauge():
                self._gauge(event)
            case Connection():
                self._connections.take(event.event, event.remote, event.rtt_s)
            case NodeIdentity():
                self._introduce(event)
            case Dht():
                self._puts += event.op == "put"
                self._lookups += event.op == "lookup"
                self._inconsistent += event.consistent is False
            case Log():
                self._lines.take(event.level, event.message)
            case HopEvent():
                pass
        self.received[KINDS[type(event)]] += 1
        for hook in self.on_event:
            try:
                hook(event)
            except Exception:
                log.exception("a listener of telemetry failed")

    def _gauge(self, event: Gauge) -> None:
        if event.name in STANDARD:
            self._gauges[event.name] = int(event.value)
        elif reason := self._declared.take(event.name, event.value, event.unit, event.kind):
            self.refused[reason] += 1
            self._last_refusal = f"gauge {event.name}: {REFUSALS[reason]}"

    def _introduce(self, event: NodeIdentity) -> None:
        before = self._node
        said = {name: value for name in event.__struct_fields__ if (value := getattr(event, name)) is not None}
        self._node = msgspec.structs.replace(before, **said)
        if before.started_at is not None and self._node.started_at != before.started_at:
            self._connections = Connections()
            self._gauges.clear()
            self._declared = Declared()
