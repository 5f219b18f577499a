"""Zones in one agent: speaks for its zone where that is its turn, and keeps an eye on who speaks for the others."""

from __future__ import annotations

import asyncio
from math import inf

from peerscope.agent.network_view import NetworkView
from peerscope.mesh.events import Publish
from peerscope.transport.driver import Driver
from peerscope.zones.speaker import SummaryPublisher

LOOK_INTERVAL_S = 1.0
BEYOND_S = 5.0
"""Between two looks at the other zones."""


async def speak(monitor: NetworkView, driver: Driver) -> None:
    """Publish summaries until cancelled. Whatever other peers say, nothing here ends the agent."""
    speaker, beyond_at = SummaryPublisher(monitor.config.zones.summary_interval_s), -inf
    while True:
        await asyncio.sleep(LOOK_INTERVAL_S)
        said = None
        with monitor.failure_log.at("the look at the zones"):
            peer, now = monitor.peer, monitor.clock()[0]
            profile = peer.ledger.profile(peer.me)
            said = speaker.update(
                peer,
                lambda: (monitor.snapshot(), monitor.mesh_links(), monitor.alerts(active_only=True)),
                profile.addresses if profile else (),
                now,
            )
            if now >= beyond_at:
                beyond_at = now + BEYOND_S
                monitor.beyond()
        if said is not None:
            driver.feed(Publish(said))
