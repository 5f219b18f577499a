"""How many connections are taken in, and who makes room."""

import asyncio
import contextlib
import resource
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from certificates import certificate
from limits import no_descriptors
from live import PATIENCE_S, client, running
from peerscope.host.failures import FailureLog
from peerscope.web import server
from peerscope.web.server import CONNECTIONS_MAX, DESCRIPTORS_KEPT, Acceptor, connections_max


@pytest.mark.parametrize(
    ("descriptors", "connections"),
    [
        (resource.RLIM_INFINITY, CONNECTIONS_MAX),
        (8192, CONNECTIONS_MAX),
        (CONNECTIONS_MAX + DESCRIPTORS_KEPT, CONNECTIONS_MAX),
        (CONNECTIONS_MAX + DESCRIPTORS_KEPT - 1, CONNECTIONS_MAX - 1),
        (256, 160),
        (128, 32),
        (64, 16),
        (3, 1),
    ],
)
def test_connections_leave_the_agent_its_descriptors(descriptors: int, connections: int) -> None:
    assert connections_max(descriptors) == connections


def test_the_limit_of_this_very_process_counts() -> None:
    assert connections_max() == connections_max(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def test_nobody_who_is_being_served_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "CONNECTIONS_MAX", 3)
    guests = [object(), object(), object()]  # none of them waits

    async def knock() -> tuple[bytes, bytes]:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            door = Acceptor(asyncio.Protocol, guests, FailureLog())
            taking_in = asyncio.create_task(door.run(listening))
            first = await asyncio.open_connection(*listening.getsockname())
            refused = await first[0].read()
            guests.pop()
            second = await asyncio.open_connection(*listening.getsockname())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    refused += await second[0].read()  # nothing is said, and nobody hangs up
                    raise AssertionError("there was room")
            taking_in.cancel()
            await asyncio.gather(taking_in, return_exceptions=True)
            for _, writer in (first, second):
                writer.close()
        return refused

    assert asyncio.run(knock()) == b""


def test_who_cannot_be_taken_in_waits_and_is_tried_again_after_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "RETRY_INTERVAL_S", 0.05)
    looks, tries = FailureLog(), 3

    async def knock() -> int:
        taken_in = asyncio.Event()

        class Guest(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                transport.close()
                taken_in.set()

        with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as outside:
            taking_in = asyncio.create_task(Acceptor(Guest, [], looks).run(listening))
            outside.setblocking(False)
            with no_descriptors():
                await asyncio.get_running_loop().sock_connect(outside, listening.getsockname())
                turns = 0
                while looks.failures.total() < tries:
                    turns += 1
                    await asyncio.sleep(0.001)
            await taken_in.wait()
            taking_in.cancel()
            await asyncio.gather(taking_in, return_exceptions=True)
        return turns

    assert asyncio.run(knock()) > tries  # a busy loop fails as often as the loop turns


def test_handshakes_that_do_not_come_to_their_end_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "CONNECTIONS_MAX", 5)
    cert, key = certificate(tmp_path)
    with running(tmp_path / "state", web={"tls_cert": str(cert), "tls_key": str(key)}) as agent:
        place = urlsplit(agent.http)
        with contextlib.ExitStack() as stack:
            crowd = [
                stack.enter_context(socket.create_connection((place.hostname, place.port), PATIENCE_S))
                for _ in range(20)
            ]
            with client(agent) as asking:
                assert asking.get("/healthz").status_code == 200
            assert crowd[0].recv(1) == b""  # the first made room
