"""Routes of metrics: aggregates of all peers, the exposition for Prometheus, and its discovery of exporters."""

from __future__ import annotations

from functools import partial
from typing import Protocol, runtime_checkable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from peerscope.export.discovery import Target, local_address, targets
from peerscope.export.exports import Exports
from peerscope.host.addresses import is_loopback
from peerscope.host.threads import in_thread
from peerscope.views.aggregates import NetworkMetrics
from peerscope.web.answers import answer, monitor_of
from peerscope.web.guard import PROXY_MARKS
from peerscope.web.openapi import ApiRoute


@runtime_checkable
class HasExports(Protocol):
    """An agent, unlike the view of a simulated network."""

    exports: Exports


async def metrics(request: Request) -> Response:
    """Aggregated measurements of all peers over the last five minutes, and trends."""
    return answer(monitor_of(request).network_metrics())


async def exposition(request: Request) -> Response:
    """Measurements of this peer and its view of the network, as Prometheus text or OpenMetrics."""
    from peerscope.export.exposition import render  # loaded on the first scrape

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
    """The reachable exporters of all peers, for `http_sd_configs` of Prometheus."""
    monitor = monitor_of(request)
    is_agent = isinstance(monitor, HasExports)
    own = local_address(monitor.config.export, monitor.http) if is_agent and _is_on_this_machine(request) else None
    return answer(targets(monitor.snapshot(), monitor.config.network.name, own))


def _is_on_this_machine(request: Request) -> bool:
    """Whether a program of this machine asks, not a proxy for another client."""
    asker, asked = request.client, request.url.hostname or ""
    is_direct = not any(mark in request.headers for mark in PROXY_MARKS)
    return is_direct and asker is not None and is_loopback(asker.host) and is_loopback(asked)


ROUTES = [
    ApiRoute("/api/v1/metrics", metrics, NetworkMetrics),
    ApiRoute("/metrics", exposition, media_type="text/plain"),
    ApiRoute("/api/v1/sd/prometheus", discovery, list[Target]),
]
