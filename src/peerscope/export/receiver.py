"""The receiver of remote write, and how to behave towards it (remote write 1.0, "Retries & Backoff").

Taken (2xx), to be tried again later (429, 5xx, no answer), or refused for good (all other answers): what was refused
once will be refused again, and must not hold up what comes after it. Redirects are not followed: they would carry
samples and credentials to where the operator never sent them.
"""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

import urllib3
from msgspec import Struct

from peerscope import __version__
from peerscope.errors import ConfigError
from peerscope.export.config import RemoteWriteConfig
from peerscope.export.credentials import authorization

ANSWER_BYTES_MAX = 512
"""Of what a refusal says."""
RETRY_AFTER_S_MAX = 3600.0
CONNECT_S = 10.0


class Taken(Struct, frozen=True):
    """It has them."""


class Later(Struct, frozen=True):
    """It does not take them now."""

    reason: str
    after_s: float = 0.0
    """How long it wants to be left alone."""


class Refused(Struct, frozen=True):
    """It will never take them."""

    reason: str


Outcome = Taken | Later | Refused


class Receiver:
    """One URL. `send` waits, so it wants a thread of its own."""

    def __init__(self, config: RemoteWriteConfig) -> None:
        """Raises `ConfigError` where a secret cannot be read."""
        authorization(config)
        self._config = config
        # One connection, kept open: after an outage hundreds of requests go out, one after the other.
        self._pool = urllib3.PoolManager(
            num_pools=1, maxsize=1, retries=False, timeout=urllib3.Timeout(connect=CONNECT_S, read=config.timeout_s)
        )

    def send(self, body: bytes) -> Outcome:
        """What became of this request."""
        try:
            headers = self._headers()
            answer = self._pool.request(
                "POST", self._config.url, body=body, headers=headers, redirect=False, preload_content=False
            )
            try:
                said = answer.read(ANSWER_BYTES_MAX)
                if answer.read(1):
                    answer.close()  # a short answer leaves the connection for the next request, a long one is left
            finally:
                answer.release_conn()
        except ConfigError as error:  # a secret is just being replaced
            return Later(str(error))
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return Later(_plain(str(error.__cause__ or error) or type(error).__name__))
        return outcome(answer.status, answer.headers.get("retry-after"), said, time.time())

    def _headers(self) -> dict[str, str]:
        secret = authorization(self._config)
        return {
            **self._config.headers,
            "Content-Type": "application/x-protobuf",
            "Content-Encoding": "snappy",
            "X-Prometheus-Remote-Write-Version": "0.1.0",
            "User-Agent": f"peerscope/{__version__}",
            **({"Authorization": secret} if secret else {}),
        }


def outcome(status: int, retry_after: str | None, said: bytes, wall: float) -> Outcome:
    """What an answer means. `wall`: Unix seconds, for a `Retry-After` that is a date."""
    if 200 <= status < 300:
        return Taken()
    text = _plain(said.decode("utf-8", "replace").strip().partition("\n")[0])
    reason = f"it answers {status}{': ' if text else ''}{text}"
    if status == 429 or status >= 500:
        return Later(reason, wait_s(retry_after, wall))
    return Refused(reason)


def wait_s(retry_after: str | None, wall: float) -> float:
    """Seconds from now, an hour at most; 0 where nothing is asked for that can be read (RFC 9110, 10.2.3)."""
    if retry_after is None:
        return 0.0
    try:
        seconds = float(retry_after) if retry_after.strip().isdecimal() else _until(retry_after, wall)
    except (ValueError, OverflowError):
        return 0.0
    return min(RETRY_AFTER_S_MAX, max(0.0, seconds))


def _until(date: str, wall: float) -> float:
    return parsedate_to_datetime(date).timestamp() - wall


def _plain(text: str) -> str:
    """What others say, as it can stand in a log."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:200]
