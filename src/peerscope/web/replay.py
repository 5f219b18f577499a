"""Route of the last hour, to be played again."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from peerscope.alerts.alert_views import PastAlert, fired_since
from peerscope.views.timeline import Replay
from peerscope.web.answers import answer, monitor_of
from peerscope.web.history import SINCE_DEFAULT, since_s


class LastHour(Replay, frozen=True):
    """Statuses and links, with the alerts that fired meanwhile."""

    alerts: tuple[PastAlert, ...] = ()


async def replay(request: Request) -> Response:
    """Statuses, links and alerts `since` a time, one hour ago at the most: the beginning, and every change after it."""
    monitor = monitor_of(request)
    since = since_s(request.query_params.get("since", SINCE_DEFAULT), int(monitor.snapshot().wall))
    found = monitor.replay(since)
    fields = {name: getattr(found, name) for name in found.__struct_fields__}
    return answer(LastHour(**fields, alerts=fired_since(monitor.alerts(), found.since)))


ROUTES = [Route("/api/v1/replay", replay)]
ANSWERS: dict[str, Any] = {"/api/v1/replay": LastHour}
PARAMETERS: dict[str, tuple[str, ...]] = {"/api/v1/replay": ("since",)}
