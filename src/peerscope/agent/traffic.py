"""Messages of this agent and of the node beside it, by route and by second.

Feeds the views of throughput, traces and routes. A trace is put into its routes when somebody asks, or when many wait:
naming regions needs a look at the whole network.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from peerscope.core import Effect
from peerscope.host.clock import monotonic
from peerscope.mesh.events import Delivered
from peerscope.records.identity import PeerId, PeerRef, ref
from peerscope.views.ages import aged
from peerscope.views.clocks import MeshClocks
from peerscope.views.peer_names import PeerNames
from peerscope.views.routes import Routes, RouteView, Via, by_peer, by_region, gone_peers, gone_regions
from peerscope.views.snapshot import Snapshot
from peerscope.views.throughput import Throughput, ThroughputView
from peerscope.views.traces import Fate, HopEvent, Layer, Stop, Trace, Traces, local_time

WAITING_MAX = 256
LATEST_MAX = 100
NAMES_S = (1.0, 10.0)
"""Peers are named anew so long after the last time: if a name is missing, and in any case."""
CLOCKS_S = 15.0
"""Offsets of clocks come with reports: no need to compose them more often."""
UNKNOWN_NAMES_MAX = 16

RouteBy = Literal["region", "peer"]


class TraceView(Struct, frozen=True):
    """The way of one message that has ended."""

    layer: Layer
    via: Via
    """Short ids; "?" where nobody knows."""
    regions: Via
    hops_s: tuple[float | None, ...]
    """From each of `via` to the next; null where a clock is not known."""
    latency_s: float | None
    fate: Fate
    at: float
    """When this agent knew, Unix seconds."""
    age_s: float = 0.0
    error_s: float | None = None
    """Likely error of the latency, where a clock is known only over other peers. A liar can make it too small."""
    bound_s: float | None = None
    """Greatest error of the latency there, even if one other peer lies about clocks."""


class TracesView(Struct, frozen=True):
    """The last messages whose way is known, newest first."""

    latest: tuple[TraceView, ...]
    open: int
    """Messages of the node that are on their way."""
    counters: dict[str, int]
    """The node's messages by fate; its hops that were clamped, repeated, late or too many; traces and routes that made
    room for others.

    `peer-unknown` and `peer-ambiguous` count hops whose peer nobody knows, or several are called so. `clock-unknown`
    counts hops at peers with an unknown clock.
    """
    unknown_peers: tuple[str, ...] = ()
    """Names of peers in hops that mean no peer, or several; the last ones."""


class TrafficView(Struct, frozen=True):
    """Messages and bytes per second."""

    mesh: ThroughputView
    """Messages between this agent and its neighbours, before QUIC adds its own."""
    node: ThroughputView | None
    """The node beside this peer, as it reports; null where it reports nothing."""
    last_updated: float


class Traffic:
    """Counts messages and follows some of them."""

    def __init__(
        self,
        me: PeerId,
        snapshot: Callable[[], Snapshot],
        ahead_s: Callable[[PeerId], float | None],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`moment`: how to look at the network now; `ahead_s`: how far a peer's clock is ahead of ours."""
        self._clock = clock
        self.mesh = Throughput(clock())
        self.node: Throughput | None = None
        self._me = me
        self._snapshot = snapshot
        self._ahead_s = ahead_s
        self.on_trace: list[Callable[[Trace], None]] = []
        """Called with every trace whose fate is known."""
        self._traces = Traces()
        self._waiting: deque[tuple[Trace, float]] = deque()
        self._routes: dict[RouteBy, Routes] = {"region": Routes(), "peer": Routes()}
        self._latest: deque[TraceView] = deque(maxlen=LATEST_MAX)
        self._names = PeerNames({})
        self._named_at = -NAMES_S[1]
        self._clocks: MeshClocks | None = None
        self._composed_at = -CLOCKS_S
        self._hops: Counter[str] = Counter()
        self._unknown: OrderedDict[str, None] = OrderedDict()

    def note(self, effect: Effect) -> None:
        """Take an effect of the core in."""
        if isinstance(effect, Delivered):
            hops_s = tuple(None if us is None else us / 1e6 for us in effect.hops_us)
            known = [hop_s for hop_s in hops_s if hop_s is not None]
            latency_s = sum(known) if len(known) == len(hops_s) else None
            self._keep([Trace("mesh", effect.path, hops_s, latency_s, "delivered")], self._clock())

    def begin_node(self) -> None:
        """The node beside us is there and will report its messages: none so far is zero, not unknown."""
        if self.node is None:
            self.node = Throughput(self._clock())

    def node_message(self, size_bytes: int, *, sent: bool, messages: int = 1) -> None:
        """The node beside us reports a message of its own, or several."""
        self.begin_node()
        assert self.node is not None
        self.node.record(self._clock(), size_bytes, sent=sent, messages=messages)

    def hop(self, event: HopEvent) -> None:
        """The node beside us reports where a message was."""
        now = self._clock()
        peer = self._me if event.peer is None else self._find(event.peer, now)
        stop: Stop = event.peer if peer is None else ref(peer)
        at, error_s, bound_s = self._local(event.at, peer, now)
        ended = self._traces.add(event.message_id, event.hop, stop, at, now, error_s=error_s, bound_s=bound_s)
        self._keep(ended, now)

    def throughput(self) -> TrafficView:
        """Rates of messages and bytes."""
        now = self._clock()
        node = None if self.node is None else self.node.view(now)
        return TrafficView(self.mesh.view(now), node, self._snapshot().wall)

    def routes(self, by: RouteBy) -> list[RouteView]:
        """Latency by route, over the last hour."""
        now = self._clock()
        self._keep(self._traces.expire(now), now)
        self._fold()
        snapshot = self._snapshot()
        return self._routes[by].views(now, gone_peers(snapshot) if by == "peer" else gone_regions(snapshot))

    def traces(self) -> TracesView:
        """The last messages whose way is known."""
        now = self._clock()
        self._keep(self._traces.expire(now), now)
        self._fold()
        dropped = sum(routes.dropped for routes in self._routes.values())
        counters = {**self._traces.counters, **self._hops, **({"routes-dropped": dropped} if dropped else {})}
        wall = self._snapshot().wall
        latest = tuple(aged(TraceView, one, wall) for one in reversed(self._latest))
        return TracesView(latest, len(self._traces), counters, tuple(self._unknown))

    def _keep(self, traces: list[Trace], now: float) -> None:
        self._waiting.extend((trace, now) for trace in traces)
        for trace in traces if self.on_trace else ():
            if trace.fate != "unknown":
                for tell in self.on_trace:
                    tell(trace)
        if len(self._waiting) >= WAITING_MAX:
            self._fold()

    def _fold(self) -> None:
        if not self._waiting:
            return
        snapshot = self._snapshot()

        def region_of(stop: PeerRef) -> str | None:
            peer = snapshot.ledger.find(stop)
            place = None if peer is None else snapshot.places.get(peer)
            return place.region if place else None

        for trace, now in self._waiting:
            if trace.fate == "unknown":  # it says nothing of any route
                continue
            via, regions = by_peer(trace.path), by_region(trace.path, region_of)
            self._routes["peer"].record(via, trace, now)
            self._routes["region"].record(regions, trace, now)
            at = now + snapshot.wall - snapshot.now
            self._latest.append(
                TraceView(
                    trace.layer,
                    via,
                    regions,
                    trace.hops_s,
                    trace.latency_s,
                    trace.fate,
                    at,
                    error_s=trace.error_s,
                    bound_s=trace.bound_s,
                )
            )
        self._waiting.clear()

    def _find(self, name: str, now: float) -> PeerId | None:
        """The peer of this id, or beside the node of this name; None, and counted, if that is none or several."""
        found = self._names.find(name)
        if now - self._named_at >= NAMES_S[isinstance(found, bytes)]:
            self._named_at = now
            self._names = PeerNames(self._snapshot().profiles, self._me)
            found = self._names.find(name)
        if isinstance(found, bytes):
            return found
        self._hops[f"peer-{found}"] += 1
        self._unknown[name] = None
        self._unknown.move_to_end(name)
        if len(self._unknown) > UNKNOWN_NAMES_MAX:
            self._unknown.popitem(last=False)
        return None

    def _local(self, at: float, peer: PeerId | None, now: float) -> tuple[float | None, float, float]:
        """A time by a peer's clock as one by ours, with its likely and its greatest error."""
        if peer is None:
            return None, 0.0, 0.0
        ahead_s = self._ahead_s(peer)
        if ahead_s is not None:
            return local_time(at, ahead_s), 0.0, 0.0
        if self._clocks is None or now - self._composed_at >= CLOCKS_S:
            self._composed_at, self._clocks = now, MeshClocks(self._snapshot())
        offset = self._clocks.of(ref(peer))
        if offset is None:
            self._hops["clock-unknown"] += 1
            return None, 0.0, 0.0
        return local_time(at, offset.ahead_s), offset.error_s, offset.error_s_max
