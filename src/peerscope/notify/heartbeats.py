"""Sends heartbeats to a URL outside, compatible with healthchecks.io, and counts what became of them.

The core decides when this peer sends (`alerts/heartbeat.py`). A heartbeat gets up to `ATTEMPTS` attempts within its
interval. After `FAILURES_MAX` lost heartbeats this peer gives up its role for `REST_S`: the next candidate sends. If
there is none, it goes on. Redirects are refused, answers are not read, and no error repeats the URL.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from math import inf
from urllib.parse import urlsplit, urlunsplit

import msgspec

from peerscope.alerts.heartbeat import Beat, Signal
from peerscope.errors import DeliveryError
from peerscope.host.clock import monotonic
from peerscope.notify.attempts import in_thread
from peerscope.notify.base import Sender
from peerscope.notify.http import call
from peerscope.notify.settings import HeartbeatSettings, HeartbeatView

ATTEMPTS = 2
PAUSE_S = 1.0
FAILURES_MAX = 2
REST_S = 3600.0
QUEUE_MAX = 4

log = logging.getLogger(__name__)


class Heartbeats:
    """The heartbeats of one agent on their way out."""

    def __init__(self, config: HeartbeatSettings, sender: Sender) -> None:
        """Raises `ConfigError` for a URL that cannot be used."""
        self._config = config
        self._url = config.address()
        self._sender = sender
        self._queue: asyncio.Queue[Beat] = asyncio.Queue(QUEUE_MAX)
        self._counts = Counter[str](delivered=0, failed=0, dropped=0)
        self._last_error: str | None = None
        self._delivered_at = -inf
        self._failures = 0
        self._rests_until = -inf
        self._busy = threading.Lock()
        """Held by the thread of an attempt, which may outlive its timeout."""

    @property
    def has_role(self) -> bool:
        """Whether this peer is a candidate."""
        return monotonic() >= self._rests_until

    def offer(self, beat: Beat) -> None:
        """Queue a heartbeat. If others wait already, the URL hangs: it is dropped."""
        try:
            self._queue.put_nowait(beat)
        except asyncio.QueueFull:
            self._counts["dropped"] += 1

    def view(self) -> HeartbeatView:
        """The state for people."""
        age_s = None if self._delivered_at == -inf else monotonic() - self._delivered_at
        return HeartbeatView(dict(self._counts), self._last_error, age_s, self.has_role)

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._send(await self._queue.get())

    async def _send(self, beat: Beat) -> None:
        for number in range(ATTEMPTS):
            try:
                await in_thread(lambda: self._attempt(beat), self._config.timeout_s, "heartbeat")
            except DeliveryError as error:
                self._note_error(str(error), is_last=number + 1 == ATTEMPTS or not error.again)
                if not error.again:
                    return
                await asyncio.sleep(PAUSE_S)
            else:
                if self._failures:
                    log.info("heartbeats are delivered again")
                self._counts["delivered"] += 1
                self._failures, self._last_error, self._delivered_at = 0, None, monotonic()
                return

    def _note_error(self, error: str, *, is_last: bool) -> None:
        self._last_error = error
        if not is_last:
            return
        if not self._failures:
            log.warning("a heartbeat was not delivered: %s", error)
        self._counts["failed"] += 1
        self._failures += 1
        if self._failures >= FAILURES_MAX:
            self._failures, self._rests_until = 0, monotonic() + REST_S
            log.warning("heartbeats fail: another peer with a heartbeat URL takes over, if there is one")

    def _attempt(self, beat: Beat) -> None:
        if not self._busy.acquire(blocking=False):
            raise DeliveryError("the last attempt still hangs", again=True)
        try:
            is_post = self._config.method == "POST"
            body = body_of(beat, self._sender) if is_post else None
            headers = {"Content-Type": "application/json"} if is_post else {}
            url, timeout_s = url_of(self._url, beat.signal), self._config.timeout_s
            call(self._config.method, url, body, headers, timeout_s=timeout_s, answer_bytes=0)
        finally:
            self._busy.release()


def url_of(url: str, signal: Signal) -> str:
    """The URL of a signal: healthchecks.io appends it to the path."""
    if signal == "ok":
        return url
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{signal}"))


def body_of(beat: Beat, sender: Sender) -> bytes:
    """The state of the network as JSON."""
    fields = {name: getattr(beat.state, name) for name in beat.state.__struct_fields__}
    return msgspec.json.encode(
        {"version": 1, "network": sender.network, "sent_by": sender.peer_id, "signal": beat.signal, **fields}
    )
