"""Messages to people, as one peer works them out: the notifier, and the events and effects around it."""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from peerscope.alerts import notifier
from peerscope.alerts.heartbeat import Beat, Heartbeat
from peerscope.alerts.notification import Notification, NotificationGroup, is_silenced
from peerscope.alerts.notification_log import heard_notices, roster
from peerscope.alerts.notifier import Notifier, NotifierState
from peerscope.alerts.notifier_config import NotifierConfig
from peerscope.alerts.silences import StandingOrders, Trust
from peerscope.records.identity import PeerId
from peerscope.views.snapshot import Snapshot

LOOK_INTERVAL_S = 1.0
SOON_S = 0.05


class Answered(Struct, frozen=True):
    """The fate of a message; an event for the core, which reports it as an effect."""

    message: Notification
    is_delivered: bool


class Notify(Struct, frozen=True):
    """Send this to the channels; an effect of the core, answered by one `Answered`."""

    message: Notification


class Followed(Struct, frozen=True):
    """Groups that people know of and that still fire, where they differ from the last; an effect of the core."""

    groups: tuple[NotificationGroup, ...]


class NoticesChanged(Struct, frozen=True):
    """Keep this for the next life; an effect of the core, before the message that a notice is about."""

    kept: NotifierState


Said = Notify | Followed | NoticesChanged | Answered | Beat


class Messages:
    """The notifier of one peer."""

    def __init__(self, me: PeerId, config: NotifierConfig, now: float) -> None:
        self._me = me
        self._config = config
        self._followed: tuple[NotificationGroup, ...] = ()
        self.heartbeat = Heartbeat(me, config.heartbeat, now)
        self.recall(NotifierState(), now)

    def recall(self, kept: NotifierState, now: float) -> None:
        """Begin with what an earlier life sent."""
        self.notifier = Notifier(self._me, self._config, now, kept, notifier.SETTLE_TIMEOUT_S)
        self._kept = NotifierState()

    def look(
        self,
        snapshot: Snapshot,
        shown: Collection[NotificationGroup],
        orders: StandingOrders,
        quiet: Collection[str],
        trusts: Trust,
    ) -> list[Notify | Followed]:
        """Messages to send now. `shown`: all groups of the network; `quiet`: rules of which nobody is notified."""
        if not shown and self.notifier.is_idle:
            return []
        messages = self.notifier.update(
            shown,
            heard_notices(snapshot, trusts),
            roster(snapshot, trusts),
            snapshot.now,
            snapshot.wall,
            is_silenced=lambda group: is_silenced(group, orders, quiet),
        )
        found: list[Notify | Followed] = [Notify(message) for message in messages]
        followed = tuple(one for one in shown if one.state == "firing" and self.notifier.is_sent(one.key))
        if followed != self._followed:
            self._followed = followed
            found.append(Followed(followed))
        return found

    def answered(self, answer: Answered, now: float) -> None:
        """Take in what became of a message."""
        if answer.is_delivered:
            self.notifier.delivered(answer.message)
        else:
            self.notifier.failed(answer.message, now)

    def changes(self) -> list[NoticesChanged]:
        """Notices to keep, where they differ from the last call."""
        kept = NotifierState(self.notifier.notices, self.notifier.owed)
        if kept == self._kept:
            return []
        self._kept = kept
        return [NoticesChanged(kept)]

    def wait_s(self, now: float) -> float:
        """Seconds until the next look."""
        return min(LOOK_INTERVAL_S, max(SOON_S, self.notifier.deadline() - now))
