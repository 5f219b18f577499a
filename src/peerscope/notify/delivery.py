"""Sends each message to all channels of this peer, and reports its outcome once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random

from peerscope.alerts.notification import Notification, NotificationGroup
from peerscope.notify.base import Channel, Letter, Sender
from peerscope.notify.channel_queue import ChannelQueue, ChannelView
from peerscope.notify.settings import NotifyConfig

Answer = Callable[[Notification, bool], None]


class Delivery:
    """The channels of one peer."""

    def __init__(
        self, config: NotifyConfig, channels: Mapping[str, Channel], sender: Sender, rng: Random, answer: Answer
    ) -> None:
        """`answer`: called once per message, with True as soon as one channel took it, or False when all failed."""
        self._sender = sender
        self._answer = answer
        self._queues = [
            ChannelQueue(name, config.channels[name], channel, sender, rng) for name, channel in channels.items()
        ]

    @property
    def refused(self) -> dict[str, tuple[Letter, ...]]:
        """Letters by channel that it refused and another one took."""
        return {queue.name: queue.refused for queue in self._queues if queue.refused}

    def restore(self, refused: Mapping[str, Sequence[Letter]]) -> None:
        """Continue with letters that the channels refused in an earlier run."""
        for queue in self._queues:
            for letter in refused.get(queue.name, ()):
                queue.owe(letter)

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as group:
            for queue in self._queues:
                group.create_task(queue.run())

    def send(self, message: Notification) -> None:
        """Send a message to its channels: an escalation only to those for escalations."""
        queues = [queue for queue in self._queues if queue.config.escalation or message.what != "escalated"]
        letter = Letter(message, self._sender, time.time())
        waiting, was_delivered = len(queues), False
        refused: list[ChannelQueue] = []

        def done(queue: ChannelQueue, is_delivered: bool) -> None:
            nonlocal waiting, was_delivered
            waiting -= 1
            if not is_delivered:
                refused.append(queue)
            if is_delivered and not was_delivered:
                was_delivered = True
                self._answer(message, True)
            if waiting == 0 and was_delivered:
                for one in refused:
                    one.owe(letter)
            elif waiting == 0:
                self._answer(message, False)

        for queue in queues:
            queue.offer(letter, partial(done, queue))
        if not queues:
            self._answer(message, False)

    def follow(self, groups: Sequence[NotificationGroup]) -> None:
        """Take the groups that were sent and still fire."""
        for queue in self._queues:
            queue.follow(groups)

    def view(self) -> list[ChannelView]:
        """The state of each channel."""
        return [queue.view() for queue in self._queues]
