"""An incident: alerts with one probable cause, as peers show it."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from peerscope.alerts.cascade_tree import TreeNode
from peerscope.alerts.explanations import IncidentKind


class Alternative(Struct, frozen=True):
    """One of several explanations of the same alerts that are about as likely."""

    kind: str
    """Kind of an incident, or "chance": the alerts are unrelated."""
    root: str | None
    """As in an incident."""
    probability: float
    """0..1."""


class Incident(Struct, frozen=True):
    """Alerts that belong together. Times are Unix seconds by our own clock."""

    id: str
    """Stable while the incident grows or shrinks."""
    kind: IncidentKind
    severity: str
    title: str
    description: str
    state: Literal["open", "closed"]
    """Open while any of its alerts is active."""
    started_at: float
    updated_at: float
    """When the last of its alerts began or ended."""
    ended_at: float | None
    alerts: tuple[str, ...]
    """Ids, sorted by beginning."""
    peers: tuple[str, ...]
    """Full ids of all peers concerned."""
    root: str | None
    """Full id of a peer (cascade, peer-cluster), name of a machine or prefix (host), a region, or a version: the
    probable cause. None if it is unknown or in doubt."""
    confidence: float
    """0..1: the probability that this kind of cause at this root made these alerts. With alternatives: that one of
    them did. `benchmarks/calibration.py` compares it with known truth."""
    tree: tuple[TreeNode, ...] = ()
    """Causes in a cascade, the root first."""
    names: tuple[str, ...] = ()
    """Ids that other peers, or we at another time, may use. Equal alerts give equal names everywhere."""
    silenced_by: str | None = None
    """Id of the silence that stops messages about it."""
    acknowledged_by: str | None = None
    """The author of its acknowledgement."""
    clearing: bool = False
    """It is open, but this peer sees the conditions of all its alerts over."""
    alternatives: tuple[Alternative, ...] = ()
    """All explanations within a factor of three, the likeliest first; empty if one stands out. With them `root` is None
    and `confidence` is the probability that one of them is right."""
    evidence: tuple[str, ...] = ()
    """Reasons for this explanation, one sentence each, the strongest first."""
    first_step: str = ""
    """The first thing to do about this cause."""
    split_from: str | None = None
    """Id of the incident that it was part of until its alerts parted."""
    merged: tuple[str, ...] = ()
    """Ids of earlier incidents that became part of this one."""
    was: str | None = None
    """Kind that this incident had before, if that changed."""
