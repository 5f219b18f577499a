"""Channels to people: the messages they carry, and how settings become channels."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from importlib import import_module
from typing import Protocol, runtime_checkable

from msgspec import Struct

from peerscope.alerts.notification import Notification, NotificationGroup
from peerscope.errors import ConfigError
from peerscope.notify.settings import ChannelConfig, NotifyConfig

THREADS_MAX = 8


class Sender(Struct, frozen=True):
    """The peer that sends a message."""

    network: str
    peer_id: str
    """Full id."""


class Letter(Struct, frozen=True):
    """A message with its sender and time."""

    message: Notification
    sender: Sender
    at: float
    """Unix seconds of the first attempt."""

    @property
    def idempotency_key(self) -> str:
        """Identifies the episode and its step: the same for every attempt and every notifier."""
        message = self.message
        episode = message.episode or (message.group.key, message.group.started_at)
        severity = "" if message.what == "resolved" else message.severity.name
        step = (
            message.reason if message.reason == "update" else message.what
        )  # an incident may have its alert's episode
        parts = (self.sender.network, episode, step, severity, message.repeat)
        return blake2b(repr(parts).encode(), digest_size=16).hexdigest()

    @property
    def thread_keys(self) -> tuple[str, ...]:
        """Threads of this message: those of the messages that it replaces, then that of its group."""
        keys = (*self.message.updates[:THREADS_MAX], self.message.group.key)
        return tuple(blake2b(repr((self.sender.network, key)).encode(), digest_size=16).hexdigest() for key in keys)


class Channel(Protocol):
    """Delivers messages to people."""

    def deliver(self, letter: Letter) -> None:
        """Deliver a letter, and return once the other end took it. May block its thread. Raises `DeliveryError`."""


@runtime_checkable
class Follower(Protocol):
    """A channel that repeats all firing alerts to its other end."""

    def follow(self, groups: Sequence[NotificationGroup], sender: Sender, at: float) -> None:
        """Send all groups that were sent before and still fire. Blocks and raises like `deliver`."""


CLASSES = {  # loaded on first use
    "webhook": ("http", "Webhook"),
    "slack": ("http", "Slack"),
    "alertmanager": ("http", "Alertmanager"),
    "smtp": ("smtp", "Smtp"),
    "apprise": ("apprise", "Apprise"),
}


def make_channels(config: NotifyConfig) -> dict[str, Channel]:
    """Make all channels of the settings, by name. Raises `ConfigError`."""
    return {name: make_channel(name, channel) for name, channel in config.channels.items()}


def make_channel(name: str, config: ChannelConfig) -> Channel:
    """Make one channel. Raises `ConfigError` that names it."""
    try:
        module, kind = CLASSES[config.kind]
        channel: Channel = getattr(import_module(f"peerscope.notify.{module}"), kind)(name, config)
    except ConfigError as error:
        where = f"notify.channels.{name}"
        raise ConfigError(str(error) if str(error).startswith(where) else f"{where}: {error}") from None
    return channel
