"""Crawls a peerscope network: a `Crawler` on a real transport, usually with a key made for this one walk."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from typing import cast

from peerscope.host.clock import monotonic
from peerscope.mesh.crawling.crawler import Crawler, CrawlerIdentity
from peerscope.mesh.crawling.traversal import Walk, WalkConfig
from peerscope.mesh.events import Dial, Effect, Event, Hangup, Send
from peerscope.mesh.membership.admission import NetworkConfig
from peerscope.records.certificates import Certificate
from peerscope.records.identity import PeerId
from peerscope.transport.base import Transport
from peerscope.transport.iroh import IrohTransport
from peerscope.transport.joining import Start
from peerscope.transport.names import Names, bindable
from peerscope.views.crawl import CrawlView, mesh_view

DIAL_TIMEOUT_S = 5.0
TURN_S = 0.1
"""Longest wait of the loop, so that it shows progress and can stop."""


async def crawl_mesh(
    starts: Mapping[PeerId, Start],
    network: NetworkConfig,
    config: WalkConfig,
    *,
    listen: str,
    stopping: asyncio.Event,
    progress: Callable[[Walk[PeerId]], None],
    secret: bytes | None = None,
    certificate: Certificate | None = None,
) -> CrawlView:
    """Map the network until the walk is over or `stopping` is set. Raises `ConfigError` if we cannot listen there.

    `secret`: seed of the key to ask with, for networks that answer only members; by default a new one.
    """
    names = Names({peer: start.names for peer, start in starts.items()})
    key = secret or secrets.token_bytes(32)
    address = await bindable(listen, "--listen")
    transport = await IrohTransport.bind(key, address, dial_timeout_s=DIAL_TIMEOUT_S, names=names)
    known = {peer: start.addresses for peer, start in starts.items()}
    identity = CrawlerIdentity(transport.peer_id, network, certificate)
    crawler = Crawler(identity, known, config, monotonic())
    try:
        _carry_out(transport, crawler.tick(monotonic()))
        while not (crawler.is_done(now := monotonic()) or stopping.is_set()):
            for event in await transport.receive(min(TURN_S, max(0.0, crawler.deadline() - now))):
                _carry_out(transport, crawler.handle(cast("Event", event), monotonic()))
            _carry_out(transport, crawler.tick(monotonic()))
            progress(crawler.walk)
    finally:
        await transport.close()
    return mesh_view(crawler)


def _carry_out(transport: Transport, effects: list[Effect]) -> None:
    for effect in effects:
        match effect:
            case Dial(peer, addresses):
                transport.dial(peer, addresses)
            case Send(to, data, lane):
                transport.send(to, data, lane)
            case Hangup(peer, reason):
                transport.hang_up(peer, reason)
            case _:
                pass
