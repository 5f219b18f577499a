"""What peers state of alerts, as it stands in the ledger."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from msgspec import Struct

from peerscope.records.alerts import Alerts, Statement
from peerscope.records.bodies import Kind
from peerscope.records.identity import PeerId
from peerscope.records.ledger import Ledger

WORDS_NEEDED = 2
"""So many aggregators must say the same of others; where there is only one, it is enough."""
AGE_S_MAX = 30 * 86_400.0
"""Nothing fires for longer than this, whatever somebody states."""

Key = tuple[str, str]
"""Rule and subject."""


class StatedAlert(Struct, frozen=True, gc=False):
    """One statement of one peer. Times are our own monotonic seconds, reckoned back from the ages it gave."""

    peer: PeerId
    statement: Statement
    fired_at: float
    resolved_at: float | None
    issued_at: float


def claim(peer: PeerId, statement: Statement, issued_at: float) -> StatedAlert:
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


def words_needed(voices: int) -> int:
    """How many of so many aggregators must state something about others."""
    return max(1, min(WORDS_NEEDED, voices))


def claims_about_others(ledger: Ledger, peers: Collection[PeerId]) -> Iterator[StatedAlert]:
    """What these peers state that is not about themselves; of two statements on one subject the first."""
    for peer in peers:
        said, issued_at = statements(ledger, peer)
        seen: set[Key] = set()
        for statement in said:
            key = (statement.rule, statement.subject)
            if statement.subject and key not in seen:
                seen.add(key)
                yield claim(peer, statement, issued_at)
