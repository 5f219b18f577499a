"""Incidents: alerts with one probable cause, so that one cause is one message.

`correlate` depends only on the alerts, their context and the time. The order, number and delay of arrivals do not
matter: two peers with the same alerts see the same incidents. It looks for every cause (`causes`), weighs which of them
hold together (`choice`), and adds alerts that only follow from a cause that is found. An alert is in one incident at
most, and unrelated alerts are in none.

Where two explanations are within a factor of three, the incident names both and no root. Its confidence is then the
probability that one of them is right.

Explanations that lost remain as `names` of the incident that explains most of their alerts. Peers may learn of alerts
at different moments and see different kinds at first. By the names, notifiers recognize the same incident.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from peerscope.alerts.causes import causes
from peerscope.alerts.choice import RIVAL_FACTOR, Candidates, Judged, candidates_of, judge
from peerscope.alerts.context import Context
from peerscope.alerts.derived_alerts import derived, with_consequences
from peerscope.alerts.explanations import Case, Explanation, IncidentKind, Priors, case
from peerscope.alerts.incident import Incident
from peerscope.alerts.incident_words import Said, said_of
from peerscope.alerts.model import Alert
from peerscope.alerts.scopes import PATTERN_PEERS_MIN
from peerscope.errors import ConfigError
from peerscope.records.alerts import Severity

SHARES = ((0.33, Severity.CRITICAL), (0.1, Severity.HIGH))  # guesses
"""Least severity of an incident by its share of the network; a single peer does not count as a share."""
CONFIDENCE_MAX = 0.99  # measured: of those that would say more, one in forty is wrong
CAUTION: tuple[IncidentKind, ...] = (
    "pattern",
    "peer-cluster",
    "partition",
    "region",
    "version",
    "host",
    "region-outage",
    "cascade",
)
"""Kinds by how much they claim. If the best explanation has rivals, the incident has the kind that claims least."""


class IncidentConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which alerts belong together, and how long to show incidents."""

    window_s: float = 300.0
    """Longest gap between two beginnings of one incident. A longer one joins unrelated alerts of the same day."""
    keep_s: float = 86_400.0
    """How long to show an incident after its last alert ended."""
    priors: Priors = field(default_factory=Priors)
    """How often you expect each kind of cause."""

    def __post_init__(self) -> None:
        if not 1 <= self.window_s <= 3600:
            raise ConfigError(f"incidents.window_s is {self.window_s}; must lie between 1 and 3600")
        if not self.window_s <= self.keep_s <= 7 * 86_400:
            raise ConfigError(f"incidents.keep_s is {self.keep_s}; must lie between window_s and 604800 (a week)")


def correlate(
    alerts: Iterable[Alert], around: Context, now: float, config: IncidentConfig | None = None
) -> tuple[Incident, ...]:
    """Find the incidents among these alerts: open ones first, then by size. `now`: Unix seconds."""
    config = config or IncidentConfig()
    known = relevant(alerts, now - config.keep_s)
    if not known:
        return ()
    follows = derived(known, config.window_s)
    first = case([one for one in known if one.id not in follows], around, config.window_s, config.priors)
    judged, candidates = _judged(first)
    chosen = [one.found for one in judged]
    groups = with_consequences(chosen, known, follows, around, config.window_s)
    in_groups = {alert.id for group in groups for alert in group}
    if any(name not in in_groups for name in follows):  # alerts that follow from one in no incident
        left = [one for one in known if one.id not in in_groups]
        rest = replace(case(left, around, config.window_s, config.priors), accounts=first.without(chosen).accounts)
        more, others = _judged(rest)
        judged += more
        candidates = {**candidates, **{f"{name} ": its for name, its in others.items()}}
        groups = with_consequences([one.found for one in judged], known, follows, around, config.window_s)
    names = _names(candidates, [one.found for one in judged], groups)
    found = [_incident(*one, len(around.regions)) for one in zip(judged, groups, names, strict=True)]
    return tuple(sorted(found, key=lambda one: (one.state != "open", -len(one.peers), one.id)))


def _judged(whole: Case) -> tuple[list[Judged], Candidates]:
    """Explanations that hold, and all that competed."""
    if not whole.alerts:
        return [], {}
    looks = causes(whole)
    candidates = candidates_of(whole, looks)
    return [one for one in judge(whole, looks, candidates) if not _is_doubtful(one)], candidates


def relevant(alerts: Iterable[Alert], since: float) -> list[Alert]:
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


def _is_doubtful(one: Judged) -> bool:
    """Whether chance is nearly as likely, or it is a pattern of too few peers. Then the alerts stay alone."""
    is_small = one.found.kind == "pattern" and len(one.found.peers) < PATTERN_PEERS_MIN
    return is_small or chance_of(one) * RIVAL_FACTOR >= 1.0 - chance_of(one)


def chance_of(one: Judged) -> float:
    """The probability that no cause made most of these alerts."""
    return next((its for rival, its in one.rivals if rival is None), 0.0)


def _names(
    candidates: Candidates, chosen: Sequence[Explanation], groups: Sequence[Sequence[Alert]]
) -> list[tuple[str, ...]]:
    """For each chosen explanation its own name, and those of others of which it explains more than half."""
    flat = sorted(
        (one for its in candidates.values() for one in its),
        key=lambda one: (one.alerts[0].started_at, one.alerts[0].id, one.name),
    )
    episodes: Counter[str] = Counter()
    named: list[tuple[str, Explanation]] = []
    for one in flat:
        episodes[one.name] += 1
        named.append((f"{one.name}-{episodes[one.name]}", one))
    explained_by = {alert.id: place for place, alerts in enumerate(groups) for alert in alerts}
    found: list[list[str]] = [[] for _ in chosen]
    own: list[str | None] = [None] * len(chosen)
    for name, one in named:
        held = Counter(explained_by[alert.id] for alert in one.alerts if alert.id in explained_by)
        for place, many in held.items():
            if many * 2 > len(one.alerts):
                found[place].append(name)
                if one.name == chosen[place].name and own[place] is None:
                    own[place] = name
    used = {name for name in own if name is not None}
    for place, one in enumerate(chosen):
        number = 1
        while own[place] is None:  # what is left of an explanation has no name yet
            if (name := f"{one.name}-{episodes[one.name] + number}") not in used:
                own[place] = name
                used.add(name)
            number += 1
    return [(mine or "", *sorted(set(more) - {mine})) for mine, more in zip(own, found, strict=True)]


def _severity(alert: Alert) -> int:
    return Severity[alert.severity.upper()]


def _incident(judged: Judged, alerts: Sequence[Alert], names: tuple[str, ...], network: int) -> Incident:
    found = judged.found
    severity = max(_severity(alert) for alert in alerts)
    for share, least in SHARES:
        if len(found.peers) >= max(2, share * network):
            severity = max(severity, least)
    ended = [alert.resolved_at for alert in alerts if alert.resolved_at is not None]
    is_open = len(ended) < len(alerts)
    said = said_of(judged, _close_rivals(judged), alerts)
    kind, root, confidence = _told(judged, said)
    return Incident(
        id=names[0],
        kind=kind,
        severity=Severity(severity).name.lower(),
        title=said.title,
        description=said.description,
        state="open" if is_open else "closed",
        started_at=alerts[0].started_at,
        updated_at=max(alerts[-1].started_at, *ended) if ended else alerts[-1].started_at,
        ended_at=None if is_open else max(ended),
        alerts=tuple(alert.id for alert in alerts),
        peers=found.peers,
        root=root,
        confidence=round(min(confidence, CONFIDENCE_MAX), 4),
        tree=found.tree if kind == "cascade" else (),
        names=names,
        alternatives=said.alternatives,
        evidence=said.evidence,
        first_step=said.first_step,
    )


def _close_rivals(judged: Judged) -> list[tuple[Explanation | None, float]]:
    return [(rival, its) for rival, its in judged.rivals if its * RIVAL_FACTOR >= judged.probability]


def _told(judged: Judged, said: Said) -> tuple[IncidentKind, str | None, float]:
    """Kind, root and confidence: with alternatives the kind that claims least, and no root."""
    found, rivals = judged.found, _close_rivals(judged)
    if not said.alternatives:
        root_share = found.roots[0][1] if found.roots else 1.0
        return found.kind, found.root, judged.probability * root_share
    kinds = [found.kind, *(rival.kind for rival, _ in rivals if rival is not None)]
    least = min(kinds, key=CAUTION.index)
    return least, None, min(1.0, judged.probability + sum(its for rival, its in rivals if rival is not None))
