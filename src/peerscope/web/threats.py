"""Routes of threats: findings, anomaly rates, and neighbours that misbehave."""

from __future__ import annotations

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from peerscope.threats.anomalies import AnomalyRates
from peerscope.threats.findings import FindingView
from peerscope.views.ages import aged
from peerscope.web.answers import answer, monitor_of, page
from peerscope.web.openapi import ApiRoute


async def threats(request: Request) -> Response:
    """Findings with evidence and confidence; `detection` and `severity` filter, `limit` and `cursor` page."""
    query = request.query_params
    found = [
        one
        for one in sorted(monitor_of(request).threats(), key=lambda one: one.id)
        if query.get("detection") in (None, one.detection) and query.get("severity") in (None, one.severity)
    ]
    wall = monitor_of(request).snapshot().wall
    return page(request, [aged(FindingView, one, wall) for one in found], lambda one: one.id)


async def anomalies(request: Request) -> Response:
    """Anomaly rates between 0 and 1, of each peer that reports one, and their mean."""
    return answer(monitor_of(request).anomaly_rates())


class ConductView(Struct, frozen=True):
    """The violations of one neighbour."""

    peer_id: str
    score: float
    """Halves every minute; warned from 20, throttled from 40, banned at 100."""
    state: str
    """warned, throttled or banned."""
    reasons: dict[str, int]
    """Number of violations of each kind."""
    banned_s: float | None
    """Seconds until its ban ends."""


async def conduct(request: Request) -> Response:
    """Neighbours that misbehaved lately, the worst first."""
    found = monitor_of(request).conduct()
    views = [ConductView(one.peer.hex(), one.score, one.standing.value, one.reasons, one.banned_s) for one in found]
    return answer(views)


ROUTES = [
    ApiRoute("/api/v1/threats", threats, list[FindingView], query=("detection", "severity", "limit", "cursor")),
    ApiRoute("/api/v1/anomalies", anomalies, AnomalyRates),
    ApiRoute("/api/v1/conduct", conduct, list[ConductView]),
]
