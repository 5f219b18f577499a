"""`webhook`: everything as JSON, to any URL.

With a secret, `X-Peerscope-Signature` is `sha256=` and the HMAC-SHA256 of the timestamp, a dot and the body, in
hexadecimal. Receivers compare it in constant time, refuse old timestamps, and drop what they have under the same
`Idempotency-Key`.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Any

import msgspec

from peerscope.notify.base import Letter
from peerscope.notify.http import post
from peerscope.notify.settings import WebhookConfig, secret_of, url_of

ALERTS_MAX = 200
"""Alerts listed in one message; `alerts_total` tells how many there are."""


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
    """What proves that the holder of the secret sent this body at this time."""
    return hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def payload(letter: Letter) -> dict[str, Any]:
    """The message as JSON has it; the fields of an alert are those of `GET alerts`."""
    message = letter.message
    group = message.group
    incident = {"id": group.key, "kind": group.incident, "names": group.names, "title": group.title, "root": group.root}
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
        "alerts": group.alerts[:ALERTS_MAX],
        "alerts_total": len(group.alerts),
        "updates": message.updates,
        "repeat": message.repeat,
        "network": letter.sender.network,
        "sent_by": letter.sender.peer_id,
        "sent_at": letter.at,
        "url": group.url,
    }
