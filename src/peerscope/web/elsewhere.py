"""Peers by name wherever they are: those of our own zone from what we hold, others by asking their zones."""

from __future__ import annotations

import re

from starlette.exceptions import HTTPException
from starlette.requests import Request

from peerscope.mesh.zoning.lookup import LookupAnswer
from peerscope.records.identity import PeerId
from peerscope.web.answers import find_peer, monitor_of
from peerscope.zones.remote_peer import RemotePeer

NAME = re.compile(r"[0-9a-f]{1,64}\Z")
NAMED_MAX = 8
"""Zones that a message names, and peers."""


async def find_anywhere(request: Request) -> PeerId | RemotePeer:
    """The peer whom the path names. Our own zone goes first: others are asked for names that are unknown here.

    404 or 409 as `find_peer`; 503 where too many questions are open.
    """
    try:
        return find_peer(request)
    except HTTPException as error:
        name, monitor = request.path_params["id"].lower(), monitor_of(request)
        if error.status_code != 404 or not len(monitor.peer.global_ledger) or not NAME.match(name):
            raise
    try:
        answer = await monitor.lookups.about(name)
    except TimeoutError:
        raise HTTPException(503, "other zones were asked, and nothing came of it; ask again") from None
    if answer.is_busy:
        raise HTTPException(503, "too many questions to other zones are open; ask again in a few seconds")
    found = sorted(answer.ledger)
    if not found:
        raise HTTPException(404, _unknown(name, answer))
    if len(found) > 1:
        ids = ", ".join(peer.hex()[:16] for peer in found[:NAMED_MAX])
        raise HTTPException(409, f"several peers of other zones begin with {name!r} ({ids}); give more digits")
    now, wall_offset_s = monitor.clock()
    down_after_s = monitor.config.detector.down_after_s
    return RemotePeer(answer, found[0], now, wall_offset_s=wall_offset_s, down_after_s=down_after_s)


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
