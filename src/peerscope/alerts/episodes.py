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

from collections.abc import Iterable, Mapping
from math import inf
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from peerscope.alerts.grouping import NotificationGroup
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

Notices = Mapping[str, list[Heard]]
"""By their keys."""
What = Literal["firing", "resolved", "escalated"]
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
