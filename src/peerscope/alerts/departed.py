"""Groups that people know of and that are shown no more: what has become of them.

A board forgets, an incident dissolves into its alerts, an alert goes into an incident, a process restarts. The end that
is owed comes with the group that the alerts went into, or as soon as all of them are known to be over, or when they
are gone for `LOST_S`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import inf

from msgspec.structs import replace

from peerscope.alerts.episodes import SLACK_S, Episode, Notices, delivered
from peerscope.alerts.grouping import NotificationGroup
from peerscope.alerts.model import Alert
from peerscope.alerts.notification_log import RESOLVED, notice_key

LOST_S = 120.0
"""A group that people know of and that is shown no more is over after so long. A peer that restarted needs that time:
to hear from the others, and to see its own conditions fire again."""

Seen = Mapping[str, tuple[NotificationGroup, Alert]]
"""By id, every alert that is shown, and the group that shows it."""


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
