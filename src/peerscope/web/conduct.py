"""Route of neighbours that misbehave."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from peerscope.web.answers import answer, monitor_of


class ConductView(Struct, frozen=True):
    """What one neighbour did to this peer."""

    peer_id: str
    score: float
    """Halves every minute; warned from 20, throttled from 40, banned at 100."""
    state: str
    """warned, throttled or banned."""
    reasons: dict[str, int]
    """How often it did what."""
    banned_s: float | None
    """Seconds that its ban still lasts."""


async def conduct(request: Request) -> Response:
    """Neighbours that misbehaved lately, the worst first; those in good standing are not listed."""
    found = monitor_of(request).conduct()
    views = [ConductView(one.peer.hex(), one.score, one.standing.value, one.reasons, one.banned_s) for one in found]
    return answer(views)


ROUTES = [Route("/api/v1/conduct", conduct)]
ANSWERS: dict[str, Any] = {"/api/v1/conduct": list[ConductView]}
