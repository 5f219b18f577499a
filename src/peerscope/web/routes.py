"""Routes of messages: their latency, the latest of them, and how many there are."""

from __future__ import annotations

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from peerscope.agent.traffic import RouteBy, TracesView, TrafficView
from peerscope.views.routes import RouteView
from peerscope.web.answers import answer, monitor_of, page

BY: dict[str, RouteBy] = {"region": "region", "peer": "peer"}


async def routes(request: Request) -> Response:
    """Latency by route over the last hour; `by` is region or peer, `limit` and `cursor` page."""
    name = request.query_params.get("by", "region")
    by = BY.get(name)
    if by is None:
        raise HTTPException(400, f"by is {name[:32]!r}; must be region or peer")
    return page(request, monitor_of(request).traffic.routes(by), lambda route: f"{route.layer} {route.route}")


async def traces(request: Request) -> Response:
    """The last messages whose way is known, hop by hop."""
    return answer(monitor_of(request).traffic.traces())


async def throughput(request: Request) -> Response:
    """Messages and bytes per second: now, by second for five minutes, by minute for an hour."""
    return answer(monitor_of(request).traffic.throughput())


ROUTES = [
    Route("/api/v1/routes", routes),
    Route("/api/v1/traces", traces),
    Route("/api/v1/throughput", throughput),
]
ANSWERS: dict[str, Any] = {
    "/api/v1/routes": list[RouteView],
    "/api/v1/traces": TracesView,
    "/api/v1/throughput": TrafficView,
}
PARAMETERS: dict[str, tuple[str, ...]] = {"/api/v1/routes": ("by", "limit", "cursor")}
