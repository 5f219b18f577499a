"""Pings by plain UDP between real endpoints on loopback: they come, they fall back, and strangers get nothing."""

import asyncio
import contextlib
import logging
import os
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from live import HAS_IPV6, came_true, settings
from peerscope.agent.monitor import Monitor
from peerscope.config import Config
from peerscope.errors import ConfigError
from peerscope.mesh.events import Connected, Lane, Received
from peerscope.records.identity import PeerId
from peerscope.transport import ping_path, pings
from peerscope.transport.iroh import IrohTransport, parse_ticket
from peerscope.transport.ping_path import PingPath
from peerscope.transport.pings import STRAYS_BURST, open_channels
from peerscope.transport.relay import TransportConfig
from peerscope.transport.sealed import OVERHEAD_BYTES, PACKET_BYTES_MAX
from peerscope.transport.wire import DATAGRAMS_BURST, Wire

LOOPBACK = "127.0.0.1:0"
PATIENCE_S = 30.0
INTERVAL_S = 0.25
"""The core pings a quiet neighbour as often."""


class End:
    """One endpoint, and the ways by which its datagrams went out."""

    def __init__(self, transport: IrohTransport) -> None:
        self.transport = transport
        self.got: list[bytes] = []
        self.connected = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @property
    def id(self) -> PeerId:
        return self.transport.peer_id

    async def _read(self) -> None:
        while True:
            for event in await self.transport.receive(1.0):
                if isinstance(event, Connected):
                    self.connected.set()
                elif isinstance(event, Received):
                    self.got.append(event.data)
                    if event.data.startswith(b"ping"):
                        self.transport.send(event.peer, b"pong" + event.data[4:], Lane.DATAGRAM)

    async def close(self) -> None:
        self._reading.cancel()
        await self.transport.close()

    def path(self, other: "End") -> PingPath:
        return self.transport.pings._paths[other.id]

    def wire(self, other: "End") -> Wire:
        return self.transport._wires[other.id][-1]


class Pair:
    """Two connected ends."""

    def __init__(self, one: End, other: End) -> None:
        self.one, self.other = one, other
        self._number = 0

    async def ping(self) -> bool:
        """Whether one ping is answered within the interval of probes."""
        self._number += 1
        name = b"%d" % self._number
        self.one.transport.send(self.other.id, b"ping" + name, Lane.DATAGRAM)
        await asyncio.sleep(INTERVAL_S)
        return b"pong" + name in self.one.got

    async def pings_until(self, condition: Callable[[], bool]) -> list[bool]:
        """Ping until it holds. Returns which pings were answered."""
        answered = []
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                answered.append(await self.ping())
        return answered

    def is_up(self) -> bool:
        return self.one.transport.pings.state.udp_links == self.other.transport.pings.state.udp_links == 1


@contextlib.asynccontextmanager
async def pair(one_port: int | None = 0, other_port: int | None = 0, listen: str = LOOPBACK) -> AsyncIterator[Pair]:
    one = End(await IrohTransport.bind(b"\1" * 32, listen, ping_port=one_port))
    other = End(await IrohTransport.bind(b"\2" * 32, listen, ping_port=other_port))
    try:
        one.transport.dial(*parse_ticket(other.transport.ticket))
        async with asyncio.timeout(PATIENCE_S):
            await one.connected.wait()
            await other.connected.wait()
        yield Pair(one, other)
    finally:
        await one.close()
        await other.close()


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exchange keys at once."""
    monkeypatch.setattr(ping_path, "SETTLE_S", 0.0)
    monkeypatch.setattr(ping_path, "KEEP_S", 0.2)


@pytest.fixture
def by_quic(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Datagrams that any end sends by QUIC."""
    sent: list[bytes] = []
    send = Wire.send_datagram

    def watched(wire: Wire, data: bytes) -> None:
        sent.append(data)
        send(wire, data)

    monkeypatch.setattr(Wire, "send_datagram", watched)
    return sent


def run(scenario: Callable[[Pair], Awaitable[Any]], **options: Any) -> None:
    async def running() -> None:
        async with pair(**options) as found:
            await scenario(found)

    asyncio.run(running())


@pytest.mark.parametrize("listen", [LOOPBACK, "[::1]:0"])
def test_pings_go_by_udp_and_nothing_is_lost_on_the_way_there(listen: str, by_quic: list[bytes]) -> None:
    if listen.startswith("[") and not HAS_IPV6:
        pytest.skip("no IPv6 here")

    async def scenario(two: Pair) -> None:
        assert all(await two.pings_until(two.is_up))
        by_quic.clear()
        for _ in range(8):
            assert await two.ping()
        assert by_quic == []
        assert two.one.transport.counters == two.other.transport.counters == {}

    run(scenario, listen=listen)


@pytest.mark.parametrize(("one_port", "other_port"), [(None, 0), (0, None), (None, None)])
def test_an_end_without_a_socket_gets_all_pings_by_quic(one_port: int | None, other_port: int | None) -> None:
    async def scenario(two: Pair) -> None:
        assert all([await two.ping() for _ in range(8)])
        assert two.one.transport.pings.state.udp_links == two.other.transport.pings.state.udp_links == 0
        assert two.one.transport.counters == two.other.transport.counters == {}

    run(scenario, one_port=one_port, other_port=other_port)


@pytest.mark.parametrize("deaf", ["one", "other", "both"])
def test_a_firewall_that_begins_to_drop_costs_one_ping(deaf: str, by_quic: list[bytes]) -> None:
    async def scenario(two: Pair) -> None:
        await two.pings_until(two.is_up)
        silent = [end.transport.pings for end in (two.one, two.other) if deaf in ("both", end_name(two, end))]
        for end in silent:
            for channel in end._channels.values():  # packets arrive at the machine, and nobody reads them
                asyncio.get_running_loop().remove_reader(channel.fileno())
        answered = [await two.ping() for _ in range(12)]
        assert answered[0] is False
        assert all(answered[1:])
        assert by_quic
        for end in silent:
            end._listen()
        assert all(await two.pings_until(two.is_up))

    run(scenario)


def test_a_firewall_that_begins_to_drop_looks_like_no_failure(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with contextlib.AsyncExitStack() as stack:
            monitors: list[Monitor] = []
            for number in range(3):
                join = {"join": (monitors[0].transport.ticket,)} if monitors else {}
                monitor = Monitor(settings(peer=join), tmp_path / str(number))
                monitors.append(await stack.enter_async_context(monitor))
            sockets = [monitor._transport.pings for monitor in monitors]
            await came_true(lambda: all(one.state.udp_links == 2 for one in sockets), "all links use UDP")
            events: list[dict[str, Any]] = []
            for monitor in monitors:
                monitor.event_log.listen(lambda event: events.append(dict(event)))
            for channel in sockets[1]._channels.values():
                asyncio.get_running_loop().remove_reader(channel.fileno())
            await came_true(lambda: not sockets[1].state.udp_links, "the deaf one has seen it")
            await came_true(lambda: [one.state.udp_links for one in sockets] == [1, 0, 1], "the others as well")
            await asyncio.sleep(5 * INTERVAL_S)
            assert [event for event in events if event["event"] in ("link", "verdict")] == []

    asyncio.run(scenario())


def end_name(two: Pair, end: End) -> str:
    return "one" if end is two.one else "other"


def test_a_connection_that_ends_takes_its_keys_with_it() -> None:
    async def scenario(two: Pair) -> None:
        await two.pings_until(two.is_up)
        two.one.transport.hang_up(two.other.id, "enough")
        assert two.one.transport.pings._by_key == {}
        assert two.one.transport.pings.state.udp_links == 0
        async with asyncio.timeout(PATIENCE_S):
            while two.other.transport.pings._by_key:
                await asyncio.sleep(0.05)

    run(scenario)


def test_a_new_connection_brings_new_keys() -> None:
    async def scenario(two: Pair) -> None:
        await two.pings_until(two.is_up)
        before = set(two.one.transport.pings._by_key)
        two.one.transport.dial(two.other.id, two.other.transport.addresses, afresh=True)
        async with asyncio.timeout(PATIENCE_S):
            while two.one.id not in two.other.transport._wires or not two.one.transport._wires.get(two.other.id):
                await asyncio.sleep(0.05)
        await two.pings_until(two.is_up)
        assert before.isdisjoint(two.one.transport.pings._by_key)

    run(scenario)


def target(two: Pair) -> tuple[str, int]:
    """The address of the other end's socket."""
    address = two.one.path(two.other)._address
    assert address is not None
    return address


def stranger(address: tuple[str, int]) -> socket.socket:
    found = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_DGRAM)
    found.setblocking(False)
    return found


def test_packets_of_strangers_get_no_answer_and_change_nothing() -> None:
    async def scenario(two: Pair) -> None:
        await two.pings_until(two.is_up)
        seen: list[bytes] = []
        transmit = two.one.path(two.other)._transmit

        def watched(packet: bytes, address: tuple[str, int]) -> bool:
            seen.append(packet)
            return transmit(packet, address)

        two.one.path(two.other)._transmit = watched
        await two.ping()
        real = seen[-1]
        address = target(two)
        forged = real[:-1] + bytes([real[-1] ^ 1])
        newer = real[:9] + (int.from_bytes(real[9:17], "big") + 1).to_bytes(8, "big") + real[17:]
        garbage = [b"", b"\0", os.urandom(OVERHEAD_BYTES), os.urandom(PACKET_BYTES_MAX + 1), b"\1" + os.urandom(60)]
        got = list(two.other.got)
        with stranger(address) as outside:
            for packet in (*garbage, real, forged, newer):
                outside.sendto(packet, address)
            await asyncio.sleep(0.2)
            assert two.other.got == got
            counters = two.other.transport.counters
            assert counters["ping-replayed"] == 2  # the same one, and the same one with another tag
            assert counters["ping-forged"] == 1
            assert counters["ping-malformed"] + counters["ping-unknown-key"] == len(garbage)
            assert await two.ping()
            with pytest.raises(BlockingIOError):
                outside.recv(2048)
        assert two.is_up()

    run(scenario)


def test_a_flood_of_strangers_closes_the_ears_and_pings_go_by_quic(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pings, "DEAF_S", 2.0)

    async def scenario(two: Pair) -> None:
        await two.pings_until(two.is_up)
        address, counters = target(two), two.other.transport.counters
        with stranger(address) as outside, caplog.at_level(logging.WARNING):
            while not counters["ping-flood"]:
                for _ in range(100):
                    with contextlib.suppress(BlockingIOError):
                        outside.sendto(secrets.token_bytes(100), address)
                await asyncio.sleep(0)
        strays = sum(counters[name] for name in ("ping-malformed", "ping-unknown-key"))
        assert STRAYS_BURST <= strays <= 1.5 * STRAYS_BURST
        assert "many packets that no peer sent" in caplog.text
        answered = [await two.ping() for _ in range(4)]
        assert all(answered[1:])
        await two.pings_until(two.is_up)

    run(scenario)


def test_a_neighbour_that_sends_too_much_by_udp_is_cut() -> None:
    async def scenario(two: Pair) -> None:
        await two.pings_until(two.is_up)
        path, limit = two.one.path(two.other), 3 * DATAGRAMS_BURST
        for number in range(round(limit)):
            path._asked = None
            assert path._seal(ping_path.PacketKind.DATA, b"much%d" % number)
            if number % 30 == 0:
                await asyncio.sleep(0)
        await asyncio.sleep(0.3)
        assert len([data for data in two.other.got if data.startswith(b"much")]) < limit
        assert two.other.transport.counters["datagram-dropped"] > 0
        await two.pings_until(two.is_up)

    run(scenario)


def test_a_taken_port_is_logged_and_pings_go_by_quic(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]

        async def scenario(two: Pair) -> None:
            assert f"cannot bind UDP 127.0.0.1:{port}" in caplog.text
            assert two.one.transport.pings.port is None
            assert all([await two.ping() for _ in range(4)])

        run(scenario, one_port=port)


@pytest.mark.skipif(not HAS_IPV6, reason="no IPv6 here")
@pytest.mark.parametrize(
    ("listen", "hosts"),
    [("127.0.0.1:1", {"127.0.0.1", "::1"}), ("[::1]:1", {"127.0.0.1", "::1"}), ("0.0.0.0:1", {"0.0.0.0", "::"})],
)
def test_both_families_have_a_socket_on_one_port(listen: str, hosts: set[str]) -> None:
    channels = open_channels(listen, 0)
    try:
        names = [channel.getsockname() for channel in channels]
        assert {name[0] for name in names} == hosts
        assert len({name[1] for name in names}) == 1
    finally:
        for channel in channels:
            channel.close()


@pytest.mark.parametrize(("value", "port"), [(0, 0), (4601, 4601), ("4602", 4602), ("off", None)])
def test_the_setting_is_a_port_or_off(value: int | str, port: int | None) -> None:
    assert TransportConfig(ping_port=value).pings == port
    environment = {"PEERSCOPE_TRANSPORT__PING_PORT": str(value)}
    assert Config.load(environment=environment).transport.pings == port


@pytest.mark.parametrize("value", [-1, 65_536, "on", "", "0x10", "٣"])
def test_other_values_are_refused(value: int | str) -> None:
    with pytest.raises(ConfigError, match=r"transport\.ping_port"):
        TransportConfig(ping_port=value)
