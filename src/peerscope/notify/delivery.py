"""Takes each message to all channels of this peer, and says once what became of it."""

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
        """`answer`: called once for every message: True as soon as one channel took it, False when none did."""
        self._sender = sender
        self._answer = answer
        self._lines = [
            ChannelQueue(name, config.channels[name], channel, sender, rng) for name, channel in channels.items()
        ]

    @property
    def refused(self) -> dict[str, tuple[Letter, ...]]:
        """By channel, what it refused and another one took."""
        return {line.name: line.refused for line in self._lines if line.refused}

    def restore(self, refused: Mapping[str, Sequence[Letter]]) -> None:
        """Go on with what the channels refused in an earlier life."""
        for line in self._lines:
            for letter in refused.get(line.name, ()):
                line.owe(letter)

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as group:
            for line in self._lines:
                group.create_task(line.run())

    def send(self, message: Notification) -> None:
        """Give it to every channel that it is for."""
        lines = [line for line in self._lines if line.config.escalation or message.what != "escalated"]
        letter = Letter(message, self._sender, time.time())
        waiting, was_delivered = len(lines), False
        refused: list[ChannelQueue] = []

        def done(line: ChannelQueue, is_delivered: bool) -> None:
            nonlocal waiting, was_delivered
            waiting -= 1
            if not is_delivered:
                refused.append(line)
            if is_delivered and not was_delivered:
                was_delivered = True
                self._answer(message, True)
            if waiting == 0 and was_delivered:
                for one in refused:
                    one.owe(letter)
            elif waiting == 0:
                self._answer(message, False)

        for line in lines:
            line.offer(letter, partial(done, line))
        if not lines:
            self._answer(message, False)

    def follow(self, groups: Sequence[NotificationGroup]) -> None:
        """What was told and still fires."""
        for line in self._lines:
            line.follow(groups)

    def view(self) -> list[ChannelView]:
        """What became of the messages, channel by channel."""
        return [line.view() for line in self._lines]
