"""The verb that tests notification channels: notify-test."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from pathlib import Path

import click
import msgspec
from msgspec import Struct

from peerscope.alerts.notification import Notification
from peerscope.cli.options import CONFIG, JSON, STATE
from peerscope.config import Config
from peerscope.errors import ConfigError, DeliveryError
from peerscope.host.state import CONFIG_FILE, StateDirectory, default_state
from peerscope.notify.base import Letter, Sender, make_channel
from peerscope.notify.channel_queue import ChannelQueue
from peerscope.notify.examples import EXAMPLES
from peerscope.notify.settings import ChannelConfig


class Trial(Struct, frozen=True):
    """The result of a test message."""

    channel: str
    kind: str
    delivered: bool
    seconds: float
    error: str | None


@click.command("notify-test")
@click.option("--channel", metavar="NAME", help="Only this channel.")
@click.option(
    "--example",
    type=click.Choice(tuple(EXAMPLES)),
    default="test",
    show_default=True,
    help="Send a short test, or an incident as it would look.",
)
@CONFIG
@STATE
@JSON
def notify_test(channel: str | None, example: str, config: Path | None, state: Path | None, as_json: bool) -> None:
    """Send a test message through every channel. Exits with 1 if a delivery failed."""
    place = state or default_state()
    if config is None and (place / CONFIG_FILE).exists():
        config = place / CONFIG_FILE
    settings = Config.load(config)
    channels = settings.notify.channels
    if not channels:
        raise ConfigError(f"{config or 'the settings'}: no channel in [notify.channels]")
    if channel is not None and channel not in channels:
        raise ConfigError(f"no channel is called {channel!r}; there are {', '.join(sorted(channels))}")
    names = [channel] if channel is not None else sorted(channels)
    sender = Sender(settings.network.name, _peer_id(place))
    message = EXAMPLES[example](time.time(), settings.notify.url)
    trials = asyncio.run(_try([(name, channels[name]) for name in names], sender, message))
    if as_json:
        click.echo(msgspec.json.encode(trials))
    else:
        for trial in trials:
            result = "delivered" if trial.delivered else f"failed: {trial.error}"
            click.echo(f"{trial.channel:<16} {trial.kind:<12} {trial.seconds:6.2f} s  {result}")
    if not all(trial.delivered for trial in trials):
        sys.exit(1)


async def _try(channels: list[tuple[str, ChannelConfig]], sender: Sender, message: Notification) -> list[Trial]:
    return list(await asyncio.gather(*(_try_one(name, config, sender, message) for name, config in channels)))


async def _try_one(name: str, config: ChannelConfig, sender: Sender, message: Notification) -> Trial:
    began = time.monotonic()
    error: str | None = None
    try:
        channel = make_channel(name, config)
        letter = Letter(message, sender, time.time())
        await ChannelQueue(name, config, channel, sender, random.Random(0)).attempt(lambda: channel.deliver(letter))
    except (ConfigError, DeliveryError) as failed:
        error = str(failed)
    return Trial(name, config.kind, error is None, round(time.monotonic() - began, 3), error)


def _peer_id(place: Path) -> str:
    """Our id if the identity exists; a test creates none."""
    return StateDirectory(place).identity().peer_id.hex() if (place / "identity.key").exists() else "0" * 64
