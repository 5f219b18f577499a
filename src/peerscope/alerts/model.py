"""An alert as peers show it, and the reading that begins it.

On its way to a person an alert passes through these classes. Each is a different thing:

| class | module | meaning |
|---|---|---|
| `ConditionReading` | `model` | one signal about one subject, read now |
| `Condition` | `lifecycle` | readings of one rule and subject over time: pending, firing, resolved |
| `Statement` | `records.alerts` | a firing condition in the signed record of one peer, with ages |
| `StatedAlert` | `alert_record` | a statement with its author, dated by our own clock |
| `Alert` | `model` | one alert of the network, merged from all statements about it |
| `NotificationGroup` | `notification` | alerts of one message: an incident, or one alert |
| `Episode` | `episodes` | one time that a group fires, as a notifier follows it; `Open` is the part on disk |
| `Notification` | `notification` | one message about a group: why now, and how severe |
| `Letter` | `notify.base` | a notification with sender and date, equal for every attempt of every channel |
| `SentNotice` | `notification_log` | proof that a message is on its way or delivered; `Heard` adds the author |
"""

from __future__ import annotations

from typing import Literal
from urllib.parse import quote

from msgspec import Struct

from peerscope.records.alerts import Severity
from peerscope.records.identity import PeerId

AlertState = Literal["pending", "firing", "resolved", "forgotten"]
"""`forgotten`: it ended because all peers it was about were forgotten and never came back."""


class Wording(Struct, frozen=True):
    """The words of a rule or a detection."""

    title: str
    runbook: str = ""
    unit: str = ""
    """Unit of value and threshold."""


class ConditionReading(Struct, frozen=True):
    """One signal about one subject, now."""

    value: float | None = 1.0
    """In the signal's unit; 1.0 for conditions that hold whenever they are read; None if unknown."""
    subject: str = ""
    """"" for this peer, else the first 16 hex digits of a peer's id, a region, or the name of a group."""
    rule: str | None = None
    """Name of the detection, if the alert has its name instead of the rule's."""
    text: str = ""
    """The finding in numbers, for people; at most 160 characters."""
    severity: Severity | None = None
    """Overrides the severity of the rule."""
    confidence: float | None = None
    """0..1, if the finding has one."""
    metadata: tuple[tuple[str, str], ...] = ()
    """At most 8 pairs of at most 64 characters each."""
    confirmed_by: tuple[PeerId, ...] = ()
    """Observers that gave the evidence."""
    wording: Wording | None = None
    """The words of a detection that other peers may not have; None if they have it."""


FACTS = ("value", "threshold", "unit", "for_s", "since")
"""Keys in the metadata of every alert. Value and threshold are in `unit`; the condition held for `for_s` before the
alert fired; `since` is that moment in UTC. An author of an earlier version states neither value nor threshold."""


def page_path(alert_id: str) -> str:
    """Where the dashboard of any peer shows an alert."""
    return f"/#alert={quote(alert_id, safe='')}"


class Alert(Struct, frozen=True):
    """One alert of the network, merged from the statements of peers."""

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
    """Full id of the peer that it is about, if any."""
    region: str | None
    """The region of that peer, or the region that it is about."""
    state: AlertState
    started_at: float
    """Unix seconds by our own clock, computed from ages: comparable between alerts."""
    resolved_at: float | None = None
    """When it was resolved or forgotten."""
    uncertainty_s: float = 0.0
    """Largest error of `started_at`, from the hops on its way."""
    flapping: bool = False
    metadata: dict[str, str] = {}
    """`FACTS`, and the evidence of its author."""
    confirmed_by: tuple[str, ...] = ()
    """Full ids of the observers that gave the evidence."""
    stated_by: tuple[str, ...] = ()
    """Full ids of the peers that state it: the peer itself, or the aggregators that agree."""
    confidence: float | None = None
    runbook: str = ""
    """The first things to check."""
    incident: str | None = None
    """Id of the open incident it belongs to."""
    silenced_by: str | None = None
    """Id of the silence that matches it."""
    acknowledged_by: str | None = None
    """The author of its acknowledgement."""
    episode: int = 0
    """Names this time that it fires, equal at every peer; 0 if no statement gives a name."""
    clearing: bool = False
    """It fires, but this peer sees its condition over: the alert ends after `clear_for_s`."""
    described_at: float | None = None
    """Unix seconds at which the numbers of `description` were true; null if they are current."""
    url: str = ""
    """Path of the alert on the dashboard of any peer; in a message the whole address, if `notify.url` is set."""
