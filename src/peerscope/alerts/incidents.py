"""Incidents: alerts with one probable root, so that one cause is one message.

`correlate` depends only on the alerts, their context and the time. The order, number and delay of arrivals do not
matter: two peers with the same alerts see the same incidents. It lists every explanation (`explanations`) and accepts
the best one first. The others lose the alerts that it explains, get a new weight, and drop out if too few remain. So an
alert is in one incident at most.

Explanations that lost to one of the same alerts remain as its `names`. A region's outage is a mere pattern until half
of the region is gone, and peers may notice the change at different moments. By the names, notifiers recognize the same
incident. `Incidents` remembers the name under which it was first known here, which stays its id. `Correlation` repeats
this when alerts change.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from itertools import count
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from peerscope.alerts.cascade import TreeNode
from peerscope.alerts.context import Context, context_of
from peerscope.alerts.explanations import Explanation, IncidentKind, Propose, proposals
from peerscope.alerts.model import Alert
from peerscope.errors import ConfigError
from peerscope.records.alerts import Severity
from peerscope.records.identity import SHORT_HEX
from peerscope.views.links import MergedLink
from peerscope.views.snapshot import Snapshot

SHARES = ((0.33, Severity.CRITICAL), (0.1, Severity.HIGH))  # guesses
"""Least severity of an incident by its share of the network; a single peer does not count as a share."""
RENEW_S = 30.0
"""Longest time between two updates: regions, versions and links change without an alert."""


class IncidentConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which alerts belong together, and how long to show incidents."""

    window_s: float = 300.0
    """Longest gap between two beginnings of one incident. A longer one joins unrelated alerts of the same day."""
    keep_s: float = 86_400.0
    """How long to show an incident after its last alert ended."""

    def __post_init__(self) -> None:
        if not 1 <= self.window_s <= 3600:
            raise ConfigError(f"incidents.window_s is {self.window_s}; must lie between 1 and 3600")
        if not self.window_s <= self.keep_s <= 7 * 86_400:
            raise ConfigError(f"incidents.keep_s is {self.keep_s}; must lie between window_s and 604800 (a week)")


class Alternative(Struct, frozen=True):
    """Another explanation of the same alerts that is nearly as likely."""

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
    """Full id of a peer (cascade, peer-cluster), a region, or a version: the probable cause."""
    confidence: float
    """0..1. Cascade: mean probability that its alerts caused each other. Version: that it is no chance. Region: the
    share of it that is concerned. Others: greater with the size."""
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
    """Other explanations within a factor of three, the likeliest first. If there is one, `root` is None."""
    evidence: tuple[str, ...] = ()
    """What speaks for this explanation, one sentence each, the strongest first."""
    first_step: str = ""
    """The first thing to do about this cause."""
    split_from: str | None = None
    """Id of the incident that it was part of until its alerts parted."""
    merged: tuple[str, ...] = ()
    """Ids of earlier incidents that became part of this one."""
    was: str | None = None
    """Kind that this incident had before, if that changed."""


def correlate(
    alerts: Iterable[Alert], around: Context, now: float, config: IncidentConfig | None = None
) -> tuple[Incident, ...]:
    """Find the incidents among these alerts: open ones first, then by size. `now`: Unix seconds."""
    config = config or IncidentConfig()
    relevant = _relevant(alerts, now - config.keep_s)
    candidates = _named(
        (propose, found) for propose, mine in proposals(relevant, around, config.window_s) for found in propose(mine)
    )
    accepted = _accepted(candidates)
    names = _names(candidates, accepted)
    incidents = [_incident(name, found, names[name], len(around.regions)) for name, found in accepted.items()]
    return tuple(sorted(incidents, key=lambda incident: (incident.state != "open", -len(incident.peers), incident.id)))


class Incidents:
    """Incidents over time: each keeps the id under which it was first known here."""

    def __init__(self, config: IncidentConfig | None = None) -> None:
        self._config = config or IncidentConfig()
        self._member: dict[str, tuple[str, float]] = {}
        """The last incident of each alert, and when that alert began."""

    def update(self, alerts: Collection[Alert], around: Context, now: float) -> tuple[Incident, ...]:
        """The result of `correlate`, with older ids where known."""
        found = correlate(alerts, around, now, self._config)
        began = {alert.id: alert.started_at for alert in _relevant(alerts, now - self._config.keep_s)}
        kept = self._kept(found, began)
        taken = set(kept.values()) | {name for name, _ in self._member.values()}
        renamed = []
        for incident in found:
            name = kept.get(incident.id) or _unused(incident.id, taken)
            taken.add(name)
            renamed.append(replace(incident, id=name))
            self._member.update((alert, (name, began[alert])) for alert in incident.alerts)
        forgotten = [alert for alert, (_, at) in self._member.items() if at < now - self._config.keep_s]
        for alert in forgotten:
            if alert not in began:
                del self._member[alert]
        return tuple(renamed)

    def last_of(self, alert: Alert) -> str | None:
        """The last incident of this alert, even if that is gone; None if it was in none since it began."""
        name, at = self._member.get(alert.id, ("", 0.0))
        return name if name and abs(alert.started_at - at) < self._config.window_s else None

    def _kept(self, found: Iterable[Incident], began: dict[str, float]) -> dict[str, str]:
        """Earlier ids for incidents that share most alerts with them. The same alert much later is another one."""
        shared: Counter[tuple[str, str]] = Counter()
        for incident in found:
            for alert in incident.alerts:
                name, at = self._member.get(alert, ("", 0.0))
                if name and abs(began[alert] - at) < self._config.window_s:
                    shared[incident.id, name] += 1
        kept: dict[str, str] = {}
        given: set[str] = set()
        for (incident_id, name), _ in sorted(shared.items(), key=lambda item: (-item[1], item[0])):
            if incident_id not in kept and name not in given:
                kept[incident_id] = name
                given.add(name)
        return kept


class Correlation:
    """The incidents of one peer, updated when alerts change."""

    def __init__(self, config: IncidentConfig | None = None) -> None:
        self.incidents: tuple[Incident, ...] = ()
        """As of the last update; open ones first, then by size."""
        self._incidents = Incidents(config)
        self._around: Context | None = None
        self._seen: frozenset[tuple[object, ...]] = frozenset()
        self._renew_at = 0.0

    def is_due(self, alerts: Sequence[Alert], now: float) -> bool:
        """These alerts of the network differ from those of the last update, or that one is long ago."""
        return (bool(alerts) or bool(self.incidents)) and (_state(alerts) != self._seen or now >= self._renew_at)

    def update(self, snapshot: Snapshot, links: Iterable[MergedLink], alerts: Sequence[Alert]) -> list[Incident]:
        """Correlate all alerts of the network. Return incidents that opened, closed, or changed their extent."""
        self._seen, self._renew_at = _state(alerts), snapshot.now + RENEW_S
        before = {incident.id: _extent(incident) for incident in self.incidents}
        self._around = context_of(snapshot, links if alerts else (), alerts, self._around)
        self.incidents = self._incidents.update(alerts, self._around, snapshot.wall)
        return [incident for incident in self.incidents if _is_news(incident, before.get(incident.id))]

    def mark(self, alerts: Iterable[Alert]) -> list[Alert]:
        """Set the open incident of each alert."""
        member = {alert: one.id for one in self.incidents if one.state == "open" for alert in one.alerts}
        return [replace(alert, incident=member[alert.id]) if alert.id in member else alert for alert in alerts]

    def last_incident(self, alert: Alert) -> str | None:
        """The last incident of this alert, even if that is gone."""
        return self._incidents.last_of(alert)


def _state(alerts: Sequence[Alert]) -> frozenset[tuple[object, ...]]:
    return frozenset((one.id, one.state, one.severity, one.started_at, one.resolved_at) for one in alerts)


def _is_news(incident: Incident, before: tuple[object, ...] | None) -> bool:
    """Whether it changed. An incident that is over when we first see it is no news."""
    return incident.state == "open" if before is None else _extent(incident) != before


def _extent(incident: Incident) -> tuple[object, ...]:
    return incident.state, incident.kind, incident.severity, incident.root, len(incident.peers), len(incident.alerts)


def _relevant(alerts: Iterable[Alert], since: float) -> list[Alert]:
    """Active or lately resolved, each once, as last heard of; by beginning."""
    newest: dict[str, Alert] = {}
    for alert in alerts:
        if alert.state == "pending" or (alert.resolved_at is not None and alert.resolved_at < since):
            continue
        known = newest.get(alert.id)
        if known is None or _lateness(known) < _lateness(alert):
            newest[alert.id] = alert
    return sorted(newest.values(), key=lambda alert: (alert.started_at, alert.id))


def _lateness(alert: Alert) -> tuple[float, bool, float, int]:
    """Later statements about one alert compare greater."""
    resolved_at = alert.resolved_at
    return alert.started_at, resolved_at is not None, resolved_at or 0.0, _severity(alert)


def _named(proposed: Iterable[tuple[Propose, Explanation]]) -> dict[str, tuple[Propose, Explanation]]:
    """Explanations by name: kind, anchor, and number of the episode in order of time."""
    episodes: Counter[str] = Counter()
    named = {}
    for propose, found in sorted(proposed, key=lambda one: (one[1].alerts[0].started_at, one[1].alerts[0].id)):
        stem = f"{found.kind}-{found.anchor}"
        episodes[stem] += 1
        named[f"{stem}-{episodes[stem]}"] = (propose, found)
    return named


def _accepted(candidates: dict[str, tuple[Propose, Explanation]]) -> dict[str, Explanation]:
    """Explanations, best first; each explains only alerts that those before it left."""
    waiting = [(found.order, name, found, propose) for name, (propose, found) in candidates.items()]
    heapq.heapify(waiting)  # names differ, so explanations are never compared
    accepted: dict[str, Explanation] = {}
    explained: set[str] = set()
    while waiting:
        _, name, found, propose = heapq.heappop(waiting)
        left = [alert for alert in found.alerts if alert.id not in explained]
        if len(left) == len(found.alerts):
            accepted[name] = found
            explained.update(alert.id for alert in left)
            continue
        for part, rest in enumerate(propose(left)):
            heapq.heappush(waiting, (rest.order, f"{name}.{part}" if part else name, rest, propose))
    return accepted


def _names(
    candidates: dict[str, tuple[Propose, Explanation]], accepted: dict[str, Explanation]
) -> dict[str, tuple[str, ...]]:
    """Its own name, and those of explanations of which it explains more than half."""
    names = {name: [name] for name in accepted}
    explained_by = {alert.id: name for name, found in accepted.items() for alert in found.alerts}
    for name, (_, found) in candidates.items():
        if name not in accepted:
            held = Counter(explained_by[alert.id] for alert in found.alerts if alert.id in explained_by)
            for by, count in held.items():
                if count * 2 > len(found.alerts):
                    names[by].append(name)
    return {name: (theirs[0], *sorted(theirs[1:])) for name, theirs in names.items()}


def _unused(name: str, taken: set[str]) -> str:
    """The name, or the same with the next free number."""
    stem, _, number = name.rpartition("-")
    numbers = (f"{stem}-{n}" for n in count(int(number.partition(".")[0])))
    return name if name not in taken else next(other for other in numbers if other not in taken)


def _severity(alert: Alert) -> int:
    return Severity[alert.severity.upper()]


def _incident(name: str, found: Explanation, names: tuple[str, ...], network: int) -> Incident:
    severity = max(_severity(alert) for alert in found.alerts)
    for share, least in SHARES:
        if len(found.peers) >= max(2, share * network):
            severity = max(severity, least)
    ended = [alert.resolved_at for alert in found.alerts if alert.resolved_at is not None]
    is_open = len(ended) < len(found.alerts)
    return Incident(
        id=name,
        kind=found.kind,
        severity=Severity(severity).name.lower(),
        title=_title(found),
        description=_description(found),
        state="open" if is_open else "closed",
        started_at=found.alerts[0].started_at,
        updated_at=max(found.alerts[-1].started_at, *ended) if ended else found.alerts[-1].started_at,
        ended_at=None if is_open else max(ended),
        alerts=tuple(alert.id for alert in found.alerts),
        peers=found.peers,
        root=found.root,
        confidence=found.confidence,
        tree=found.tree,
        names=names,
    )


def _title(found: Explanation) -> str:
    peers, root = len(found.peers), found.root or ""
    match found.kind:
        case "partition":
            return f"{peers} peers lost together"
        case "region-outage":
            return f"Region {root}: {peers} of {found.of} peers concerned"
        case "version":
            return f"Version {root}: {peers} of {found.of} peers concerned"
        case "cascade":
            return f"{found.anchor} spreads from {root[:SHORT_HEX]}: {peers} peers"
        case "pattern":
            return f"{found.anchor} at {peers} peers"
    return f"Peer {root[:SHORT_HEX]}: {len({alert.rule for alert in found.alerts})} different alerts"


def _description(found: Explanation) -> str:
    """Counts by rule, and over how long they began."""
    rules = Counter(alert.rule for alert in found.alerts)
    counts = ", ".join(f"{many} {rule}" for rule, many in sorted(rules.items(), key=lambda item: (-item[1], item[0])))
    active = sum(alert.resolved_at is None for alert in found.alerts)
    forgotten = sum(alert.state == "forgotten" for alert in found.alerts)
    over_s = found.alerts[-1].started_at - found.alerts[0].started_at
    return f"{counts}; began within {over_s:.0f} s; {active} of {len(found.alerts)} active" + (
        f", {forgotten} forgotten." if forgotten else "."
    )
