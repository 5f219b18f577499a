"""The results of one run of a scenario."""

from __future__ import annotations

from math import ceil
from statistics import median

from msgspec import Struct

from peerscope.sim.accuracy import CoordinateError
from peerscope.sim.alerts_seen import AlertsSeen
from peerscope.sim.causes import TrueIncident
from peerscope.sim.checkers import Crawl
from peerscope.sim.incidents_seen import IncidentSeen
from peerscope.sim.score import Score
from peerscope.sim.zones_seen import ZoneOutcome


class Times(Struct, frozen=True):
    """Seconds over all pairs of a survivor and a victim; null without any."""

    median_s: float | None
    p99_s: float | None
    max_s: float | None
    first_s: float | None = None
    missed: int | None = None


class Outcome(Struct, frozen=True):
    """Results of a run. Keys a scenario has nothing to say about are null."""

    scenario: str
    seed: int
    peers: int
    virtual_s: float
    wall_s: float
    events: int
    detection: dict[str, Times]
    false_down: int
    false_suspect: int
    down_share_alive: float | None
    """Share of honest looks, five a second, that call a living peer down that liars accuse; null where nobody lies."""
    expired_share_alive: float | None
    """Share of the same looks that take a living peer's report for expired."""
    hidden_s: float | None
    """How much later than without liars the last survivor saw the death of their victims; null where none died."""
    convergence_s: float | None
    """From the last step until all running peers saw what was the case, for good; null if they never did."""
    bytes_per_peer_s: dict[str, float | None]
    messages_per_peer_s: float | None
    redundancy: float | None
    """Copies of an announced record's body that each peer received above one."""
    redundancy_pushed: float | None
    last_hop: int | None
    """Most hops any urgent record took."""
    time_to_all_s: Times
    """From the issue of an urgent record until all running peers held it."""
    zones: ZoneOutcome | None
    """The zones as peers saw them at the end; null where there is only one."""
    coordinate_error: CoordinateError | None
    """At the end; null where the scenario's latency has no fixed truth."""
    bytes_share: dict[str, float]
    refused: dict[str, int]
    offences: int
    """Refusals that were held against the neighbour that sent it: none among honest peers."""
    crawl: Crawl | None
    alerts: AlertsSeen | None
    """null unless the scenario's peers look at their alert rules."""
    incidents: tuple[IncidentSeen, ...] | None
    """As one survivor sees them at the end; null unless alerts are looked at."""
    incidents_agreed: bool | None
    """A second survivor sees the same."""
    root_right: bool | None
    """The largest incidents are what happened, with their roots; null where nothing happened to several peers."""
    truth: tuple[TrueIncident, ...] | None
    """All real causes that concern several peers; null unless alerts are looked at."""
    incident_precision: float | None
    """Share of the pairs of alerts in one incident that have one cause; null without such a pair."""
    incident_recall: float | None
    """Share of the pairs of alerts with one cause that are in one incident; null without such a pair."""
    precision: float | None
    recall: float | None
    false_alarms: int | None
    threats: Score | None
    """null unless the scenario's peers look for threats."""
    digest: str
    failures: tuple[str, ...]
    """Bounds of the scenario that were broken, each in a sentence."""
    replay: str
    """The command that runs the very same history again."""


def times(seconds: list[float]) -> Times:
    """Summarise times; null without any."""
    ordered = sorted(seconds)
    if not ordered:
        return Times(None, None, None)
    return Times(median(ordered), quantile(ordered, 0.99), ordered[-1])


def quantile(ordered: list[float], share: float) -> float | None:
    """The nearest rank of an ordered sequence; None if it is empty."""
    return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else None
