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

from peerscope.alerts.model import Alert
from peerscope.alerts.notification import Notification, NotificationGroup
from peerscope.cli.options import CONFIG, JSON, STATE
from peerscope.config import Config
from peerscope.errors import ConfigError, DeliveryError
from peerscope.host.state import CONFIG_FILE, StateDirectory, default_state
from peerscope.notify.base import Letter, Sender, make_channel
from peerscope.notify.channel_queue import ChannelQueue
from peerscope.notify.settings import ChannelConfig
from peerscope.records.alerts import Severity


class Trial(Struct, frozen=True):
    """The result of a test message."""

    channel: str
    kind: str
    delivered: bool
    seconds: float
    error: str | None


@click.command("notify-test")
@click.option("--channel", metavar="NAME", help="Only this channel.")
@CONFIG
@STATE
@JSON
def notify_test(channel: str | None, config: Path | None, state: Path | None, as_json: bool) -> None:
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
    trials = asyncio.run(_try([(name, channels[name]) for name in names], sender, settings.notify.url))
    if as_json:
        click.echo(msgspec.json.encode(trials))
    else:
        for trial in trials:
            result = "delivered" if trial.delivered else f"failed: {trial.error}"
            click.echo(f"{trial.channel:<16} {trial.kind:<12} {trial.seconds:6.2f} s  {result}")
    if not all(trial.delivered for trial in trials):
        sys.exit(1)


def test_message(url: str) -> Notification:
    """A harmless message that says so."""
    now = time.time()
    alert = Alert(
        id=f"notify-test-{round(now)}",
        type="test",
        rule="notify-test",
        severity="low",
        title="Test message",
        description="This is a test of the channel. There is nothing to do.",
        peer_id=None,
        region=None,
        state="resolved",  # so that receivers do not keep it open
        started_at=now,
        resolved_at=now,
    )
    group = NotificationGroup(
        alert.id, alert.severity, alert.title, alert.description, (alert,), url=url, started_at=now, resolved_at=now
    )
    return Notification("firing", "new", group, Severity.LOW)


async def _try(channels: list[tuple[str, ChannelConfig]], sender: Sender, url: str) -> list[Trial]:
    return list(await asyncio.gather(*(_try_one(name, config, sender, url) for name, config in channels)))


async def _try_one(name: str, config: ChannelConfig, sender: Sender, url: str) -> Trial:
    began = time.monotonic()
    error: str | None = None
    try:
        channel = make_channel(name, config)
        letter = Letter(test_message(url), sender, time.time())
        await ChannelQueue(name, config, channel, sender, random.Random(0)).attempt(lambda: channel.deliver(letter))
    except (ConfigError, DeliveryError) as failed:
        error = str(failed)
    return Trial(name, config.kind, error is None, round(time.monotonic() - began, 3), error)


def _peer_id(place: Path) -> str:
    """Our id if the identity exists; a test creates none."""
    return StateDirectory(place).identity().peer_id.hex() if (place / "identity.key").exists() else "0" * 64
