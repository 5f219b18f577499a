"""When a notifier sends messages: the settings of `[notify]` that the core needs."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from peerscope.alerts.heartbeat import HeartbeatConfig
from peerscope.errors import ConfigError


class NotifierConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When to send messages."""

    min_severity: Literal["low", "medium", "high", "critical"] = "medium"
    """Alerts below it are shown, but cause no message."""
    group_wait_s: float = 3.0  # a guess: alerts of one cause come within two or three seconds
    """How long to wait for related alerts before a message. Longer groups better, and sends later."""
    escalate_after_s: float = 300.0  # as PagerDuty and Alertmanager's `group_interval` have it
    """Interval between repetitions of a critical alert that nobody acknowledged, on channels with `escalation`."""
    send_resolved: bool = True
    """Whether to send a message when it is over."""
    heartbeat: HeartbeatConfig | None = None
    """Heartbeats to somebody outside; None for none."""

    def __post_init__(self) -> None:
        if not 0 <= self.group_wait_s <= 600:
            raise ConfigError(f"notify.group_wait_s is {self.group_wait_s}; must lie between 0 and 600")
        if not 10 <= self.escalate_after_s <= 86_400:
            raise ConfigError(f"notify.escalate_after_s is {self.escalate_after_s}; must lie between 10 and 86400")
