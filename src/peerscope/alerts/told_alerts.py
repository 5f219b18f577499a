"""Alerts that people know already, whatever the message was about: one cause is one message.

Alerts move. One that fires alone joins an incident, an incident parts into two, or falls apart into single alerts. Ids
do not show that, so a notifier compares alerts. People know an alert if a message was sent about the group that holds
it. The alert may have joined that group later: the incident explains it. A group of known alerts is at most an update.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from peerscope.alerts.alert_record import ENDED
from peerscope.alerts.episodes import SLACK_S, Episode, Notices, delivered
from peerscope.alerts.model import Alert
from peerscope.alerts.notification import NotificationGroup, Reason, What
from peerscope.alerts.notification_log import ESCALATED, FIRING, RESOLVED, UPDATED, Heard, notice_key
from peerscope.mesh.detection.verdicts import Verdict
from peerscope.records.alerts import Severity

GONE = frozenset((Verdict.DOWN, Verdict.PARTITIONED, Verdict.LEFT))
"""Peers that state nothing any more; an alert names the one that ended it."""
COMPANY_S = 120.0
"""Time after a message in which an alert of the same rule may have the same cause."""


class Told(Struct, frozen=True):
    """The message that people got about one alert."""

    began: float
    """Beginning of the alert in Unix seconds: the same alert at another time is another one."""
    severity: int
    """Worst severity of a message about it."""
    at: float
    """Time of that message, in monotonic seconds."""
    key: str
    """The group of that message."""


def told_alerts(episodes: Iterable[Episode]) -> dict[str, Told]:
    """Every alert in a group that people know, by id."""
    found: dict[str, Told] = {}
    for episode in episodes:
        if episode.sent < 0 or episode.is_end_sent:
            continue
        for alert in (*episode.sent_group.alerts, *episode.group.alerts):
            severity = max(episode.sent, Severity[alert.severity.upper()])
            other = found.get(alert.id)
            if other is None or (alert.started_at, severity) > (other.began, other.severity):
                found[alert.id] = Told(alert.started_at, severity, episode.sent_at, episode.group.key)
    return found


def heard_of(group: NotificationGroup, told: Mapping[str, Told]) -> Told | None:
    """The worst that people know of the firing alerts of this group; None if they know none of them."""
    known = [
        one
        for alert in group.alerts
        if alert.state == "firing" and (one := told.get(alert.id)) is not None
        if abs(one.began - alert.started_at) <= SLACK_S
    ]
    return max(known, key=lambda one: (one.severity, one.at, one.key), default=None)


def sent_before(alert: Alert, notices: Notices, now: float, wall: float) -> list[Heard]:
    """Delivered messages about this alert alone. `wall`: Unix seconds at `now`."""
    return delivered(notices.get(notice_key(alert.id, FIRING), ()), alert.started_at - wall + now - SLACK_S)


def hear(episode: Episode, told: Mapping[str, Told], notices: Notices, now: float, wall: float) -> None:
    """Note what people know of a group without a message of its own. A single alert that they know counts as sent."""
    group = episode.group
    if episode.sent >= 0 or group.state != "firing":
        return
    found = heard_of(group, told)
    if group.incident is not None:
        alone = [one.severity for alert in group.alerts for one in sent_before(alert, notices, now, wall)]
        episode.heard = max([episode.heard, *alone, *([found.severity] if found is not None else [])])
    elif found is not None and found.key != group.key:
        episode.sent, episode.sent_at = found.severity, found.at


def has_company(episode: Episode, episodes: Iterable[Episode], now: float) -> bool:
    """Whether an alert of the same rule was sent alone just now, so that one incident may soon hold both."""
    group = episode.group
    if group.incident is not None or group.severity == "critical":
        return False
    rules = {alert.rule for alert in group.alerts}
    return any(
        one is not episode and now - one.sent_at < COMPANY_S and rules == {alert.rule for alert in one.group.alerts}
        for one in episodes
        if one.sent >= 0 and one.group.incident is None and one.group.state == "firing"
    )


def reason_of(episode: Episode, what: What, updates: Sequence[str]) -> Reason:
    """Why people get this message."""
    if what == RESOLVED:
        if episode.group.forgotten:
            return "forgotten"
        if episode.is_missed:
            return "missed"
        return "lost" if episode.group.resolved_at is None or _is_cut_short(episode.group) else "resolved"
    if what == ESCALATED:
        return "again"
    if what == UPDATED or (episode.sent < 0 and episode.is_quiet):
        return "update"
    return "worse" if episode.sent >= 0 or episode.heard >= 0 or updates else "new"


def _is_cut_short(group: NotificationGroup) -> bool:
    """Whether all its alerts ended because the peers that stated them are gone: their conditions may go on."""
    return all(alert.metadata.get(ENDED) in GONE for alert in group.alerts)
