"""The route of availability: shares of time by verdict, of each peer, each region and the network."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from peerscope.errors import HistoryError
from peerscope.history.availability import KEEP_S
from peerscope.views.availability import DAY_S, Availability
from peerscope.web.answers import monitor_of, page
from peerscope.web.history import kept_peer, recorder_of, since_s
from peerscope.web.openapi import ApiRoute

SINCE_DEFAULT = "24h"
RANK = {"network": "0", "region": "1", "peer": "2"}


async def availability(request: Request) -> Response:
    """Shares of time by verdict, as this agent saw them: the network, then regions, then peers.

    `since`: 1h, 24h, 7d, 30d or Unix seconds, at most 31 days ago. `peer` and `region` select rows.
    """
    query, recorder = request.query_params, recorder_of(request)
    until = monitor_of(request).snapshot().wall
    since = since_s(query.get("since", SINCE_DEFAULT), int(until))
    if since < until - KEEP_S:
        raise HTTPException(400, f"since is {query['since'][:32]!r}; verdicts are kept for {KEEP_S / DAY_S:.0f} days")
    peer, region = await kept_peer(request, recorder, query.get("peer")), query.get("region")
    try:
        (found,) = await recorder.read_availability([since], until)
    except HistoryError as error:
        raise HTTPException(503, str(error)) from None
    if region is not None and all(row.region != region for row in found):
        raise HTTPException(404, f"no region {region[:64]!r} is known since then; `peerscope regions` lists regions")
    if peer is not None:
        found = [row for row in found if row.id == peer.hex()] or [_nothing(peer.hex(), since)]
    if region is not None:
        found = [row for row in found if region == (row.id if row.scope == "region" else row.region)]
    return page(request, found, lambda row: RANK[row.scope] + row.id)


def _nothing(peer: str, since: float) -> Availability:
    """The row of a known peer of which nothing was seen in this time."""
    return Availability("peer", peer, since, None, 0.0, 0.0)


ROUTES = [
    ApiRoute(
        "/api/v1/availability", availability, list[Availability], query=("peer", "region", "since", "limit", "cursor")
    )
]
