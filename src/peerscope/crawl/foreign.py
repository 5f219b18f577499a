"""Crawls another network whose nodes list their neighbours on request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import TypeVar

from peerscope.errors import RemoteError, TransportError
from peerscope.host.clock import monotonic
from peerscope.mesh.crawling.traversal import Walk, WalkConfig
from peerscope.sources.programs.yggdrasil import AdminSocket
from peerscope.views.crawl import CrawlView, foreign_view

TURN_S = 0.1

P = TypeVar("P", bound=Hashable)


async def explore(
    walk: Walk[P],
    neighbors: Callable[[P], Awaitable[Sequence[P]]],
    *,
    stopping: asyncio.Event,
    progress: Callable[[Walk[P]], None],
) -> None:
    """Run a walk until it is over or `stopping` is set.

    `neighbors` returns the ids of a peer's neighbours. It raises `TransportError` or `RemoteError`.
    """
    asking: set[asyncio.Task[None]] = set()

    async def ask(peer: P) -> None:
        try:
            answer = await neighbors(peer)
        except (TransportError, RemoteError) as error:
            walk.failed(peer, str(error), monotonic())
        else:
            walk.answered(peer, answer, monotonic())

    try:
        while not (walk.is_done(now := monotonic()) or stopping.is_set()):
            asking |= {asyncio.create_task(ask(peer)) for peer in walk.next(now)}
            if asking:
                done, asking = await asyncio.wait(asking, timeout=TURN_S, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            else:
                await asyncio.sleep(min(TURN_S, max(0.0, walk.deadline() - now)))
            progress(walk)
        walk.next(monotonic())
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


async def crawl_yggdrasil(
    admin: AdminSocket,
    config: WalkConfig,
    *,
    stopping: asyncio.Event,
    progress: Callable[[Walk[str]], None],
) -> CrawlView:
    """Map the Yggdrasil network around the node of this admin socket, which asks the others for us.

    Raises `TransportError` if the node itself does not answer like Yggdrasil.
    """
    try:
        me = await admin.self()
        if me.address is None:
            raise RemoteError("malformed-answer", "it does not say its own address")
    except RemoteError as error:
        raise TransportError(
            f"{admin.place} is no admin socket of Yggdrasil ({error}); see its `AdminListen`"
        ) from None
    addresses = {me.key: me.address}

    async def neighbors(key: str) -> Sequence[str]:
        if key == me.key:  # its own list: a node without links does not reach itself through the network
            return [peer.key for peer in await admin.peers() if peer.is_up and peer.key != key]
        address, keys = await admin.remote_peers(key)
        addresses[key] = address
        return keys

    walk = Walk([me.key], config, monotonic())
    await explore(walk, neighbors, stopping=stopping, progress=progress)
    return foreign_view(walk.survey(), addresses, asked=walk.asked)
