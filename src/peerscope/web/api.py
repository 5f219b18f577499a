"""All routes of the API, with those of peers and of the agent's health."""

from __future__ import annotations

from functools import cache

import msgspec
from msgspec import Struct
from msgspec.structs import asdict
from starlette.requests import Request
from starlette.responses import Response

from peerscope.agent.network_view import SelfView
from peerscope.alerts.alert_views import AlertView
from peerscope.views.ages import aged
from peerscope.views.evidence import EvidenceView, evidence_view
from peerscope.views.health import NetworkHealth
from peerscope.views.links import MergedLink
from peerscope.views.peers import Hearsay, PeerView
from peerscope.views.timeline import Change
from peerscope.web import (
    alerts,
    availability,
    history,
    leave,
    metrics,
    network,
    telemetry,
    threats,
)
from peerscope.web.answers import answer, find_anywhere, monitor_of, page
from peerscope.web.openapi import ApiRoute, describe
from peerscope.zones.remote_peer import RemotePeer


class PeerDetail(PeerView, frozen=True):
    """One peer with its last hour."""

    history: tuple[Change, ...] = ()
    alerts: tuple[AlertView, ...] = ()
    """Alerts about this peer: active ones first, then those that ended within a day."""
    node_links: tuple[MergedLink, ...] = ()
    """Links of its node in the node's own network, as on the map."""
    hearsay: Hearsay | None = None
    """Source of a peer in another zone, whose history and alerts are not known here. null for our own zone."""


class Healthz(Struct, frozen=True):
    """Whether the process answers."""

    status: str


class Readyz(Struct, frozen=True):
    """Whether the agent has measured itself and, if it has peers to join, reached one."""

    ready: bool
    reason: str | None


async def health(request: Request) -> Response:
    """Counts by class, latency and connectivity of the whole network."""
    return answer(monitor_of(request).network_health())


async def self_(request: Request) -> Response:
    """This peer and its agent."""
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
    """One peer of any zone, by an unambiguous beginning of its id."""
    monitor, found = monitor_of(request), await find_anywhere(request)
    if isinstance(found, RemotePeer):
        return answer(PeerDetail(**asdict(found.view()), hearsay=found.hearsay()))
    view = monitor.peer_view(found)
    wall = monitor.snapshot().wall
    about = tuple(aged(AlertView, alert, wall) for alert in monitor.alerts() if alert.peer_id == view.peer_id)
    node_links = tuple(
        link for link in monitor.links() if link.confirmed and view.peer_id in (link.source, link.target)
    )
    return answer(PeerDetail(**asdict(view), history=monitor.history(found), alerts=about, node_links=node_links))


async def evidence(request: Request) -> Response:
    """Observers that accuse the peer, observers that hear it, and the arithmetic of the verdict."""
    found = await find_anywhere(request)
    if isinstance(found, RemotePeer):
        return answer(found.evidence())
    return answer(evidence_view(monitor_of(request).snapshot(), found))


async def healthz(request: Request) -> Response:
    """200 as long as the process answers."""
    return answer(Healthz("ok"))


async def readyz(request: Request) -> Response:
    """200 once the agent is ready; 503 before, and while it has lost every peer."""
    core = monitor_of(request).peer
    reason = None
    if core.ledger.report(core.me) is None:
        reason = "not measured yet"
    elif core.parts.isolation.lost:
        reason = f"no link to any of the {core.parts.isolation.lost} former neighbours"
    elif core.neighbours.bootstrap and not core.links.up():
        reason = "no peer of the network reached yet"
    return answer(Readyz(reason is None, reason), status=503 if reason else 200)


async def openapi(request: Request) -> Response:
    """The description of this API."""
    return answer(msgspec.Raw(_description()))


ROUTES = [
    ApiRoute("/api/v1/health", health, NetworkHealth),
    ApiRoute("/api/v1/self", self_, SelfView),
    ApiRoute("/api/v1/peers", peers, list[PeerView], query=("region", "status", "limit", "cursor")),
    ApiRoute("/api/v1/peers/{id}", peer, PeerDetail),
    ApiRoute("/api/v1/peers/{id}/evidence", evidence, EvidenceView),
    *alerts.ROUTES,
    *network.ROUTES,
    *metrics.ROUTES,
    *telemetry.ROUTES,
    *threats.ROUTES,
    *history.ROUTES,
    *availability.ROUTES,
    *leave.ROUTES,
    ApiRoute("/healthz", healthz, Healthz),
    ApiRoute("/readyz", readyz, Readyz, statuses=(503,)),
]


@cache
def _description() -> bytes:
    return msgspec.json.encode(describe(ROUTES))
