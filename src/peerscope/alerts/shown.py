"""Alerts, incidents and orders as people and scripts read them: with the age of every time."""

from __future__ import annotations

from collections.abc import Mapping

from peerscope.alerts.incidents import Incident
from peerscope.alerts.model import Alert
from peerscope.alerts.silences import StandingAcknowledgement, StandingForget, StandingSilence


class AlertView(Alert, frozen=True):
    """One alert."""

    started_age_s: float | None = None
    resolved_age_s: float | None = None
    described_age_s: float | None = None


class IncidentView(Incident, frozen=True):
    """One incident."""

    started_age_s: float | None = None
    updated_age_s: float | None = None
    ended_age_s: float | None = None


class SilenceView(StandingSilence, frozen=True):
    """A silence that holds now."""

    begun_age_s: float | None = None
    ends_in_s: float | None = None


class AcknowledgementView(StandingAcknowledgement, frozen=True):
    """Somebody looks after an alert or incident."""

    age_s: float | None = None


class ForgottenView(StandingForget, frozen=True):
    """A peer that is to be forgotten until it speaks again."""

    age_s: float | None = None


def is_clearing(incident: Incident, alerts: Mapping[str, Alert]) -> bool:
    """Of all its alerts that still fire the condition is over. `alerts`: those of now, by id."""
    firing = [one for name in incident.alerts if (one := alerts.get(name)) is not None and one.state == "firing"]
    return bool(firing) and all(one.clearing for one in firing)
