"""The route of what all peers measured."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from peerscope.views.aggregates import NetworkMetrics
from peerscope.web.answers import answer, monitor_of


async def metrics(request: Request) -> Response:
    """What all peers measured in the last five minutes, and where the network is going."""
    return answer(monitor_of(request).network_metrics())


ROUTES = [Route("/api/v1/metrics", metrics)]
ANSWERS: dict[str, Any] = {"/api/v1/metrics": NetworkMetrics}
