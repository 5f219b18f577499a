"""The sockets of dial-back: what each way of not answering is called, and that no byte is sent."""

import asyncio
import contextlib
import errno
import os
import resource
import socket
from collections.abc import AsyncIterator

import pytest

from peerscope.agent.announced import HOLD_S, AnnouncedAddresses, choose
from peerscope.agent.node_dialler import AT_ONCE, NodeDialler, connect
from peerscope.core import Event
from peerscope.mesh.events import Tried, TryNode
from peerscope.records.bodies import DialOutcome
from peerscope.records.identity import PeerId

PEER = PeerId(bytes(32))
LOCAL = ("127.0.0.1:4600",)
"""Addresses of an agent that nobody reaches from outside."""


@contextlib.asynccontextmanager
async def listener() -> AsyncIterator[tuple[str, list[bytes]]]:
    """An address, and all that each connection sent until it closed."""
    heard: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read())
        writer.close()

    async with await asyncio.start_server(take, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}", heard


def test_a_connection_is_closed_at_once_without_a_byte() -> None:
    async def run() -> list[bytes]:
        async with listener() as (address, heard):
            assert await connect(address) is DialOutcome.REACHED
            async with asyncio.timeout(5):
                while not heard:
                    await asyncio.sleep(0.01)
            return heard

    assert asyncio.run(run()) == [b""]


def test_a_port_where_nothing_listens_refuses_and_one_that_is_full_is_silent() -> None:
    with socket.socket() as idle:
        idle.bind(("127.0.0.1", 0))
        assert asyncio.run(connect(f"127.0.0.1:{idle.getsockname()[1]}")) is DialOutcome.REFUSED
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(8):  # the queue of the system takes a few, then it drops what comes
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        assert asyncio.run(connect(f"127.0.0.1:{full.getsockname()[1]}", 0.3)) is DialOutcome.SILENT


def test_without_descriptors_nothing_was_tried() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as idle, contextlib.ExitStack() as stack:
        idle.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{idle.getsockname()[1]}"

        async def run() -> DialOutcome:
            spare = max(map(int, os.listdir("/proc/self/fd"))) + 1
            resource.setrlimit(resource.RLIMIT_NOFILE, (spare, before[1]))
            try:
                with contextlib.suppress(OSError):
                    while True:
                        stack.enter_context(open(os.devnull))
                return await connect(address)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, before)

        assert asyncio.run(run()) is DialOutcome.UNABLE


@pytest.mark.parametrize("address", ["203.0.113.5:4001", "[2001:db8::5]:4001"])
def test_a_machine_without_a_route_tries_nothing(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EPERM, errno.EACCES, errno.EADDRNOTAVAIL):
        monkeypatch.setattr("socket.socket.connect_ex", lambda link, place, number=number: number)
        assert asyncio.run(connect(address)) is DialOutcome.UNABLE


@pytest.mark.parametrize(
    ("number", "outcome"),
    [
        (errno.EHOSTUNREACH, DialOutcome.NO_ROUTE),
        (errno.ENETUNREACH, DialOutcome.NO_ROUTE),
        (errno.ECONNREFUSED, DialOutcome.REFUSED),
        (errno.ETIMEDOUT, DialOutcome.SILENT),
        (errno.EPROTO, DialOutcome.FAILED),
        (errno.ENOBUFS, DialOutcome.UNABLE),
        (errno.ENOSPC, DialOutcome.UNABLE),
    ],
)
def test_what_the_network_answers_later_counts(
    number: int, outcome: DialOutcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise OSError(number, "later")

    async def run() -> DialOutcome:
        monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", fail, raising=False)
        return await connect("203.0.113.5:4001")

    monkeypatch.setattr("socket.socket.connect_ex", lambda link, place: errno.EINPROGRESS)
    assert asyncio.run(run()) is outcome


def test_only_where_our_own_connection_arrives_is_tried() -> None:
    async def run(reached_at: str | None, *ours: str) -> tuple[list[Event], list[bytes]]:
        events: list[Event] = []
        async with listener() as (address, heard):
            dialler = NodeDialler(lambda peer: reached_at, events.append, lambda: ours or LOCAL)
            dialler.note(TryNode(PEER, (address, "10.9.9.9:1")))
            async with asyncio.timeout(5):
                while not events:
                    await asyncio.sleep(0.01)
            return events, heard

    events, _ = asyncio.run(run("127.0.0.1"))
    assert isinstance(events[0], Tried)
    assert events[0].outcomes == (DialOutcome.REACHED, DialOutcome.ELSEWHERE)
    for elsewhere in (None, "127.0.0.2", "192.0.2.1"):
        events, heard = asyncio.run(run(elsewhere))
        assert isinstance(events[0], Tried)
        assert events[0].outcomes == (DialOutcome.ELSEWHERE,) * 2
        assert heard == []
    # A proxy hides members behind our own addresses: a member far away must not probe our ports.
    for reached_at, ours in (("127.0.0.1", "192.0.2.1:1"), ("10.9.9.9", "10.9.9.9:4600")):
        events, heard = asyncio.run(run(reached_at, ours))
        assert isinstance(events[0], Tried)
        assert events[0].outcomes == (DialOutcome.ELSEWHERE,) * 2
        assert heard == []


def test_few_run_at_once_and_closing_ends_them(monkeypatch: pytest.MonkeyPatch) -> None:
    running, most = 0, 0

    async def slow(address: str) -> DialOutcome:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            await asyncio.sleep(0.01 if address.endswith(":1") else 60)
        finally:
            running -= 1
        return DialOutcome.SILENT

    monkeypatch.setattr("peerscope.agent.node_dialler.connect", slow)

    async def run() -> None:
        events: list[Event] = []
        dialler = NodeDialler(lambda peer: "127.0.0.1", events.append, lambda: LOCAL)
        for _ in range(6):
            dialler.note(TryNode(PEER, ("127.0.0.1:1",)))
        async with asyncio.timeout(5):
            while len(events) < 6:
                await asyncio.sleep(0.01)
        dialler.note(TryNode(PEER, ("127.0.0.1:2",)))
        await asyncio.sleep(0.01)
        dialler.close()
        await asyncio.sleep(0.01)
        assert (len(events), running) == (6, 0)

    asyncio.run(run())
    assert most == AT_ONCE


OURS = ("192.168.1.5:4600", "[2001:db8::5]:4600")


@pytest.mark.parametrize(
    ("announced", "chosen"),
    [
        ((), ()),
        (("0.0.0.0:1", "127.0.0.1:1", "169.254.1.1:1", "224.0.0.1:1", "[::]:1", "[ff0e::1]:1"), ()),
        (("node.example:4001", "nonsense", "10.0.0.9:1", "192.168.1.6:1"), ()),
        (("8.8.8.8:1", "192.168.1.5:2"), ("192.168.1.5:2",)),
        (("8.8.8.8:1", "8.8.4.4:2", "[2001:db8::5]:3"), ("8.8.8.8:1", "[2001:db8::5]:3")),
        (("192.168.1.5:70000", "192.168.1.5:0"), ()),
    ],
)
def test_of_announced_addresses_ours_come_first_then_public_ones(
    announced: tuple[str, ...], chosen: tuple[str, ...]
) -> None:
    assert choose(announced, OURS) == chosen


def test_on_one_machine_loopback_is_ours() -> None:
    assert choose(("127.0.0.1:4001",), ("127.0.0.1:4600",)) == ("127.0.0.1:4001",)


def test_addresses_that_come_and_go_change_the_profile_once_a_minute() -> None:
    held = AnnouncedAddresses()
    changes = {held.chosen((f"8.8.8.8:{second}",), OURS, float(second)) for second in range(1, 121)}
    assert len(changes) <= 120 / HOLD_S + 1
    assert held.chosen((), OURS, 121.0) == ()
