"""When alerts fired, for whoever plays the past again."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from peerscope.alerts.model import Alert

ALERTS_MAX = 1000


class PastAlert(Struct, frozen=True, gc=False, omit_defaults=True):
    """When one alert fired. Of one that fired several times, the last time."""

    id: str
    rule: str
    severity: str
    title: str
    started_at: float
    """Unix seconds."""
    description: str = ""
    peer_id: str | None = None
    region: str | None = None
    resolved_at: float | None = None


def fired_since(alerts: Iterable[Alert], since: float) -> tuple[PastAlert, ...]:
    """Those that fired at some time after that Unix second, by their beginning: the last ones of too many."""
    found = [
        PastAlert(**{name: getattr(alert, name) for name in PastAlert.__struct_fields__})
        for alert in alerts
        if alert.state != "pending" and (alert.resolved_at is None or alert.resolved_at > since)
    ]
    return tuple(sorted(found, key=lambda one: (one.started_at, one.id))[-ALERTS_MAX:])
