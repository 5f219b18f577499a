"""Zones in one agent: speaks for its zone where that is its turn."""

from __future__ import annotations

import asyncio
import logging

from peerscope.mesh.events import Publish
from peerscope.outlook import Outlook
from peerscope.transport.driver import Driver
from peerscope.zones.speaker import Speaker

LOOK_S = 1.0

log = logging.getLogger(__name__)


async def speak(monitor: Outlook, driver: Driver) -> None:
    """Publish summaries until cancelled. Whatever other peers say, nothing here ends the agent."""
    speaker = Speaker(monitor.config.zones.summary_interval_s)
    while True:
        await asyncio.sleep(LOOK_S)
        try:
            peer, now = monitor.peer, monitor.clock()[0]
            profile = peer.ledger.profile(peer.me)
            said = speaker.update(
                peer,
                lambda: (monitor.moment(), monitor.mesh_links(), monitor.alerts(active_only=True)),
                profile.addresses if profile else (),
                now,
            )
        except Exception:
            log.exception("the summary of our zone failed")
        else:
            if said is not None:
                driver.feed(Publish(said))
