"""Route of zones."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from peerscope.web.answers import answer, monitor_of
from peerscope.zones.whole import ZoneView


async def zones(request: Request) -> Response:
    """All zones of the network: ours as we see it, the others as their aggregators agree."""
    return answer(monitor_of(request).zones())


ROUTES = [Route("/api/v1/zones", zones)]
ANSWERS: dict[str, Any] = {"/api/v1/zones": list[ZoneView]}
