"""Dialling a peer again that was killed and has started again: real endpoints, and a real process to kill."""

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator

import iroh
import pytest

from live import HAS_IPV6
from peerscope.mesh.events import Connected, DialFailed, Disconnected, Event, Lane, Received
from peerscope.records.identity import Identity
from peerscope.transport.iroh import ALPN, IrohTransport, parse_ticket
from peerscope.transport.wire import connect

LOOPBACK = "127.0.0.1:0"
PATIENCE_S = 60.0
NEIGHBOUR = Identity(b"n" * 32).peer_id
PROGRAM = """
import asyncio, sys
from peerscope.transport.iroh import IrohTransport

async def main():
    transport = await IrohTransport.bind(b"n" * 32, sys.argv[1])
    print(*transport._endpoint.bound_sockets(), flush=True)
    while True:
        await transport.receive(3600.0)

asyncio.run(main())
"""


@contextlib.contextmanager
def neighbour(listen: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process with an endpoint on this address, and the address of its second socket; killed on the way out."""
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, listen], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        (second,) = (bound for bound in process.stdout.readline().split() if bound != listen)
        yield process, f"[::1]:{second.rpartition(':')[2]}"
    finally:
        process.kill()
        process.communicate()


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


async def happened(transport: IrohTransport, kind: type[Event]) -> list[Event]:
    """Everything up to the first event of a kind."""
    found: list[Event] = []
    async with asyncio.timeout(PATIENCE_S):
        while not any(isinstance(event, kind) for event in found):
            found += await transport.receive(1.0)
    return found


@pytest.mark.skipif(not HAS_IPV6, reason="no IPv6 on loopback here")
@pytest.mark.e2e
def test_a_peer_that_was_killed_and_started_again_is_reached_at_its_old_port() -> None:
    async def scenario() -> None:
        listen = f"127.0.0.1:{free_port()}"
        transport = await IrohTransport.bind(b"\1" * 32, LOOPBACK, dial_timeout_s=PATIENCE_S)
        with neighbour(listen) as (_, second):
            transport.dial(NEIGHBOUR, (second,))
            await happened(transport, Connected)
        with neighbour(listen):
            transport.dial(NEIGHBOUR, (listen,), afresh=True)
            assert await happened(transport, Connected) == [
                Disconnected(NEIGHBOUR, "silent"),
                Connected(NEIGHBOUR, dialled=True),
            ]
        await transport.close()

    asyncio.run(scenario())


@pytest.mark.skipif(not HAS_IPV6, reason="no IPv6 on loopback here")
@pytest.mark.e2e
def test_iroh_keeps_to_the_path_of_a_connection_that_stands() -> None:
    """Why a silent connection has to go before a dial. Once this fails, iroh does without."""

    async def scenario() -> None:
        listen = f"127.0.0.1:{free_port()}"
        transport = await IrohTransport.bind(b"\1" * 32, LOOPBACK, dial_timeout_s=PATIENCE_S)
        with neighbour(listen) as (_, second):
            transport.dial(NEIGHBOUR, (second,))
            await happened(transport, Connected)
        transport._dial_timeout_s = 1.0
        with neighbour(listen):
            transport.dial(NEIGHBOUR, (listen,))
            assert [type(event) for event in await happened(transport, DialFailed)] == [DialFailed]
        await transport.close()

    asyncio.run(scenario())


def begun(anew_s: tuple[float, ...], packets: int) -> int:
    """How many connections one dial has begun, as somebody who never answers sees them in so many packets."""

    async def scenario() -> int:
        loop = asyncio.get_running_loop()
        options = iroh.EndpointOptions(preset=iroh.preset_minimal(), bind_addr=LOOPBACK, alpns=[ALPN])
        endpoint = await iroh.Endpoint.bind(options)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            silent.setblocking(False)
            host, port = silent.getsockname()
            address = iroh.EndpointAddr(iroh.EndpointId.from_string(NEIGHBOUR.hex()), None, [f"{host}:{port}"])
            dial = asyncio.create_task(connect(endpoint, address, ALPN, anew_s=anew_s))
            async with asyncio.timeout(PATIENCE_S):
                seen = [await loop.sock_recv(silent, 2048) for _ in range(packets)]
            dial.cancel()
            await asyncio.wait([dial])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                await endpoint.close()
        return len({packet[6 : 6 + packet[5]] for packet in seen})  # destination ids: RFC 9000, section 17.2

    return asyncio.run(scenario())


def test_a_dial_to_one_that_just_fell_silent_begins_anew() -> None:
    assert begun((0.05, 0.05, 0.05), packets=8) == 4


def test_any_other_dial_begins_one_connection() -> None:
    assert begun((), packets=3) == 1


def test_what_begins_anew_ends_in_one_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        one = await IrohTransport.bind(b"\1" * 32, LOOPBACK)
        other = await IrohTransport.bind(b"\2" * 32, LOOPBACK)
        one.dial(*parse_ticket(other.ticket))
        await happened(one, Connected)
        await happened(other, Connected)
        monkeypatch.setattr("peerscope.transport.iroh.ANEW_S", (0.0, 0.0, 0.0))
        one.dial(*parse_ticket(other.ticket), afresh=True)
        assert await happened(one, Connected) == [
            Disconnected(other.peer_id, "silent"),
            Connected(other.peer_id, dialled=True),
        ]
        await happened(other, Connected)
        one.send(other.peer_id, b"hello", Lane.STREAM)
        assert Received(one.peer_id, b"hello") in await happened(other, Received)
        other.send(one.peer_id, b"and back", Lane.STREAM)
        assert Received(other.peer_id, b"and back") in await happened(one, Received)
        await one.close()
        await other.close()

    asyncio.run(scenario())
