"""Channels over HTTP: `webhook`, `slack` and `alertmanager`.

- `webhook` sends everything as JSON to any URL. With a secret, `X-Peerscope-Signature` is `sha256=` and the HMAC-SHA256
  of the timestamp, a dot and the body, in hexadecimal. Receivers compare it in constant time, refuse old timestamps,
  and drop messages with an `Idempotency-Key` that they have seen.
- `slack` is an incoming webhook of Slack, or of a program with the same interface (Mattermost, Rocket.Chat).
- `alertmanager` sends single alerts to a Prometheus Alertmanager (API v2), which routes them like all others. It
  identifies an alert by its labels, so the same alert of two notifiers is one. It ends an alert when `endsAt` has
  passed. So every notifier with such a channel repeats firing alerts each minute, as Prometheus does.

Requests use `urllib` in a thread: 65 ms and 8 MB, and only with channels; httpx takes 280 ms and 18 MB. A channel
has one request at a time, so connection pools and event loops gain nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Iterable, Mapping, Sequence
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, build_opener

import msgspec

from peerscope.alerts.model import Alert
from peerscope.alerts.notification import NotificationGroup
from peerscope.alerts.phrases import PEERS_SHOWN, folded
from peerscope.errors import DeliveryError
from peerscope.host.http import NoRedirect
from peerscope.host.version import __version__
from peerscope.mesh.detection.checks import printable
from peerscope.notify.base import Letter, Sender
from peerscope.notify.settings import AlertmanagerConfig, SlackConfig, WebhookConfig, secret_of, url_of
from peerscope.notify.wording import cause_lines, colour, subject, subject_of, text, when

ANSWER_BYTES_MAX = 64 * 1024
AGAIN = (408, 425, 429)
"""Client errors that pass by themselves. All others mean that our request is wrong and would fail again."""


def post(url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float) -> bytes:
    """Send a body, and return the beginning of the answer.

    Raises `DeliveryError`. It names only the host, since the rest of the URL may be a secret.
    """
    return call("POST", url, body, headers, timeout_s=timeout_s)


def call(
    method: str,
    url: str,
    body: bytes | None,
    headers: Mapping[str, str],
    *,
    timeout_s: float,
    answer_bytes: int = ANSWER_BYTES_MAX,
) -> bytes:
    """Send a request as `post` does."""
    host = urlsplit(url).hostname or "the channel"
    request = Request(url, data=body, headers={"User-Agent": f"peerscope/{__version__}", **headers}, method=method)
    try:
        with build_opener(NoRedirect).open(request, timeout=timeout_s) as answer:
            return bytes(answer.read(answer_bytes)) if answer_bytes else b""
    except HTTPError as error:
        error.close()
        again = error.code in AGAIN or error.code >= 500
        reason = printable(str(error.reason))[:80]
        raise DeliveryError(f"{host} answers {error.code} {reason}", again, _wait_s(error)) from None
    except (URLError, OSError) as error:
        reason = printable(str(getattr(error, "reason", None) or error) or type(error).__name__)[:160]
        raise DeliveryError(f"{host} does not answer: {reason}", again=True) from None
    except (HTTPException, ValueError) as error:  # their texts may quote the URL
        raise DeliveryError(f"{host} breaks off: {type(error).__name__}", again=True) from None


def _wait_s(error: HTTPError) -> float | None:
    """Seconds of a `Retry-After` (RFC 9110); None for a date, or without one."""
    text = str(error.headers.get("Retry-After", "")) if error.headers is not None else ""
    return float(text) if text.isascii() and text.isdecimal() and len(text) < 8 else None


ALERTS_MAX = 200
"""Alerts listed in one message; `alerts_total` counts all."""
STORY = ("confidence", "alternatives", "evidence", "first_step", "split_from", "merged", "was", "regions")
"""Fields of the group that only an incident has."""


class Webhook:
    """One URL."""

    def __init__(self, name: str, config: WebhookConfig) -> None:
        """Raises `ConfigError`."""
        self._url = url_of(config, name)
        secret = secret_of(config, name, "secret")
        self._secret = secret.encode() if secret is not None else None
        self._timeout_s = config.timeout_s

    def deliver(self, letter: Letter) -> None:
        """Raises `DeliveryError`."""
        body = msgspec.json.encode(payload(letter))
        timestamp = str(round(time.time()))
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": letter.idempotency_key,
            "X-Peerscope-Timestamp": timestamp,
        }
        if self._secret is not None:
            headers["X-Peerscope-Signature"] = f"sha256={signature(self._secret, timestamp, body)}"
        post(self._url, body, headers, timeout_s=self._timeout_s)


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """Sign a body and its time with the secret."""
    return hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def payload(letter: Letter) -> dict[str, Any]:
    """The JSON of a message; the fields of an alert are those of `GET alerts`."""
    message = letter.message
    group = message.group
    incident = {"id": group.key, "kind": group.incident, "names": group.names, "title": group.title, "root": group.root}
    incident |= {name: getattr(group, name) for name in STORY}
    return {
        "version": 1,
        "state": ("forgotten" if group.forgotten else "resolved") if message.what == "resolved" else "firing",
        "reason": message.reason,
        "key": group.key,
        "episode": f"{message.episode:x}",
        "severity": message.severity.name.lower(),
        "title": group.title,
        "description": group.description,
        "started_at": group.started_at,
        "resolved_at": group.resolved_at if message.what == "resolved" else None,
        "incident": incident if group.incident is not None else None,
        "concerned": concerned(group.alerts),
        "alerts": group.alerts[:ALERTS_MAX],
        "alerts_total": len(group.alerts),
        "updates": message.updates,
        "repeat": message.repeat,
        "network": letter.sender.network,
        "sent_by": letter.sender.peer_id,
        "sent_at": letter.at,
        "url": group.url,
    }


def concerned(alerts: Iterable[Alert]) -> list[dict[str, Any]]:
    """Equal alerts as one entry, the most frequent first, with the first few peers or regions."""
    kinds = sorted(folded(alerts, lambda one: one.rule), key=lambda same: (-len(same), same[0].rule))
    return [
        {
            "rule": same[0].rule,
            "title": same[0].title,
            "count": len(same),
            "some": [*map(subject_of, same[:PEERS_SHOWN])],
        }
        for same in kinds[:ALERTS_MAX]
    ]


HEADER_MAX, SECTION_MAX = 150, 3000
"""Slack's own limits for the texts of blocks."""


class Slack:
    """One webhook."""

    def __init__(self, name: str, config: SlackConfig) -> None:
        """Raises `ConfigError`."""
        self._url = url_of(config, name)
        self._timeout_s = config.timeout_s

    def deliver(self, letter: Letter) -> None:
        """Raises `DeliveryError`."""
        title = subject(letter)
        section = {"type": "section", "text": {"type": "mrkdwn", "text": shortened(escape(text(letter)))}}
        body = {
            "text": escape(title),  # for notifications, and for programs without blocks
            "blocks": [{"type": "header", "text": {"type": "plain_text", "text": title[:HEADER_MAX], "emoji": False}}],
            "attachments": [{"color": colour(letter), "blocks": [section]}],
        }
        headers = {"Content-Type": "application/json; charset=utf-8"}
        post(self._url, msgspec.json.encode(body), headers, timeout_s=self._timeout_s)


def escape(words: str) -> str:
    """Escape Slack's markup: `<!channel>` would notify everybody, and `<url|name>` would be a link."""
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def shortened(words: str) -> str:
    """Cut a text between lines to the length of a block, so that no escape is cut."""
    while len(words) > SECTION_MAX:
        words = words.rpartition("\n")[0]
    return words


LIVE_S = 240.0
"""Four times the interval between two posts."""
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
        """The last post about each alert that fires."""

    def deliver(self, letter: Letter) -> None:
        """Raises `DeliveryError`."""
        group, at = letter.message.group, time.time()
        is_over = letter.message.what == "resolved"
        posts = [_post(alert, group, letter.sender, at, is_over=is_over) for alert in group.alerts]
        self._send(posts, self._changed(posts, group.alerts, letter.sender), at)

    def follow(self, groups: Sequence[NotificationGroup], sender: Sender, at: float) -> None:
        """Repeat all alerts that fire, and end those that fire no more. Raises `DeliveryError`."""
        posts = [
            _post(alert, group, sender, at) for group in groups for alert in group.alerts if alert.state == "firing"
        ]
        firing = {_labels(post) for post in posts}
        self._send(posts, [labels for labels in list(self._firing) if labels not in firing], at)

    def _changed(self, posts: Iterable[dict[str, Any]], alerts: Iterable[Alert], sender: Sender) -> list[Labels]:
        """Find former labels of these alerts: a new severity makes another alert."""
        ids, now = {(alert.id, sender.network) for alert in alerts}, {_labels(post) for post in posts}
        return [
            labels
            for labels, post in list(self._firing.items())
            if labels not in now and (post["labels"]["id"], post["labels"]["network"]) in ids
        ]

    def _send(self, posts: list[dict[str, Any]], over: Iterable[Labels], at: float) -> None:
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
    """One alert for the API, without empty labels, as in Prometheus."""
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
        "cause": cause_lines(group)[0] if group.confidence is not None else "",
        "evidence": "\n".join(group.evidence),
        "first_step": group.first_step,
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
