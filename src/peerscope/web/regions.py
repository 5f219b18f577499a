"""Routes of regions and latency."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from peerscope.records.identity import PeerId
from peerscope.views.latency import LatencyMatrix, Rtt, rtt_between
from peerscope.views.regions import RegionHealth
from peerscope.web.answers import answer, find_peer, monitor_of, page


async def regions(request: Request) -> Response:
    """The health of every region; `limit` and `cursor` page."""
    return page(request, monitor_of(request).region_health(), lambda health: health.region)


async def latency(request: Request) -> Response:
    """Region by region, median and 95th percentile of round-trip times, measured and estimated."""
    return answer(monitor_of(request).latency())


async def rtt(request: Request) -> Response:
    """The round-trip time of two peers; `source` and `target` are beginnings of ids, by default this peer's own."""
    monitor = monitor_of(request)
    source, target = (_peer(request, name) for name in ("source", "target"))
    return answer(rtt_between(monitor.snapshot(), source, target, monitor.mesh_links()))


def _peer(request: Request, parameter: str) -> PeerId:
    name = request.query_params.get(parameter)
    return monitor_of(request).peer.me if name is None else find_peer(request, name)


ROUTES = [
    Route("/api/v1/regions", regions),
    Route("/api/v1/latency", latency),
    Route("/api/v1/rtt", rtt),
]
ANSWERS: dict[str, Any] = {
    "/api/v1/regions": list[RegionHealth],
    "/api/v1/latency": LatencyMatrix,
    "/api/v1/rtt": Rtt,
}
PARAMETERS: dict[str, tuple[str, ...]] = {
    "/api/v1/regions": ("limit", "cursor"),
    "/api/v1/rtt": ("source", "target"),
}
