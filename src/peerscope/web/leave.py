"""The route by which an operator lets this agent leave for planned work."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from peerscope.agent.network_view import ABSENCE_S_MAX
from peerscope.errors import ConfigError
from peerscope.web.answers import answer, monitor_of
from peerscope.web.openapi import ApiRoute, Body


class LeaveOrder(Struct, frozen=True, forbid_unknown_fields=True):
    """A request to leave the network for planned work."""

    reason: Annotated[str, Meta(min_length=1, max_length=160)]
    """Why; visible to all members."""
    for_s: Annotated[float, Meta(ge=1, le=ABSENCE_S_MAX)] | None = None
    """After so long without the peer its absence counts as down; null if the end is open."""


class Leaving(Struct, frozen=True):
    """The agent leaves."""

    peer_id: str
    until: float | None
    """Unix seconds at which the peer is to be back; null if that is open."""


async def leave(request: Request) -> Response:
    """Say goodbye as a planned absence, and end the agent. Start it again to come back."""
    monitor = monitor_of(request)
    if monitor.simulation is not None:
        raise HTTPException(404, "this network is simulated: its peers leave by its scenario")
    try:
        order = msgspec.json.decode(await request.body(), type=LeaveOrder)
        monitor.leave(order.reason, order.for_s)
    except msgspec.MsgspecError as error:
        raise HTTPException(400, f"the body: {error}") from None
    except ConfigError as error:
        raise HTTPException(400, str(error)) from None
    until = None if order.for_s is None else monitor.snapshot().wall + order.for_s
    return answer(Leaving(monitor.peer.me.hex(), until))


ROUTES = [ApiRoute("/api/v1/leave", leave, Leaving, method="POST", body=Body(kind=LeaveOrder))]
