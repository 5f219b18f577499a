"""Telemetry of the node: `POST /api/v1/telemetry`, one JSON event a line.

Requests come from this machine or carry the token (web/guard.py). A limit applies to bodies before and after
unpacking. Lines are parsed in portions, so that a large batch does not block the agent.
"""

from __future__ import annotations

import asyncio
import zlib

from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from peerscope.sources.events import Event, RefusedEvent, read_lines
from peerscope.sources.node import NodeView
from peerscope.web.answers import answer, monitor_of
from peerscope.web.openapi import ApiRoute, Body

BODY_BYTES_MAX = 4 * 1024 * 1024
LINES_MAX = 20_000
PORTION = 2_000
"""Lines parsed in one turn of the event loop, in about two milliseconds."""
REFUSALS_SHOWN = 100
RETRY_AFTER_S = "1"
GZIP = 16 + zlib.MAX_WBITS


class Accepted(Struct, frozen=True):
    """The result of a batch."""

    accepted: int
    refused: tuple[RefusedEvent, ...]
    """The first hundred refused lines."""
    refused_lines: int


async def telemetry(request: Request) -> Response:
    """Accept events. 200: all kept; 207: some refused; 400: none kept; 429: queue full, nothing kept, send it again."""
    if monitor_of(request).simulation is not None:
        raise HTTPException(404, "this network is simulated: its peers have no node")
    receiver = monitor_of(request).telemetry
    lines = (await _body(request)).split(b"\n")
    if len(lines) > LINES_MAX + 1:
        raise HTTPException(413, f"{len(lines)} lines; send at most {LINES_MAX} at a time")
    events: list[Event] = []
    refused: list[RefusedEvent] = []
    for first in range(0, len(lines), PORTION):
        some, bad = read_lines(lines[first : first + PORTION], first + 1, receiver.refused)
        events += some
        refused += bad
        await asyncio.sleep(0)
    if not receiver.take(events):
        receiver.refused["queue-full"] += len(events)
        raise HTTPException(429, "the queue of events is full; send this batch again", {"retry-after": RETRY_AFTER_S})
    status = 200 if not refused else 207 if events else 400
    return answer(Accepted(len(events), tuple(refused[:REFUSALS_SHOWN]), len(refused)), status=status)


async def node(request: Request) -> Response:
    """The node of this agent: its measurements and the status of their sources."""
    return answer(monitor_of(request).node.view())


async def _body(request: Request) -> bytes:
    encoding = request.headers.get("content-encoding", "identity")
    if encoding not in ("identity", "gzip"):
        raise HTTPException(415, f"content-encoding is {encoding[:32]!r}; must be gzip or absent")
    body = bytearray()
    unpack = zlib.decompressobj(GZIP) if encoding == "gzip" else None
    async for chunk in request.stream():
        try:
            body += unpack.decompress(chunk, BODY_BYTES_MAX + 1 - len(body)) if unpack else chunk
        except zlib.error as error:
            raise HTTPException(400, f"not gzip: {error}") from None
        if len(body) > BODY_BYTES_MAX or (unpack and unpack.unconsumed_tail):
            raise HTTPException(413, f"more than {BODY_BYTES_MAX} bytes; send less at a time")
    if unpack and not unpack.eof:
        raise HTTPException(400, "not gzip: it ended too early")
    return bytes(body)


EVENTS = Body(("application/x-ndjson", "text/plain"), bytes_max=BODY_BYTES_MAX, is_required=False)
ROUTES = [
    ApiRoute("/api/v1/node", node, NodeView),
    ApiRoute("/api/v1/telemetry", telemetry, Accepted, method="POST", body=EVENTS, statuses=(207, 400)),
]
