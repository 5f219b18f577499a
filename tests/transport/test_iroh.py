"""Real endpoints on loopback: connecting, messages both ways, bounds, goodbyes."""

import asyncio
import contextlib
import signal
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import pytest

from peerscope.errors import ConfigError
from peerscope.mesh.events import Breach, Connected, DialFailed, Disconnected, Event, Lane, Received
from peerscope.mesh.messages import MESSAGE_BYTES_MAX
from peerscope.records.identity import Identity, PeerId
from peerscope.transport import iroh
from peerscope.transport.iroh import IrohTransport, parse_ticket
from peerscope.transport.wire import QUEUE_BYTES_MAX, QUEUE_MESSAGES_MAX

E = TypeVar("E", bound=Event)
LOOPBACK = "127.0.0.1:0"
PATIENCE_S = 30.0
STRANGER = Identity(b"s" * 32).peer_id
NO_KEY = PeerId(b"\x02".ljust(32, b"\0"))
WIRE_OVERHEAD = struct.calcsize(">I")


class End:
    """One endpoint, and what happened to it that no test has asked about yet."""

    def __init__(self, transport: IrohTransport) -> None:
        self.transport = transport
        self.seen: list[Event] = []

    @property
    def id(self) -> PeerId:
        return self.transport.peer_id

    async def next(self, kind: type[E]) -> E:
        """The next event of a kind."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for event in self.seen:
                    if isinstance(event, kind):
                        self.seen.remove(event)
                        return event
                self.seen += await self.transport.receive(1.0)

    async def messages(self, count: int) -> list[bytes]:
        """So many messages, in the order they came."""
        return [(await self.next(Received)).data for _ in range(count)]

    def dial(self, other: "End") -> None:
        self.transport.dial(*parse_ticket(other.transport.ticket))


@contextlib.asynccontextmanager
async def ends(count: int) -> AsyncIterator[list[End]]:
    async with contextlib.AsyncExitStack() as stack:
        found = []
        for number in range(count):
            transport = await IrohTransport.bind(bytes((number + 1,)) * 32, LOOPBACK)
            stack.push_async_callback(transport.close)
            found.append(End(transport))
        yield found


async def connect(one: End, other: End) -> None:
    one.dial(other)
    assert await one.next(Connected) == Connected(other.id, True)
    assert await other.next(Connected) == Connected(one.id, False)


def with_ends(count: int, scenario: Callable[..., Awaitable[Any]]) -> None:
    async def run() -> None:
        async with ends(count) as found:
            await scenario(*found)

    asyncio.run(run())


def test_the_endpoint_has_the_id_of_its_key() -> None:
    async def scenario(end: End) -> None:
        assert end.id == Identity(b"\1" * 32).peer_id
        assert parse_ticket(end.transport.ticket) == (end.id, end.transport.addresses)
        (address,) = end.transport.addresses
        assert address.startswith("127.0.0.1:")
        assert not address.endswith(":0")

    with_ends(1, scenario)


def test_who_knocks_behind_somebody_slow_is_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(slow: End, fast: End, host: End) -> None:
        knocked, open_door = asyncio.Event(), IrohTransport._open

        async def opens(transport: IrohTransport, incoming: Any) -> None:
            if not knocked.is_set():
                knocked.set()
                await asyncio.Event().wait()
            await open_door(transport, incoming)

        monkeypatch.setattr(IrohTransport, "_open", opens)
        slow.dial(host)
        await knocked.wait()
        fast.dial(host)
        assert await host.next(Connected) == Connected(fast.id, False)

    with_ends(3, scenario)


@pytest.mark.parametrize("lane", Lane)
def test_messages_go_both_ways_over_one_connection(lane: Lane) -> None:
    async def scenario(one: End, other: End) -> None:
        await connect(one, other)
        one.transport.send(other.id, b"there", lane)
        assert await other.next(Received) == Received(one.id, b"there")
        other.transport.send(one.id, b"and back", lane)
        assert await one.next(Received) == Received(other.id, b"and back")

    with_ends(2, scenario)


def test_the_stream_keeps_order_and_borders_whatever_the_sizes() -> None:
    sent = [bytes((size % 251,)) * size for size in (1, 0, 70, MESSAGE_BYTES_MAX, 2, 65_000, MESSAGE_BYTES_MAX - 1, 3)]

    async def scenario(one: End, other: End) -> None:
        await connect(one, other)
        for data in sent:
            one.transport.send(other.id, data, Lane.STREAM)
        assert await other.messages(len(sent)) == sent

    with_ends(2, scenario)


def test_two_that_dial_each_other_at_once_are_linked_and_stay_so() -> None:
    async def scenario(one: End, other: End) -> None:
        one.dial(other)
        other.dial(one)
        for end in (one, other, one, other):
            await end.next(Connected)
        for sender, receiver in ((one, other), (other, one)):
            for lane in Lane:
                sender.transport.send(receiver.id, b"hello", lane)
                assert await receiver.next(Received) == Received(sender.id, b"hello")
        assert one.seen + other.seen == []

    with_ends(2, scenario)


def test_a_third_connection_replaces_the_oldest_without_a_break() -> None:
    async def scenario(one: End, other: End) -> None:
        for _ in range(4):
            await connect(one, other)
            one.transport.send(other.id, b"hello", Lane.STREAM)
            assert await other.next(Received) == Received(one.id, b"hello")
        assert one.seen + other.seen == []

    with_ends(2, scenario)


def test_the_wrong_peer_behind_an_address_is_no_connection() -> None:
    async def scenario(one: End, other: End) -> None:
        one.transport.dial(STRANGER, other.transport.addresses)
        assert (await one.next(DialFailed)).peer == STRANGER
        assert one.transport.counters["dial-failed"] == 1
        await connect(one, other)  # no harm done
        assert other.seen == []

    with_ends(2, scenario)


def test_nobody_behind_an_address_is_a_failed_dial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iroh, "DIAL_TIMEOUT_S", 0.3)
    monkeypatch.setattr(iroh, "CLOSE_TIMEOUT_S", 0.1)  # iroh would wait for that nobody once more

    async def scenario(one: End, other: End) -> None:
        await other.transport.close()
        one.dial(other)
        failed = await one.next(DialFailed)
        assert failed.peer == other.id
        assert failed.reason
        assert one.transport.counters["dial-failed"] == 1

    with_ends(2, scenario)


@pytest.mark.parametrize("addresses", [(), ("nonsense",), ("localhost:1",), ("127.0.0.1:70000",), ("\0",)])
def test_addresses_that_are_none_are_a_failed_dial(addresses: tuple[str, ...]) -> None:
    async def scenario(one: End) -> None:
        one.transport.dial(STRANGER, addresses)
        assert (await one.next(DialFailed)).peer == STRANGER

    with_ends(1, scenario)


def test_an_id_that_is_no_key_and_ones_own_are_a_failed_dial() -> None:
    async def scenario(one: End) -> None:
        for peer in (NO_KEY, one.id):
            one.transport.dial(peer, one.transport.addresses)
            assert (await one.next(DialFailed)).peer == peer

    with_ends(1, scenario)


def test_a_message_longer_than_any_closes_its_connection_and_is_counted() -> None:
    async def scenario(one: End, other: End) -> None:
        await connect(one, other)
        one.transport.send(other.id, bytes(MESSAGE_BYTES_MAX + 1), Lane.STREAM)
        lost = await other.next(Disconnected)
        assert lost.peer == one.id
        assert str(MESSAGE_BYTES_MAX) in lost.reason
        assert await other.next(Breach) == Breach(one.id, "oversized-message")
        assert (await one.next(Disconnected)).peer == other.id
        assert other.seen == []  # nothing of it was handed on
        await connect(one, other)

    with_ends(2, scenario)


def test_a_full_queue_drops_what_does_not_fit_and_counts_it() -> None:
    async def scenario(one: End, other: End) -> None:
        await connect(one, other)
        for number in range(QUEUE_MESSAGES_MAX + 5):  # without giving the writer its turn
            one.transport.send(other.id, number.to_bytes(4, "big"), Lane.STREAM)
        assert one.transport.counters["send-queue-full"] == 5
        received = await other.messages(QUEUE_MESSAGES_MAX)
        assert [int.from_bytes(data, "big") for data in received] == list(range(QUEUE_MESSAGES_MAX))
        one.transport.send(other.id, b"room again", Lane.STREAM)
        assert await other.messages(1) == [b"room again"]

    with_ends(2, scenario)


def test_the_queue_is_bounded_by_bytes_as_well() -> None:
    fitting = QUEUE_BYTES_MAX // (MESSAGE_BYTES_MAX + WIRE_OVERHEAD)

    async def scenario(one: End, other: End) -> None:
        await connect(one, other)
        for _ in range(fitting + 3):
            one.transport.send(other.id, bytes(MESSAGE_BYTES_MAX), Lane.STREAM)
        assert one.transport.counters["send-queue-full"] == 3
        assert await other.messages(fitting) == [bytes(MESSAGE_BYTES_MAX)] * fitting
        one.transport.send(other.id, b"room again", Lane.STREAM)
        assert await other.messages(1) == [b"room again"]

    with_ends(2, scenario)


def test_a_message_to_nobody_and_a_datagram_too_long_are_counted() -> None:
    async def scenario(one: End, other: End) -> None:
        one.transport.send(STRANGER, b"x", Lane.STREAM)
        assert one.transport.counters["send-unconnected"] == 1
        await connect(one, other)
        one.transport.send(other.id, bytes(60_000), Lane.DATAGRAM)
        assert one.transport.counters["datagram-unsent"] == 1

    with_ends(2, scenario)


def test_hanging_up_delivers_what_was_queued_and_then_the_other_end_knows() -> None:
    sent = [bytes((number,)) * 10_000 for number in range(50)] + [b"bye"]

    async def scenario(one: End, other: End) -> None:
        await connect(one, other)
        for data in sent:
            one.transport.send(other.id, data, Lane.STREAM)
        one.transport.hang_up(other.id, "leaving")
        one.transport.send(other.id, b"too late", Lane.STREAM)
        assert one.transport.counters["send-unconnected"] == 1
        assert await other.messages(len(sent)) == sent
        lost = await other.next(Disconnected)
        assert lost.peer == one.id
        assert "leaving" in lost.reason
        assert one.seen + other.seen == []

    with_ends(2, scenario)


def test_a_goodbye_arrives_even_when_the_endpoint_closes_at_once() -> None:
    async def scenario(one: End, other: End) -> None:
        await connect(one, other)
        one.transport.send(other.id, b"bye", Lane.STREAM)
        one.transport.hang_up(other.id, "leaving")
        await one.transport.close()
        assert await other.messages(1) == [b"bye"]
        await other.next(Disconnected)

    with_ends(2, scenario)


def test_hanging_up_on_a_stranger_is_harmless() -> None:
    async def scenario(one: End, other: End) -> None:
        one.transport.hang_up(STRANGER, "who?")
        await connect(one, other)

    with_ends(2, scenario)


def test_closing_an_endpoint_disconnects_its_neighbours() -> None:
    async def scenario(one: End, other: End, third: End) -> None:
        await connect(one, other)
        await connect(third, one)
        await one.transport.close()
        assert (await other.next(Disconnected)).peer == one.id
        assert (await third.next(Disconnected)).peer == one.id

    with_ends(3, scenario)


def test_one_that_says_nothing_lets_receive_return_in_time() -> None:
    async def scenario(one: End) -> None:
        async with asyncio.timeout(PATIENCE_S):
            assert await one.transport.receive(0.01) == []
            one.transport.inject(DialFailed(STRANGER, "x"))
            assert await one.transport.receive(3600.0) == [DialFailed(STRANGER, "x")]

    with_ends(1, scenario)


@pytest.mark.parametrize("ticket", ["", "endpoint", "endpointabc", "no ticket at all", "x" * 10_000, "\x1b[31m"])
def test_what_is_no_ticket_is_told_in_one_line(ticket: str) -> None:
    with pytest.raises(ConfigError, match="not a ticket") as told:
        parse_ticket(ticket)
    assert str(told.value).isprintable()
    assert len(str(told.value)) < 400


def test_a_ticket_may_have_white_space_around_it() -> None:
    async def scenario(one: End) -> None:
        assert parse_ticket(f"  {one.transport.ticket}\n") == parse_ticket(one.transport.ticket)

    with_ends(1, scenario)


def test_a_port_in_use_is_told_in_one_line() -> None:
    async def scenario(one: End) -> None:
        (address,) = one.transport.addresses
        with pytest.raises(ConfigError, match=f"cannot listen on {address}.*--listen") as told:
            await IrohTransport.bind(b"\2" * 32, address)
        assert str(told.value).isprintable()

    with_ends(1, scenario)


@pytest.mark.parametrize("listen", ["localhost:0", "192.0.2.1:0"])
def test_an_address_that_is_not_ours_is_told(listen: str) -> None:
    async def scenario() -> None:
        with pytest.raises(ConfigError, match=f"cannot listen on {listen}"):
            await IrohTransport.bind(b"\1" * 32, listen)

    asyncio.run(scenario())


NEIGHBOUR = """
import asyncio
from peerscope.transport.iroh import IrohTransport

async def main():
    transport = await IrohTransport.bind(b"n" * 32, "127.0.0.1:0")
    print(transport.ticket, flush=True)
    while True:
        for event in await transport.receive(3600.0):
            print(type(event).__name__, getattr(event, "data", b"").decode(), flush=True)

asyncio.run(main())
"""


@pytest.mark.e2e
def test_closing_with_a_dead_neighbour_ends_in_time() -> None:
    async def scenario(one: End) -> None:
        assert process.stdout is not None
        peer, addresses = parse_ticket(process.stdout.readline())
        one.transport.dial(peer, addresses)
        await one.next(Connected)
        process.send_signal(signal.SIGSTOP)
        one.transport.send(peer, b"bye", Lane.STREAM)
        one.transport.hang_up(peer, "leaving")
        async with asyncio.timeout(10):  # five are promised
            await one.transport.close()

    with subprocess.Popen([sys.executable, "-c", NEIGHBOUR], stdout=subprocess.PIPE, text=True) as process:
        try:
            with_ends(1, scenario)
        finally:
            process.kill()


@pytest.mark.e2e
def test_a_goodbye_reaches_one_who_is_late() -> None:
    """Whoever sees only the end of a connection takes the other for lost."""

    async def scenario(one: End) -> None:
        peer, addresses = parse_ticket(process.stdout.readline())
        one.transport.dial(peer, addresses)
        await one.next(Connected)
        assert process.stdout.readline().split() == ["Connected"]
        process.send_signal(signal.SIGSTOP)
        one.transport.send(peer, b"bye", Lane.STREAM)
        one.transport.hang_up(peer, "not a neighbour")
        await asyncio.sleep(2.0)
        process.send_signal(signal.SIGCONT)
        read = asyncio.get_running_loop().run_in_executor
        assert (await read(None, process.stdout.readline)).split() == ["Received", "bye"]
        assert (await read(None, process.stdout.readline)).split() == ["Disconnected"]

    with subprocess.Popen([sys.executable, "-c", NEIGHBOUR], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            with_ends(1, scenario)
        finally:
            process.kill()
