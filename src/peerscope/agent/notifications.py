"""What one agent has to do with people: orders of its operator, and messages through its channels."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from peerscope.agent.alerting import Alerting
from peerscope.agent.event_log import EventLog
from peerscope.alerts.incidents import Incident
from peerscope.alerts.model import Alert
from peerscope.alerts.notification_log import ESCALATION, NOTIFIER
from peerscope.alerts.silences import StandingForget, StandingOrders, mark, mark_incidents, refusal, standing
from peerscope.config import Config
from peerscope.errors import ConfigError
from peerscope.host.failures import FailureLog
from peerscope.host.state import StateDirectory
from peerscope.mesh.events import Publish
from peerscope.mesh.membership.forgetting import last_version
from peerscope.notify.base import make_channels
from peerscope.notify.channel_queue import ChannelView
from peerscope.notify.dispatcher import Dispatcher, View
from peerscope.notify.order_book import OrderBook
from peerscope.records.alerts import Orders
from peerscope.records.identity import PeerId, short
from peerscope.transport.driver import Driver
from peerscope.views.snapshot import Snapshot


class Notifications:
    """Order book and dispatcher of one agent."""

    def __init__(
        self,
        config: Config,
        state: StateDirectory,
        snapshot: Callable[[], Snapshot],
        alerting: Alerting,
        event_log: EventLog,
        failure_log: FailureLog | None = None,
    ) -> None:
        """`looks`: counts those that fail. Raises `ConfigError` for a channel that cannot be used."""
        self.book: OrderBook
        """From `open` on."""
        self._config = config
        self._state = state
        self._snapshot = snapshot
        self._alerting = alerting
        self._event_log = event_log
        self._failure_log = failure_log or FailureLog()
        self._channels = make_channels(config.notify)
        self._dispatcher: Dispatcher | None = None
        self._trusted: set[bytes] | None = None
        self._orders: tuple[Snapshot, StandingOrders] | None = None

    @property
    def roles(self) -> tuple[str, ...]:
        """What the profile says of a peer with these channels."""
        if not self._channels:
            return ()
        can_escalate = any(channel.escalation for channel in self._config.notify.channels.values())
        return (NOTIFIER, ESCALATION) if can_escalate else (NOTIFIER,)

    def open(self, driver: Driver) -> None:
        """From here on orders are taken. The state directory is ours."""
        me, config = driver.peer.me, self._config
        self._trusted = config.notify.trusts(me, is_public=config.network.public)
        self.book = OrderBook(self._state, me.hex(), lambda orders: _publish(driver, orders), self.orders)
        if self._channels:
            view = View(
                self._snapshot,
                self.alerts,
                lambda: self._alerting.correlation.incidents,
                self._alerting.correlation.last_incident,
                self.orders,
                self._quiet(),
            )
            self._dispatcher = Dispatcher(
                config.notify,
                self._channels,
                me,
                config.network.name,
                view,
                self._trusts,
                self._state,
                self._alerting.publish_notices,
                self._event_log.tell,
            )

    async def run(self) -> None:
        """Keep orders standing and tell people until cancelled."""
        parts = [self._failure_log.going("the orders", self.book.run)]
        if self._dispatcher is not None:
            parts.append(self._failure_log.going("the notifier", self._dispatcher.run))
        await asyncio.gather(*parts)

    def orders(self) -> StandingOrders:
        """The orders of the network that hold now."""
        snapshot = self._snapshot()
        if self._orders is None or self._orders[0] is not snapshot:
            self._orders = snapshot, standing(snapshot, self._trusts)
        return self._orders[1]

    def forget(self, peer: PeerId, author: str, reason: str, *, force: bool) -> StandingForget:
        """Have everybody forget a known peer until it speaks again. `force`: also one that is alive.

        Raises `ConfigError` where it is not to be forgotten.
        """
        snapshot = self._snapshot()
        said = (
            f"no peer {short(peer)} is known" if peer not in snapshot.profiles else refusal(snapshot, peer, force=force)
        )
        if said is not None:
            raise ConfigError(said)
        return self.book.forget(peer, last_version(snapshot.ledger, peer, snapshot.now), author, reason)

    def alerts(self, *, active_only: bool = False) -> list[Alert]:
        """All alerts, each with its incident, and who silenced and who acknowledged it."""
        return mark(self._alerting.alerts(active_only=active_only), self.orders())

    def incidents(self) -> list[Incident]:
        """All incidents, with who silenced and who acknowledged them."""
        return mark_incidents(self._alerting.correlation.incidents, self.alerts(active_only=True), self.orders())

    def channels(self) -> list[ChannelView]:
        """What became of the messages of this peer, channel by channel."""
        return self._dispatcher.channels() if self._dispatcher is not None else []

    def _quiet(self) -> frozenset[str]:
        return frozenset(rule.name for rule in self._config.alert_rules() if not rule.notify)

    def _trusts(self, peer: PeerId) -> bool:
        return self._trusted is None or peer in self._trusted


def _publish(driver: Driver, orders: Orders) -> None:
    driver.feed(Publish(orders, urgent=True))
