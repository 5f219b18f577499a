"""The alerts of the network as one list, which every peer computes alike.

A peer alone states alerts about itself, and they end when it is gone. Aggregators and their successors state alerts
about others. Such an alert fires only if two of them agree and our own evidence does not contradict it. So one liar
among them can neither raise an alert nor hide one.

Records carry ages, so peers never compare clocks. The time of a record comes from the ages that its carriers added. It
lacks the time on the wire, one way, hop by hop. `uncertainty_s` bounds that error: the most hops of urgent news in a
network of this size, times half the slowest round trip among our links.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median_low
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from peerscope.alerts.aggregators import Aggregators, aggregators
from peerscope.alerts.alert_record import (
    ENDED,
    FORGOTTEN,
    StatedAlert,
    dated,
    stated_about_others,
    statements,
    votes_needed,
)
from peerscope.alerts.conditions import Key
from peerscope.alerts.facts import carried, merged, unit_of
from peerscope.alerts.model import Alert, AlertState, Wording, page_path
from peerscope.alerts.overlay import OverlaySight
from peerscope.alerts.rules import FINDING, Rule, default_rules, packaged_names
from peerscope.alerts.subjects import PREFIX, is_unknown, peer_of
from peerscope.mesh.detection.verdicts import Verdict
from peerscope.mesh.dissemination.gossip import GossipConfig, ttl
from peerscope.records.alerts import Severity, Statement
from peerscope.records.bodies import RATIO_ONE
from peerscope.records.identity import PEER_ID_BYTES, PEER_REF_BYTES, PeerRef
from peerscope.views.snapshot import Snapshot

OWN_MAX = 64
"""Alerts that one peer may have about itself."""
ACTIVE_MAX = 20_000
RESOLVED_MAX = 2_000
REMEMBER_S = 86_400.0
GRACE_S = 5.0
"""An alert that no peer states is over after this time: aggregators change, peers restart."""
HOP_S = 0.1
"""One way, if no link of ours is measured."""
NO_WORDS: Mapping[str, Wording] = {}
EVIDENCED = ("peer-down", "network-partition")
"""Rules that our own evidence can contradict."""
SEEN_BY_NEIGHBOURS = ("node-down",)
"""Rules of which the neighbours of the subject's node can confirm something."""


class Vocabulary(Struct, frozen=True):
    """Rules, and the words for alerts."""

    rules: Mapping[str, Rule]
    """By name."""
    detections: Mapping[str, Wording] = {}
    """Packaged detections by name: all peers have them."""

    def words(self, name: str, said: Sequence[Statement]) -> Wording:
        """The words for an alert, equal at all peers with the same packaged rules and detections.

        A packaged rule has its own words. A detection has those of its author, who may have changed them. For all
        others the author's words count, and ours only if the author is of an earlier version and gives none. The lower
        median of several authors counts, so one that disagrees with all others does not set them.
        """
        rule = self.rules.get(name)
        ours = Wording(rule.title, rule.runbook, unit_of(rule)) if rule is not None else self.detections.get(name)
        if ours is not None and name in packaged_names():
            return ours
        told = (carried(one, ours or Wording(name.replace("-", " "))) for one in said)
        ranked = sorted(told, key=lambda one: (one.title, one.runbook, one.unit))
        return ranked[(len(ranked) - 1) // 2]


def stated(snapshot: Snapshot, known: Vocabulary, chosen: Aggregators) -> list[Alert]:
    """Alerts in the ledger now: those that fire, and those whose authors say that they ended."""
    off_s, rules, overlay = uncertainty_s(snapshot), known.rules, OverlaySight(snapshot)
    found: dict[str, Alert] = {}
    for peer in snapshot.ledger:
        said, issued_at = statements(snapshot.ledger, peer)
        for statement in said[:OWN_MAX] if said and peer in snapshot.profiles else ():
            if not statement.subject and _is_about(rules.get(statement.rule), "own"):
                alert = _own(snapshot, known, dated(peer, statement, issued_at), off_s)
                if alert.state == "firing" and statement.rule in SEEN_BY_NEIGHBOURS:
                    alert = _confirmed(alert, overlay.confirmation(peer, alert.metadata))
                found.setdefault(alert.id, alert)
    about: dict[Key, list[StatedAlert]] = {}
    for one in stated_about_others(snapshot.ledger, chosen.eligible):
        if _is_about(rules.get(one.statement.rule), "network"):
            about.setdefault((one.statement.rule, one.statement.subject), []).append(one)
    needed = votes_needed(len(chosen.eligible))
    for claims in about.values():
        agreed = _agreed(snapshot, known, claims, needed, off_s)
        if agreed is not None:
            found.setdefault(agreed.id, agreed)
    return [found[name] for name in sorted(found)]


def uncertainty_s(snapshot: Snapshot) -> float:
    """Largest error in the time of another peer's record."""
    report = snapshot.ledger.report(snapshot.me)
    rtts_us = [link.rtt_us for link in report.links if link.rtt_us is not None] if report else []
    one_way_s = max(rtts_us) / 2e6 if rtts_us else HOP_S
    return ttl(len(snapshot.profiles), GossipConfig().fanout) * one_way_s


def _is_about(rule: Rule | None, scope: Literal["own", "network"]) -> bool:
    return rule is None or rule.signal == FINDING or rule.is_about(scope)


def _own(snapshot: Snapshot, known: Vocabulary, one: StatedAlert, off_s: float) -> Alert:
    verdict = snapshot.verdict(one.peer)
    alert = _alert(snapshot, known, one, [one], off_s)
    if one.resolved_at is None and not snapshot.is_living(one.peer):
        last_heard_at = max(entry.heard_at for entry in snapshot.ledger.entries(one.peer))
        wall = _wall(snapshot, max(last_heard_at, one.fired_at))
        return replace(alert, state="resolved", resolved_at=wall, metadata={**alert.metadata, ENDED: verdict.value})
    return alert


def _confirmed(alert: Alert, confirmation: str) -> Alert:
    """The alert with what others see of its subject now."""
    return replace(alert, description=f"{alert.description}; {confirmation}") if confirmation else alert


def _agreed(
    snapshot: Snapshot, known: Vocabulary, claims: list[StatedAlert], needed: int, off_s: float
) -> Alert | None:
    """The alert on which enough authors agree, or None."""
    firing = [one for one in claims if one.resolved_at is None]
    if len(firing) >= needed:
        return None if _is_denied(snapshot, firing) else _alert(snapshot, known, _middle(firing), firing, off_s)
    over = [one for one in claims if one.resolved_at is not None]
    if len(over) < needed:
        return None
    alert = _alert(snapshot, known, _middle(over), over, off_s)
    forgotten = sum((ENDED, FORGOTTEN) in one.statement.metadata for one in over)
    if forgotten >= needed or (forgotten and is_unknown(over[0].statement.subject, snapshot.ledger)):
        return replace(alert, state="forgotten", metadata={**alert.metadata, ENDED: FORGOTTEN})
    return alert


def _middle(claims: list[StatedAlert]) -> StatedAlert:
    """The statement with the median beginning: no single author sets it."""
    middle = median_low(one.fired_at for one in claims)
    return next(one for one in claims if one.fired_at == middle)


def _is_denied(snapshot: Snapshot, firing: list[StatedAlert]) -> bool:
    """Whether our evidence contradicts it: the subject has reported since and is alive, left, or is forgotten.

    An aggregator of an earlier version may not obey the order to forget.
    """
    rule, subject = firing[0].statement.rule, firing[0].statement.subject
    if rule not in EVIDENCED:
        return False
    if subject.startswith(PREFIX) and snapshot.partitions:
        return False
    name = subject.removeprefix(PREFIX)
    peer = peer_of(name, snapshot)
    if peer is None:
        return is_unknown(name, snapshot.ledger) and snapshot.ledger.is_buried(PeerRef(bytes.fromhex(name)))
    if snapshot.verdict(peer) is Verdict.LEFT:
        return True
    since = median_low(one.fired_at for one in firing)
    newest = max(entry.heard_at for entry in snapshot.ledger.entries(peer))
    return snapshot.verdict(peer) is Verdict.ALIVE and snapshot.fresh_report(peer) is not None and newest > since


def _alert(snapshot: Snapshot, known: Vocabulary, one: StatedAlert, agreeing: list[StatedAlert], off_s: float) -> Alert:
    said, rule = one.statement, known.rules.get(one.statement.rule)
    statements = [claimed.statement for claimed in agreeing]
    metadata = dict(said.metadata)
    kind, _ = metadata.pop("type", said.rule), metadata.pop("title", None)
    words = known.words(said.rule, statements)
    is_region = rule is not None and rule.signal == "region_critical"
    peer = None if is_region else peer_of(said.subject, snapshot) if said.subject else one.peer
    place = snapshot.places.get(peer) if peer is not None else None
    confirming = (snapshot.ledger.find(PeerRef(name)) for name in said.confirmed_by)
    ranked = sorted((claimed.severity for claimed in statements), reverse=True)
    name = f"{said.rule}-{said.subject or one.peer.hex()[: 2 * PEER_REF_BYTES]}"
    episode = min((claimed.episode for claimed in statements if claimed.episode), default=0)
    started_at = _wall(snapshot, one.fired_at)
    return Alert(
        id=name,
        type=kind if rule is None else rule.type,
        rule=said.rule,
        severity=Severity(ranked[min(1, len(ranked) - 1)]).name.lower(),
        title=words.title,
        description=said.text or words.title,
        peer_id=peer.hex() if peer else _forgotten(metadata, said.subject),
        region=said.subject if is_region else place.region if place else None,
        state="firing" if one.resolved_at is None else "resolved",
        started_at=started_at,
        resolved_at=None if one.resolved_at is None else _wall(snapshot, one.resolved_at),
        uncertainty_s=0.0 if one.peer == snapshot.me else off_s,
        flapping=sum(claimed.is_flapping for claimed in statements) > len(statements) // 2,
        metadata=metadata | merged(statements, words.unit, episode / 1000 if episode else started_at),
        confirmed_by=tuple(peer.hex() for peer in confirming if peer is not None),
        stated_by=tuple(sorted(claimed.peer.hex() for claimed in agreeing)),
        confidence=None if said.confidence is None else said.confidence / RATIO_ONE,
        runbook=words.runbook,
        episode=episode,
        described_at=_wall(snapshot, one.issued_at if one.resolved_at is None else min(one.issued_at, one.resolved_at)),
        url=page_path(name),
    )


def _forgotten(metadata: Mapping[str, str], subject: str) -> str | None:
    """The full id of a subject that the ledger no longer holds, if the statement carries it."""
    name = metadata.get("peer", "")
    is_id = len(name) == 2 * PEER_ID_BYTES and not name.strip("0123456789abcdef")
    return name if is_id and len(subject) == 2 * PEER_REF_BYTES and name.startswith(subject) else None


def _wall(snapshot: Snapshot, at: float) -> float:
    return at + snapshot.wall - snapshot.now


class AlertList:
    """The alerts of the last day: records keep resolved alerts for a quarter of an hour only."""

    def __init__(self, rules: Iterable[Rule] | None = None, detections: Mapping[str, Wording] = NO_WORDS) -> None:
        """`rules`: the packaged ones unless given. `detections`: the words of packaged ones."""
        self._known = Vocabulary({}, detections)
        self.use(default_rules() if rules is None else rules)
        self._alerts: dict[str, Alert] = {}
        self._unstated: dict[str, float] = {}
        """Since when no peer states an alert that fired."""

    def use(self, rules: Iterable[Rule]) -> None:
        """Use these rules from now on."""
        self._known = Vocabulary({rule.name: rule for rule in rules}, self._known.detections)

    @property
    def names(self) -> frozenset[str]:
        """Names of all rules and packaged detections."""
        return frozenset((*self._known.rules, *self._known.detections))

    @property
    def rules(self) -> Mapping[str, Rule]:
        """The rules by name."""
        return self._known.rules

    def update(self, snapshot: Snapshot, chosen: Aggregators | None = None) -> list[Alert]:
        """Read the ledger. Return alerts that began, ended, or changed in severity or flapping.

        `chosen`: the aggregators of this moment, if they are known already.
        """
        found = {alert.id: alert for alert in stated(snapshot, self._known, chosen or aggregators(snapshot))}
        changed = [kept for alert in found.values() if (kept := self._take(alert)) is not None]
        for alert in [alert for alert in self._alerts.values() if alert.state == "firing" and alert.id not in found]:
            since = self._unstated.setdefault(alert.id, snapshot.now)
            if snapshot.now - since >= GRACE_S:
                about = (alert.peer_id or "")[: 2 * PEER_REF_BYTES]
                state: AlertState = "forgotten" if is_unknown(about, snapshot.ledger) else "resolved"
                over = replace(alert, state=state, resolved_at=_wall(snapshot, since))
                changed.append(over)
                self._alerts[over.id] = over
        self._unstated = {
            name: since
            for name, since in self._unstated.items()
            if name not in found and self._alerts[name].state == "firing"
        }
        self._forget(snapshot.wall)
        return changed

    def alerts(self, *, active_only: bool = False) -> list[Alert]:
        """Firing alerts by severity, worst first; then ended ones, latest first."""
        shown = [alert for alert in self._alerts.values() if alert.state == "firing" or not active_only]
        return sorted(shown, key=_order)

    def _take(self, alert: Alert) -> Alert | None:
        """Store an alert that is stated now. Return it if it is news."""
        before = self._alerts.get(alert.id)
        if before is not None and alert.peer_id is None and alert.region in (None, before.region):
            alert = replace(alert, peer_id=before.peer_id, region=before.region)  # the peer is already forgotten here
        if alert.state != "firing" and (before is None or before.state != "firing"):
            if before is None or (alert.resolved_at or 0.0) > (before.resolved_at or 0.0) + GRACE_S:
                self._alerts[alert.id] = alert  # it ended before we heard of it
            return None
        if before is not None and before.state == "firing":
            alert = replace(alert, started_at=before.started_at, uncertainty_s=before.uncertainty_s)
        self._alerts[alert.id] = alert
        return alert if before is None or _news(before) != _news(alert) else None

    def _forget(self, wall: float) -> None:
        over = sorted(
            (alert for alert in self._alerts.values() if alert.state != "firing"), key=lambda a: a.resolved_at or 0.0
        )
        old = [alert for alert in over if wall - (alert.resolved_at or 0.0) > REMEMBER_S]
        for alert in over[: max(len(old), len(over) - RESOLVED_MAX)]:
            del self._alerts[alert.id]
        if len(self._alerts) - len(over) > ACTIVE_MAX:
            for alert in self.alerts(active_only=True)[ACTIVE_MAX:]:
                del self._alerts[alert.id]


def _news(alert: Alert) -> tuple[str, str, bool]:
    return alert.state, alert.severity, alert.flapping


def _order(alert: Alert) -> tuple[bool, int, float, str]:
    at = alert.started_at if alert.resolved_at is None else alert.resolved_at
    return alert.state != "firing", -Severity[alert.severity.upper()], -at, alert.id
