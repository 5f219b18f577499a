"""Sends requests of remote write, and interprets the answers (remote write 1.0, "Retries & Backoff").

The receiver takes a request (2xx), refuses it (`ABOUT_SAMPLES`: it would refuse the same samples again), or fails. Any
other answer, and no answer, is a failure, after which the agent tries again later. So samples wait while the operator
mends a wrong address or credential (401, 403, 404). Redirects are not followed: they would carry samples and
credentials to an address that nobody configured.
"""

from __future__ import annotations

import base64
import re
import time
from email.utils import parsedate_to_datetime

import urllib3
from msgspec import Struct

from peerscope.errors import ConfigError
from peerscope.export.config import RemoteWriteConfig
from peerscope.host.secret_files import read_secret
from peerscope.host.version import __version__

ANSWER_BYTES_MAX = 512
"""Bytes of an answer to read."""
ABOUT_SAMPLES = frozenset((400, 409, 413, 422))
"""Answers that are about the samples, not about the sender or the time."""
WORDS_MAX = 80
RETRY_AFTER_S_MAX = 3600.0
CONNECT_S = 10.0
_VARYING = re.compile(r"""\{[^{}]*\}|"[^"]*"|'[^']*'|\S*\d\S*""")


class Taken(Struct, frozen=True):
    """The receiver took the samples."""


class Later(Struct, frozen=True):
    """The receiver does not take the samples now."""

    reason: str
    words: str = ""
    """The reason without variable parts: two failures with the same words are the same."""
    after_s: float = 0.0
    """Pause that the receiver asks for."""
    is_fault: bool = False
    """The receiver itself failed (500), and is not just busy or away: the samples may be the cause."""


class RefusedSamples(Struct, frozen=True):
    """The receiver will never take all of these samples."""

    reason: str
    words: str = ""


Outcome = Taken | Later | RefusedSamples


class RemoteWriteReceiver:
    """Sends to one URL. `send` blocks, so call it in a thread."""

    def __init__(self, config: RemoteWriteConfig) -> None:
        """Raises `ConfigError` if a secret cannot be read."""
        authorization(config)
        self._config = config
        # Keep one connection open: after an outage we send hundreds of requests, one after the other.
        self._pool = urllib3.PoolManager(
            num_pools=1, maxsize=1, retries=False, timeout=urllib3.Timeout(connect=CONNECT_S, read=config.timeout_s)
        )

    def send(self, body: bytes) -> Outcome:
        """Send one request."""
        try:
            headers = self._headers()
            answer = self._pool.request(
                "POST", self._config.url, body=body, headers=headers, redirect=False, preload_content=False
            )
            try:
                text = answer.read(ANSWER_BYTES_MAX)
                if answer.read(1):
                    answer.close()  # after a short answer the next request uses the connection again
            finally:
                answer.release_conn()
        except ConfigError as error:  # somebody may just be replacing a secret
            return Later(str(error), "no credentials")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return Later(_plain(str(error.__cause__ or error) or type(error).__name__), "no answer")
        return outcome(answer.status, answer.headers.get("retry-after"), text, time.time())

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


def outcome(status: int, retry_after: str | None, body: bytes, wall: float) -> Outcome:
    """Interpret an answer. `wall`: Unix seconds, for a `Retry-After` that is a date."""
    if 200 <= status < 300:
        return Taken()
    text = _plain(body.decode("utf-8", "replace").strip().partition("\n")[0])
    answer = f"{status}{': ' if text else ''}{text}"
    if status in ABOUT_SAMPLES:
        return RefusedSamples(f"it answers {answer}", words(answer))
    is_fault = status == 500
    return Later(f"it answers {answer}", words(answer), wait_s(retry_after, wall), is_fault)


def words(text: str) -> str:
    """Remove the parts that vary with the samples: quoted parts, and numbers but the status."""
    status, rest = text[:3], text[3:]
    return (status + _VARYING.sub("*", rest))[:WORDS_MAX].rstrip()


def wait_s(retry_after: str | None, wall: float) -> float:
    """Seconds from now, an hour at most; 0 without a valid `Retry-After` (RFC 9110, 10.2.3)."""
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
    """Make a text of others safe for a log."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:200]


SECRET_BYTES_MAX = 16 * 1024


def authorization(config: RemoteWriteConfig) -> str | None:
    """The value of the header `Authorization`; None without credentials. Raises `ConfigError`."""
    if config.bearer_token_file:
        token = _secret(config.bearer_token_file, "bearer_token_file")
        if not token.isascii():  # no header can carry it
            raise ConfigError(f"export.remote_write.bearer_token_file: {config.bearer_token_file} holds no ASCII text")
        return f"Bearer {token}"
    if config.password_file:
        pair = f"{config.username}:{_secret(config.password_file, 'password_file')}"
        return f"Basic {base64.b64encode(pair.encode()).decode('ascii')}"
    return None


def _secret(place: str, key: str) -> str:
    return read_secret(place, f"export.remote_write.{key}", bytes_max=SECRET_BYTES_MAX, strip="\r\n").reveal()
