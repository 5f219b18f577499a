"""The `alerts` record: how a peer writes it, gravest first, as many as fit; and how others read and date it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import TypeVar

import msgspec
from msgspec import Struct

from peerscope.alerts.conditions import Key
from peerscope.alerts.facts import finding_numbers, number, unit_of
from peerscope.alerts.lifecycle import Condition, ConditionState
from peerscope.alerts.model import Wording
from peerscope.alerts.notification_log import SentNotice
from peerscope.alerts.rules import FINDING, Rule
from peerscope.mesh.detection.checks import printable
from peerscope.records.alerts import (
    CONFIRMED_BY_MAX,
    METADATA_MAX,
    NOTICES_MAX,
    STATEMENTS_MAX,
    Alerts,
    Notice,
    Statement,
)
from peerscope.records.bodies import ALERTS_BYTES_MAX, RATIO_ONE, Kind
from peerscope.records.identity import PeerId, ref
from peerscope.records.ledger import Ledger

SPARE_BYTES = 64
"""For the frame around statements and notices."""
NAME_MAX, TEXT_MAX = 64, 160

ENDED = "ended"
"""Metadata key of the reason why an alert ended, unless its condition ceased to hold."""
FORGOTTEN = "forgotten"
VOTES_NEEDED = 2
"""Aggregators that must state the same about others. If there is only one, one is enough."""
AGE_S_MAX = 30 * 86_400.0
"""Upper bound for the age of an alert that a peer may state."""

S = TypeVar("S", bound=Struct)

_encoder = msgspec.msgpack.Encoder()


def body(
    conditions: Iterable[tuple[Key, Condition]], sent: Iterable[SentNotice], shared: set[str], now: float
) -> Alerts:
    """The record to publish; times are ages. `shared`: rules that every peer has. Others carry their type and title.

    Notices get up to half of the bytes: a lost notice makes another notifier send the same message again.
    """
    notices = [_notice(one, now) for one in sorted(sent, key=lambda one: -one.at)[:NOTICES_MAX]]
    room = ALERTS_BYTES_MAX - SPARE_BYTES
    kept_notices, used = _fitting(notices, room // 2)
    fired = {key: condition for key, condition in sorted(conditions, key=_gravity) if condition.fired_at is not None}
    statements = [_statement(key, condition, shared, now) for key, condition in list(fired.items())[:STATEMENTS_MAX]]
    kept, _ = _fitting(statements, room - used)
    return Alerts(tuple(kept), tuple(kept_notices), len(fired) - len(kept))


def _gravity(item: tuple[Key, Condition]) -> tuple[bool, int, float, Key]:
    """Firing before ended, grave before slight, recent before old."""
    key, condition = item
    at = condition.fired_at if condition.resolved_at is None else condition.resolved_at
    return condition.state is not ConditionState.FIRING, -condition.severity, -(at or 0.0), key


def _statement(key: Key, condition: Condition, shared: set[str], now: float) -> Statement:
    name, subject = key
    reading, resolved_at = condition.reading, condition.resolved_at
    assert condition.fired_at is not None
    metadata, rule = list(reading.metadata), condition.rule
    words = None if name in shared else _words(name, rule, reading.wording)
    if name not in shared:
        metadata = [*_introduction(rule, words), *metadata]
    if condition.is_lost:
        metadata.insert(0, (ENDED, "unknown"))
    if condition.is_forgotten:
        metadata.insert(0, (ENDED, FORGOTTEN))
    value, limit = number(reading.value), number(rule.threshold)
    if rule.signal == FINDING:
        value, limit = finding_numbers(reading)
    return Statement(
        rule=_plain(name, NAME_MAX),
        subject=_plain(subject, NAME_MAX),
        severity=int(condition.severity),
        firing_ms=_age_ms(condition.fired_at, now),
        resolved_ms=None if resolved_at is None else _age_ms(resolved_at, now),
        is_flapping=condition.is_flapping,
        text=_plain(_text(condition), TEXT_MAX) or None,
        metadata=tuple((_plain(a, NAME_MAX), _plain(b, NAME_MAX)) for a, b in metadata[:METADATA_MAX]),
        confirmed_by=tuple(ref(peer) for peer in reading.confirmed_by[:CONFIRMED_BY_MAX]),
        confidence=None if reading.confidence is None else round(min(max(reading.confidence, 0.0), 1.0) * RATIO_ONE),
        episode=condition.episode,
        value=value,
        threshold=limit,
        for_ms=round(rule.for_s * 1000),
        unit=None if words is None else _plain(words.unit, NAME_MAX) or None,
        runbook=None if words is None else _plain(words.runbook, TEXT_MAX) or None,
    )


def _text(condition: Condition) -> str:
    """The last finding, marked if the condition is over and the alert only waits for its end."""
    is_clearing = condition.state is ConditionState.FIRING and condition.holds is not True
    return (
        f"over for now; it was: {condition.reading.text}"
        if is_clearing and condition.reading.text
        else (condition.reading.text)
    )


def _words(name: str, rule: Rule, wording: Wording | None) -> Wording | None:
    """Words that other peers lack: those of an operator's own rule, or of a detection that is not packaged."""
    return Wording(rule.title, rule.runbook, unit_of(rule)) if name == rule.name else wording


def _introduction(rule: Rule, words: Wording | None) -> list[tuple[str, str]]:
    kind = ("type", rule.type)
    return [kind] if words is None else [kind, ("title", words.title)]


def _notice(sent: SentNotice, now: float) -> Notice:
    key, sent_ms = _plain(sent.key, NAME_MAX), _age_ms(sent.at, now)
    return Notice(key, sent_ms, int(sent.severity), sent.delivered, sent.episode, sent.repeat)


def _fitting(items: list[S], room: int) -> tuple[list[S], int]:
    """The first ones that fit, and their size in bytes."""
    kept, used = [], 0
    for item in items:
        size = len(_encoder.encode(item))
        if used + size > room:
            break
        kept.append(item)
        used += size
    return kept, used


def _age_ms(at: float, now: float) -> int:
    return max(0, round((now - at) * 1000))


def _plain(text: str, most: int) -> str:
    return printable(text)[:most]


class StatedAlert(Struct, frozen=True, gc=False):
    """One statement of one peer. Times are our own monotonic seconds, computed from the ages in it."""

    peer: PeerId
    statement: Statement
    fired_at: float
    resolved_at: float | None
    issued_at: float


def dated(peer: PeerId, statement: Statement, issued_at: float) -> StatedAlert:
    """Date a statement. `issued_at`: our estimate of when its record was issued."""
    fired_at = issued_at - min(statement.firing_ms / 1000, AGE_S_MAX)
    if statement.resolved_ms is None:
        return StatedAlert(peer, statement, fired_at, None, issued_at)
    resolved_at = max(fired_at, issued_at - statement.resolved_ms / 1000)
    return StatedAlert(peer, statement, fired_at, resolved_at, issued_at)


def statements(ledger: Ledger, peer: PeerId) -> tuple[tuple[Statement, ...], float]:
    """All statements of one peer, and when it issued them."""
    entry = ledger.get(peer, Kind.ALERTS)
    if entry is None or not isinstance(entry.body, Alerts):
        return (), 0.0
    return entry.body.statements, entry.heard_at


def votes_needed(aggregators: int) -> int:
    """How many of these aggregators must state an alert about another peer."""
    return max(1, min(VOTES_NEEDED, aggregators))


def stated_about_others(ledger: Ledger, peers: Collection[PeerId]) -> Iterator[StatedAlert]:
    """Statements of these peers about others; the first one for each rule and subject."""
    for peer in peers:
        stated, issued_at = statements(ledger, peer)
        seen: set[Key] = set()
        for statement in stated:
            key = (statement.rule, statement.subject)
            if statement.subject and key not in seen:
                seen.add(key)
                yield dated(peer, statement, issued_at)
