"""What every route needs: the agent it asks, and how it answers."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from peerscope.agent import Monitor

_encoder = msgspec.json.Encoder()


def answer(value: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """JSON of a view."""
    return Response(_encoder.encode(value), status, headers, "application/json")


def monitor_of(request: Request) -> Monitor:
    """The agent behind this server."""
    monitor: Monitor = request.app.state.monitor
    return monitor
