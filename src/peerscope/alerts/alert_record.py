"""The record a peer makes of its alerts: the gravest first, as many as fit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import TypeVar

import msgspec
from msgspec import Struct

from peerscope.alerts.conditions import Key
from peerscope.alerts.lifecycle import Condition, ConditionState
from peerscope.alerts.notification_log import NAME_MAX, SentNotice
from peerscope.alerts.rules import Rule
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
TEXT_MAX = 160

ENDED = "ended"
"""Key in the metadata of an alert: why it ended, where the condition did not simply cease to hold."""
FORGOTTEN = "forgotten"
VOTES_NEEDED = 2
"""So many aggregators must say the same of others; where there is only one, it is enough."""
AGE_S_MAX = 30 * 86_400.0
"""Nothing fires for longer than this, whatever somebody states."""

S = TypeVar("S", bound=Struct)

_encoder = msgspec.msgpack.Encoder()


def body(
    conditions: Iterable[tuple[Key, Condition]], sent: Iterable[SentNotice], shared: set[str], now: float
) -> Alerts:
    """Everything worth telling, in ages. `shared`: names that every peer knows; of others type and title are told.

    Half the room is for notices: one that is lost makes somebody send the same message again.
    """
    notices = [_notice(one, now) for one in sorted(sent, key=lambda one: -one.at)[:NOTICES_MAX]]
    room = ALERTS_BYTES_MAX - SPARE_BYTES
    kept_notices, used = _fitting(notices, room // 2)
    told = {key: condition for key, condition in sorted(conditions, key=_gravity) if condition.fired_at is not None}
    statements = [_statement(key, condition, shared, now) for key, condition in list(told.items())[:STATEMENTS_MAX]]
    kept, _ = _fitting(statements, room - used)
    return Alerts(tuple(kept), tuple(kept_notices), len(told) - len(kept))


def _gravity(item: tuple[Key, Condition]) -> tuple[bool, int, float, Key]:
    """What fires before what is over, the grave before the slight, the recent before the old."""
    key, condition = item
    at = condition.fired_at if condition.resolved_at is None else condition.resolved_at
    return condition.state is not ConditionState.FIRING, -condition.severity, -(at or 0.0), key


def _statement(key: Key, condition: Condition, shared: set[str], now: float) -> Statement:
    name, subject = key
    reading, resolved_at = condition.reading, condition.resolved_at
    assert condition.fired_at is not None
    metadata = list(reading.metadata)
    if name not in shared:
        metadata = [*_introduction(condition.rule, name), *metadata]
    if condition.is_lost:
        metadata.insert(0, (ENDED, "unknown"))
    if condition.is_forgotten:
        metadata.insert(0, (ENDED, FORGOTTEN))
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
    )


def _text(condition: Condition) -> str:
    """What was found last; said so where it is over and the alert only waits for its end."""
    is_clearing = condition.state is ConditionState.FIRING and condition.holds is not True
    return (
        f"over for now; it was: {condition.reading.text}"
        if is_clearing and condition.reading.text
        else (condition.reading.text)
    )


def _introduction(rule: Rule, name: str) -> list[tuple[str, str]]:
    told = [("type", rule.type)]
    return told if name != rule.name else [*told, ("title", rule.title)]


def _notice(sent: SentNotice, now: float) -> Notice:
    key, sent_ms = _plain(sent.key, NAME_MAX), _age_ms(sent.at, now)
    return Notice(key, sent_ms, int(sent.severity), sent.delivered, sent.episode, sent.repeat)


def _fitting(items: list[S], room: int) -> tuple[list[S], int]:
    """The first ones that fit, and their bytes."""
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
    """One statement of one peer. Times are our own monotonic seconds, reckoned back from the ages it gave."""

    peer: PeerId
    statement: Statement
    fired_at: float
    resolved_at: float | None
    issued_at: float


def dated(peer: PeerId, statement: Statement, issued_at: float) -> StatedAlert:
    """`issued_at`: when its record was issued, as far as we can tell."""
    fired_at = issued_at - min(statement.firing_ms / 1000, AGE_S_MAX)
    if statement.resolved_ms is None:
        return StatedAlert(peer, statement, fired_at, None, issued_at)
    resolved_at = max(fired_at, issued_at - statement.resolved_ms / 1000)
    return StatedAlert(peer, statement, fired_at, resolved_at, issued_at)


def statements(ledger: Ledger, peer: PeerId) -> tuple[tuple[Statement, ...], float]:
    """What one peer states, and when it did."""
    entry = ledger.get(peer, Kind.ALERTS)
    if entry is None or not isinstance(entry.body, Alerts):
        return (), 0.0
    return entry.body.statements, entry.heard_at


def votes_needed(voices: int) -> int:
    """How many of so many aggregators must state something about others."""
    return max(1, min(VOTES_NEEDED, voices))


def stated_about_others(ledger: Ledger, peers: Collection[PeerId]) -> Iterator[StatedAlert]:
    """What these peers state that is not about themselves; of two statements on one subject the first."""
    for peer in peers:
        said, issued_at = statements(ledger, peer)
        seen: set[Key] = set()
        for statement in said:
            key = (statement.rule, statement.subject)
            if statement.subject and key not in seen:
                seen.add(key)
                yield dated(peer, statement, issued_at)
