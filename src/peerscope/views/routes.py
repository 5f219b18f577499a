"""Latency by route: how long messages take that go the same way.

A route is the regions a message came through, or the peers. Its latencies are kept in a sketch for the last half to
whole hour: two halves, of which the older goes when the newer is full. There are at most so many routes; when another
comes, the least used goes. What several peers tell of one route merges into what one peer would have found.
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
    """Messages of the last hour that went one way."""

    route: str
    """The stops, joined by ">"."""
    via: Via
    layer: Layer
    delivered: int
    measured: int
    """Delivered ones of which the latency is known."""
    undelivered: int
    """Received by some peer, and then neither passed on nor delivered within a minute."""
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    """Within one per cent. null where a stop is gone, as are the next two: no message can come this way."""
    min_s: float | None
    max_s: float | None
    age_s: float
    """Since the last message."""
    gone: tuple[str, ...] = ()
    """Stops that are gone: peers, or regions in which no peer lives."""


class RouteSketch(Struct, frozen=True, array_like=True, gc=False):
    """What one peer knows of one route, for others to merge."""

    layer: Layer
    via: Annotated[tuple[OverlayId, ...], Meta(max_length=HOPS_MAX + 1)]
    latencies: SketchBody
    delivered: Count
    undelivered: Count


class _Tally:
    """Messages of one route, in one half of the window or from one peer."""

    __slots__ = ("delivered", "latencies", "undelivered")

    def __init__(self) -> None:
        self.latencies = Sketch()
        self.delivered = 0
        self.undelivered = 0

    @property
    def uses(self) -> int:
        return self.delivered + self.undelivered

    def merge(self, other: _Tally) -> None:
        self.latencies.merge(other.latencies)
        self.delivered += other.delivered
        self.undelivered += other.undelivered


class _Route:
    __slots__ = ("last_at", "newer", "older")

    def __init__(self) -> None:
        self.older, self.newer = _Tally(), _Tally()
        self.last_at = 0.0

    def both(self) -> _Tally:
        whole = _Tally()
        whole.merge(self.older)
        whole.merge(self.newer)
        return whole


class Routes:
    """The routes of the last hour, as this agent saw them. Times are monotonic."""

    def __init__(self, most: int = ROUTES_MAX) -> None:
        self._most = most
        self._routes: dict[RouteKey, _Route] = {}
        self._half_ends_at: float | None = None
        self.dropped = 0
        """Routes that made room for others."""

    def record(self, via: Via, trace: Trace, now: float) -> None:
        """One message has gone this way. One of unknown fate says nothing of it."""
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
        tally = route.newer
        if trace.fate == "undelivered":
            tally.undelivered += 1
            return
        tally.delivered += 1
        if trace.latency_s is not None:
            tally.latencies.add(trace.latency_s)

    def views(self, now: float, gone: Container[str] = ()) -> list[RouteView]:
        """Every route, by name. `gone`: stops that no message can pass now."""
        self._age(now)
        views = [_view(key, route.both(), now - route.last_at, gone) for key, route in self._routes.items()]
        return sorted(views, key=lambda view: (view.layer, view.route))

    def top(self, most: int, now: float) -> tuple[RouteSketch, ...]:
        """The most used routes, for others to merge."""
        self._age(now)
        return _told({key: route.both() for key, route in self._routes.items()}, most)

    def _use(self, key: RouteKey) -> tuple[int, float, RouteKey]:
        route = self._routes[key]
        return route.older.uses + route.newer.uses, route.last_at, key

    def _age(self, now: float) -> None:
        if self._half_ends_at is None:
            self._half_ends_at = now + HALF_S
        while now >= self._half_ends_at:
            self._half_ends_at += HALF_S
            for route in self._routes.values():
                route.older, route.newer = route.newer, _Tally()
            self._routes = {key: route for key, route in self._routes.items() if route.older.uses}
            if not self._routes:
                self._half_ends_at = max(self._half_ends_at, now + HALF_S)


def merge_routes(told: Iterable[Sequence[RouteSketch]], most: int) -> tuple[RouteSketch, ...]:
    """The most used routes of several peers together. Raises `RemoteError` if one of the sketches is none."""
    merged: dict[RouteKey, _Tally] = {}
    for one in told:
        for route in one:
            tally = _Tally()
            tally.latencies = Sketch.of(route.latencies)
            tally.delivered, tally.undelivered = route.delivered, route.undelivered
            merged.setdefault((route.layer, route.via), _Tally()).merge(tally)
    return _told(merged, most)


def by_peer(path: Path) -> Via:
    """The short ids of a path's stops; a name where a stop is no peer of ours."""
    return tuple(UNKNOWN if stop is None else _plain(stop) if isinstance(stop, str) else short(stop) for stop in path)


def by_region(path: Path, region_of: Callable[[PeerRef], str | None]) -> Via:
    """The regions a path leads through, each once where several stops in a row lie in it."""
    names = (region_of(stop) if isinstance(stop, bytes) else None for stop in path)
    return tuple(name for name, _ in groupby(UNKNOWN if name is None else _plain(name) for name in names))


def gone_peers(snapshot: Snapshot) -> set[str]:
    """Stops of routes by peer that no message can pass."""
    return {short(peer) for peer in snapshot.peers if not snapshot.is_living(peer)}


def gone_regions(snapshot: Snapshot) -> set[str]:
    """Stops of routes by region in which no peer lives, though some are known."""
    homes = {peer: _plain(place.region) for peer, place in snapshot.places.items() if place.region is not None}
    return set(homes.values()) - {region for peer, region in homes.items() if snapshot.is_living(peer)}


def _plain(name: str) -> str:
    """Nobody may call himself a route."""
    return name.replace(STEP, "›") or UNKNOWN


def _told(tallies: dict[RouteKey, _Tally], most: int) -> tuple[RouteSketch, ...]:
    used = sorted(tallies.items(), key=lambda item: (-item[1].uses, item[0]))
    return tuple(
        RouteSketch(
            layer,
            via,
            tally.latencies.to_body(),
            min(tally.delivered, BUCKET_COUNT_MAX),
            min(tally.undelivered, BUCKET_COUNT_MAX),
        )
        for (layer, via), tally in used[:most]
    )


def _view(key: RouteKey, tally: _Tally, age_s: float, gone: Container[str]) -> RouteView:
    layer, via = key
    cut = tuple(dict.fromkeys(stop for stop in via if stop in gone))
    latencies = Sketch() if cut else tally.latencies
    return RouteView(
        route=STEP.join(via),
        via=via,
        layer=layer,
        delivered=tally.delivered,
        measured=tally.latencies.count,
        undelivered=tally.undelivered,
        p50_s=latencies.quantile(0.5),
        p95_s=latencies.quantile(0.95),
        p99_s=latencies.quantile(0.99),
        min_s=latencies.least,
        max_s=latencies.most,
        age_s=age_s,
        gone=cut,
    )
