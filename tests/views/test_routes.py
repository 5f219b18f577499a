"""Routes: percentiles of the last hour, as many as are used, and merged as if one peer had seen all."""

from random import Random

import msgspec
import pytest

from peerscope.errors import RemoteError
from peerscope.records.identity import PeerRef
from peerscope.records.sketch import SketchBody
from peerscope.views.routes import HALF_S, Routes, RouteSketch, RouteView, Via, by_peer, by_region, merge_routes
from peerscope.views.traces import Fate, Trace

EU, US = PeerRef(b"eu......"), PeerRef(b"us......")
HERE: Via = ("eu", "us")


def trace(latency_s: float | None = 0.1, fate: Fate = "delivered") -> Trace:
    return Trace("mesh", (EU, US), (latency_s,), latency_s, fate)


def only(routes: Routes, now: float = 0.0) -> RouteView:
    (view,) = routes.views(now)
    return view


def test_a_route_has_percentiles_within_one_per_cent() -> None:
    routes, rng = Routes(), Random(1)
    latencies = sorted(rng.lognormvariate(-3, 1) for _ in range(5000))
    for latency_s in rng.sample(latencies, 5000):
        routes.record(HERE, trace(latency_s), 0.0)
    view = only(routes)
    assert (view.route, view.via, view.layer, view.delivered, view.measured) == ("eu>us", HERE, "mesh", 5000, 5000)
    for found, share in ((view.p50_s, 0.5), (view.p95_s, 0.95), (view.p99_s, 0.99)):
        assert found == pytest.approx(latencies[int(share * 4999)], rel=0.01)
    assert (view.min_s, view.max_s) == (latencies[0], latencies[-1])


def test_what_is_unknown_stays_unknown_and_what_was_not_delivered_has_no_latency() -> None:
    routes = Routes()
    routes.record(HERE, trace(None), 0.0)
    routes.record(HERE, trace(None, "undelivered"), 3.0)
    view = only(routes, 5.0)
    assert (view.delivered, view.measured, view.undelivered, view.age_s) == (1, 0, 1, 2.0)
    assert (view.p50_s, view.p95_s, view.p99_s, view.min_s, view.max_s) == (None,) * 5
    fresh = Routes()
    fresh.record(HERE, trace(None, "unknown"), 0.0)
    assert fresh.views(0.0) == []


def test_messages_of_the_mesh_and_of_the_node_are_never_mixed() -> None:
    routes = Routes()
    routes.record(HERE, trace(), 0.0)
    routes.record(HERE, msgspec.structs.replace(trace(9.0), layer="node"), 0.0)
    assert [(view.layer, view.max_s) for view in routes.views(0.0)] == [("mesh", 0.1), ("node", 9.0)]


def test_latencies_of_long_ago_are_forgotten_and_with_them_routes_nobody_uses() -> None:
    routes = Routes()
    routes.record(HERE, trace(9.0), 0.0)
    routes.record(("eu",), trace(0.1), 0.0)
    routes.record(HERE, trace(0.1), HALF_S + 1)
    assert [view.max_s for view in routes.views(HALF_S + 1)] == [0.1, 9.0]
    assert [(view.route, view.max_s) for view in routes.views(2 * HALF_S + 1)] == [("eu>us", 0.1)]
    assert routes.views(1e9) == []
    routes.record(HERE, trace(0.2), 1e9)
    assert only(routes, 1e9 + HALF_S / 2).max_s == 0.2


def test_the_least_used_route_makes_room_the_same_one_in_every_run() -> None:
    routes = Routes(most=3)
    for name, uses in (("a", 3), ("b", 2), ("c", 2)):
        for number in range(uses):
            routes.record((name,), trace(), float(number))
    routes.record(("d",), trace(), 2.0)
    assert [view.route for view in routes.views(2.0)] == ["a", "c", "d"]  # b is before c, and used as much
    routes.record(("e",), trace(), 3.0)
    assert [view.route for view in routes.views(3.0)] == ["a", "c", "e"]
    assert routes.dropped == 2


def test_routes_of_several_peers_merge_into_those_of_one_that_saw_everything() -> None:
    rng = Random(2)
    whole, parts = Routes(), [Routes() for _ in range(4)]
    for _ in range(4000):
        via, latency_s = rng.choice([("eu",), HERE, ("us", "ap")]), rng.lognormvariate(-3, 1)
        fate: Fate = rng.choice(["delivered", "delivered", "undelivered"])
        for routes in (whole, rng.choice(parts)):
            routes.record(via, trace(latency_s, fate), 0.0)
    told = [part.top(10, 0.0) for part in parts]
    merged = merge_routes(told, 10)
    exact = whole.top(10, 0.0)
    assert {(one.via, one.delivered, one.undelivered, one.latencies.buckets) for one in merged} == {
        (one.via, one.delivered, one.undelivered, one.latencies.buckets) for one in exact
    }
    again = merge_routes(reversed(told), 10)
    assert [msgspec.structs.replace(one, latencies=SketchBody()) for one in again] == [
        msgspec.structs.replace(one, latencies=SketchBody()) for one in merged
    ]
    assert merge_routes(told, 2) == merged[:2]
    assert len(msgspec.msgpack.encode(merged)) < 4096


def test_a_sketch_that_lies_about_itself_is_not_merged() -> None:
    lie = RouteSketch("mesh", HERE, SketchBody(0, 0, (1, 3), 1.0, 5.0, 1.0), 3, 0)
    with pytest.raises(RemoteError, match="malformed-sketch"):
        merge_routes([[lie]], 10)


def test_a_route_is_named_by_its_peers_or_by_each_region_once_in_a_row() -> None:
    path = (EU, EU, US, "a>node", None, EU)
    regions = {EU: "eu", US: "u>s"}
    assert by_region(path, regions.get) == ("eu", "u›s", "?", "eu")
    assert by_peer(path) == ("65752e2e2e", "65752e2e2e", "75732e2e2e", "a›node", "?", "65752e2e2e")
