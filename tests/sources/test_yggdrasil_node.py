"""A Yggdrasil node as a source: sums that only grow, and answers that are wrong."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from peerscope.errors import ConfigError, RemoteError, TransportError
from peerscope.records.bodies import OverlayLink
from peerscope.records.measures import NodeMetrics
from peerscope.sources.yggdrasil import YggdrasilSource

ME, ONE, TWO = "ab" * 32, "cd" * 32, "ef" * 32
ADDRESS = "201:7a:c5bc:1952:3281:302d:de23:9fa4"
SELF = {"build_version": "0.4.7", "key": ME, "address": ADDRESS, "coords": [1, 2], "subnet": "3::/64"}


def peer(key: str, *, received: int = 0, sent: int = 0, remote: str = "tls://127.0.0.1:1") -> dict[str, Any]:
    return {
        "address": ADDRESS,
        "key": key,
        "remote": remote,
        "bytes_recvd": received,
        "bytes_sent": sent,
        "uptime": 4.5,
    }


class Admin:
    """An admin socket whose answers may be changed."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {"getself": SELF, "getpeers": {"peers": []}, "getdht": {"dht": []}}

    def links(self, *peers: dict[str, Any]) -> None:
        self.answers["getpeers"] = {"peers": peers}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            request = json.loads(await reader.read(4096))["request"]
            writer.write(json.dumps({"status": "success", "response": self.answers[request]}).encode())
            await writer.drain()
            await reader.read()
        writer.close()


@contextlib.asynccontextmanager
async def admin_at(place: Path) -> AsyncIterator[tuple[Admin, YggdrasilSource]]:
    admin = Admin()
    server = await asyncio.start_unix_server(admin.serve, place / "admin")
    try:
        yield admin, YggdrasilSource(str(place / "admin"))
    finally:
        server.close()


def test_it_tells_peers_bytes_coordinates_and_the_size_of_the_table(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with admin_at(tmp_path) as (admin, source):
            admin.links(peer(TWO, received=10, sent=1), peer(ONE), peer(ONE, remote="tls://[::1]:1", received=5))
            admin.answers["getdht"] = {"dht": [{"key": ONE}, {"key": TWO}]}
            reading = await source.read()
            assert (reading.node, reading.node_id, reading.version) == ("yggdrasil", ME, "0.4.7")
            assert reading.metrics == NodeMetrics(active_connections=3, p2p_peers=2, received_bytes=15, sent_bytes=1)
            assert reading.overlay == (OverlayLink(ONE), OverlayLink(TWO))
            assert reading.details == {"coordinates": "[1, 2]", "dht_entries": 2.0, "oldest_link_s": 4.5}

    asyncio.run(scenario())


def test_bytes_only_grow_when_links_go_come_and_start_anew(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with admin_at(tmp_path) as (admin, source):
            received = []
            for links in ([peer(ONE, received=100)], [peer(ONE, received=150)], [], [peer(ONE, received=30)]):
                admin.links(*links)
                received.append((await source.read()).metrics.received_bytes)
            assert received == [100, 150, 150, 180]
            admin.links(peer(ONE, received=10))  # it counts less than before: a link that is new
            assert (await source.read()).metrics.received_bytes == 190

    asyncio.run(scenario())


def test_a_link_with_itself_is_none(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with admin_at(tmp_path) as (admin, source):
            admin.links(peer(ME))
            assert (await source.read()).overlay == ()

    asyncio.run(scenario())


def test_a_version_that_the_node_does_not_know_is_unknown(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with admin_at(tmp_path) as (admin, source):
            admin.answers["getself"] = {**SELF, "build_version": "unknown"}
            assert (await source.read()).version is None

    asyncio.run(scenario())


def test_an_answer_that_is_wrong_and_no_socket_are_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with admin_at(tmp_path) as (admin, source):
            admin.answers["getdht"] = {"dht": 7}
            with pytest.raises(RemoteError, match="malformed-answer"):
                await source.read()
        with pytest.raises(TransportError, match=r"no Yggdrasil admin socket at .*/none"):
            await YggdrasilSource(str(tmp_path / "none")).read()

    asyncio.run(scenario())
    with pytest.raises(ConfigError, match="name the admin socket"):
        YggdrasilSource("")
