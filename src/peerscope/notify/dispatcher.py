"""Drives the notifier of one agent: looks at alerts and orders, hands messages to the courier, publishes notices."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct

from peerscope.alerts.body import Sent
from peerscope.alerts.grouping import Group, groups
from peerscope.alerts.model import Alert
from peerscope.alerts.notices import heard_notices, roster
from peerscope.alerts.notification import SETTLE_S, Message, Notifier
from peerscope.alerts.orders import Correlated, Standing, Trust
from peerscope.clock import monotonic
from peerscope.damage import put_damaged_aside
from peerscope.notify.base import Channel, Sender
from peerscope.notify.courier import Courier
from peerscope.notify.line import ChannelView
from peerscope.notify.settings import NotifyConfig
from peerscope.records.alerts import NOTICES_MAX, Severity
from peerscope.records.identity import PeerId
from peerscope.state import NOTICES_FILE, State
from peerscope.views.moment import Moment

FILE = NOTICES_FILE
LOOK_S = 1.0
SOON_S = 0.05

log = logging.getLogger(__name__)


class View(Struct, frozen=True):
    """What the dispatcher looks at, read anew each time."""

    moment: Callable[[], Moment]
    alerts: Callable[[], Iterable[Alert]]
    """Marked with the orders that fit them."""
    incidents: Callable[[], Iterable[Correlated]]
    told_as: Callable[[Alert], str | None]
    """The incident that an alert was part of last."""
    orders: Callable[[], Standing]
    quiet: Collection[str] = ()
    """Rules of which nobody is told."""


class KeptNotice(Struct, frozen=True):
    """A notice in the file, by Unix time."""

    key: str
    at: float
    severity: Severity
    delivered: bool


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
        state: State,
        publish: Callable[[Sequence[Sent]], None],
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
        kept = _read(state, time.time() - monotonic())
        self._notifier = Notifier(me, config, monotonic(), kept=kept, settle_s=SETTLE_S)
        self._published: tuple[Sent, ...] = ()
        rng = random.Random(secrets.randbits(128))
        self._courier = Courier(config, channels, Sender(network, me.hex()), rng, self._answered)

    def channels(self) -> list[ChannelView]:
        """What became of the messages, channel by channel."""
        return self._courier.view()

    async def run(self) -> None:
        """Tell people until cancelled. Whatever other peers say, this goes on."""
        couriers = asyncio.create_task(self._courier.run())
        try:
            while True:
                try:
                    self._look()
                except Exception:
                    log.exception("the review of what to tell failed")
                wait_s = self._notifier.deadline() - monotonic()
                await asyncio.wait({couriers}, timeout=min(LOOK_S, max(SOON_S, wait_s)))
                if couriers.done():
                    couriers.result()
        finally:
            couriers.cancel()
            await asyncio.gather(couriers, return_exceptions=True)

    def _look(self) -> None:
        moment = self._view.moment()
        orders = self._view.orders()
        shown = groups(
            self._view.alerts(),
            self._view.incidents(),
            orders,
            url=self._config.url,
            quiet=self._view.quiet,
            told_as=self._view.told_as,
        )
        if not shown and self._notifier.is_idle:
            self._say()
            return
        now, wall = monotonic(), time.time()
        heard, living = heard_notices(moment, self._trusts), roster(moment, self._trusts)
        messages = self._notifier.update(shown, heard, living, now, wall)
        self._say()
        for message in messages:
            self._courier.send(message)
        self._courier.follow([group for group in shown if self._is_followed(group)])

    def _is_followed(self, group: Group) -> bool:
        return group.state == "firing" and self._notifier.is_told(group.key)

    def _answered(self, message: Message, is_delivered: bool) -> None:
        if is_delivered:
            self._notifier.delivered(message)
        else:
            self._notifier.failed(message, monotonic())
        result = "delivered" if is_delivered else "failed"
        self._tell("notification", key=message.group.key, what=message.what, reason=message.reason, result=result)
        self._say()

    def _say(self) -> None:
        """Publish the notices, and keep them for the next life, where they have changed."""
        notices = self._notifier.notices
        if notices == self._published:
            return
        self._published = notices
        self._publish(notices)
        offset_s = time.time() - monotonic()
        kept = [KeptNotice(one.key, one.at + offset_s, one.severity, one.delivered) for one in notices]
        try:
            self._state.keep(FILE, msgspec.json.encode(kept))
        except OSError as error:
            log.warning("notices are not kept over a restart: %s: %s", self._state.path / FILE, error.strerror)


def _read(state: State, offset_s: float) -> list[Sent]:
    """The notices of an earlier life; `offset_s`: Unix minus monotonic seconds."""
    data = state.kept(FILE)
    try:
        kept = msgspec.json.decode(data, type=list[KeptNotice]) if data is not None else []
    except (msgspec.MsgspecError, RecursionError) as error:
        put_damaged_aside(state.path / FILE, str(error), "messages that were sent may be sent again")
        return []
    now = monotonic()
    return [Sent(k.key, min(k.at - offset_s, now), k.severity, k.delivered) for k in kept[:NOTICES_MAX]]
