"""What the live feed tells of alerts: those that are active, what they have in common, and what holds messages back.

A page can show some hundred of them; of more it is told how many there are, and gets the gravest.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from peerscope.alerts.cascade import TreeNode
from peerscope.alerts.incidents import Incident
from peerscope.alerts.model import Alert
from peerscope.alerts.silences import StandingSilence
from peerscope.records.alerts import Severity

ALERTS_MAX = 500
INCIDENTS_MAX = 100
TREE_MAX = 100
SILENCES_MAX = 100
GRAVEST = {severity.name.lower(): -severity for severity in Severity}


class FeedAlert(Struct, frozen=True, gc=False, omit_defaults=True):
    """One active alert; runbook and evidence are in `GET alerts/{id}`."""

    id: str
    rule: str
    severity: str
    title: str
    description: str
    state: str
    started_at: float
    """Unix seconds."""
    peer_id: str | None = None
    region: str | None = None
    flapping: bool = False
    confidence: float | None = None
    confirmed_by: int = 0
    """Observers."""
    incident: str | None = None
    silenced_by: str | None = None
    acknowledged_by: str | None = None
    clearing: bool = False
    """Its condition is over; the alert ends when that has lasted."""
    described_at: float | None = None
    """When the numbers of `description` were true; None for now."""


class FeedIncident(Struct, frozen=True, omit_defaults=True):
    """One incident; which alerts are in it, they say themselves."""

    id: str
    kind: str
    severity: str
    title: str
    description: str
    state: str
    started_at: float
    confidence: float
    ended_at: float | None = None
    root: str | None = None
    alerts: int = 0
    peers: int = 0
    tree: tuple[TreeNode, ...] = ()
    """Of a cascade: what came of what, the root first."""
    silenced_by: str | None = None
    acknowledged_by: str | None = None
    clearing: bool = False


class Trouble(Struct, frozen=True):
    """All that the feed tells beside the alerts one by one."""

    firing: dict[str, int]
    """Alerts that fire, by severity: all of them, however many are told one by one."""
    incidents: tuple[FeedIncident, ...]
    silences: tuple[StandingSilence, ...]


def active(alerts: Iterable[Alert]) -> dict[str, FeedAlert]:
    """The gravest of these alerts, by id."""
    chosen = heapq.nsmallest(ALERTS_MAX, alerts, key=lambda one: (GRAVEST[one.severity], -one.started_at, one.id))
    return {one.id: _alert(one) for one in chosen}


def trouble(alerts: Iterable[Alert], incidents: Iterable[Incident], silences: Iterable[StandingSilence]) -> Trouble:
    """`alerts`: the active ones. `incidents`: in the order of their importance."""
    return Trouble(
        firing=dict(Counter(one.severity for one in alerts if one.state == "firing")),
        incidents=tuple(_incident(one) for one in list(incidents)[:INCIDENTS_MAX]),
        silences=tuple(silences)[:SILENCES_MAX],
    )


def _alert(alert: Alert) -> FeedAlert:
    shared = {name: getattr(alert, name) for name in FeedAlert.__struct_fields__}
    at = alert.described_at
    told = {
        "started_at": round(alert.started_at, 1),
        "confirmed_by": len(alert.confirmed_by),
        "described_at": None if at is None else round(at, 1),
    }
    return FeedAlert(**(shared | told))


def _incident(incident: Incident) -> FeedIncident:
    shared: dict[str, Any] = {name: getattr(incident, name) for name in FeedIncident.__struct_fields__}
    told = {
        "started_at": round(incident.started_at, 1),
        "alerts": len(incident.alerts),
        "peers": len(incident.peers),
        "tree": incident.tree[:TREE_MAX],
    }
    return FeedIncident(**(shared | told))
