"""Shared by all routes: the agent behind a request, peers by name, JSON answers, pages of lists, refusals."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from peerscope.agent.network_view import NetworkView
from peerscope.host.numbers import whole
from peerscope.mesh.zoning.lookup import LookupAnswer
from peerscope.records.identity import PeerId
from peerscope.zones.remote_peer import RemotePeer

PAGE_MAX = 1000
NAME = re.compile(r"[0-9a-f]{1,64}\Z")
NAMED_MAX = 8
"""Zones or peers that a message names."""
MEDIA_TYPE = "application/problem+json"
_encoder = msgspec.json.Encoder()
T = TypeVar("T")


class Problem(Struct, frozen=True):
    """Why a request was refused, as an RFC 9457 document."""

    type: str
    title: str
    status: int
    detail: str


def answer(value: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Encode a view as JSON."""
    return Response(_encoder.encode(value), status, headers, "application/json")


def page(request: Request, found: Sequence[T], key: Callable[[T], str]) -> Response:
    """One page of a list ordered by `key`, with a link to the next page (RFC 8288)."""
    query = request.query_params
    limit = _number(query.get("limit"), "limit", PAGE_MAX)
    cursor = query.get("cursor", "")
    rest = [view for view in found if key(view) > cursor]
    headers = {}
    if len(rest) > limit:
        onward = {**query, "limit": str(limit), "cursor": key(rest[limit - 1])}
        headers["link"] = f'<{request.scope["path"]}?{urlencode(onward)}>; rel="next"'
    return answer(rest[:limit], headers=headers)


def choice(request: Request, name: str, allowed: Sequence[str]) -> str | None:
    """A query parameter that is one of these words; None if absent, 400 for another word."""
    given = request.query_params.get(name)
    if given is not None and given not in allowed:
        raise HTTPException(400, f"{name} is {given[:32]!r}; must be {', '.join(allowed[:-1])} or {allowed[-1]}")
    return given


def find_peer(request: Request, name: str | None = None) -> PeerId:
    """Find a peer by an unambiguous beginning of its id; by default the one in the path. Raises 404 or 409."""
    name = (request.path_params["id"] if name is None else name).lower()
    snapshot = monitor_of(request).snapshot()
    found = [known for known in snapshot.peers if known.hex().startswith(name)]
    if not found:
        raise HTTPException(404, f"no peer {name[:64]!r} is known; `peerscope peers` lists the known peers")
    if len(found) > 1:
        raise HTTPException(409, f"{len(found)} peers begin with {name[:64]!r}; give more digits")
    return found[0]


async def find_anywhere(request: Request) -> PeerId | RemotePeer:
    """Find the peer in the path: first in our own zone, then by a lookup in other zones.

    Raises 404 or 409 as `find_peer` does, and 503 if too many lookups are open.
    """
    try:
        return find_peer(request)
    except HTTPException as error:
        name, monitor = request.path_params["id"].lower(), monitor_of(request)
        if error.status_code != 404 or not len(monitor.peer.global_ledger) or not NAME.match(name):
            raise
    try:
        reply = await monitor.lookups.about(name)
    except TimeoutError:
        raise HTTPException(503, "the lookup in other zones timed out; ask again") from None
    if reply.is_busy:
        raise HTTPException(503, "too many lookups in other zones are open; ask again in a few seconds")
    found = sorted(reply.ledger)
    if not found:
        raise HTTPException(404, _unknown(name, reply))
    if len(found) > 1:
        ids = ", ".join(peer.hex()[:16] for peer in found[:NAMED_MAX])
        raise HTTPException(409, f"several peers of other zones begin with {name!r} ({ids}); give more digits")
    now, wall_offset_s = monitor.clock()
    down_after_s = monitor.config.detector.down_after_s
    return RemotePeer(reply, found[0], now, wall_offset_s=wall_offset_s, down_after_s=down_after_s)


def monitor_of(request: Request) -> NetworkView:
    """The agent that serves this request."""
    monitor: NetworkView = request.app.state.monitor
    return monitor


def problem(status: int, detail: str) -> Response:
    """A problem document of the generic type."""
    body = Problem("about:blank", HTTPStatus(status).phrase, status, detail)
    return Response(msgspec.json.encode(body), status, media_type=MEDIA_TYPE)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Turn the refusal of a route into a problem document."""
    assert isinstance(error, HTTPException)
    response = problem(error.status_code, error.detail or "")
    response.headers.update(error.headers or {})
    return response


def _number(text: str | None, name: str, most: int) -> int:
    if text is None:
        return most
    number = whole(text)
    if number is None or not 1 <= number <= most:
        raise HTTPException(400, f"{name} is {text[:32]!r}; must be a number from 1 to {most}")
    return number


def _unknown(name: str, answer: LookupAnswer) -> str:
    silent = sorted(set(answer.silent) - set(answer.answered))
    parts = [f"no peer {name!r} is known in our zone"]
    if answer.answered:
        parts.append(f"nor in {_listed(answer.answered)}")
    if silent:
        parts.append(f"no answer came from {_listed(silent)}")
    if answer.unasked:
        parts.append(f"{answer.unasked} more zones were not asked")
    return "; ".join(parts)


def _listed(zones: list[str] | tuple[str, ...]) -> str:
    names = ", ".join(zone or "the rest of the network" for zone in zones[:NAMED_MAX])
    return names if len(zones) <= NAMED_MAX else f"{names} and {len(zones) - NAMED_MAX} more zones"
