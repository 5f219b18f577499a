"""Messages of one agent on their way to people: the channels, and the file of what was sent."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from peerscope.alerts.episodes import Open
from peerscope.alerts.messages import Answered, Followed, NoticesChanged, Notify
from peerscope.alerts.notification import Notification
from peerscope.alerts.notification_log import SentNotice
from peerscope.alerts.notifier import NotifierState
from peerscope.core import Effect
from peerscope.host.clock import monotonic
from peerscope.host.damaged_files import put_damaged_aside
from peerscope.host.state import NOTICES_FILE, StateDirectory
from peerscope.notify.backlog import LETTERS_MAX
from peerscope.notify.base import Channel, Letter, Sender
from peerscope.notify.channel_queue import ChannelView
from peerscope.notify.delivery import Delivery
from peerscope.notify.settings import NotifyConfig
from peerscope.records.alerts import NOTICES_MAX
from peerscope.transport.driver import Driver

FILE = NOTICES_FILE
REFUSED_INTERVAL_S = 1.0
"""Between two looks at what channels refused and may take later."""

log = logging.getLogger(__name__)


class NoticesFile(Struct, frozen=True):
    """Everything that must outlive a restart, by Unix time."""

    notices: Annotated[tuple[SentNotice, ...], Meta(max_length=NOTICES_MAX)] = ()
    owed: Annotated[tuple[Open, ...], Meta(max_length=NOTICES_MAX)] = ()
    refused: dict[str, Annotated[tuple[Letter, ...], Meta(max_length=LETTERS_MAX)]] = {}
    """By channel, what it refused and another one took."""


class Dispatcher:
    """Hands messages of the core to the channels, and keeps over a restart what this peer has sent."""

    def __init__(
        self, config: NotifyConfig, channels: Mapping[str, Channel], network: str, state: StateDirectory, driver: Driver
    ) -> None:
        """`network`: its name. Gives the core what an earlier life of this peer sent."""
        self._state = state
        self._driver = driver
        file = _read(state)
        self._kept = _earlier(file, time.time() - monotonic())
        self._refused: dict[str, tuple[Letter, ...]] = {}
        """As written last."""
        sender, rng = Sender(network, driver.core.peer.me.hex()), random.Random(secrets.randbits(128))
        self._delivery = Delivery(config, channels, sender, rng, self._answered)
        self._delivery.restore(file.refused)
        driver.feed(self._kept)

    def channels(self) -> list[ChannelView]:
        """The fate of the messages, channel by channel."""
        return self._delivery.view()

    async def run(self) -> None:
        """Deliver until cancelled."""
        deliveries = asyncio.create_task(self._delivery.run())
        try:
            while not deliveries.done():
                await asyncio.wait({deliveries}, timeout=REFUSED_INTERVAL_S)
                if self._delivery.refused != self._refused:
                    self._keep()
            deliveries.result()
        finally:
            deliveries.cancel()
            await asyncio.gather(deliveries, return_exceptions=True)

    def note(self, effect: Effect) -> None:
        """Carry out an effect of the core."""
        match effect:
            case NoticesChanged(kept):
                self._kept = kept
                self._keep()
            case Notify(message):
                self._delivery.send(message)
            case Followed(groups):
                self._delivery.follow(groups)
            case _:
                pass

    def _answered(self, message: Notification, is_delivered: bool) -> None:
        self._driver.feed(Answered(message, is_delivered))

    def _keep(self) -> None:
        self._refused = self._delivery.refused
        offset_s = time.time() - monotonic()
        file = NoticesFile(
            tuple(replace(one, at=one.at + offset_s) for one in self._kept.notices),
            tuple(replace(one, began=one.began + offset_s, sent_at=one.sent_at + offset_s) for one in self._kept.owed),
            self._refused,
        )
        try:
            self._state.keep(FILE, msgspec.json.encode(file))
        except OSError as error:
            log.warning("notices are not kept over a restart: %s: %s", self._state.path / FILE, error.strerror)


def _read(state: StateDirectory) -> NoticesFile:
    """The file that an earlier life kept."""
    data = state.kept(FILE)
    try:
        kept = (
            msgspec.json.decode(data, type=NoticesFile | tuple[SentNotice, ...]) if data is not None else NoticesFile()
        )
    except (msgspec.MsgspecError, RecursionError) as error:
        put_damaged_aside(state.path / FILE, str(error), "messages that were sent may be sent again")
        return NoticesFile()
    return kept if isinstance(kept, NoticesFile) else NoticesFile(kept[:NOTICES_MAX])  # as releases before wrote it


def _earlier(kept: NoticesFile, offset_s: float) -> NotifierState:
    """Its notices and open episodes; `offset_s`: Unix minus monotonic seconds."""
    now = monotonic()
    return NotifierState(
        tuple(replace(one, at=min(one.at - offset_s, now)) for one in kept.notices),
        tuple(
            replace(one, began=min(one.began - offset_s, now), sent_at=min(one.sent_at - offset_s, now))
            for one in kept.owed
        ),
    )
