"""`alertmanager`: alerts one by one to a Prometheus Alertmanager (API v2), which routes them as it routes all others.

Alertmanager knows an alert by its labels, so that the same alert of two notifiers is one. It takes an alert for ended
when `endsAt` has passed: what fires is told again every minute, by every notifier with such a channel, each as far into
the future as Prometheus does it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from peerscope.alerts.model import Alert
from peerscope.alerts.notification import NotificationGroup
from peerscope.notify.base import Letter, Sender
from peerscope.notify.http import post
from peerscope.notify.settings import AlertmanagerConfig, secret_of, url_of
from peerscope.notify.wording import when

LIVE_S = 240.0
"""Four times as long as between two posts."""
BATCH_MAX = 500
Labels = tuple[tuple[str, str], ...]


class Alertmanager:
    """One Alertmanager."""

    def __init__(self, name: str, config: AlertmanagerConfig) -> None:
        """Raises `ConfigError`."""
        self._url = url_of(config, name).rstrip("/") + "/api/v2/alerts"
        token = secret_of(config, name, "secret")
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._timeout_s = config.timeout_s
        self._firing: dict[Labels, dict[str, Any]] = {}
        """What we last told of each alert that fires."""

    def deliver(self, letter: Letter) -> None:
        """Raises `DeliveryError`."""
        group, at = letter.message.group, time.time()
        is_over = letter.message.what == "resolved"
        posts = [_post(alert, group, letter.sender, at, is_over=is_over) for alert in group.alerts]
        self._tell(posts, self._changed(posts, group.alerts, letter.sender), at)

    def follow(self, groups: Sequence[NotificationGroup], sender: Sender, at: float) -> None:
        """Tell again of all that fires, and of what we told and does so no more. Raises `DeliveryError`."""
        posts = [
            _post(alert, group, sender, at) for group in groups for alert in group.alerts if alert.state == "firing"
        ]
        told = {_labels(post) for post in posts}
        self._tell(posts, [labels for labels in list(self._firing) if labels not in told], at)

    def _changed(self, posts: Iterable[dict[str, Any]], alerts: Iterable[Alert], sender: Sender) -> list[Labels]:
        """Labels under which we told these alerts before: a severity that rose makes another alert of it."""
        ids, now = {(alert.id, sender.network) for alert in alerts}, {_labels(post) for post in posts}
        return [
            labels
            for labels, post in list(self._firing.items())
            if labels not in now and (post["labels"]["id"], post["labels"]["network"]) in ids
        ]

    def _tell(self, posts: list[dict[str, Any]], over: Iterable[Labels], at: float) -> None:
        posts = posts + [self._firing[labels] | {"endsAt": when(at)} for labels in over]
        for start in range(0, len(posts), BATCH_MAX):
            batch = posts[start : start + BATCH_MAX]
            post(self._url, msgspec.json.encode(batch), self._headers, timeout_s=self._timeout_s)
            for one in batch:
                if one["endsAt"] > when(at):
                    self._firing[_labels(one)] = one
                else:
                    self._firing.pop(_labels(one), None)


def _post(
    alert: Alert, group: NotificationGroup, sender: Sender, at: float, *, is_over: bool = False
) -> dict[str, Any]:
    """One alert as the API takes it; empty labels are left out, as Prometheus has none."""
    labels = {
        "alertname": alert.rule,
        "id": alert.id,
        "peer": alert.peer_id or "",
        "region": alert.region or "",
        "severity": alert.severity,
        "network": sender.network,
    }
    notes = {
        "summary": alert.title,
        "description": alert.description,
        "runbook": alert.runbook,
        "incident": group.title if group.incident is not None else "",
        "root": group.root or "",
        "ended": "forgotten, never came back" if alert.state == "forgotten" else "",
    }
    fires = alert.state == "firing" and not is_over
    started_at = min(alert.started_at, at)
    return {
        "labels": {name: value for name, value in labels.items() if value},
        "annotations": {name: value for name, value in notes.items() if value},
        "startsAt": when(started_at),
        "endsAt": when(at + LIVE_S if fires else max(started_at, min(at, alert.resolved_at or at))),
        "generatorURL": group.url,
    }


def _labels(post: dict[str, Any]) -> Labels:
    return tuple(sorted(post["labels"].items()))
