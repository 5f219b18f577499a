"""From settings to channels; each kind's code is loaded when it is used."""

from __future__ import annotations

from importlib import import_module

from peerscope.errors import ConfigError
from peerscope.notify.base import Channel
from peerscope.notify.settings import ChannelConfig, NotifyConfig

CLASSES = {
    "webhook": "Webhook",
    "slack": "Slack",
    "smtp": "Smtp",
    "alertmanager": "Alertmanager",
    "apprise": "Apprise",
}


def make_channels(config: NotifyConfig) -> dict[str, Channel]:
    """All channels of the settings, by name. Raises `ConfigError`."""
    return {name: make_channel(name, channel) for name, channel in config.channels.items()}


def make_channel(name: str, config: ChannelConfig) -> Channel:
    """One channel. Raises `ConfigError` that names it."""
    try:
        channel: Channel = getattr(import_module(f"peerscope.notify.{config.kind}"), CLASSES[config.kind])(name, config)
    except ConfigError as error:
        where = f"notify.channels.{name}"
        raise ConfigError(str(error) if str(error).startswith(where) else f"{where}: {error}") from None
    return channel
