"""What every route needs: the agent behind a request, peers by name, JSON answers, pages of lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from peerscope.agent.network_view import NetworkView
from peerscope.host.numbers import whole
from peerscope.records.identity import PeerId

PAGE_MAX = 1000
_encoder = msgspec.json.Encoder()
T = TypeVar("T")


def answer(value: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """JSON of a view."""
    return Response(_encoder.encode(value), status, headers, "application/json")


def page(request: Request, found: Sequence[T], key: Callable[[T], str]) -> Response:
    """One page of a list ordered by `key`, and where the next begins (RFC 8288)."""
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
    """A query parameter that is one of these words, or not there. 400 otherwise."""
    given = request.query_params.get(name)
    if given is not None and given not in allowed:
        raise HTTPException(400, f"{name} is {given[:32]!r}; must be {', '.join(allowed[:-1])} or {allowed[-1]}")
    return given


def find_peer(request: Request, name: str | None = None) -> PeerId:
    """The peer of this name, or whom the path names: any unambiguous beginning of an id. 404 or 409 otherwise."""
    name = (request.path_params["id"] if name is None else name).lower()
    snapshot = monitor_of(request).snapshot()
    found = [known for known in snapshot.peers if known.hex().startswith(name)]
    if not found:
        raise HTTPException(404, f"no peer {name[:64]!r} is known; `peerscope peers` lists those that are")
    if len(found) > 1:
        raise HTTPException(409, f"{len(found)} peers begin with {name[:64]!r}; give more digits")
    return found[0]


def monitor_of(request: Request) -> NetworkView:
    """The agent that is asked."""
    monitor: NetworkView = request.app.state.monitor
    return monitor


def _number(text: str | None, name: str, most: int) -> int:
    if text is None:
        return most
    number = whole(text)
    if number is None or not 1 <= number <= most:
        raise HTTPException(400, f"{name} is {text[:32]!r}; must be a number from 1 to {most}")
    return number
