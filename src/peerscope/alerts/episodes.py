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

from msgspec import Struct, field
from msgspec.structs import replace

from peerscope.alerts.model import Alert
from peerscope.alerts.notification import NotificationGroup, What
from peerscope.alerts.notification_log import ESCALATED, FIRING, RESOLVED, Heard, Roster, notice_key, ranked
from peerscope.records.identity import PeerId

SLACK_S = 5.0
"""How far the dates of a notice and of an alert may be off against each other, by the ways they came."""
CLAIM_S = 120.0
"""A claim that is older holds nobody back: its author lives, and its channels hang."""
FAILED_S = 60.0
"""A notifier whose channels failed comes last among the others for so long."""
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
    sent: int = field(name="told")
    """Worst severity that anybody delivered; -1 if, as far as we know, nobody did."""
    sent_at: float = field(name="told_at")
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
        self.sent: int = -1
        """Worst severity that anybody delivered; -1 before the first."""
        self.sent_at = -inf
        """When the last message left that people may have got, or should have got."""
        self.sent_group = group
        """As it was then."""
        self.senders: set[PeerId] = set()
        self.may_be_sent = False
        """Somebody died with the message in its hands."""
        self.is_missed = False
        """Our channels refused the message, and nobody has delivered it since."""
        self.is_end_sent = False
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
        episode.sent, episode.sent_at, episode.sent_group = kept.sent, min(kept.sent_at, now), kept.group
        episode.name, episode.is_missed, episode.carrier = kept.name, kept.is_missed, kept.carrier
        episode.may_be_sent = kept.sent < 0 and not kept.is_missed
        return episode

    @property
    def is_known(self) -> bool:
        """People know of it, or may, or should."""
        return self.sent >= 0 or self.may_be_sent or self.is_missed or self.on_way == FIRING

    @property
    def is_end_owed(self) -> bool:
        """They have not heard that it is over."""
        return self.is_known and not self.is_end_sent

    @property
    def open(self) -> Open | None:
        """What must outlive this process; None where nothing is owed."""
        if self.is_closed or not self.is_end_owed:
            return None
        group = self.sent_group
        if len(group.alerts) > OPEN_ALERTS_MAX:
            group = replace(group, alerts=group.alerts[:OPEN_ALERTS_MAX])
        sent_at = max(self.sent_at, self.began)
        return Open(group, self.began, self.sent, sent_at, self.name, self.is_missed, self.carrier)

    def learn(self, notices: Notices, roster: Roster, me: PeerId, now: float, wall: float) -> None:
        """Take in who delivered what of this episode. `wall`: Unix seconds at `now`."""
        group, oldest = self.group, self.began - SLACK_S
        over = delivered(named(notices, group, RESOLVED), oldest)
        over_at = max((one.at for one in over), default=-inf)
        since = max(oldest, over_at)
        mine = named(notices, group, FIRING)
        told = delivered(mine, since)
        for key, started_at in group.earlier_groups:
            told += delivered(notices.get(notice_key(key, FIRING), ()), started_at - wall + now - SLACK_S)
        again = delivered(named(notices, group, ESCALATED), since)
        for one in told:
            if one.severity > self.sent:
                self.sent, self.sent_group = one.severity, group
        for one in told + again:
            self.sent_at = max(self.sent_at, one.at)
            self.senders.add(one.peer)
        claims = [one for one in mine if not one.delivered and one.peer != me and one.at >= since]
        is_patient = now - min(self.resolved_since, now) < CLAIM_S  # also with an author who renews its claim
        self.is_awaited = is_patient and any(one.peer in roster.notifiers and now - one.at < CLAIM_S for one in claims)
        for one in claims:
            if one.peer not in roster.notifiers:
                self.may_be_sent, self.sent_at = True, max(self.sent_at, one.at)
        self.is_missed = self.is_missed and self.sent < 0
        self.is_disputed = over_at > self.began
        self.is_end_sent = over_at > self.sent_at
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

    def is_claimed(self, wish: Wish, notices: Notices, roster: Roster, me: PeerId, now: float) -> bool:
        """Whether a living notifier is about to send it. The turn of one that no longer is passes on."""
        what, severity = wish
        known = named(notices, self.group, what)
        after = self.sent_at if what == ESCALATED else self.began - SLACK_S
        claims = {  # a claim that is renewed is no younger for that
            one.peer: self.claimants.get(one.peer, one.at)
            for one in known
            if not one.delivered
            and one.peer != me
            and one.peer in roster.notifiers
            and one.severity >= severity
            and one.at >= after
            and now - self.claimants.get(one.peer, one.at) < CLAIM_S
            and self.failed.get(one.peer, -inf) <= now
        }
        for peer in self.claimants.keys() - claims.keys() - {one.peer for one in known if one.delivered}:
            self.failed[peer] = now + FAILED_S
            self.free_at = now
        self.claimants = claims
        return bool(claims)

    def turn(self, what: What, roster: Roster, me: PeerId, now: float) -> int:
        """How many notifiers come before us. A notifier that failed lately comes last.

        Resolutions and repetitions come first from the peers that sent the first message, to reach the same people.
        """
        peers = roster.escalators if what == ESCALATED else roster.notifiers
        order = ranked((*self.group.names, self.group.key)[0], {*peers, me})
        if what != FIRING:
            order.sort(key=lambda peer: peer not in self.senders)
        rank = order.index(me)
        order.sort(key=lambda peer: self.failed.get(peer, -inf) > now)
        # Two notifiers that fail at once do not see each other: they must not keep step.
        return order.index(me) + (rank if self.failed.get(me, -inf) > now else 0)


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
        began = {alert.id: alert.started_at for alert in one.sent_group.alerts}
        is_known = all(abs(began.get(alert.id, -inf) - alert.started_at) <= SLACK_S for alert in firing)
        if one.sent > episode.sent and one.group.incident is not None and firing and is_known:
            episode.sent, episode.sent_at = one.sent, one.sent_at


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
    if delivered(notices.get(notice_key(episode.carrier, RESOLVED), ()), episode.sent_at):
        return True
    return None if carrier is not None and carrier.sent >= 0 and not carrier.is_closed else False


def ended(
    episodes: dict[str, Episode],
    gone: Iterable[Episode],
    shown: Sequence[NotificationGroup],
    notices: Notices,
    settled_at: float,
    now: float,
) -> tuple[list[Episode], float]:
    """Of the episodes `gone` those that are over, with their group as it ended; and when to look again.

    An episode whose end was sent with another group is removed.
    """
    over, again_at = [], inf
    seen = seen_alerts(shown) if gone else {}
    for episode in gone:
        group = outcome(episode, seen, settled_at, now)
        if group is None:
            again_at = min(again_at, lost_at(episode, settled_at))
            continue
        is_ended = ends_with_carrier(episode, episodes.get(episode.carrier or ""), notices)
        if is_ended:
            del episodes[episode.group.key]
        elif is_ended is False:
            episode.group = group
            over.append(episode)
    return over, again_at


def carried(episodes: Mapping[str, Episode], key: str) -> Sequence[str]:
    """Keys under which people know of alerts that went into this group."""
    return sorted(name for name, one in episodes.items() if one.carrier == key and one.sent >= 0)
