"""Latency by route: the times of messages that take the same way.

A route is a sequence of regions or of peers. A sketch holds its latencies of the last half to whole hour, in two
halves: the older one goes when the newer one is full. A new route beyond the limit replaces the least used one.
Sketches of several peers merge into one as if a single peer had seen all messages.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from itertools import groupby
from typing import Annotated

from msgspec import Meta, Struct

from peerscope.records.identity import PeerRef, short
from peerscope.records.sketch import BUCKET_COUNT_MAX, Sketch, SketchBody
from peerscope.records.texts import OverlayId
from peerscope.views.snapshot import Snapshot
from peerscope.views.traces import HOPS_MAX, Layer, Path, Trace

ROUTES_MAX = 500
HALF_S = 1800.0
UNKNOWN = "?"
STEP = ">"

Via = tuple[str, ...]
RouteKey = tuple[Layer, Via]
Count = Annotated[int, Meta(ge=0, le=BUCKET_COUNT_MAX)]


class RouteView(Struct, frozen=True):
    """Messages of the last hour on one route."""

    route: str
    """The stops, joined by ">"."""
    via: Via
    layer: Layer
    delivered: int
    measured: int
    """Delivered messages with a known latency."""
    undelivered: int
    """Messages that a peer received, and neither passed on nor delivered within a minute."""
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    """Quantiles within one per cent. These three and the next two are null if a stop is gone: nothing passes."""
    min_s: float | None
    max_s: float | None
    age_s: float
    """Since the last message."""
    gone: tuple[str, ...] = ()
    """Stops that are gone: peers, or regions without a living peer."""


class RouteSketch(Struct, frozen=True, array_like=True, gc=False):
    """One peer's counts of one route, for others to merge."""

    layer: Layer
    via: Annotated[tuple[OverlayId, ...], Meta(max_length=HOPS_MAX + 1)]
    latencies: SketchBody
    delivered: Count
    undelivered: Count


class _Counts:
    """Messages of one route, in one half of the window or from one peer."""

    __slots__ = ("delivered", "latencies", "undelivered")

    def __init__(self) -> None:
        self.latencies = Sketch()
        self.delivered = 0
        self.undelivered = 0

    @property
    def uses(self) -> int:
        return self.delivered + self.undelivered

    def merge(self, other: _Counts) -> None:
        self.latencies.merge(other.latencies)
        self.delivered += other.delivered
        self.undelivered += other.undelivered


class _Route:
    __slots__ = ("last_at", "newer", "older")

    def __init__(self) -> None:
        self.older, self.newer = _Counts(), _Counts()
        self.last_at = 0.0

    def both(self) -> _Counts:
        whole = _Counts()
        whole.merge(self.older)
        whole.merge(self.newer)
        return whole


class Routes:
    """Keeps the routes of the last hour, as this agent saw them. Times are monotonic."""

    def __init__(self, most: int = ROUTES_MAX) -> None:
        self._most = most
        self._routes: dict[RouteKey, _Route] = {}
        self._half_ends_at: float | None = None
        self.dropped = 0
        """Routes that others replaced."""

    def record(self, via: Via, trace: Trace, now: float) -> None:
        """Count one message on this route, unless its fate is unknown."""
        self._age(now)
        if trace.fate == "unknown":
            return
        key = (trace.layer, via)
        route = self._routes.get(key)
        if route is None:
            if len(self._routes) >= self._most:
                del self._routes[min(self._routes, key=self._use)]
                self.dropped += 1
            route = self._routes[key] = _Route()
        route.last_at = max(route.last_at, now)
        counts = route.newer
        if trace.fate == "undelivered":
            counts.undelivered += 1
            return
        counts.delivered += 1
        if trace.latency_s is not None:
            counts.latencies.add(trace.latency_s)

    def views(self, now: float, gone: Container[str] = ()) -> list[RouteView]:
        """All routes, by name. `gone`: stops that no message can pass now."""
        self._age(now)
        views = [_view(key, route.both(), now - route.last_at, gone) for key, route in self._routes.items()]
        return sorted(views, key=lambda view: (view.layer, view.route))

    def top(self, most: int, now: float) -> tuple[RouteSketch, ...]:
        """The most used routes, for others to merge."""
        self._age(now)
        return _sketches({key: route.both() for key, route in self._routes.items()}, most)

    def _use(self, key: RouteKey) -> tuple[int, float, RouteKey]:
        route = self._routes[key]
        return route.older.uses + route.newer.uses, route.last_at, key

    def _age(self, now: float) -> None:
        if self._half_ends_at is None:
            self._half_ends_at = now + HALF_S
        while now >= self._half_ends_at:
            self._half_ends_at += HALF_S
            for route in self._routes.values():
                route.older, route.newer = route.newer, _Counts()
            self._routes = {key: route for key, route in self._routes.items() if route.older.uses}
            if not self._routes:
                self._half_ends_at = max(self._half_ends_at, now + HALF_S)


def merge_routes(parts: Iterable[Sequence[RouteSketch]], most: int) -> tuple[RouteSketch, ...]:
    """Merge the routes of several peers and return the most used. Raises `RemoteError` for a malformed sketch."""
    merged: dict[RouteKey, _Counts] = {}
    for part in parts:
        for route in part:
            counts = _Counts()
            counts.latencies = Sketch.of(route.latencies)
            counts.delivered, counts.undelivered = route.delivered, route.undelivered
            merged.setdefault((route.layer, route.via), _Counts()).merge(counts)
    return _sketches(merged, most)


def by_peer(path: Path) -> Via:
    """Short ids of the stops of a path; the name if a stop is not a peer of ours."""
    return tuple(UNKNOWN if stop is None else _escaped(stop) if isinstance(stop, str) else short(stop) for stop in path)


def by_region(path: Path, region_of: Callable[[PeerRef], str | None]) -> Via:
    """Regions along a path. Several stops in a row in one region count once."""
    names = (region_of(stop) if isinstance(stop, bytes) else None for stop in path)
    return tuple(name for name, _ in groupby(UNKNOWN if name is None else _escaped(name) for name in names))


def gone_peers(snapshot: Snapshot) -> set[str]:
    """Stops of routes by peer that no message can pass."""
    return {short(peer) for peer in snapshot.peers if not snapshot.is_living(peer)}


def gone_regions(snapshot: Snapshot) -> set[str]:
    """Stops of routes by region: regions with known peers, of which none lives."""
    homes = {peer: _escaped(place.region) for peer, place in snapshot.places.items() if place.region is not None}
    return set(homes.values()) - {region for peer, region in homes.items() if snapshot.is_living(peer)}


def _escaped(name: str) -> str:
    """Replace the separator of routes in the name."""
    return name.replace(STEP, "›") or UNKNOWN


def _sketches(routes: dict[RouteKey, _Counts], most: int) -> tuple[RouteSketch, ...]:
    used = sorted(routes.items(), key=lambda item: (-item[1].uses, item[0]))
    return tuple(
        RouteSketch(
            layer,
            via,
            counts.latencies.to_body(),
            min(counts.delivered, BUCKET_COUNT_MAX),
            min(counts.undelivered, BUCKET_COUNT_MAX),
        )
        for (layer, via), counts in used[:most]
    )


def _view(key: RouteKey, counts: _Counts, age_s: float, gone: Container[str]) -> RouteView:
    layer, via = key
    cut = tuple(dict.fromkeys(stop for stop in via if stop in gone))
    latencies = Sketch() if cut else counts.latencies
    return RouteView(
        route=STEP.join(via),
        via=via,
        layer=layer,
        delivered=counts.delivered,
        measured=counts.latencies.count,
        undelivered=counts.undelivered,
        p50_s=latencies.quantile(0.5),
        p95_s=latencies.quantile(0.95),
        p99_s=latencies.quantile(0.99),
        min_s=latencies.least,
        max_s=latencies.most,
        age_s=age_s,
        gone=cut,
    )
