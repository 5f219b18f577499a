"""Routes of the network as a whole: regions, latency, the map, messages and zones.

Maps are drawn in a thread, so that the agent keeps answering pings. The drawing modules load on first use.
"""

from __future__ import annotations

import asyncio

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from peerscope.agent.traffic import RouteBy, TracesView, TrafficView
from peerscope.records.identity import PeerId
from peerscope.views.latency import LatencyMatrix, Rtt, rtt_between
from peerscope.views.regions import RegionHealth
from peerscope.views.routes import RouteView
from peerscope.views.topology import Topology
from peerscope.web.answers import answer, find_peer, monitor_of, page
from peerscope.web.openapi import ApiRoute
from peerscope.zones.whole import ZoneView

DOT = "text/vnd.graphviz"
SVG = "image/svg+xml"
BY: dict[str, RouteBy] = {"region": "region", "peer": "peer"}


async def regions(request: Request) -> Response:
    """The health of every region; `limit` and `cursor` page."""
    return page(request, monitor_of(request).region_health(), lambda health: health.region)


async def latency(request: Request) -> Response:
    """Median and 95th percentile of round-trip times between regions, measured and estimated."""
    return answer(monitor_of(request).latency())


async def rtt(request: Request) -> Response:
    """The round-trip time of two peers; `source` and `target` are beginnings of ids, by default this peer's own."""
    monitor = monitor_of(request)
    source, target = (_peer(request, name) for name in ("source", "target"))
    return answer(rtt_between(monitor.snapshot(), source, target, monitor.mesh_links()))


async def topology(request: Request) -> Response:
    """Peers, links on every layer, and the peers and links whose failure splits the network."""
    return answer(monitor_of(request).topology())


async def topology_dot(request: Request) -> Response:
    """The map for Graphviz; `clusters=1` puts a box around each region."""
    from peerscope.views.dot import to_dot

    clusters = request.query_params.get("clusters", "0")
    if clusters not in ("0", "1"):
        raise HTTPException(400, f"clusters is {clusters[:32]!r}; must be 0 or 1")
    text = await asyncio.to_thread(to_dot, monitor_of(request).topology(), clusters=clusters == "1")
    return Response(text, media_type=DOT)


async def topology_svg(request: Request) -> Response:
    """The map as an SVG picture."""
    from peerscope.views.svg import to_svg

    return Response(await asyncio.to_thread(to_svg, monitor_of(request).topology()), media_type=SVG)


async def routes(request: Request) -> Response:
    """Latency by route over the last hour; `by` is region or peer, `limit` and `cursor` page."""
    name = request.query_params.get("by", "region")
    by = BY.get(name)
    if by is None:
        raise HTTPException(400, f"by is {name[:32]!r}; must be region or peer")
    return page(request, monitor_of(request).traffic.routes(by), lambda route: f"{route.layer} {route.route}")


async def traces(request: Request) -> Response:
    """The last messages with a known path, hop by hop."""
    return answer(monitor_of(request).traffic.traces())


async def throughput(request: Request) -> Response:
    """Messages and bytes per second: now, by second for five minutes, by minute for an hour."""
    return answer(monitor_of(request).traffic.throughput())


async def zones(request: Request) -> Response:
    """All zones of the network: ours in full, the others by the summaries of their aggregators."""
    return answer(monitor_of(request).zones())


def _peer(request: Request, parameter: str) -> PeerId:
    name = request.query_params.get(parameter)
    return monitor_of(request).peer.me if name is None else find_peer(request, name)


ROUTES = [
    ApiRoute("/api/v1/regions", regions, list[RegionHealth], query=("limit", "cursor")),
    ApiRoute("/api/v1/latency", latency, LatencyMatrix),
    ApiRoute("/api/v1/rtt", rtt, Rtt, query=("source", "target")),
    ApiRoute("/api/v1/routes", routes, list[RouteView], query=("by", "limit", "cursor")),
    ApiRoute("/api/v1/traces", traces, TracesView),
    ApiRoute("/api/v1/throughput", throughput, TrafficView),
    ApiRoute("/api/v1/topology", topology, Topology),
    ApiRoute("/api/v1/topology.dot", topology_dot, query=("clusters",), media_type=DOT),
    ApiRoute("/api/v1/topology.svg", topology_svg, media_type=SVG),
    ApiRoute("/api/v1/zones", zones, list[ZoneView]),
]
