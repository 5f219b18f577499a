"""What waits for the driver: peers take turns, one's order is kept, and nobody fills it."""

import asyncio
from collections.abc import Awaitable, Callable
from math import ceil

from peerscope.mesh.events import Connected, Disconnected, Leave, Received
from peerscope.mesh.messages import MESSAGE_BYTES_MAX
from peerscope.records.identity import PeerId
from peerscope.transport.inbox import BYTES_MAX, PEER_DATAGRAMS_MAX, TURN_EVENTS_MAX, Inbox

ALICE, MALLORY = PeerId(b"a" * 32), PeerId(b"m" * 32)


def with_inbox(scenario: Callable[[Inbox], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(30):
            await scenario(Inbox())

    asyncio.run(run())


async def flooded(inbox: Inbox, peer: PeerId = MALLORY, size: int = 10) -> "asyncio.Task[None]":
    """One that sends without end; the task that does."""

    async def flood() -> None:
        while True:
            await inbox.put(Received(peer, bytes(size)))

    task = asyncio.create_task(flood())
    for _ in range(5):
        await asyncio.sleep(0)
    return task


def test_an_honest_peer_waits_one_round_however_much_another_sends() -> None:
    async def scenario(inbox: Inbox) -> None:
        task = await flooded(inbox)
        for number in range(3):
            await inbox.put(Received(ALICE, bytes((number,))))
        events = await inbox.take(0.0)
        task.cancel()
        assert [event.data for event in events if event.peer == ALICE] == [b"\0", b"\1", b"\2"]
        assert len(events) == TURN_EVENTS_MAX
        assert events.index(Received(ALICE, b"\2")) <= 5

    with_inbox(scenario)


def test_one_that_sends_without_end_is_slowed_down_and_memory_stays_bounded() -> None:
    async def scenario(inbox: Inbox) -> None:
        most = BYTES_MAX + 40 * MESSAGE_BYTES_MAX
        tasks = [await flooded(inbox, PeerId(bytes((n,)) * 32), MESSAGE_BYTES_MAX) for n in range(40)]
        tasks.append(await flooded(inbox, ALICE))
        for _ in range(50):
            for _ in range(5):
                await asyncio.sleep(0)
            assert BYTES_MAX / 2 < inbox.waiting_bytes <= most
            heard = {event.peer for _ in range(ceil(41 / TURN_EVENTS_MAX)) for event in await inbox.take(0.0)}
            assert heard >= {ALICE, PeerId(bytes(32))}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while len(inbox):
            await inbox.take(0.0)
        assert inbox.waiting_bytes == 0

    with_inbox(scenario)


def test_a_goodbye_is_heard_before_the_end_of_the_connection() -> None:
    async def scenario(inbox: Inbox) -> None:
        inbox.about(ALICE, Connected(ALICE, True))
        await inbox.put(Received(ALICE, b"bye"))
        inbox.about(ALICE, Disconnected(ALICE, "gone"))
        assert await inbox.take(0.0) == [Connected(ALICE, True), Received(ALICE, b"bye"), Disconnected(ALICE, "gone")]

    with_inbox(scenario)


def test_pings_of_one_peer_leave_room_for_those_of_another() -> None:
    async def scenario(inbox: Inbox) -> None:
        taken = [inbox.put_datagram(Received(MALLORY, b"x")) for _ in range(1000)]
        assert sum(taken) == PEER_DATAGRAMS_MAX
        assert inbox.put_datagram(Received(ALICE, b"ping"))
        await inbox.put(Received(ALICE, b"message"))
        events = await inbox.take(0.0)
        assert events[-2:] == [Received(ALICE, b"ping"), Received(ALICE, b"message")]

    with_inbox(scenario)


def test_our_own_events_wait_behind_nobody() -> None:
    async def scenario(inbox: Inbox) -> None:
        task = await flooded(inbox)
        inbox.own(Leave())
        assert (await inbox.take(0.0))[0] == Leave()
        task.cancel()

    with_inbox(scenario)


def test_nothing_comes_of_nothing_in_time() -> None:
    async def scenario(inbox: Inbox) -> None:
        assert await inbox.take(0.01) == []
        waiting = asyncio.create_task(inbox.take(3600.0))
        await asyncio.sleep(0)
        await inbox.put(Received(ALICE, b"x"))
        assert await waiting == [Received(ALICE, b"x")]
        assert len(inbox) == 0

    with_inbox(scenario)
