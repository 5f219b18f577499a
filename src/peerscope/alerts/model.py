"""What the parts of alerting hand to each other."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from peerscope.records.alerts import Severity
from peerscope.records.identity import PeerId

AlertState = Literal["pending", "firing", "resolved", "forgotten"]
"""`forgotten`: it ended because everybody it was about was forgotten and never came back."""


class ConditionReading(Struct, frozen=True):
    """One signal about one subject, now: what a rule looks at."""

    value: float | None = 1.0
    """In the signal's unit; 1.0 for conditions that either hold or are not read at all; None where nobody knows."""
    subject: str = ""
    """"" for this very peer, else the first 16 hex digits of a peer's id, a region, or the name of a group."""
    rule: str | None = None
    """Name under which the alert runs, where it is not that of the rule: a detection's."""
    text: str = ""
    """What was found, in numbers, for people; at most 160 characters."""
    severity: Severity | None = None
    """Where the finding knows better than the rule."""
    confidence: float | None = None
    """0..1, where the finding can say."""
    metadata: tuple[tuple[str, str], ...] = ()
    """At most 8 pairs of at most 64 characters each."""
    confirmed_by: tuple[PeerId, ...] = ()
    """The observers whose evidence it rests on."""


class Alert(Struct, frozen=True):
    """One alert of the network, merged from what peers state of it."""

    id: str
    """Stable while the condition is the same one: "cpu-high-3f2a9c04d1e8b7a6"."""
    type: str
    """resource-exhaustion, network-partition, peer-down, high-latency, ..."""
    rule: str
    severity: str
    """low, medium, high or critical."""
    title: str
    description: str
    peer_id: str | None
    """Full id of the peer it is about, where it is about one."""
    region: str | None
    """Of that peer, or the region it is about."""
    state: AlertState
    started_at: float
    """Unix seconds by our own clock, reckoned from ages: comparable between alerts."""
    resolved_at: float | None = None
    """When it ended, be it resolved or forgotten."""
    uncertainty_s: float = 0.0
    """How far `started_at` may be off, from the hops it came."""
    flapping: bool = False
    metadata: dict[str, str] = {}
    confirmed_by: tuple[str, ...] = ()
    """Full ids of the observers whose evidence it rests on."""
    stated_by: tuple[str, ...] = ()
    """Full ids of the peers that state it: the peer itself, or the aggregators that agree."""
    confidence: float | None = None
    runbook: str = ""
    """What to look at first."""
    incident: str | None = None
    """Id of the open incident it belongs to."""
    silenced_by: str | None = None
    """Id of the silence that fits it."""
    acknowledged_by: str | None = None
    """Who looks after it."""
    episode: int = 0
    """Names this time that it fires, alike at every peer; 0 where nobody who states it gives a name."""
    clearing: bool = False
    """It fires, but its condition is over as this peer sees it: the alert ends when that has lasted (`clear_for_s`)."""
    described_at: float | None = None
    """Unix seconds at which the numbers of `description` were true; null where they are of now."""
