"""Drives the notifier of one agent: looks at alerts and orders, hands messages to the courier, publishes notices."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from peerscope.alerts.episodes import Open
from peerscope.alerts.incidents import Incident
from peerscope.alerts.model import Alert
from peerscope.alerts.notification import Notification, NotificationGroup, groups, is_silenced
from peerscope.alerts.notification_log import SentNotice, heard_notices, roster
from peerscope.alerts.notifier import SETTLE_TIMEOUT_S, Notifier, NotifierState
from peerscope.alerts.silences import StandingOrders, Trust
from peerscope.host.clock import monotonic
from peerscope.host.damaged_files import put_damaged_aside
from peerscope.host.state import NOTICES_FILE, StateDirectory
from peerscope.notify.backlog import LETTERS_MAX
from peerscope.notify.base import Channel, Letter, Sender
from peerscope.notify.channel_queue import ChannelView
from peerscope.notify.delivery import Delivery
from peerscope.notify.settings import NotifyConfig
from peerscope.records.alerts import NOTICES_MAX
from peerscope.records.identity import PeerId
from peerscope.views.snapshot import Snapshot

FILE = NOTICES_FILE
LOOK_INTERVAL_S = 1.0
SOON_S = 0.05

log = logging.getLogger(__name__)


class View(Struct, frozen=True):
    """What the dispatcher looks at, read anew each time."""

    snapshot: Callable[[], Snapshot]
    alerts: Callable[[], Iterable[Alert]]
    """Marked with the orders that fit them."""
    incidents: Callable[[], Iterable[Incident]]
    last_incident: Callable[[Alert], str | None]
    """The incident that an alert was part of last."""
    orders: Callable[[], StandingOrders]
    quiet: Collection[str] = ()
    """Rules of which nobody is told."""


class KeptNotices(Struct, frozen=True):
    """What must outlive a restart, by Unix time."""

    notices: Annotated[tuple[SentNotice, ...], Meta(max_length=NOTICES_MAX)] = ()
    owed: Annotated[tuple[Open, ...], Meta(max_length=NOTICES_MAX)] = ()
    refused: dict[str, Annotated[tuple[Letter, ...], Meta(max_length=LETTERS_MAX)]] = {}
    """By channel, what it refused and another one took."""


class Dispatcher:
    """The part of one agent that tells people."""

    def __init__(
        self,
        config: NotifyConfig,
        channels: Mapping[str, Channel],
        me: PeerId,
        network: str,
        view: View,
        trusts: Trust,
        state: StateDirectory,
        publish: Callable[[Sequence[SentNotice]], None],
        tell: Callable[..., None],
    ) -> None:
        """`publish`: called with all notices of this peer, before the message they tell of leaves. `tell`: takes an
        event."""
        self._config = config
        self._view = view
        self._trusts = trusts
        self._state = state
        self._publish = publish
        self._tell = tell
        kept = _read(state)
        earlier = _earlier(kept, time.time() - monotonic())
        self._notifier = Notifier(me, config, monotonic(), earlier, SETTLE_TIMEOUT_S)
        self._published: tuple[SentNotice, ...] = ()
        self._left: tuple[tuple[Open, ...], dict[str, tuple[Letter, ...]]] = (), {}
        rng = random.Random(secrets.randbits(128))
        self._delivery = Delivery(config, channels, Sender(network, me.hex()), rng, self._answered)
        self._delivery.restore(kept.refused)

    def channels(self) -> list[ChannelView]:
        """What became of the messages, channel by channel."""
        return self._delivery.view()

    async def run(self) -> None:
        """Tell people until cancelled. Whatever other peers say, this goes on."""
        couriers = asyncio.create_task(self._delivery.run())
        try:
            while True:
                try:
                    self._look()
                except Exception:
                    log.exception("the review of what to tell failed")
                wait_s = self._notifier.deadline() - monotonic()
                await asyncio.wait({couriers}, timeout=min(LOOK_INTERVAL_S, max(SOON_S, wait_s)))
                if couriers.done():
                    couriers.result()
        finally:
            couriers.cancel()
            await asyncio.gather(couriers, return_exceptions=True)

    def _look(self) -> None:
        snapshot = self._view.snapshot()
        orders = self._view.orders()
        shown = groups(
            self._view.alerts(),
            self._view.incidents(),
            orders,
            url=self._config.url,
            quiet=self._view.quiet,
            last_incident=self._view.last_incident,
        )
        if not shown and self._notifier.is_idle:
            self._say()
            return
        now, wall = monotonic(), time.time()
        heard, living = heard_notices(snapshot, self._trusts), roster(snapshot, self._trusts)
        messages = self._notifier.update(
            shown, heard, living, now, wall, is_silenced=lambda group: is_silenced(group, orders, self._view.quiet)
        )
        self._say()
        for message in messages:
            self._delivery.send(message)
        self._delivery.follow([group for group in shown if self._is_followed(group)])

    def _is_followed(self, group: NotificationGroup) -> bool:
        return group.state == "firing" and self._notifier.is_sent(group.key)

    def _answered(self, message: Notification, is_delivered: bool) -> None:
        if is_delivered:
            self._notifier.delivered(message)
        else:
            self._notifier.failed(message, monotonic())
        result = "delivered" if is_delivered else "failed"
        self._tell("notification", key=message.group.key, what=message.what, reason=message.reason, result=result)
        self._say()

    def _say(self) -> None:
        """Publish the notices, and keep them for the next life with what is owed, where they have changed."""
        notices, left = self._notifier.notices, (self._notifier.owed, self._delivery.refused)
        if notices != self._published:
            self._publish(notices)
        elif left == self._left:
            return
        self._published, self._left = notices, left
        owed, refused = left
        offset_s = time.time() - monotonic()
        kept = KeptNotices(
            tuple(replace(one, at=one.at + offset_s) for one in notices),
            tuple(replace(one, began=one.began + offset_s, sent_at=one.sent_at + offset_s) for one in owed),
            refused,
        )
        try:
            self._state.keep(FILE, msgspec.json.encode(kept))
        except OSError as error:
            log.warning("notices are not kept over a restart: %s: %s", self._state.path / FILE, error.strerror)


def _read(state: StateDirectory) -> KeptNotices:
    """What an earlier life kept."""
    data = state.kept(FILE)
    try:
        kept = (
            msgspec.json.decode(data, type=KeptNotices | tuple[SentNotice, ...]) if data is not None else KeptNotices()
        )
    except (msgspec.MsgspecError, RecursionError) as error:
        put_damaged_aside(state.path / FILE, str(error), "messages that were sent may be sent again")
        return KeptNotices()
    return kept if isinstance(kept, KeptNotices) else KeptNotices(kept[:NOTICES_MAX])  # as releases before wrote it


def _earlier(kept: KeptNotices, offset_s: float) -> NotifierState:
    """Its notices and open episodes; `offset_s`: Unix minus monotonic seconds."""
    now = monotonic()
    return NotifierState(
        tuple(replace(one, at=min(one.at - offset_s, now)) for one in kept.notices),
        tuple(
            replace(one, began=min(one.began - offset_s, now), sent_at=min(one.sent_at - offset_s, now))
            for one in kept.owed
        ),
    )
