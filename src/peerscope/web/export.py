"""Routes for Prometheus: what it scrapes, and where it finds the exporters of all peers."""

from __future__ import annotations

from functools import partial
from typing import Any, Protocol, runtime_checkable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from peerscope.export.discovery import Target, local_address, targets
from peerscope.export.exports import Exports
from peerscope.host.addresses import is_loopback
from peerscope.host.threads import in_thread
from peerscope.web.answers import answer, monitor_of
from peerscope.web.guard import PROXY_MARKS


@runtime_checkable
class HasExports(Protocol):
    """An agent, unlike the view of a simulated network."""

    exports: Exports


async def exposition(request: Request) -> Response:
    """What this peer measures of itself and sees of its network, as Prometheus text or OpenMetrics."""
    from peerscope.export.exposition import render  # loaded with the first scrape

    monitor = monitor_of(request)
    if not isinstance(monitor, HasExports):
        raise HTTPException(404, "this network is simulated: no agent runs whose metrics could be scraped")
    packed = "gzip" in request.headers.get("accept-encoding", "")
    families = monitor.exports.collect()
    accept = request.headers.get("accept", "")
    page, media_type = await in_thread(partial(render, families, accept, packed=packed), "exposition")
    headers = {"content-encoding": "gzip"} if packed else {}
    return Response(page, headers={**headers, "content-type": media_type, "vary": "accept, accept-encoding"})


async def discovery(request: Request) -> Response:
    """The exporters of all peers that can be reached, for `http_sd_configs` of Prometheus."""
    monitor = monitor_of(request)
    is_agent = isinstance(monitor, HasExports)
    own = local_address(monitor.config.export, monitor.http) if is_agent and _is_on_this_machine(request) else None
    return answer(targets(monitor.snapshot(), monitor.config.network.name, own))


def _is_on_this_machine(request: Request) -> bool:
    """A program beside us asks for itself, not a proxy beside us for somebody else."""
    asker, asked = request.client, request.url.hostname or ""
    is_direct = not any(mark in request.headers for mark in PROXY_MARKS)
    return is_direct and asker is not None and is_loopback(asker.host) and is_loopback(asked)


ROUTES = [
    Route("/metrics", exposition),
    Route("/api/v1/sd/prometheus", discovery),
]
ANSWERS: dict[str, Any] = {"/api/v1/sd/prometheus": list[Target]}
DOCUMENTS: dict[str, str] = {"/metrics": "text/plain"}
