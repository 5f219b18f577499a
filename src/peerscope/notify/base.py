"""What a channel is, and what goes through it."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Protocol, runtime_checkable

from msgspec import Struct

from peerscope.alerts.notification import Notification, NotificationGroup


class Sender(Struct, frozen=True):
    """Who tells."""

    network: str
    peer_id: str
    """Full id."""


class Letter(Struct, frozen=True):
    """A message with what channels need besides."""

    message: Notification
    sender: Sender
    at: float
    """Unix seconds at which it was sent first."""

    @property
    def idempotency_key(self) -> str:
        """Names the episode and its step: the same for every attempt, and for every notifier that sends it."""
        message = self.message
        episode = message.episode or (message.group.key, message.group.started_at)
        severity = "" if message.what == "resolved" else message.severity.name
        parts = (self.sender.network, episode, message.what, severity, message.repeat)
        return blake2b(repr(parts).encode(), digest_size=16).hexdigest()

    @property
    def thread_key(self) -> str:
        """The same for all messages of one group."""
        return blake2b(repr((self.sender.network, self.message.group.key)).encode(), digest_size=16).hexdigest()


class Channel(Protocol):
    """A way to people."""

    def deliver(self, letter: Letter) -> None:
        """Returns once the other end took it. May block: it runs in a thread. Raises `DeliveryError`."""


@runtime_checkable
class Follower(Protocol):
    """A channel whose other end wants to hear all the time of what fires."""

    def follow(self, groups: Sequence[NotificationGroup], sender: Sender, at: float) -> None:
        """Tell it of everything that was told and still fires. Blocks and raises like `deliver`."""
