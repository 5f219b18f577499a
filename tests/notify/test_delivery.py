"""Queues, attempts, rates: what becomes of a message between the notifier and a channel."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from letters import SENDER, letter
from live import PATIENCE_S, came_true
from notices import group
from peerscope.alerts.notification import Notification
from peerscope.errors import DeliveryError
from peerscope.mesh.limits.rate_limit import TokenBucket
from peerscope.notify import backlog, channel_queue
from peerscope.notify.base import Letter
from peerscope.notify.channel_queue import ATTEMPTS, BURST, QUEUE_MAX
from peerscope.notify.delivery import Delivery
from peerscope.notify.settings import NotifyConfig, WebhookConfig

HOOK = WebhookConfig(kind="webhook", timeout_s=5.0)


class Paper:
    """A channel that does as it is told, and remembers."""

    def __init__(self, *errors: Exception) -> None:
        self.letters: list[Letter] = []
        self.attempts = 0
        self.errors = list(errors)
        self.always: Exception | None = None
        self.free = threading.Event()
        self.free.set()

    def deliver(self, letter: Letter) -> None:
        self.attempts += 1
        self.free.wait(PATIENCE_S)
        if self.always is not None:
            raise self.always
        if self.errors:
            raise self.errors.pop(0)
        self.letters.append(letter)


class Following(Paper):
    def __init__(self) -> None:
        super().__init__()
        self.followed: list[int] = []

    def follow(self, groups: Any, sender: Any, at: float) -> None:
        self.followed.append(len(groups))


Answers = list[tuple[str, bool]]


def carrying(
    work: Callable[[Delivery, Answers], Coroutine[Any, Any, None]], configs: dict[str, WebhookConfig], **papers: Paper
) -> None:
    """Run a courier over these channels while `work` is at it."""

    async def run() -> None:
        answers: Answers = []
        courier = Delivery(
            NotifyConfig(channels=configs), papers, SENDER, Random(1), lambda m, ok: answers.append((m.group.key, ok))
        )
        running = asyncio.create_task(courier.run())
        try:
            await work(courier, answers)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(run())


def message(key: str = "cpu-high-aa", what: str = "firing") -> Notification:
    found = letter(what, "critical").message
    return replace(found, group=replace(found.group, key=key))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_queue, "BACKOFF_S", 0.01)
    monkeypatch.setattr(backlog, "RETRY_S", 0.02)


def test_every_channel_gets_the_message_and_the_first_success_is_the_answer() -> None:
    good, slow = Paper(), Paper()
    slow.free.clear()

    async def work(courier: Delivery, answers: Answers) -> None:
        courier.send(message())
        await came_true(lambda: answers == [("cpu-high-aa", True)], "one channel took it")
        slow.free.set()
        await came_true(lambda: len(slow.letters) == 1, "the other one too")
        assert len(answers) == 1

    carrying(work, {"good": HOOK, "slow": HOOK}, good=good, slow=slow)
    assert len(good.letters) == 1


def test_what_may_pass_is_tried_again_and_what_may_not_is_not(quick: None) -> None:
    again, never = Paper(DeliveryError("503", True), DeliveryError("503", True)), Paper()
    never.always = DeliveryError("401", again=False)

    async def work(courier: Delivery, answers: Answers) -> None:
        courier.send(message())
        await came_true(lambda: bool(answers) and never.attempts == 1, "answered")

    carrying(work, {"again": HOOK, "never": HOOK}, again=again, never=never)
    assert (again.attempts, len(again.letters), never.attempts) == (3, 1, 1)
    assert len({one.idempotency_key for one in again.letters}) == 1


def test_when_all_channels_fail_the_answer_is_no_and_they_are_tried_once_until_they_work(quick: None) -> None:
    one, other = Paper(), Paper()
    one.always = other.always = DeliveryError("503", again=True)

    async def work(courier: Delivery, answers: Answers) -> None:
        courier.send(message("a"))
        await came_true(lambda: answers == [("a", False)], "all failed")
        assert (one.attempts, other.attempts) == (ATTEMPTS, ATTEMPTS)
        courier.send(message("b"))
        await came_true(lambda: len(answers) == 2, "failed at once")
        assert (one.attempts, other.attempts) == (ATTEMPTS + 1, ATTEMPTS + 1)
        one.always = None
        courier.send(message("c"))
        await came_true(lambda: answers[2:] == [("c", True)], "one works again")
        view = {view.name: view for view in courier.view()}
        await came_true(lambda: {v.name: v for v in courier.view()}["other"].counts["failed"] == 3, "counted")
        assert view["one"].counts["delivered"] == 1
        assert (view["one"].last_error, view["other"].last_error) == (None, "503")

    carrying(work, {"one": HOOK, "other": HOOK}, one=one, other=other)


@pytest.mark.parametrize("is_over", [False, True])
def test_a_channel_that_refused_what_another_took_hears_of_it_later(quick: None, is_over: bool) -> None:
    good, closed = Paper(), Paper()
    closed.always = DeliveryError("404", again=False)

    async def work(courier: Delivery, answers: Answers) -> None:
        sent = message()
        courier.send(sent)
        courier.follow([sent.group])
        await came_true(lambda: closed.attempts >= 4, "tried again and again while it stands")
        if is_over:
            courier.follow([])
            courier.send(message(what="resolved"))
            await came_true(lambda: len(good.letters) == 2, "it is over")
        closed.always = None
        await came_true(lambda: len(closed.letters) == 1, "the channel works again")
        await came_true(lambda: all(view.queued == 0 for view in courier.view()), "nothing is left")

    carrying(work, {"good": HOOK, "closed": HOOK}, good=good, closed=closed)
    (late,) = closed.letters
    assert late.message.reason == ("missed" if is_over else "new")
    assert late.idempotency_key == good.letters[-1].idempotency_key
    assert [one.message.reason for one in good.letters] == (["new", "resolved"] if is_over else ["new"])


def test_a_channel_hears_nothing_late_of_what_is_silenced_meanwhile(quick: None) -> None:
    good, closed = Paper(), Paper(DeliveryError("404", again=False))

    async def work(courier: Delivery, answers: Answers) -> None:
        sent = message()
        courier.send(sent)
        courier.follow([replace(sent.group, silenced=True)])
        await came_true(lambda: any(view.queued == 1 for view in courier.view()), "it is owed")
        courier.send(message("other"))
        await came_true(lambda: len(closed.letters) == 1, "another message passes")
        assert closed.letters[0].message.group.key == "other"
        courier.follow([sent.group])
        await came_true(lambda: len(closed.letters) == 2, "and this one when the silence ends")

    carrying(work, {"good": HOOK, "closed": HOOK}, good=good, closed=closed)


def test_a_channel_that_hangs_holds_up_nothing_but_itself(quick: None) -> None:
    hung, good = Paper(), Paper()
    hung.free.clear()

    async def work(courier: Delivery, answers: Answers) -> None:
        for number in range(5):
            courier.send(message(str(number)))
        await came_true(lambda: len(good.letters) == 5, "the good one got all")
        await came_true(lambda: hung.attempts >= 2, "the hung one is given up and tried again")

    carrying(work, {"hung": replace(HOOK, timeout_s=0.1), "good": HOOK}, hung=hung, good=good)
    hung.free.set()


def test_a_bug_in_a_channel_is_a_failed_delivery_and_its_text_stays_inside() -> None:
    broken = Paper()
    broken.always = ValueError("hunter2")

    async def work(courier: Delivery, answers: Answers) -> None:
        courier.send(message())
        await came_true(lambda: answers == [("cpu-high-aa", False)], "failed")
        assert courier.view()[0].last_error == "failed with ValueError"

    carrying(work, {"broken": HOOK}, broken=broken)


def test_repetitions_go_to_escalation_channels_only() -> None:
    day, night = Paper(), Paper()

    async def work(courier: Delivery, answers: Answers) -> None:
        courier.send(message("a", "escalated"))
        courier.send(message("b", "firing"))
        await came_true(lambda: len(night.letters) == 2 and len(day.letters) == 1, "delivered")

    carrying(work, {"day": HOOK, "night": replace(HOOK, escalation=True)}, day=day, night=night)
    assert [one.message.what for one in day.letters] == ["firing"]


def test_a_full_queue_says_no_at_once_so_that_another_peer_tells() -> None:
    stuck = Paper()
    stuck.free.clear()

    async def work(courier: Delivery, answers: Answers) -> None:
        for number in range(QUEUE_MAX + 1):
            courier.send(message(str(number)))
        assert answers == [(str(QUEUE_MAX), False)]
        assert courier.view()[0].counts == {"dropped": 1}

    carrying(work, {"stuck": HOOK}, stuck=stuck)
    stuck.free.set()


def test_a_flood_is_slowed_to_the_channels_rate() -> None:
    bucket = TokenBucket(1.0, BURST, 0.0)
    waits = [bucket.wait_s(1.0, 0.0) for _ in range(BURST + 3)]
    assert waits == [0.0] * BURST + [1.0, 2.0, 3.0]
    assert bucket.wait_s(1.0, 1000.0) == 0.0
    assert [bucket.wait_s(1.0, 1000.0) for _ in range(BURST)][-2:] == [0.0, 1.0]


def test_a_channel_that_follows_is_told_again_and_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_queue, "FOLLOW_S", 0.02)
    following, plain = Following(), Paper()

    async def work(courier: Delivery, answers: Answers) -> None:
        courier.follow([group()])
        await came_true(lambda: len(following.followed) >= 3, "told again and again")
        courier.follow([])
        await came_true(lambda: following.followed[-1] == 0, "and that nothing fires")
        courier.send(message())
        await came_true(lambda: len(following.letters) == 1, "messages pass in between")

    carrying(work, {"following": HOOK, "plain": HOOK}, following=following, plain=plain)
    assert following.followed[0] == 1
