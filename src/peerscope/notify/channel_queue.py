"""Delivers messages to one channel: a queue, attempts with back-off, a rate limit, and counters.

Each attempt runs in a thread of its own that ends with the process, so that a channel that hangs holds up only itself.
After all attempts of a message failed, each further message gets one attempt until one succeeds. A slow queue would
delay other notifiers, which wait for messages that we claimed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from math import inf
from random import Random

from msgspec import Struct

from peerscope.alerts.notification import NotificationGroup
from peerscope.errors import DeliveryError
from peerscope.host.clock import monotonic
from peerscope.mesh.limits.rate_limit import TokenBucket
from peerscope.notify.attempts import in_thread
from peerscope.notify.backlog import Backlog
from peerscope.notify.base import Channel, Follower, Letter, Sender
from peerscope.notify.settings import ChannelConfig

ATTEMPTS = 4
BACKOFF_S = 1.0
"""Longest pause before the second attempt; it doubles each time, and a random part of it is used."""
ASKED_S_MAX = 20.0
"""Longest pause that another end may ask for: beyond it, another notifier is quicker."""
QUEUE_MAX = 100
BURST = 20
FOLLOW_S = 60.0

log = logging.getLogger(__name__)

Done = Callable[[bool], None]


class ChannelView(Struct, frozen=True):
    """The state of one channel."""

    name: str
    kind: str
    queued: int
    """Messages that wait, with those that the channel refused and another one took."""
    counts: dict[str, int]
    """delivered, failed, retried, dropped."""
    last_error: str | None
    """Error of the last attempt; null if it succeeded."""


class ChannelQueue:
    """The queue of one channel."""

    def __init__(self, name: str, config: ChannelConfig, channel: Channel, sender: Sender, rng: Random) -> None:
        self.name = name
        self.config = config
        self._channel = channel
        self._sender = sender
        self._rng = rng
        self._queue: asyncio.Queue[tuple[Letter, Done]] = asyncio.Queue(QUEUE_MAX)
        self._bucket = TokenBucket(config.rate_per_minute / 60, BURST, monotonic())
        self._counts = Counter[str]()
        self._last_error: str | None = None
        self._is_lost = False
        """All attempts of the last message failed."""
        self._backlog = Backlog()
        self._followed: Sequence[NotificationGroup] = ()
        self._follow_at = inf

    def offer(self, letter: Letter, done: Done) -> None:
        """Queue a message; `done` is called once, with whether it was delivered."""
        letter = self._backlog.as_due(letter)
        try:
            self._queue.put_nowait((letter, done))
        except asyncio.QueueFull:
            self._counts["dropped"] += 1
            self._last_error = f"{QUEUE_MAX} messages wait already"
            done(False)

    @property
    def refused(self) -> tuple[Letter, ...]:
        """Letters that this channel refused and still has to deliver."""
        return self._backlog.letters

    def owe(self, letter: Letter) -> None:
        """Try a letter again later that another channel took and this one did not."""
        self._backlog.owe(self._backlog.as_due(letter), monotonic())

    def follow(self, groups: Sequence[NotificationGroup]) -> None:
        """Take the groups that were sent and still fire. A `Follower` gets them once a minute."""
        self._backlog.stand(groups)
        if isinstance(self._channel, Follower):
            self._followed = groups
            self._follow_at = min(self._follow_at, monotonic() + FOLLOW_S)

    def view(self) -> ChannelView:
        """The state for people."""
        queued = self._queue.qsize() + len(self._backlog)
        return ChannelView(self.name, self.config.kind, queued, dict(self._counts), self._last_error)

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            wake_at = min(self._follow_at, self._backlog.due_at())
            try:
                async with asyncio.timeout_at(self._loop_time(wake_at)):
                    letter, done = await self._queue.get()
            except TimeoutError:
                if self._follow_at <= monotonic():
                    await self._send_followed()
                await self._work_off()
                continue
            await asyncio.sleep(self._bucket.wait_s(1.0, monotonic()))
            is_delivered = await self._deliver(letter)
            if is_delivered:
                self._backlog.answered(letter, True, monotonic())
            done(is_delivered)

    async def _work_off(self) -> None:
        """Make one attempt at a letter of the backlog, if it is due."""
        now = monotonic()
        letter = self._backlog.next(now) if self._backlog.due_at() <= now else None
        if letter is not None:
            await asyncio.sleep(self._bucket.wait_s(1.0, now))
            self._backlog.answered(letter, await self._deliver(letter, attempts=1), monotonic())

    async def _deliver(self, letter: Letter, attempts: int = ATTEMPTS) -> bool:
        """Try until the letter is delivered, or further attempts are useless."""
        attempts = 1 if self._is_lost else attempts
        for number in range(1, attempts + 1):
            try:
                await self.attempt(lambda: self._channel.deliver(letter))
            except DeliveryError as error:
                self._last_error = str(error)
                if not error.again or number == attempts:
                    break
                self._counts["retried"] += 1
                longest_s = BACKOFF_S * 2.0 ** (number - 1)
                asked_s = min(error.after_s or 0.0, ASKED_S_MAX)
                await asyncio.sleep(max(asked_s, longest_s * self._rng.uniform(0.5, 1.0)))
            else:
                if self._is_lost:
                    log.info("channel %s takes messages again", self.name)
                self._counts["delivered"] += 1
                self._is_lost, self._last_error = False, None
                return True
        if not self._is_lost:
            log.warning("channel %s: %s", self.name, self._last_error)
        self._counts["failed"] += 1
        self._is_lost = True
        return False

    async def attempt(self, work: Callable[[], None]) -> None:
        """Run work in a thread, within the timeout of the channel. Raises `DeliveryError`."""
        await in_thread(work, self.config.timeout_s, f"channel {self.name}")

    async def _send_followed(self) -> None:
        assert isinstance(self._channel, Follower)
        channel, groups = self._channel, self._followed
        self._follow_at = monotonic() + FOLLOW_S
        try:
            await self.attempt(lambda: channel.follow(groups, self._sender, time.time()))
        except DeliveryError as error:
            self._last_error = str(error)
            self._counts["failed"] += 1
        else:
            self._last_error = None

    def _loop_time(self, at: float) -> float | None:
        if at == inf:
            return None
        return asyncio.get_running_loop().time() + max(0.0, at - monotonic())
