"""Who sends which message to people, and when: exactly one message while the network is whole, at least one otherwise.

Peers that declare channels are *notifiers*. All of them look at the same groups and rank themselves by rendezvous hash
of the group's key. Rank r waits `group_wait_s` (alerts of one cause come together) and r times `RANK_S`, and sends
unless a notice of another peer says that this was told at this severity or a worse one.

A notice has two stages, so that a notifier that dies with the message in its hands takes nothing with it. At the
moment of sending it is a *claim*: the others wait while its author lives, however slow its channels are. When a channel
took the message the notice says *delivered*, for good. A claim that vanishes, because every channel failed or its
author died, passes the turn to the next rank at once.

An *episode* is one time that a group fires. It begins when the condition began, and notices older than that belong to
an earlier episode: ids of alerts are used again. It ends when the group resolved and that was told, or need not be.

Rules of this file:
1. `now` is local monotonic seconds, and so are all times but a group's own.
2. What was told stays told, in our memory, whatever becomes of the notice.
3. Two notifiers may know one incident by different names: notices count under any of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from peerscope.alerts.body import Sent
from peerscope.alerts.grouping import Group
from peerscope.alerts.model import Alert
from peerscope.alerts.notices import ESCALATED, FIRING, RESOLVED, Heard, Roster, notice_key, ranked
from peerscope.errors import ConfigError
from peerscope.records.alerts import NOTICES_MAX, Severity
from peerscope.records.identity import PeerId

RANK_S = 15.0
"""Between one notifier's turn and the next one's. News reaches everybody within a few seconds, so that nobody speaks
twice; and a notifier that hangs without being down delays a message no longer than this."""
CLAIM_S = 120.0
"""A claim that is older holds nobody back: its author lives, and its channels hang."""
RETRY_S = 60.0
"""A notifier all of whose channels failed tries again after so long, unless another one did better."""
SETTLE_S = 10.0
"""After the start: until sync has brought what others told before."""
LATE_S = 5.0
"""A notifier that looks later than it wanted stood still, and has to hear first what others told meanwhile."""
SLACK_S = 5.0
"""How far the dates of a notice and of an alert may be off against each other, by the ways they came."""
DISPUTED_S = 60.0
"""Somebody was told that it is over, and we see it fire since before that: two sides of a partition that healed need a
while to agree. What still fires after so long is told again."""
FORGET_S = 60.0
"""A group that is no longer there is forgotten after so long."""

What = Literal["firing", "resolved", "escalated"]
Reason = Literal["new", "worse", "update", "again", "resolved", "forgotten"]


class NotifierConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When people are told."""

    min_severity: Literal["low", "medium", "high", "critical"] = "medium"
    """Alerts below it are shown, and nobody is told."""
    group_wait_s: float = 3.0  # a guess: alerts of one cause come within two or three seconds
    """How long to wait for company before an alert is told. Longer groups better, and tells later."""
    escalate_after_s: float = 300.0  # as PagerDuty and Alertmanager's `group_interval` have it
    """A critical alert that nobody acknowledged is repeated so often, on channels with `escalation`."""
    send_resolved: bool = True
    """Tell when it is over."""

    def __post_init__(self) -> None:
        if not 0 <= self.group_wait_s <= 600:
            raise ConfigError(f"notify.group_wait_s is {self.group_wait_s}; must lie between 0 and 600")
        if not 10 <= self.escalate_after_s <= 86_400:
            raise ConfigError(f"notify.escalate_after_s is {self.escalate_after_s}; must lie between 10 and 86400")


class Message(Struct, frozen=True):
    """Something to tell people."""

    what: What
    reason: Reason
    """Why now: it is new, it got worse, it is known under other names, it was told and nobody looks after it, or it is
    over: resolved, or forgotten without ever coming back."""
    group: Group
    severity: Severity
    updates: tuple[str, ...] = ()
    """Alerts that were told alone before they turned out to belong to this incident."""
    repeat: int = 0
    """Which repetition, of those that nobody acknowledged; 0 for the first message."""


class _Episode:
    """One time that a group fires."""

    def __init__(self, group: Group, began: float, now: float) -> None:
        self.group = group
        self.began = began
        self.seen_at = now
        self.told: int = -1
        """Worst severity that anybody delivered; -1 before the first."""
        self.told_at = -inf
        self.tellers: set[PeerId] = set()
        self.is_resolved_told = False
        self.is_disputed = False
        self.resolved_since = inf
        self.is_closed = False
        """It is over, and so is what was to be said of it."""
        self.wish: tuple[What, int] | None = None
        self.since = now
        self.claimants: dict[PeerId, float] = {}
        """Who is about to tell it, and since when."""
        self.free_at = -inf
        """When a claim fell away."""
        self.failed: dict[PeerId, float] = {}
        """Who could not deliver, and until when it counts as the last of all."""
        self.on_way = False
        """A message of ours is in the hands of the channels."""


class Notifier:
    """One notifier's part. Call `update` at `deadline` or earlier, and whenever something changed."""

    def __init__(
        self, me: PeerId, config: NotifierConfig, now: float, *, kept: Iterable[Sent] = (), settle_s: float = SETTLE_S
    ) -> None:
        """`kept`: our notices of an earlier life; claims among them came to nothing."""
        self._me = me
        self._config = config
        self._settle_s = settle_s
        self._settled_at = now + settle_s
        self._told = {one.key: one for one in kept if one.delivered}
        self._episodes: dict[str, _Episode] = {}
        self._offset_s = 0.0
        """Unix minus monotonic seconds at the last look."""
        self._next = inf

    @property
    def notices(self) -> tuple[Sent, ...]:
        """What this peer told and tells, for its record, in the order of their keys."""
        return tuple(one for _, one in sorted(self._told.items()))

    def deadline(self) -> float:
        """When something is due if nothing changes."""
        return self._next

    @property
    def is_idle(self) -> bool:
        """No group is followed: without one, `update` changes nothing."""
        return not self._episodes

    def is_told(self, key: str) -> bool:
        """Somebody delivered this group, in its present episode."""
        episode = self._episodes.get(key)
        return episode is not None and episode.told >= 0

    def update(
        self, groups: Iterable[Group], heard: Iterable[Heard], roster: Roster, now: float, wall: float
    ) -> list[Message]:
        """What this peer has to tell now. `wall`: Unix seconds at `now`, to which the groups' times refer.

        Every message must be answered with `delivered` or `failed`.
        """
        self._offset_s = wall - now
        notices: dict[str, list[Heard]] = {}
        for one in heard:
            notices.setdefault(one.key, []).append(one)
        for mine in self._told.values():
            notices.setdefault(mine.key, []).append(Heard(self._me, mine.key, mine.at, mine.severity, mine.delivered))
        if now > self._next + LATE_S:
            self._settled_at = now + self._settle_s
        self._next = inf
        messages: list[Message] = []
        present: set[str] = set()
        for group in groups:
            present.add(group.key)
            episode = self._episode(group, notices, now)
            if episode is not None:
                messages += self._consider(episode, notices, roster, now)
        self._forget(present, now)
        return messages

    def delivered(self, message: Message) -> None:
        """A channel took the message."""
        key = notice_key(message.group.key, message.what)
        if key in self._told:
            self._told[key] = replace(self._told[key], delivered=True)
        if message.group.key in self._episodes:
            self._episodes[message.group.key].on_way = False

    def failed(self, message: Message, now: float) -> None:
        """No channel took it: take the claim back, so that the next one sends."""
        key = notice_key(message.group.key, message.what)
        if key in self._told and not self._told[key].delivered:
            del self._told[key]
        episode = self._episodes.get(message.group.key)
        if episode is not None:
            episode.on_way = False
            episode.free_at = now
            episode.failed[self._me] = now + RETRY_S

    # -- one group ---------------------------------------------------------------------------------

    def _episode(self, group: Group, notices: Mapping[str, list[Heard]], now: float) -> _Episode | None:
        """The episode a group is in, with what is known of it; None for one that is over and was never told."""
        episode, began = self._episodes.get(group.key), group.started_at - self._offset_s
        fires = group.state == "firing"
        if episode is None or (fires and episode.is_closed):
            if not fires and not _named(notices, group, FIRING):
                return None
            episode = self._episodes[group.key] = _Episode(group, min(began, now), now)
        episode.group, episode.seen_at = group, now
        episode.began = min(episode.began, began)
        episode.resolved_since = inf if fires else min(episode.resolved_since, now)
        self._learn(episode, notices)
        return episode

    def _learn(self, episode: _Episode, notices: Mapping[str, list[Heard]]) -> None:
        """Take in who delivered what of this episode."""
        group, oldest = episode.group, episode.began - SLACK_S
        over_at = max((one.at for one in _delivered(_named(notices, group, RESOLVED), oldest)), default=-inf)
        told = _delivered(_named(notices, group, FIRING), max(oldest, over_at))
        for name, started_at in group.told_as:
            told += _delivered(notices.get(notice_key(name, FIRING), ()), started_at - self._offset_s - SLACK_S)
        for one in told:
            episode.told = max(episode.told, one.severity)
        for one in told + _delivered(_named(notices, group, ESCALATED), max(oldest, over_at)):
            episode.told_at = max(episode.told_at, one.at)
            episode.tellers.add(one.peer)
        episode.is_disputed = over_at > episode.began
        episode.is_resolved_told = episode.told >= 0 and over_at > episode.told_at

    def _consider(
        self, episode: _Episode, notices: Mapping[str, list[Heard]], roster: Roster, now: float
    ) -> list[Message]:
        """The message that is due in this episode, if it is our turn."""
        wish = self._wish(episode, roster)
        if wish != episode.wish:
            episode.wish, episode.since, episode.claimants, episode.free_at = wish, now, {}, -inf
        if wish is None:
            waited_s = now - episode.resolved_since
            episode.is_closed = episode.is_resolved_told or waited_s >= self._config.group_wait_s
            return []
        if self._is_claimed(episode, wish, notices, roster, now) or episode.on_way:
            return []
        due = self._due(episode, wish, roster, now)
        if due > now:
            self._next = min(self._next, due)
            return []
        return [self._send(episode, wish, notices, now)]

    def _wish(self, episode: _Episode, roster: Roster) -> tuple[What, int] | None:
        """What somebody should tell people of this group now, and how severe it is."""
        group, severity = episode.group, Severity[episode.group.severity.upper()]
        if group.silenced:
            return None
        if group.state == "resolved":
            is_wanted = self._config.send_resolved and episode.told >= 0 and not episode.is_resolved_told
            return (RESOLVED, episode.told) if is_wanted else None
        if severity < Severity[self._config.min_severity.upper()]:
            return None
        if severity > episode.told:
            return (FIRING, severity)
        if severity is Severity.CRITICAL and not group.acknowledged and self._me in roster.escalators:
            return (ESCALATED, severity)
        return None

    def _is_claimed(
        self,
        episode: _Episode,
        wish: tuple[What, int],
        notices: Mapping[str, list[Heard]],
        roster: Roster,
        now: float,
    ) -> bool:
        """Is a living notifier about to tell it? Where one no longer is, its turn passes on."""
        what, severity = wish
        known = _named(notices, episode.group, what)
        after = episode.told_at if what == ESCALATED else episode.began - SLACK_S
        claims = {  # a claim that is renewed is no younger for that
            one.peer: episode.claimants.get(one.peer, one.at)
            for one in known
            if not one.delivered
            and one.peer != self._me
            and one.peer in roster.notifiers
            and one.severity >= severity
            and one.at >= after
            and now - episode.claimants.get(one.peer, one.at) < CLAIM_S
            and episode.failed.get(one.peer, -inf) <= now
        }
        for peer in episode.claimants.keys() - claims.keys() - {one.peer for one in known if one.delivered}:
            episode.failed[peer] = now + RETRY_S
            episode.free_at = now
        episode.claimants = claims
        if claims:
            self._next = min(self._next, max(claims.values()) + CLAIM_S)
        return bool(claims)

    def _due(self, episode: _Episode, wish: tuple[What, int], roster: Roster, now: float) -> float:
        """When it is our turn. Resolutions and repetitions come first from whoever told it, so that they reach the same
        people; whoever failed lately comes last."""
        what = wish[0]
        peers = roster.escalators if what == ESCALATED else roster.notifiers
        order = ranked((*episode.group.names, episode.group.key)[0], {*peers, self._me})
        if what != FIRING:
            order.sort(key=lambda peer: peer not in episode.tellers)
        order.sort(key=lambda peer: episode.failed.get(peer, -inf) > now)
        if what == ESCALATED:
            start = episode.told_at + self._config.escalate_after_s
        else:
            start = episode.since + self._config.group_wait_s
            if what == FIRING and episode.is_disputed and episode.told < 0:
                start = episode.since + max(self._config.group_wait_s, DISPUTED_S)
        turn = max(start, episode.free_at, self._settled_at) + RANK_S * order.index(self._me)
        return max(turn, episode.failed.get(self._me, -inf))

    def _send(
        self, episode: _Episode, wish: tuple[What, int], notices: Mapping[str, list[Heard]], now: float
    ) -> Message:
        what, severity = wish
        group = episode.group
        members = group.alerts if group.incident is not None else ()
        updates = tuple(alert.id for alert in members if self._was_told(alert, notices))
        reason: Reason = "new"
        repeat = 0
        if what == RESOLVED:
            reason = "forgotten" if group.forgotten else "resolved"
        elif what == ESCALATED:
            reason, repeat = "again", max(1, round((now - episode.began) / self._config.escalate_after_s))
        elif episode.told >= 0:
            reason = "worse"
        elif updates:
            reason = "update"
        key = notice_key(group.key, what)
        self._told[key] = Sent(key, now, Severity(severity), delivered=False)
        episode.on_way = True
        self._shed()
        return Message(what, reason, group, Severity(severity), updates if what == FIRING else (), repeat)

    def _was_told(self, alert: Alert, notices: Mapping[str, list[Heard]]) -> bool:
        known = notices.get(notice_key(alert.id, FIRING), ())
        return bool(_delivered(known, alert.started_at - self._offset_s - SLACK_S))

    def _forget(self, present: set[str], now: float) -> None:
        for key in [key for key in self._episodes if key not in present]:
            episode = self._episodes[key]
            if now - episode.seen_at >= FORGET_S and not episode.on_way:
                del self._episodes[key]

    def _shed(self) -> None:
        """Keep as many notices as a record holds: those of groups that fire, then the newest."""
        while len(self._told) > NOTICES_MAX:
            live = {
                notice_key(key, what)
                for key, episode in self._episodes.items()
                if episode.resolved_since == inf
                for what in (FIRING, ESCALATED)
            }
            del self._told[min(self._told.values(), key=lambda one: (one.key in live, one.at, one.key)).key]


def _named(notices: Mapping[str, list[Heard]], group: Group, what: What) -> list[Heard]:
    """The notices of a group, under whichever of its names."""
    keys = dict.fromkeys(notice_key(name, what) for name in (group.key, *group.names))
    return [one for key in keys for one in notices.get(key, ())]


def _delivered(notices: Iterable[Heard], oldest: float) -> list[Heard]:
    return [one for one in notices if one.delivered and one.at >= oldest]
