"""Networks of other software that `crawl` maps: the specs that it takes, and what each needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from msgspec.structs import replace

from peerscope.errors import ConfigError
from peerscope.mesh.crawling.traversal import Walk, WalkConfig
from peerscope.views.crawl import CrawlView

YGGDRASIL_NEIGHBOURS_MAX = 1024
"""Public Yggdrasil nodes have hundreds of links; peers of peerscope at most 64."""
YGGDRASIL_ANSWER_S = 9.0
"""A Yggdrasil node gives up on others after six seconds, and our client on the node after eight."""

Mapping = Callable[[asyncio.Event, Callable[[Walk[Any]], None]], Coroutine[Any, Any, CrawlView]]
"""One crawl. Its arguments: the event that stops it, and the function that shows progress."""


def foreign(tickets: Sequence[str], walk: WalkConfig) -> Mapping | None:
    """The crawl of another network, if a ticket names one. Raises `ConfigError`."""
    for network, mapping in NETWORKS.items():
        if any(ticket.startswith(f"{network}:") for ticket in tickets):
            return mapping(tickets, walk)
    return None


def _yggdrasil(tickets: Sequence[str], walk: WalkConfig) -> Mapping:
    from peerscope.crawl.foreign import crawl_yggdrasil
    from peerscope.sources.programs.yggdrasil import AdminSocket

    if len(tickets) > 1:
        raise ConfigError("yggdrasil:SOCKET must be the only ticket: one node's admin socket reaches its whole network")
    config = replace(walk, neighbours_max=YGGDRASIL_NEIGHBOURS_MAX, answer_timeout_s=YGGDRASIL_ANSWER_S)
    admin = AdminSocket(tickets[0].removeprefix("yggdrasil:"))

    async def mapping(stopping: asyncio.Event, progress: Callable[[Walk[Any]], None]) -> CrawlView:
        view = await crawl_yggdrasil(admin, config, stopping=stopping, progress=progress)
        return replace(view, network="yggdrasil")

    return mapping


def _bittorrent(tickets: Sequence[str], walk: WalkConfig) -> Mapping:
    from peerscope.crawl.bittorrent import crawl_bittorrent, mainline

    places, options = mainline(tickets)
    return lambda stopping, progress: crawl_bittorrent(places, walk, options, stopping=stopping, progress=progress)


def _libp2p(tickets: Sequence[str], walk: WalkConfig) -> Mapping:
    from peerscope.crawl.libp2p import crawl_libp2p, libp2p_seeds

    places, options = libp2p_seeds(tickets)
    return lambda stopping, progress: crawl_libp2p(places, walk, options, stopping=stopping, progress=progress)


NETWORKS: dict[str, Callable[[Sequence[str], WalkConfig], Mapping]] = {
    "yggdrasil": _yggdrasil,
    "bittorrent": _bittorrent,
    "libp2p": _libp2p,
}
"""By the word before the colon."""
