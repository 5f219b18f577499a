"""The map: as JSON, for Graphviz, and as a picture.

Maps are drawn in a thread, since the agent has neighbours to listen to. What draws is loaded when first asked for.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from peerscope.views.topology import Topology
from peerscope.web.answers import answer, monitor_of

DOT = "text/vnd.graphviz"
SVG = "image/svg+xml"


async def topology(request: Request) -> Response:
    """Peers, links on every layer, and where the network would come apart."""
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
    """The map as a picture."""
    from peerscope.views.svg import to_svg

    return Response(await asyncio.to_thread(to_svg, monitor_of(request).topology()), media_type=SVG)


ROUTES = [
    Route("/api/v1/topology", topology),
    Route("/api/v1/topology.dot", topology_dot),
    Route("/api/v1/topology.svg", topology_svg),
]
ANSWERS: dict[str, Any] = {"/api/v1/topology": Topology}
PARAMETERS: dict[str, tuple[str, ...]] = {"/api/v1/topology.dot": ("clusters",)}
DOCUMENTS = {"/api/v1/topology.dot": DOT, "/api/v1/topology.svg": SVG}
"""Routes that answer something else than JSON, and what."""
