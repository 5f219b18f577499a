"""Which notifier sends which message, and when: exactly one if the network is whole, at least one otherwise.

Peers that declare channels are *notifiers*. All of them see the same groups and rank themselves by rendezvous hash of
the group's key. Rank r waits `group_wait_s`, so that alerts of one cause come together, plus r times `RANK_S`. It then
sends, unless another peer's notice shows a message of this severity or a worse one.

A notice has two stages, so that no message is lost with the notifier that sends it. When a notifier sends, the notice
is a *claim*: the others wait while its author lives, however slow its channels are. When a channel takes the message,
the notice says *delivered*, for good. If a claim disappears, because all channels failed or its author died, the turn
passes to the next rank at once.

`episodes.py` defines episodes, and when people are owed their end. A notifier repeats a message that no channel took
while its alert stands, at growing intervals. It repeats an end for `OWED_S`.

Rules of this file:
1. `now` is local monotonic seconds, as are all times but a group's own.
2. Our memory keeps what was sent, whatever becomes of the notice.
3. Two notifiers may use different names for one incident: notices count under all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf

from msgspec import Struct
from msgspec.structs import astuple, replace

from peerscope.alerts.episodes import (
    CLAIM_S,
    FAILED_S,
    Episode,
    Notices,
    Open,
    Wish,
    carried,
    departed,
    ended,
    named,
    take_over,
)
from peerscope.alerts.notification import Notification, NotificationGroup, What, regions_of
from peerscope.alerts.notification_log import (
    ESCALATED,
    FIRING,
    RESOLVED,
    UPDATED,
    Heard,
    Roster,
    SentNotice,
    notice_key,
)
from peerscope.alerts.notifier_config import NotifierConfig
from peerscope.alerts.told_alerts import has_company, hear, reason_of, sent_before, told_alerts
from peerscope.records.alerts import NOTICES_MAX, Severity
from peerscope.records.identity import PeerId

RANK_S = 15.0
"""Time between the turns of two notifiers. News reaches all peers within a few seconds, so no two of them send. A
notifier that hangs without being down delays a message by this time at most."""
RETRY_S = 5.0
"""First wait after all channels of this notifier failed. It doubles each time, until another notifier delivers."""
RETRY_S_MAX = 300.0
"""Longest such wait: a proxy that is back takes the message within five minutes."""
OWED_S = 86_400.0
"""How long a notifier tries to deliver an end: the alert list shows it for a day."""
SETTLE_TIMEOUT_S = 10.0
"""Wait after the start, until sync has brought the notices of others."""
LATE_S = 5.0
"""A notifier that runs later than its deadline stood still, and first waits for the notices of others."""
UPDATE_WAIT_S = 30.0
"""Wait before a message that only updates one: nobody waits for it, and the cause may still become clearer."""
UPDATE_INTERVAL_S = 300.0
"""Least time between two messages about another kind of one incident."""
COMPANY_WAIT_S = 30.0
"""Wait before another message about a rule of which one was just sent: alerts of one cause come over minutes."""
DISPUTED_S = 60.0
"""Wait before a message about a group that fires since before its end was sent. Two sides of a partition that healed
need this time to agree."""
FORGET_S = 60.0
"""How long to keep a group that is gone and whose end is not owed."""
EPISODES_MAX = 20_000
"""As many as the alert list has alerts. Beyond that, the oldest groups that are gone drop out first."""


class NotifierState(Struct, frozen=True):
    """State of a notifier that outlives a restart. Times are monotonic seconds."""

    notices: tuple[SentNotice, ...] = ()
    owed: tuple[Open, ...] = ()


class Notifier:
    """One notifier. Call `update` at `deadline` or earlier, and after every change."""

    def __init__(
        self,
        me: PeerId,
        config: NotifierConfig,
        now: float,
        earlier: NotifierState | None = None,
        settle_s: float = SETTLE_TIMEOUT_S,
    ) -> None:
        """`earlier`: the state of an earlier process. The result of its claims is unknown."""
        earlier = earlier or NotifierState()
        self._me = me
        self._config = config
        self._settle_s = settle_s
        self._settled_at = now + settle_s
        self._sent = {one.key: one for one in earlier.notices if one.delivered}
        self._episodes = {one.group.key: Episode.of(one, now) for one in earlier.owed}
        self._next = inf

    @property
    def notices(self) -> tuple[SentNotice, ...]:
        """Notices for this peer's record, sorted by key."""
        return tuple(one for _, one in sorted(self._sent.items()))

    @property
    def owed(self) -> tuple[Open, ...]:
        """The latest episodes whose end is owed, for the next process."""
        found = (one for _, episode in sorted(self._episodes.items()) if (one := episode.open) is not None)
        return tuple(sorted(found, key=lambda one: one.sent_at)[-NOTICES_MAX:])

    def deadline(self) -> float:
        """When to call `update` if nothing changes."""
        return self._next

    @property
    def is_idle(self) -> bool:
        """Whether it follows no group: then `update` without groups changes nothing."""
        return not self._episodes

    def is_sent(self, key: str) -> bool:
        """Whether a notifier delivered this group in its present episode."""
        episode = self._episodes.get(key)
        return episode is not None and episode.sent >= 0

    def update(
        self,
        groups: Iterable[NotificationGroup],
        heard: Iterable[Heard],
        roster: Roster,
        now: float,
        wall: float,
        *,
        is_silenced: Callable[[NotificationGroup], bool] = lambda group: group.silenced,
    ) -> list[Notification]:
        """The messages that this peer sends now. Answer each with `delivered` or `failed`.

        `wall`: Unix seconds at `now`, to which the groups' times refer. `is_silenced`: whether an order matches a group
        that is gone.
        """
        notices: dict[str, list[Heard]] = {}
        mine = (Heard(*astuple(one), peer=self._me) for one in self._sent.values())
        for one in (*heard, *mine):
            notices.setdefault(one.key, []).append(one)
        if now > self._next + LATE_S:
            self._settled_at = now + self._settle_s
        self._next = inf
        messages: list[Notification] = []
        shown = list(groups)
        gone = departed(self._episodes, shown)
        told = told_alerts(self._episodes.values()) if any(map(self._is_unsent, shown)) else {}
        for group in shown:
            episode = self._episode(group, notices, roster, now, wall)
            if episode is not None:
                take_over(episode, gone)
                hear(episode, told, notices, now, wall)
                messages += self._consider(episode, notices, roster, now, wall)
        over, again_at = ended(self._episodes, gone, shown, notices, self._settled_at, now)
        self._next = min(self._next, again_at)
        for episode in over:
            group = replace(episode.group, silenced=is_silenced(episode.group))
            self._see(episode, group, notices, roster, now, wall)
            messages += self._consider(episode, notices, roster, now, wall)
        self._forget({group.key for group in shown}, now)
        return messages

    def delivered(self, message: Notification) -> None:
        """A channel took the message."""
        key = notice_key(message.group.key, message.what)
        if key in self._sent:
            self._sent[key] = replace(self._sent[key], delivered=True)
        episode = self._episodes.get(message.group.key)
        if episode is not None:
            episode.on_way = None
            if message.what == FIRING:
                episode.sent, episode.is_missed = max(episode.sent, message.severity), False
            episode.is_end_sent |= message.what == RESOLVED

    def failed(self, message: Notification, now: float) -> None:
        """No channel took it: withdraw the claim, so that the next notifier sends."""
        key = notice_key(message.group.key, message.what)
        if key in self._sent and not self._sent[key].delivered:
            del self._sent[key]
        episode = self._episodes.get(message.group.key)
        if episode is not None:
            episode.on_way = None
            episode.is_missed |= message.what == FIRING and episode.sent < 0 and not episode.may_be_sent
            episode.free_at = now
            episode.failed[self._me] = now + FAILED_S
            episode.retry_at = now + min(RETRY_S * 2.0**episode.failures, RETRY_S_MAX)
            episode.failures = min(episode.failures + 1, 16)

    # -- one group ---------------------------------------------------------------------------------

    def _episode(
        self, group: NotificationGroup, notices: Notices, roster: Roster, now: float, wall: float
    ) -> Episode | None:
        """The updated episode of a group; None if it is over and was never sent."""
        episode, began = self._episodes.get(group.key), group.started_at - wall + now
        fires = group.state == "firing"
        if episode is None or (fires and episode.is_closed):
            if not fires and not named(notices, group, FIRING):
                return None
            episode = self._episodes[group.key] = Episode(group, min(began, now), now)
        episode.began = min(episode.began, began)
        episode.gone_since, episode.carrier = inf, None
        self._see(episode, group, notices, roster, now, wall)
        return episode

    def _is_unsent(self, group: NotificationGroup) -> bool:
        return group.state == "firing" and not self.is_sent(group.key)

    def _see(
        self, episode: Episode, group: NotificationGroup, notices: Notices, roster: Roster, now: float, wall: float
    ) -> None:
        episode.group, episode.seen_at = group, now
        episode.resolved_since = inf if group.state == "firing" else min(episode.resolved_since, now)
        episode.learn(notices, roster, self._me, now, wall)

    def _consider(
        self, episode: Episode, notices: Notices, roster: Roster, now: float, wall: float
    ) -> list[Notification]:
        """The message due in this episode, if it is our turn."""
        if episode.group.state == "firing" and episode.is_known and episode.is_end_sent:
            episode.is_closed = True  # if it still fires, that is another episode
            return []
        wish = self._wish(episode, roster)
        if wish != episode.wish:
            episode.wish, episode.since, episode.claimants, episode.free_at = wish, now, {}, -inf
            episode.failures, episode.retry_at = 0, -inf
        if wish is None:
            episode.is_closed = episode.is_end_sent or self._is_over(episode, now)
            return []
        if episode.is_claimed(wish, notices, roster, self._me, now):
            self._next = min(self._next, max(episode.claimants.values()) + CLAIM_S)
            return []
        if episode.on_way is not None:
            return []
        due = self._due(episode, wish[0], roster, now)
        if due > now:
            self._next = min(self._next, due)
            return []
        return [self._send(episode, wish, notices, now, wall)]

    def _is_over(self, episode: Episode, now: float) -> bool:
        """Whether no message is due any more about a group that no longer fires."""
        waited_s = now - episode.resolved_since
        if self._config.send_resolved and (episode.is_end_owed or episode.is_awaited):
            return waited_s >= OWED_S and not episode.group.silenced
        return waited_s >= self._config.group_wait_s

    def _wish(self, episode: Episode, roster: Roster) -> Wish | None:
        """The message that people should get about this group now, and its severity."""
        group, severity = episode.group, Severity[episode.group.severity.upper()]
        if group.silenced:
            return None
        if group.state == "resolved":
            is_wanted = self._config.send_resolved and episode.is_end_owed and not episode.is_closed
            return (RESOLVED, max(episode.sent, 0)) if is_wanted and not episode.is_awaited else None
        least = Severity[self._config.min_severity.upper()]
        if severity < least:  # a region that follows the incident may be graver
            severity = max([severity, *(Severity[one.severity.upper()] for one in regions_of(group))])
        if severity < least:
            return None
        if severity > episode.sent:
            return (FIRING, severity)
        if episode.has_other_kind:
            return (UPDATED, severity)
        if severity is Severity.CRITICAL and not group.acknowledged and self._me in roster.escalators:
            return (ESCALATED, severity)
        return None

    def _due(self, episode: Episode, what: What, roster: Roster, now: float) -> float:
        """When it is our turn."""
        if what == ESCALATED:
            start = episode.sent_at + self._config.escalate_after_s
        else:
            start = episode.since + self._config.group_wait_s
            if what == FIRING and episode.is_disputed and episode.sent < 0:
                start = episode.since + max(self._config.group_wait_s, DISPUTED_S)
            elif what == FIRING and episode.sent < 0 and has_company(episode, self._episodes.values(), now):
                start = episode.since + max(self._config.group_wait_s, COMPANY_WAIT_S)
            elif what == FIRING and episode.sent < 0 and episode.is_quiet:
                start = episode.since + max(self._config.group_wait_s, UPDATE_WAIT_S)
            elif what == UPDATED:
                least = episode.kind_at + UPDATE_INTERVAL_S if episode.updates else -inf
                start = max(least, episode.since + max(self._config.group_wait_s, UPDATE_WAIT_S))
        turn = episode.turn(what, roster, self._me, now)
        return max(start, episode.free_at, self._settled_at, episode.retry_at) + RANK_S * turn

    def _send(self, episode: Episode, wish: Wish, notices: Notices, now: float, wall: float) -> Notification:
        what, severity = wish
        group = episode.group
        members = group.alerts if group.incident is not None else ()
        known = [alert.id for alert in members if sent_before(alert, notices, now, wall)]
        updates = tuple(dict.fromkeys((*known, *carried(self._episodes, group.key))))
        if what == RESOLVED:
            updates = tuple(carried(self._episodes, group.key))
        repeat = {ESCALATED: episode.repeats + 1, UPDATED: episode.updates + 1}.get(what, 0)
        if what == UPDATED and group.was is None:
            group = replace(group, was=episode.kind)
        name = episode.give_name(notices)
        key = notice_key(group.key, what)
        self._sent[key] = SentNotice(key, now, Severity(severity), delivered=False, episode=name, repeat=repeat)
        reason = reason_of(episode, what, updates)
        episode.on_way = what
        if what == FIRING and episode.sent < 0:
            episode.sent_group, episode.sent_at = group, now
        self._shed()
        return Notification(what, reason, group, Severity(severity), updates if what != ESCALATED else (), repeat, name)

    def _forget(self, present: set[str], now: float) -> None:
        for key in [key for key in self._episodes if key not in present]:
            episode = self._episodes[key]
            is_owed = episode.is_end_owed and self._config.send_resolved and not episode.is_closed
            if now - episode.seen_at >= FORGET_S and episode.on_way is None and not is_owed:
                del self._episodes[key]
        if len(self._episodes) > EPISODES_MAX:
            rest = sorted((one.sent_at, key) for key, one in self._episodes.items() if key not in present)
            for _, key in rest[: len(self._episodes) - EPISODES_MAX]:
                del self._episodes[key]

    def _shed(self) -> None:
        """Keep as many notices as a record holds: firing groups first, then the newest."""
        while len(self._sent) > NOTICES_MAX:
            live = {
                notice_key(key, what)
                for key, episode in self._episodes.items()
                if episode.resolved_since == inf
                for what in (FIRING, UPDATED, ESCALATED)
            }
            del self._sent[min(self._sent.values(), key=lambda one: (one.key in live, one.at, one.key)).key]
