"""A Yggdrasil node as a source: both protocols, sums that only grow, and answers that are wrong."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from peerscope.errors import RemoteError, TransportError
from peerscope.records.bodies import OverlayLink
from peerscope.records.measures import Measure, NodeMetrics
from peerscope.sources.attachment import _checked
from peerscope.sources.programs.yggdrasil import YggdrasilSource

ME, ONE, TWO = "ab" * 32, "cd" * 32, "ef" * 32
ADDRESS = "201:7a:c5bc:1952:3281:302d:de23:9fa4"
SELF = {"build_version": "0.4.7", "key": ME, "address": ADDRESS, "coords": [1, 2], "subnet": "3::/64"}
SELF_05 = {"build_version": "0.5.14", "key": ME, "address": ADDRESS, "routing_entries": 3, "subnet": "3::/64"}


def peer(key: str, *, received: int = 0, sent: int = 0, remote: str = "tls://127.0.0.1:1") -> dict[str, Any]:
    return {
        "address": ADDRESS,
        "key": key,
        "remote": remote,
        "bytes_recvd": received,
        "bytes_sent": sent,
        "uptime": 4.5,
    }


def link(key: str, *, remote: str = "tls://127.0.0.1:1", inbound: bool = False, **more: Any) -> dict[str, Any]:
    """As 0.5 lists one that is up."""
    known = {"up": True, "inbound": inbound, "key": key, "address": ADDRESS, "remote": remote, "cost": 1, "uptime": 4.5}
    return known | more


def missing(remote: str, error: str = "dial tcp 127.0.0.1:1: connect: connection refused") -> dict[str, Any]:
    return {"remote": remote, "up": False, "inbound": False, "key": "", "cost": 0, "last_error": error}


class Admin:
    """An admin socket whose answers may be changed."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {"getself": SELF, "getpeers": {"peers": []}, "getdht": {"dht": []}}

    def links(self, *peers: dict[str, Any]) -> None:
        self.answers["getpeers"] = {"peers": peers}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            request = json.loads(await reader.read(4096))["request"]
            answer: dict[str, Any] = {"status": "error", "error": f"unknown action '{request}', try 'list' for help"}
            if request in self.answers:
                answer = {"status": "success", "response": self.answers[request]}
            writer.write(json.dumps(answer).encode())
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
            assert reading.measures == (Measure("dht_nodes", 2),)

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


def test_a_sum_beyond_its_limit_begins_anew(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with admin_at(tmp_path) as (admin, source):
            admin.links(peer(ONE, received=2**53 - 1), peer(TWO, received=8))
            assert _checked(await source.read()).metrics.received_bytes == 7

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


@contextlib.asynccontextmanager
async def admin_05(place: Path, *links: dict[str, Any]) -> AsyncIterator[tuple[Admin, YggdrasilSource]]:
    async with admin_at(place) as (admin, source):
        admin.answers = {"getself": SELF_05}
        admin.links(*links)
        yield admin, source


def test_a_node_of_0_5_has_no_dht_and_tells_round_trips(tmp_path: Path) -> None:
    async def scenario() -> None:
        links = [
            link(ONE, latency=880_000, bytes_recvd=7, rate_recvd=5),
            link(ONE, remote="tls://127.0.0.1:59590", inbound=True, latency=840_000, cost=9),
            link(TWO, remote="tls://[::1]:1"),
        ]
        async with admin_05(tmp_path, *links) as (_, source):
            reading = await source.read()
            assert (reading.node_id, reading.version) == (ME, "0.5.14")
            assert reading.metrics == NodeMetrics(active_connections=3, p2p_peers=2, received_bytes=7, sent_bytes=0)
            assert reading.overlay == (OverlayLink(ONE, 840), OverlayLink(TWO, None))
            assert reading.measures == (
                Measure("dht_nodes", 3),
                Measure("links_configured", 2),
                Measure("dead_links", 0),
            )
            assert reading.details == {
                "routing_entries": 3.0,
                "oldest_link_s": 4.5,
                "inbound_links": 1,
                "highest_cost": 9,
                "received_bytes_s": 5,
                "sent_bytes_s": 0,
            }

    asyncio.run(scenario())


def test_links_that_are_not_up_are_details_with_their_errors(tmp_path: Path) -> None:
    async def scenario() -> None:
        gone = [
            missing("tls://203.0.113.9:1"),
            missing("socks://user:word@127.0.0.1:1/203.0.113.9:2?password=word", "x509:\x1b[31m " + "long" * 1000),
            link("", remote="tls://127.0.0.1:3"),  # the ends have not met yet
        ]
        async with admin_05(tmp_path, link(ONE), *gone) as (_, source):
            reading = await source.read()
            assert (reading.metrics.active_connections, reading.metrics.p2p_peers) == (1, 1)
            assert Measure("dead_links", 3) in reading.measures
            told = {name: text for name, text in reading.details.items() if name.startswith("not up: ")}
            assert told["not up: tls://203.0.113.9:1"] == "dial tcp 127.0.0.1:1: connect: connection refused"
            assert told["not up: tls://127.0.0.1:3"] is None
            masked = told["not up: socks://127.0.0.1:1/203.0.113.9:2"]
            assert isinstance(masked, str)
            assert masked.startswith("x509: [31m longlong")
            assert "word" not in str(reading)
            many = [missing(f"tls://203.0.113.9:{port}") for port in range(1, 60)]
        async with admin_05(tmp_path, *many) as (_, source):
            reading = await source.read()
            assert Measure("dead_links", 59) in reading.measures
            assert len(_checked(reading).details) <= 32

    asyncio.run(scenario())


def test_a_question_that_fails_takes_no_other_with_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with admin_at(tmp_path) as (admin, source):
            admin.links(peer(ONE))
            for wrong in ({"dht": 7}, None):
                admin.answers["getdht"] = wrong
                reading = await source.read()
                assert (reading.node_id, reading.metrics.p2p_peers) == (ME, 1)
                assert reading.measures == (Measure("dht_nodes", None),)
            admin.answers["getpeers"] = {"peers": [{"key": "none"}]}
            with pytest.raises(RemoteError, match="key: not of the expected form"):
                await source.read()
            admin.links(peer(ONE))
            del admin.answers["getself"]
            reading = await source.read()
            assert (reading.node_id, reading.overlay) == (None, (OverlayLink(ONE),))
            assert str(reading.details["failed"]).startswith("getself: yggdrasil says: unknown action")
            del admin.answers["getpeers"]
            with pytest.raises(TransportError, match="yggdrasil says: unknown action 'getself'"):
                await source.read()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "hostile",
    [
        {"bytes_recvd": 2**63},
        {"bytes_recvd": -1},
        {"cost": 1e300},
        {"latency": "1ms"},
        {"up": "yes"},
        {"key": ONE.upper()},
        {"address": "\x1b[31m"},
    ],
)
def test_hostile_values_of_a_link_are_unknown_and_never_wrong(hostile: dict[str, Any], tmp_path: Path) -> None:
    async def scenario() -> None:
        async with admin_05(tmp_path, link(ONE) | hostile) as (_, source):
            with pytest.raises(RemoteError, match="malformed-answer"):
                await source.read()

    asyncio.run(scenario())


def test_no_socket_is_told_and_the_default_place_is_the_programs_own(tmp_path: Path) -> None:
    with pytest.raises(TransportError, match=r"no Yggdrasil admin socket at .*/none"):
        asyncio.run(YggdrasilSource(str(tmp_path / "none")).read())
    assert YggdrasilSource("")._admin.place == "/var/run/yggdrasil.sock"
