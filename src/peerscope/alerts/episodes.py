"""An episode is one time that a group fires, as one notifier follows it: what people know, and what is still to send.

An episode begins when its condition begins. Older notices belong to an earlier episode, because alert ids recur. People
*may know* of it once a channel takes a message about it. The same holds if the author of a message dies before it
reports the result. From then on the notifiers owe people the end, even if the group disappears, the author dies or this
process restarts. `Open` is the part that must outlive a restart.

All notifiers that see the same alerts give an episode the same *name*, a number. It lets receivers recognize two
messages about one step as one. It comes from `Statement.episode`, which an author sets once. A notifier that hears of a
message takes over the name in its notice. After an end that only one side of a partition saw, the same alerts are in
another episode. The last byte of the name counts these.

A group disappears when the alert list forgets it, an incident splits into alerts or takes them in, or a process
restarts. Its end comes with the group that took its alerts, when all of them are over, or after `LOST_S`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import inf

from msgspec import Struct, field
from msgspec.structs import replace

from peerscope.alerts.model import Alert
from peerscope.alerts.notification import NotificationGroup, What
from peerscope.alerts.notification_log import ESCALATED, FIRING, RESOLVED, UPDATED, Heard, Roster, notice_key, ranked
from peerscope.records.alerts import Severity
from peerscope.records.identity import PeerId

SLACK_S = 5.0
"""Largest difference between the dates of a notice and of an alert, from the ways that they came."""
CLAIM_S = 120.0
"""An older claim holds no notifier back: its author lives, but its channels hang."""
FAILED_S = 60.0
"""A notifier whose channels failed comes last for this time."""
ROUND_MAX = 255
"""How often alerts may end for people and fire on."""
OPEN_ALERTS_MAX = 50
"""Alerts in an `Open`, gravest first: enough to see whether one of them still fires."""

LOST_S = 120.0
"""A known group that no longer appears is over after this time. A peer that restarts needs it to hear from others and
to see its own conditions fire again."""

Seen = Mapping[str, tuple[NotificationGroup, Alert]]
"""Each current alert with its group, by id."""

Notices = Mapping[str, list[Heard]]
"""Notices by key."""
Wish = tuple[What, int]
"""The message that is due, and its severity."""


class Open(Struct, frozen=True):
    """An episode that people know or may know, and whose end is not sent. Times are monotonic seconds."""

    group: NotificationGroup
    """At the time of the last message."""
    began: float
    sent: int = field(name="told")
    """Worst severity delivered; -1 if we know of no delivery."""
    sent_at: float = field(name="told_at")
    """Time of the last message."""
    name: int
    is_missed: bool
    """All attempts to send it failed: people do not know of it."""
    carrier: str | None = None
    """Key of the group that took its alerts."""


class Episode:
    """The current episode of one group."""

    def __init__(self, group: NotificationGroup, began: float, now: float) -> None:
        self.group = group
        self.began = began
        self.seen_at = now
        self.sent: int = -1
        """As in `Open`."""
        self.sent_at = -inf
        self.sent_group = group
        """The group at `sent_at`."""
        self.heard: int = -1
        """Worst severity at which people know its alerts under other keys; -1 if they know none of them."""
        self.kind = group.incident
        """Kind of the incident in the last message."""
        self.kind_at = -inf
        self.updates = 0
        """Messages about another kind."""
        self.senders: set[PeerId] = set()
        self.may_be_sent = False
        """A notifier died before it reported the result of a message."""
        self.is_missed = False
        """Our channels refused the message, and no peer has delivered it since."""
        self.is_end_sent = False
        self.is_disputed = False
        self.resolved_since = inf
        self.is_closed = False
        """It is over and no message is due."""
        self.name = 0
        self.repeats = 0
        self.carrier: str | None = None
        self.gone_since = inf
        """Since when the group no longer appears."""
        self.wish: Wish | None = None
        self.since = now
        self.claimants: dict[PeerId, float] = {}
        """Notifiers about to send it, and since when."""
        self.free_at = -inf
        """When a claim ended without a delivery."""
        self.failed: dict[PeerId, float] = {}
        """Notifiers that failed, and until when they come last."""
        self.failures = 0
        """Our failed attempts in a row since the wish changed."""
        self.retry_at = -inf
        self.on_way: What | None = None
        """Our message that the channels have not answered yet."""
        self.is_awaited = False
        """Another notifier's message has no result yet."""

    @classmethod
    def of(cls, kept: Open, now: float) -> Episode:
        """Continue an episode of an earlier process."""
        episode = cls(kept.group, min(kept.began, now), now)
        episode.sent, episode.sent_at, episode.sent_group = kept.sent, min(kept.sent_at, now), kept.group
        episode.name, episode.is_missed, episode.carrier = kept.name, kept.is_missed, kept.carrier
        episode.kind, episode.kind_at = kept.group.incident, episode.sent_at
        episode.may_be_sent = kept.sent < 0 and not kept.is_missed
        return episode

    @property
    def is_known(self) -> bool:
        """Whether people know of it, may know of it, or should."""
        return self.sent >= 0 or self.may_be_sent or self.is_missed or self.on_way == FIRING

    @property
    def is_quiet(self) -> bool:
        """Whether people know its alerts already, and nothing got worse: a message is only an update."""
        return self.heard >= Severity[self.group.severity.upper()]

    @property
    def has_other_kind(self) -> bool:
        """Whether people know it as an incident of another kind."""
        return self.sent >= 0 and self.kind is not None and self.group.incident not in (None, self.kind)

    @property
    def is_end_owed(self) -> bool:
        """Whether people still have to learn that it is over."""
        return self.is_known and not self.is_end_sent

    @property
    def open(self) -> Open | None:
        """The state that must outlive this process; None if no end is owed."""
        if self.is_closed or not self.is_end_owed:
            return None
        group = self.sent_group
        if len(group.alerts) > OPEN_ALERTS_MAX:
            group = replace(group, alerts=group.alerts[:OPEN_ALERTS_MAX])
        sent_at = max(self.sent_at, self.began)
        return Open(group, self.began, self.sent, sent_at, self.name, self.is_missed, self.carrier)

    def learn(self, notices: Notices, roster: Roster, me: PeerId, now: float, wall: float) -> None:
        """Read from the notices which messages of this episode left. `wall`: Unix seconds at `now`."""
        group, oldest = self.group, self.began - SLACK_S
        over = delivered(named(notices, group, RESOLVED), oldest)
        over_at = max((one.at for one in over), default=-inf)
        since = max(oldest, over_at)
        mine = named(notices, group, FIRING)
        first = delivered(mine, since)
        for key, started_at in group.earlier_groups:
            first += delivered(notices.get(notice_key(key, FIRING), ()), started_at - wall + now - SLACK_S)
        again = delivered(named(notices, group, ESCALATED), since)
        renewed = delivered(named(notices, group, UPDATED), since)
        for one in first:
            if one.severity > self.sent:
                self.sent, self.sent_group = one.severity, group
        for one in first + again:
            self.sent_at = max(self.sent_at, one.at)
            self.senders.add(one.peer)
        said_at = max((one.at for one in first + renewed), default=-inf)
        if said_at > self.kind_at:
            self.kind, self.kind_at, self.sent_group = group.incident, said_at, group
        self.updates = max([self.updates, *(one.repeat for one in renewed)])
        claims = [one for one in mine if not one.delivered and one.peer != me and one.at >= since]
        is_patient = now - min(self.resolved_since, now) < CLAIM_S  # even if the author renews its claim
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
        """The name of this episode. Notifiers that hear of it take it over."""
        if not self.name:
            stated = self.group.episode
            earlier = named(notices, self.group, FIRING) + named(notices, self.group, RESOLVED)
            counts = [one.episode & ROUND_MAX for one in earlier if one.episode and one.episode >> 8 == stated >> 8]
            self.name = stated + min(max(counts, default=-1) + 1, ROUND_MAX)
        return self.name

    def is_claimed(self, wish: Wish, notices: Notices, roster: Roster, me: PeerId, now: float) -> bool:
        """Whether a living notifier is about to send it. If its claim ends, its turn passes on."""
        what, severity = wish
        known = named(notices, self.group, what)
        after = {ESCALATED: self.sent_at, UPDATED: self.kind_at}.get(what, self.began - SLACK_S)
        claims = {  # renewing a claim does not make it younger
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
    """Notices about a group, under all its names."""
    keys = dict.fromkeys(notice_key(name, what) for name in (group.key, *group.names))
    return [one for key in keys for one in notices.get(key, ())]


def delivered(notices: Iterable[Heard], oldest: float) -> list[Heard]:
    """Notices since `oldest` whose message a channel took."""
    return [one for one in notices if one.delivered and one.at >= oldest]


def departed(episodes: Mapping[str, Episode], shown: Iterable[NotificationGroup]) -> list[Episode]:
    """Episodes with an owed end whose group no longer appears."""
    present = {group.key for group in shown}
    return [one for key, one in episodes.items() if key not in present and one.is_end_owed]


def seen_alerts(shown: Iterable[NotificationGroup]) -> Seen:
    """The alerts of all groups."""
    return {alert.id: (group, alert) for group in shown for alert in group.alerts}


def take_over(episode: Episode, gone: Iterable[Episode]) -> None:
    """Count a group as sent if all its alerts were in an incident that people know and that no longer appears."""
    firing = [alert for alert in episode.group.alerts if alert.state == "firing"]
    for one in gone:
        began = {alert.id: alert.started_at for alert in one.sent_group.alerts}
        is_known = all(abs(began.get(alert.id, -inf) - alert.started_at) <= SLACK_S for alert in firing)
        if one.sent > episode.sent and one.group.incident is not None and firing and is_known:
            episode.sent, episode.sent_at = one.sent, one.sent_at


def outcome(episode: Episode, seen: Seen, settled_at: float, now: float) -> NotificationGroup | None:
    """The group as it ended; None while it goes on under another key, or its end is unknown.

    `settled_at`: when the notices of the others have arrived.
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
    """When a group that stays away counts as over; infinite while another group has its alerts."""
    return max(episode.gone_since, settled_at) + LOST_S


def ends_with_carrier(episode: Episode, carrier: Episode | None, notices: Notices) -> bool | None:
    """Whether it ends with the group that took its alerts: True once that end is sent, None until then."""
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
    """Select from `gone` the episodes that are over, with their group as it ended; and when to look again.

    Removes episodes whose end went out with another group.
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
    """Keys under which people know alerts that are now in this group."""
    return sorted(name for name, one in episodes.items() if one.carrier == key and one.sent >= 0)
