"""Attaches the P2P program beside an agent whose settings name no source.

It looks a moment after the start, so that the start takes no longer. It looks again while nothing is attached, since
the node may start after the agent. It runs in a thread that nothing waits for.
"""

from __future__ import annotations

import asyncio
import logging

from peerscope.host.threads import in_thread
from peerscope.sources.node import Node

PAUSES_S = (1.0, 9.0, 50.0)
"""Before the first looks: a machine that boots starts its programs one after the other."""
INTERVAL_S = 600.0
"""Between the later ones."""

log = logging.getLogger(__name__)


async def keep_looking(node: Node) -> None:
    """Look for a node while none is attached, until cancelled."""
    turn = 0
    while True:
        await asyncio.sleep(PAUSES_S[turn] if turn < len(PAUSES_S) else INTERVAL_S)
        turn += 1
        if not node.attachments:
            await attach_found(node)


async def attach_found(node: Node) -> None:
    """Look once, and attach the first program that can be read."""
    from peerscope.sources.detection import READABLE, choice  # only agents that look need it
    from peerscope.sources.probing import look

    seen = await in_thread(look, "look for nodes")
    chosen = choice(seen.found)
    if chosen is None or chosen.spec is None or node.attachments:
        return
    node.attach_found(chosen.spec)
    others = [one.spec for one in seen.found if one.state == READABLE and one is not chosen and one.spec]
    rest = f"; also found: {', '.join(others)}; node.sources chooses another" if others else ""
    log.info(
        "found %s%s and attached it as %s%s",
        chosen.program,
        f" at {chosen.place}" * bool(chosen.place),
        chosen.spec,
        rest,
    )
