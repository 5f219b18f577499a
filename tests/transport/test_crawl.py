"""Real agents on loopback, mapped by a stranger who does not join."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from live import came_true, settings
from peerscope import Monitor
from peerscope.crawl.mesh import crawl_mesh
from peerscope.errors import ConfigError
from peerscope.mesh.crawling.traversal import WalkConfig
from peerscope.mesh.membership.admission import NetworkConfig
from peerscope.records.identity import Identity
from peerscope.transport.joining import Start, parse_joins
from peerscope.views.crawl import CrawlView

PEERS = 3
"""Of three, all are neighbours; four may make one ring of four."""
NOBODY = Identity(b"n" * 32).peer_id


@contextlib.asynccontextmanager
async def agents(state: Path, **network: Any) -> AsyncIterator[list[Monitor]]:
    """Some agents, all linked to all."""
    async with contextlib.AsyncExitStack() as stack:
        found: list[Monitor] = []
        for number in range(PEERS):
            join = tuple(one.self_view().ticket for one in found[:1])
            options = settings(peer={"join": join, "region": f"r{number}"}, network=network)
            found.append(await stack.enter_async_context(Monitor(options, state / str(number))))
        for one in found:
            await came_true(lambda one=one: len(one.peer.links.up()) == PEERS - 1, "linked to all others")
        yield found


async def crawl(starts: dict[Any, Any], network: NetworkConfig | None = None, **limits: Any) -> CrawlView:
    config = WalkConfig(**limits)
    network = network or NetworkConfig()
    stopping = asyncio.Event()
    return await crawl_mesh(
        starts, network, config, listen="127.0.0.1:0", stopping=stopping, progress=lambda walk: None
    )


def start(agent: Monitor) -> dict[Any, Any]:
    return parse_joins([agent.self_view().ticket])


def test_from_one_ticket_it_finds_all_agents_and_links_and_joins_nobody(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with agents(tmp_path) as found:
            before = [dict(one.peer.refused) for one in found]
            view = await crawl(start(found[2]))
            assert [dict(one.peer.refused) for one in found] == before
            assert {peer.peer_id for peer in view.peers} == {one.peer.me.hex() for one in found}
            assert {peer.region for peer in view.peers} == {f"r{number}" for number in range(PEERS)}
            assert {peer.addresses for peer in view.peers} == {one.self_view().addresses for one in found}
            assert [peer.depth for peer in view.peers] == [0, 1, 1]
            assert len(view.links) == PEERS * (PEERS - 1) / 2
            assert all(link.confirmed for link in view.links)
            assert (view.unreachable, view.stopped, view.left_out, view.forged) == ((), None, 0, 0)
            assert [len(one.peers()) for one in found] == [PEERS] * PEERS

    asyncio.run(scenario())


def test_only_who_knows_the_secret_is_told_anything(tmp_path: Path) -> None:
    async def scenario() -> None:
        secret = "0123456789abcdef"
        async with agents(tmp_path, secret=secret) as found:
            view = await crawl(start(found[0]))
            assert view.peers == ()
            assert [gone.reason for gone in view.unreachable] == ["refused: not-a-member"]
            assert found[0].self_view().refused == {"not-a-member": 1}
            view = await crawl(start(found[0]), NetworkConfig(secret=secret))
            assert len(view.peers) == PEERS

    asyncio.run(scenario())


def test_a_ticket_of_nobody_is_unreachable_and_the_other_one_serves(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with agents(tmp_path) as found:
            view = await crawl(start(found[0]) | {NOBODY: Start(("127.0.0.1:9",))})
            assert len(view.peers) == PEERS
            (gone,) = view.unreachable
            assert (gone.peer_id, gone.addresses) == (NOBODY.hex(), ("127.0.0.1:9",))
            assert gone.reason.startswith("no connection: ")

    asyncio.run(scenario())


def test_a_crawl_that_is_stopped_tells_what_it_has(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with agents(tmp_path) as found:
            stopping = asyncio.Event()
            starts = start(found[0]) | {NOBODY: Start(("127.0.0.1:9",))}

            def progress(walk: Any) -> None:
                if walk.asked == PEERS + 1 and sum(map(walk.is_asking, starts)) == 1:
                    stopping.set()

            config, network = WalkConfig(answer_timeout_s=50.0), NetworkConfig()
            view = await crawl_mesh(starts, network, config, listen="127.0.0.1:0", stopping=stopping, progress=progress)
            assert found[0].peer.me.hex() in {peer.peer_id for peer in view.peers}

    asyncio.run(scenario())


def test_an_address_that_is_not_ours_is_told() -> None:
    with pytest.raises(ConfigError, match="--listen"):
        asyncio.run(
            crawl_mesh(
                {NOBODY: Start()},
                NetworkConfig(),
                WalkConfig(),
                listen="192.0.2.1:0",
                stopping=asyncio.Event(),
                progress=lambda walk: None,
            )
        )
