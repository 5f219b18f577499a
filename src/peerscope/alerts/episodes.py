"""One time that a group fires, as one notifier follows it: what people know of it, and what they have still to hear.

An episode begins when the condition began, and notices older than that belong to an earlier episode: ids of alerts are
used again. People *may know* of it once a channel took a message about it, or once its author died with a message in
its hands. From then on somebody owes them the end, whatever happens to the group, to the author, or to this process:
an `Open` is what must outlive a restart for that.

Every episode has a *name*, a number that is the same at all notifiers which see the same alerts, so that receivers
know two messages about one step of one episode for the same. It comes from the alerts: their speakers name the time
that each fires once and for all (`Statement.episode`). A notifier that hears of a message takes over the name in its
notice. What ended and fires on, as two sides of a partition see it, is another episode of the same alerts: the last
byte of the name counts these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import inf

from msgspec import Struct
from msgspec.structs import replace

from peerscope.alerts.model import Alert
from peerscope.alerts.notification import NotificationGroup, What
from peerscope.alerts.notification_log import ESCALATED, FIRING, RESOLVED, Heard, Roster, notice_key
from peerscope.records.identity import PeerId

SLACK_S = 5.0
"""How far the dates of a notice and of an alert may be off against each other, by the ways they came."""
CLAIM_S = 120.0
"""A claim that is older holds nobody back: its author lives, and its channels hang."""
ROUND_MAX = 255
"""So many times alerts may end for people and fire on."""
OPEN_ALERTS_MAX = 50
"""Alerts that an `Open` keeps, the gravest first: enough to see whether one of them still fires."""

LOST_S = 120.0
"""A group that people know of and that is shown no more is over after so long. A peer that restarted needs that time:
to hear from the others, and to see its own conditions fire again."""

Seen = Mapping[str, tuple[NotificationGroup, Alert]]
"""By id, every alert that is shown, and the group that shows it."""

Notices = Mapping[str, list[Heard]]
"""By their keys."""
Wish = tuple[What, int]
"""What somebody should send now, and how severe it is."""


class Open(Struct, frozen=True):
    """An episode of which people know, or may know, and whose end nobody has sent. Times are monotonic seconds."""

    group: NotificationGroup
    """As it was when the last message about it left."""
    began: float
    told: int
    """Worst severity that anybody delivered; -1 if, as far as we know, nobody did."""
    told_at: float
    """When the last message about it left."""
    name: int
    is_missed: bool
    """Every attempt to send it failed: people do not know of it."""
    carrier: str | None = None
    """The group that its alerts went into."""


class Episode:
    """Of one group."""

    def __init__(self, group: NotificationGroup, began: float, now: float) -> None:
        self.group = group
        self.began = began
        self.seen_at = now
        self.told: int = -1
        """Worst severity that anybody delivered; -1 before the first."""
        self.told_at = -inf
        """When the last message left that people may have got, or should have got."""
        self.told_group = group
        """As it was then."""
        self.tellers: set[PeerId] = set()
        self.may_be_told = False
        """Somebody died with the message in its hands."""
        self.is_missed = False
        """Our channels refused the message, and nobody has delivered it since."""
        self.is_resolved_told = False
        self.is_disputed = False
        self.resolved_since = inf
        self.is_closed = False
        """It is over, and so is what was to be said of it."""
        self.name = 0
        self.repeats = 0
        """Repetitions so far."""
        self.carrier: str | None = None
        self.gone_since = inf
        """Since when it is not shown."""
        self.wish: Wish | None = None
        self.since = now
        self.claimants: dict[PeerId, float] = {}
        """Who is about to send it, and since when."""
        self.free_at = -inf
        """When a claim fell away."""
        self.failed: dict[PeerId, float] = {}
        """Who could not deliver, and until when it counts as the last of all."""
        self.failures = 0
        """Attempts of ours in a row that failed, since the wish changed."""
        self.retry_at = -inf
        self.on_way: What | None = None
        """A message of ours is in the hands of the channels."""
        self.is_awaited = False
        """A message of somebody else is."""

    @classmethod
    def of(cls, kept: Open, now: float) -> Episode:
        """Go on with one of an earlier life."""
        episode = cls(kept.group, min(kept.began, now), now)
        episode.told, episode.told_at, episode.told_group = kept.told, min(kept.told_at, now), kept.group
        episode.name, episode.is_missed, episode.carrier = kept.name, kept.is_missed, kept.carrier
        episode.may_be_told = kept.told < 0 and not kept.is_missed
        return episode

    @property
    def is_known(self) -> bool:
        """People know of it, or may, or should."""
        return self.told >= 0 or self.may_be_told or self.is_missed or self.on_way == FIRING

    @property
    def is_end_owed(self) -> bool:
        """They have not heard that it is over."""
        return self.is_known and not self.is_resolved_told

    @property
    def open(self) -> Open | None:
        """What must outlive this process; None where nothing is owed."""
        if self.is_closed or not self.is_end_owed:
            return None
        group = self.told_group
        if len(group.alerts) > OPEN_ALERTS_MAX:
            group = replace(group, alerts=group.alerts[:OPEN_ALERTS_MAX])
        told_at = max(self.told_at, self.began)
        return Open(group, self.began, self.told, told_at, self.name, self.is_missed, self.carrier)

    def learn(self, notices: Notices, roster: Roster, me: PeerId, now: float, wall: float) -> None:
        """Take in who delivered what of this episode. `wall`: Unix seconds at `now`."""
        group, oldest = self.group, self.began - SLACK_S
        over = delivered(named(notices, group, RESOLVED), oldest)
        over_at = max((one.at for one in over), default=-inf)
        since = max(oldest, over_at)
        mine = named(notices, group, FIRING)
        told = delivered(mine, since)
        for key, started_at in group.told_as:
            told += delivered(notices.get(notice_key(key, FIRING), ()), started_at - wall + now - SLACK_S)
        again = delivered(named(notices, group, ESCALATED), since)
        for one in told:
            if one.severity > self.told:
                self.told, self.told_group = one.severity, group
        for one in told + again:
            self.told_at = max(self.told_at, one.at)
            self.tellers.add(one.peer)
        claims = [one for one in mine if not one.delivered and one.peer != me and one.at >= since]
        is_patient = now - min(self.resolved_since, now) < CLAIM_S  # also with an author who renews its claim
        self.is_awaited = is_patient and any(one.peer in roster.notifiers and now - one.at < CLAIM_S for one in claims)
        for one in claims:
            if one.peer not in roster.notifiers:
                self.may_be_told, self.told_at = True, max(self.told_at, one.at)
        self.is_missed = self.is_missed and self.told < 0
        self.is_disputed = over_at > self.began
        self.is_resolved_told = over_at > self.told_at
        self.repeats = max([self.repeats, *(one.repeat for one in again)])
        given = (self.name, *(one.episode for one in (*delivered(mine, since), *claims, *again)))
        self.name = min((name for name in given if name), default=0)

    def give_name(self, notices: Notices) -> int:
        """The name of this episode; once given, it is taken over by everybody who hears of it."""
        if not self.name:
            stated = self.group.episode
            earlier = named(notices, self.group, FIRING) + named(notices, self.group, RESOLVED)
            counts = [one.episode & ROUND_MAX for one in earlier if one.episode and one.episode >> 8 == stated >> 8]
            self.name = stated + min(max(counts, default=-1) + 1, ROUND_MAX)
        return self.name


def named(notices: Notices, group: NotificationGroup, what: What) -> list[Heard]:
    """The notices of a group, under whichever of its names."""
    keys = dict.fromkeys(notice_key(name, what) for name in (group.key, *group.names))
    return [one for key in keys for one in notices.get(key, ())]


def delivered(notices: Iterable[Heard], oldest: float) -> list[Heard]:
    """Those whose message a channel took, and not before that."""
    return [one for one in notices if one.delivered and one.at >= oldest]


def departed(episodes: Mapping[str, Episode], shown: Iterable[NotificationGroup]) -> list[Episode]:
    """Episodes whose end is owed and whose group is not shown."""
    present = {group.key for group in shown}
    return [one for key, one in episodes.items() if key not in present and one.is_end_owed]


def seen_alerts(shown: Iterable[NotificationGroup]) -> Seen:
    """The alerts of all groups."""
    return {alert.id: (group, alert) for group in shown for alert in group.alerts}


def take_over(episode: Episode, gone: Iterable[Episode]) -> None:
    """People have heard of a group whose alerts are all of an incident that they know and that is shown no more."""
    firing = [alert for alert in episode.group.alerts if alert.state == "firing"]
    for one in gone:
        began = {alert.id: alert.started_at for alert in one.told_group.alerts}
        is_known = all(abs(began.get(alert.id, -inf) - alert.started_at) <= SLACK_S for alert in firing)
        if one.told > episode.told and one.group.incident is not None and firing and is_known:
            episode.told, episode.told_at = one.told, one.told_at


def outcome(episode: Episode, seen: Seen, settled_at: float, now: float) -> NotificationGroup | None:
    """The group as it ended, or None while it goes on: under another key, or nobody knows yet.

    `settled_at`: when we have heard what there was to hear.
    """
    group, alerts = episode.group, [seen[one.id] for one in episode.group.alerts if one.id in seen]
    if group.state == "resolved":
        return group
    carrier = next((other.key for other, one in alerts if one.state == other.state == "firing"), None)
    if carrier is not None:
        episode.carrier, episode.gone_since = carrier, inf
        return None
    ended = [one.resolved_at for _, one in alerts if one.resolved_at is not None]
    if ended and len(ended) == len(group.alerts) and min(ended) >= group.started_at:
        return replace(group, state="resolved", resolved_at=max(ended))
    episode.gone_since = min(episode.gone_since, now)
    return replace(group, state="resolved", resolved_at=None) if now >= lost_at(episode, settled_at) else None


def lost_at(episode: Episode, settled_at: float) -> float:
    """When it counts as over if it does not come back; infinite while something shows it."""
    return max(episode.gone_since, settled_at) + LOST_S


def ends_with_carrier(episode: Episode, carrier: Episode | None, notices: Notices) -> bool | None:
    """Whether the end of the group that its alerts went into is its end: True once that was told, None until then."""
    if episode.carrier is None:
        return False
    if delivered(notices.get(notice_key(episode.carrier, RESOLVED), ()), episode.told_at):
        return True
    return None if carrier is not None and carrier.told >= 0 and not carrier.is_closed else False


def carried(episodes: Mapping[str, Episode], key: str) -> Sequence[str]:
    """Keys under which people know of alerts that went into this group."""
    return sorted(name for name, one in episodes.items() if one.carrier == key and one.told >= 0)
