"""One agent and its people: orders of its operator, and messages through its channels."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from peerscope.alerts.heartbeat import Beat
from peerscope.alerts.notification_log import ESCALATION, HEARTBEAT, NOTIFIER
from peerscope.alerts.silences import StandingForget, StandingOrders, refusal
from peerscope.config import Config
from peerscope.core import Effect
from peerscope.errors import ConfigError
from peerscope.host.clock import monotonic
from peerscope.host.failures import FailureLog
from peerscope.host.state import StateDirectory
from peerscope.mesh.events import Publish
from peerscope.mesh.membership.forgetting import last_version
from peerscope.notify.base import Sender, make_channels
from peerscope.notify.order_book import OrderBook
from peerscope.notify.settings import HeartbeatView
from peerscope.records.alerts import Orders
from peerscope.records.identity import PeerId, short
from peerscope.transport.driver import Driver

if TYPE_CHECKING:
    from peerscope.notify.channel_queue import ChannelView
    from peerscope.notify.dispatcher import Dispatcher
    from peerscope.notify.heartbeats import Heartbeats


class Notifications:
    """Order book and dispatcher of one agent. Without channels, the modules that send are not imported."""

    def __init__(self, config: Config, state: StateDirectory, failure_log: FailureLog) -> None:
        """`failure_log`: counts looks that fail. Raises `ConfigError` for a channel that cannot be used."""
        self.book: OrderBook
        """From `open` on."""
        self._config = config
        self._state = state
        self._failure_log = failure_log
        self._channels = make_channels(config.notify)
        if config.notify.heartbeat.is_wanted:
            config.notify.heartbeat.address()
        self.heartbeats: Heartbeats | None = None
        """From `open` on, where they are configured and there are channels."""
        self._dispatcher: Dispatcher | None = None
        self._driver: Driver

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles in the profile of a peer with these channels."""
        if not self._channels:
            return ()
        can_escalate = any(channel.escalation for channel in self._config.notify.channels.values())
        beats = self.heartbeats is not None and self.heartbeats.has_role
        return (NOTIFIER, *([ESCALATION] if can_escalate else []), *([HEARTBEAT] if beats else []))

    def open(self, driver: Driver) -> None:
        """From here on orders are taken. The state directory is ours."""
        config, me = self._config, driver.core.peer.me
        self._driver = driver
        self.book = OrderBook(self._state, me.hex(), lambda orders: _publish(driver, orders), self.orders)
        if self._channels:
            from peerscope.notify.dispatcher import Dispatcher
            from peerscope.notify.heartbeats import Heartbeats

            name = config.network.name
            self._dispatcher = Dispatcher(config.notify, self._channels, name, self._state, driver)
            if config.notify.heartbeat.is_wanted:
                self.heartbeats = Heartbeats(config.notify.heartbeat, Sender(name, me.hex()))

    def note(self, effect: Effect) -> None:
        """Carry out an effect of the core."""
        if self._dispatcher is not None:
            self._dispatcher.note(effect)
        if self.heartbeats is not None and isinstance(effect, Beat):
            self.heartbeats.offer(effect)

    async def run(self) -> None:
        """Keep orders standing and send messages until cancelled."""
        parts = [self._failure_log.going("the orders", self.book.run)]
        if self._dispatcher is not None:
            parts.append(self._failure_log.going("the notifier", self._dispatcher.run))
        if self.heartbeats is not None:
            parts.append(self._failure_log.going("the heartbeats", self.heartbeats.run))
        await asyncio.gather(*parts)

    def orders(self) -> StandingOrders:
        """The orders of the network that hold now."""
        return self._driver.core.alerts.orders(self._driver.core.snapshot(monotonic()))

    def forget(self, peer: PeerId, author: str, reason: str, *, force: bool) -> StandingForget:
        """Have everybody forget a known peer until it speaks again. `force`: also one that is alive.

        Raises `ConfigError` where it is not to be forgotten.
        """
        snapshot = self._driver.core.snapshot(monotonic())
        said = (
            f"no peer {short(peer)} is known" if peer not in snapshot.profiles else refusal(snapshot, peer, force=force)
        )
        if said is not None:
            raise ConfigError(said)
        return self.book.forget(peer, last_version(snapshot.ledger, peer, snapshot.now), author, reason)

    def channels(self) -> list[ChannelView]:
        """The fate of this peer's messages, channel by channel."""
        return self._dispatcher.channels() if self._dispatcher is not None else []

    def heartbeat(self) -> HeartbeatView | None:
        """The results of this peer's heartbeats; None if it has none."""
        return self.heartbeats.view() if self.heartbeats is not None else None


def _publish(driver: Driver, orders: Orders) -> None:
    driver.feed(Publish(orders, urgent=True))
