"""The alerts, incidents and silences in the live feed.

A page can show some hundred alerts. The feed sends the gravest ones, and the count of all.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from peerscope.alerts.cascade_tree import TreeNode
from peerscope.alerts.incident import Alternative, Incident
from peerscope.alerts.model import Alert
from peerscope.alerts.silences import StandingOrders, StandingSilence
from peerscope.records.alerts import Severity
from peerscope.web.feed_changes import Numbers, Row

ALERTS_MAX = 500
INCIDENTS_MAX = 100
TREE_MAX = 100
SILENCES_MAX = 100
EVIDENCE_MAX = 10
MERGED_MAX = 10
GRAVEST = {severity.name.lower(): -severity for severity in Severity}


class FeedAlert(Row, frozen=True, gc=False, omit_defaults=True):
    """One active alert. `GET alerts/{id}` has its runbook and evidence."""

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
    """Its condition is over, and the alert resolves after a while."""
    described_at: float | None = None
    """Unix seconds of the numbers in `description`; None: now."""


class FeedIncident(Struct, frozen=True, omit_defaults=True):
    """One incident. Each alert names its incident."""

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
    """Causes and effects of a cascade, the root first."""
    silenced_by: str | None = None
    acknowledged_by: str | None = None
    clearing: bool = False
    alternatives: tuple[Alternative, ...] = ()
    evidence: tuple[str, ...] = ()
    first_step: str = ""
    split_from: str | None = None
    merged: tuple[str, ...] = ()
    was: str | None = None


class AlertOverview(Struct, frozen=True):
    """Counts, incidents and silences beside the single alerts."""

    firing: dict[str, int]
    """All firing alerts by severity, including those that the feed leaves out."""
    incidents: tuple[FeedIncident, ...]
    silences: tuple[StandingSilence, ...]


def active(alerts: Iterable[Alert], numbers: Numbers[str]) -> dict[str, FeedAlert]:
    """Return the gravest of these alerts, by id. `numbers` forgets the others."""
    chosen = heapq.nsmallest(ALERTS_MAX, alerts, key=lambda one: (GRAVEST[one.severity], -one.started_at, one.id))
    found = {one.id: _alert(one, numbers.of(one.id)) for one in chosen}
    numbers.keep(found)
    return found


def alert_overview(alerts: Iterable[Alert], incidents: Iterable[Incident], orders: StandingOrders) -> AlertOverview:
    """`alerts`: the active ones. `incidents`: all; the gravest and newest are chosen, open ones first."""
    order = sorted(incidents, key=lambda one: (one.state != "open", GRAVEST[one.severity], -one.started_at, one.id))
    return AlertOverview(
        firing=dict(Counter(one.severity for one in alerts if one.state == "firing")),
        incidents=tuple(_incident(one) for one in order[:INCIDENTS_MAX]),
        silences=(*orders.silences, *orders.scheduled)[:SILENCES_MAX],
    )


def _alert(alert: Alert, number: int) -> FeedAlert:
    shared = {name: getattr(alert, name) for name in FeedAlert.__struct_fields__ if name != "n"}
    at = alert.described_at
    changed = {
        "n": number,
        "started_at": round(alert.started_at, 1),
        "confirmed_by": len(alert.confirmed_by),
        "described_at": None if at is None else round(at, 1),
    }
    return FeedAlert(**(shared | changed))


def _incident(incident: Incident) -> FeedIncident:
    shared: dict[str, Any] = {name: getattr(incident, name) for name in FeedIncident.__struct_fields__}
    changed = {
        "started_at": round(incident.started_at, 1),
        "alerts": len(incident.alerts),
        "peers": len(incident.peers),
        "tree": incident.tree[:TREE_MAX],
        "evidence": incident.evidence[:EVIDENCE_MAX],
        "merged": incident.merged[:MERGED_MAX],
    }
    return FeedIncident(**(shared | changed))
