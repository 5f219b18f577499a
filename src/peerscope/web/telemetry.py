"""Where the node beside us tells what it does: `POST /api/v1/telemetry`, one JSON event a line.

Only from this machine, or with the token (web/guard.py). Bodies are bounded before and after unpacking; lines are read
in portions, so that a large batch does not hold up the agent.
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
"""Lines read before others have their turn: about two milliseconds."""
REFUSALS_SHOWN = 100
RETRY_AFTER_S = "1"
GZIP = 16 + zlib.MAX_WBITS


class Accepted(Struct, frozen=True):
    """What became of a batch."""

    accepted: int
    refused: tuple[RefusedEvent, ...]
    """The first hundred."""
    refused_lines: int


async def telemetry(request: Request) -> Response:
    """Take events in. 200: all kept; 207: some refused; 400: none kept; 429: no room, nothing kept, send it again."""
    if monitor_of(request).simulation is not None:
        raise HTTPException(404, "this network is simulated: no node stands beside its peers")
    heard = monitor_of(request).telemetry
    lines = (await _body(request)).split(b"\n")
    if len(lines) > LINES_MAX + 1:
        raise HTTPException(413, f"{len(lines)} lines; send at most {LINES_MAX} at a time")
    events: list[Event] = []
    refused: list[RefusedEvent] = []
    for first in range(0, len(lines), PORTION):
        some, bad = read_lines(lines[first : first + PORTION], first + 1, heard.refused)
        events += some
        refused += bad
        await asyncio.sleep(0)
    if not heard.take(events):
        heard.refused["queue-full"] += len(events)
        raise HTTPException(
            429, "the agent has too many events to count; send this batch again", {"retry-after": RETRY_AFTER_S}
        )
    status = 200 if not refused else 207 if events else 400
    return answer(Accepted(len(events), tuple(refused[:REFUSALS_SHOWN]), len(refused)), status=status)


async def node(request: Request) -> Response:
    """The node beside this agent: what its sources say, and how they are."""
    return answer(monitor_of(request).node.view())


async def _body(request: Request) -> bytes:
    encoding = request.headers.get("content-encoding", "identity")
    if encoding not in ("identity", "gzip"):
        raise HTTPException(415, f"content-encoding is {encoding[:32]!r}; send gzip, or none")
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
