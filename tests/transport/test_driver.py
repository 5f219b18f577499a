"""The loop between core and transport: a bug that a message meets costs that message, and nothing else."""

import asyncio
import logging
from collections import Counter
from random import Random

import pytest

from peerscope.core import Core, CoreConfig
from peerscope.mesh.config import PeerConfig
from peerscope.mesh.events import Connected, Effect, Event, Lane, Publish, Received
from peerscope.mesh.peer import Peer
from peerscope.mesh.peer_state import Clocks
from peerscope.records.bodies import Kind, Profile
from peerscope.records.identity import Identity, PeerId
from peerscope.transport import driver as driving
from peerscope.transport.driver import LOGGED_MAX, Driver
from peerscope.views.throughput import Throughput

OTHER = Identity(b"\1" * 32).peer_id


class Tape:
    """A transport that plays events, and then waits for ever."""

    def __init__(self, *turns: list[Event]) -> None:
        self.counters: Counter[str] = Counter()
        self.ticket, self.addresses, self.queued = "none", (), 0
        self._turns = list(turns)
        self.played = asyncio.Event()

    async def receive(self, timeout_s: float) -> list[Event]:
        if self._turns:
            return self._turns.pop(0)
        self.played.set()
        await asyncio.Event().wait()
        raise AssertionError

    def relayed(self) -> frozenset[PeerId] | None:
        return None

    def inject(self, event: Event) -> None: ...

    def send(self, to: PeerId, data: bytes, lane: Lane) -> None: ...

    def dial(self, peer: PeerId, addresses: tuple[str, ...], *, afresh: bool = False) -> None: ...

    def hang_up(self, peer: PeerId, reason: str) -> None: ...

    async def close(self) -> None: ...


class Cursed(Peer):
    """A core with a bug that one kind of message meets."""

    def handle(self, event: Event, now: float) -> list[Effect]:
        if isinstance(event, Received) and event.data == b"curse":
            raise ZeroDivisionError("nobody has met this bug yet")
        if isinstance(event, Publish) and event.urgent:
            raise ZeroDivisionError("a bug of our own making")
        return super().handle(event, now)

    def tick(self, now: float) -> list[Effect]:
        if any(profile.version == "curse" for peer in self.ledger if (profile := self.ledger.profile(peer))):
            raise ZeroDivisionError("what somebody said is met at every turn")
        return super().tick(now)


def core() -> Cursed:
    return Cursed(Identity(b"\2" * 32), PeerConfig(), Random(1), Clocks(0.0, 1e9))


async def play(peer: Peer, *turns: list[Event], throughput: Throughput | None = None) -> None:
    tape = Tape(*turns)
    running = asyncio.create_task(
        Driver(Core(CoreConfig(), peer, 0.0, 1e9), tape, lambda effect: None, throughput).run()
    )
    played = asyncio.create_task(tape.played.wait())
    await asyncio.wait((running, played), return_when=asyncio.FIRST_COMPLETED)
    played.cancel()
    if running.done():
        running.result()
    running.cancel()


def test_a_message_that_meets_a_bug_is_dropped_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    peer = core()
    curses: list[Event] = [Received(OTHER, b"curse")] * (LOGGED_MAX + 5)
    afterwards: list[Event] = [Publish(Profile((), None, "1", 0))]
    with caplog.at_level(logging.ERROR):
        asyncio.run(play(peer, [Connected(OTHER, False), *curses], afterwards))
    assert peer.refused == {"internal-error": LOGGED_MAX + 5}
    assert peer.ledger.get(peer.me, Kind.PROFILE) is not None
    assert len(caplog.records) == LOGGED_MAX


def test_a_bug_that_no_message_brought_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        asyncio.run(play(core(), [Publish(Profile((), None, "1", 0), urgent=True)]))


def test_a_turn_that_meets_a_bug_is_counted_and_logged_and_others_follow_without_haste(
    caplog: pytest.LogCaptureFixture,
) -> None:
    peer = core()
    turns: list[list[Event]] = [[Publish(Profile((), None, "curse", 0))], [], []]
    with caplog.at_level(logging.ERROR):
        asyncio.run(play(peer, *turns))
    assert peer.refused == {"internal-error": 1}  # the others would have come within the second
    assert len(caplog.records) == 1


def test_every_message_is_counted_each_way_whatever_it_meets() -> None:
    throughput, peer = Throughput(0.0), core()
    asyncio.run(play(peer, [Connected(OTHER, True), Received(OTHER, b"curse")], throughput=throughput))
    assert (throughput.messages_in, throughput.bytes_in) == (1, 5)
    assert (throughput.messages_out, throughput.bytes_out) == (1, peer.out.bytes["hello"])


@pytest.mark.parametrize(("slept_s", "late_s"), [(86_400.0, 0.0), (0.0, 3.0), (86_400.0, 3.0)])
def test_a_turn_that_comes_after_a_sleep_of_the_machine_is_not_late_by_it(
    monkeypatch: pytest.MonkeyPatch, slept_s: float, late_s: float
) -> None:
    now, slept = 1000.0, 0.0

    class Lid(Tape):
        """The machine sleeps while the loop waits for the peer's next turn."""

        async def receive(self, timeout_s: float) -> list[Event]:
            nonlocal now, slept
            if self._turns:
                now, slept = now + timeout_s + slept_s + late_s, slept + slept_s
            return await super().receive(timeout_s)

    monkeypatch.setattr(driving, "monotonic", lambda: now)
    monkeypatch.setattr(driving, "asleep", lambda: slept)
    peer = Peer(Identity(b"\2" * 32), PeerConfig(), Random(1), Clocks(now, 1e9))
    driver = Driver(Core(CoreConfig(), peer, now, 1e9), tape := Lid([]), print)

    async def one_turn() -> None:
        running = asyncio.create_task(driver.run())
        await tape.played.wait()
        running.cancel()

    asyncio.run(one_turn())
    assert driver.take_lag_s() == pytest.approx(late_s)
