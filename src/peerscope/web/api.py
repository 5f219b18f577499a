"""The routes under /api/v1: each answers one view as JSON."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from msgspec.structs import asdict
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from peerscope.agent.network_view import SelfView
from peerscope.alerts.shown import AlertView
from peerscope.views.ages import aged
from peerscope.views.health import NetworkHealth
from peerscope.views.peers import Hearsay, PeerView
from peerscope.views.proof import EvidenceView, evidence_view
from peerscope.views.timeline import Change
from peerscope.web import (
    alerts,
    conduct,
    export,
    history,
    metrics,
    regions,
    replay,
    routes,
    telemetry,
    threats,
    topology,
)
from peerscope.web import zones as zone_routes
from peerscope.web.answers import answer, monitor_of, page
from peerscope.web.bodies import Body
from peerscope.web.elsewhere import find_anywhere
from peerscope.zones.elsewhere import Elsewhere


class PeerDetail(PeerView, frozen=True):
    """One peer, with its last hour."""

    history: tuple[Change, ...] = ()
    alerts: tuple[AlertView, ...] = ()
    """About this peer: the active ones first, then what ended within a day."""
    hearsay: Hearsay | None = None
    """Who says so, of a peer of another zone; history and alerts of it are not known here. null for our own zone."""


class Healthz(Struct, frozen=True):
    """The process answers."""

    status: str


class Readyz(Struct, frozen=True):
    """Whether the agent has measured itself and, where it should, reached another peer."""

    ready: bool
    reason: str | None


async def health(request: Request) -> Response:
    """Counts by class, latency and connectivity of the whole network."""
    return answer(monitor_of(request).network_health())


async def self_(request: Request) -> Response:
    """This peer."""
    return answer(monitor_of(request).self_view())


async def peers(request: Request) -> Response:
    """All known peers; `region` and `status` filter, `limit` and `cursor` page."""
    query = request.query_params
    found = [
        view
        for view in monitor_of(request).peers()
        if query.get("region") in (None, view.region) and query.get("status") in (None, view.status)
    ]
    return page(request, found, lambda view: view.peer_id)


async def peer(request: Request) -> Response:
    """One peer of any zone; any unambiguous beginning of its id will do."""
    monitor, found = monitor_of(request), await find_anywhere(request)
    if isinstance(found, Elsewhere):
        return answer(PeerDetail(**asdict(found.view()), hearsay=found.hearsay()))
    view = monitor.peer_view(found)
    wall = monitor.snapshot().wall
    about = tuple(aged(AlertView, alert, wall) for alert in monitor.alerts() if alert.peer_id == view.peer_id)
    return answer(PeerDetail(**asdict(view), history=monitor.history(found), alerts=about))


async def evidence(request: Request) -> Response:
    """Who accuses the peer, who still hears it, and the arithmetic of the verdict."""
    found = await find_anywhere(request)
    if isinstance(found, Elsewhere):
        return answer(found.evidence())
    return answer(evidence_view(monitor_of(request).snapshot(), found))


async def healthz(request: Request) -> Response:
    """The process lives."""
    return answer(Healthz("ok"))


async def readyz(request: Request) -> Response:
    """200 once the agent has something to show; 503 before, and while it has lost every peer."""
    core = monitor_of(request).peer
    reason = None
    if core.ledger.report(core.me) is None:
        reason = "not measured yet"
    elif core.parts.isolation.lost:
        reason = f"no link to any of the {core.parts.isolation.lost} peers it was linked with"
    elif core.neighbours.bootstrap and not core.links.up():
        reason = "no peer of the network reached yet"
    return answer(Readyz(reason is None, reason), status=503 if reason else 200)


ROUTES = [
    Route("/api/v1/health", health),
    Route("/api/v1/self", self_),
    Route("/api/v1/peers", peers),
    Route("/api/v1/peers/{id}", peer),
    Route("/api/v1/peers/{id}/evidence", evidence),
    *alerts.ROUTES,
    *metrics.ROUTES,
    *conduct.ROUTES,
    *regions.ROUTES,
    *replay.ROUTES,
    *routes.ROUTES,
    *topology.ROUTES,
    *telemetry.ROUTES,
    *threats.ROUTES,
    *history.ROUTES,
    *zone_routes.ROUTES,
    *export.ROUTES,
    Route("/healthz", healthz),
    Route("/readyz", readyz),
]

ANSWERS: dict[str, Any] = {
    "/api/v1/health": NetworkHealth,
    "/api/v1/self": SelfView,
    "/api/v1/peers": list[PeerView],
    "/api/v1/peers/{id}": PeerDetail,
    "/api/v1/peers/{id}/evidence": EvidenceView,
    **alerts.ANSWERS,
    **metrics.ANSWERS,
    **conduct.ANSWERS,
    **regions.ANSWERS,
    **replay.ANSWERS,
    **routes.ANSWERS,
    **topology.ANSWERS,
    **telemetry.ANSWERS,
    **threats.ANSWERS,
    **history.ANSWERS,
    **zone_routes.ANSWERS,
    **export.ANSWERS,
    "/healthz": Healthz,
    "/readyz": Readyz,
}
"""What each route answers, for the description of the API."""

PARAMETERS: dict[str, tuple[str, ...]] = {
    "/api/v1/peers": ("region", "status", "limit", "cursor"),
    **alerts.PARAMETERS,
    **regions.PARAMETERS,
    **replay.PARAMETERS,
    **routes.PARAMETERS,
    **threats.PARAMETERS,
    **topology.PARAMETERS,
    **history.PARAMETERS,
}
"""Query parameters, by route."""

DOCUMENTS: dict[str, str] = {**topology.DOCUMENTS, **export.DOCUMENTS}
"""Media types of the routes that answer something else than JSON."""

BODIES: dict[str, Body] = {**alerts.BODIES, **telemetry.BODIES}
"""What routes take, where they take anything (web/bodies.py)."""

STATUSES: dict[str, tuple[int, ...]] = {**telemetry.STATUSES, "/readyz": (503,)}
"""Other statuses than 200 with an answer of the same type."""
