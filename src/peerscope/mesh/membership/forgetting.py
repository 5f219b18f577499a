"""Orders to forget a peer that is gone for good, and their effects.

An order names the highest version that the subject's own version clock can have at that time, so no two clocks are
compared. A peer without a newer record of the subject drops all its records and buries it (`records/ledger.py`).
Carriers of older records cannot bring the subject back; its next record does. A living subject answers an order like an
accusation: it publishes all its records again, above the order.

The latest order about a subject counts, and it may take earlier ones back. All this is a function of the known orders,
which spread to all zones like silences. The same authors count for both.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from heapq import nlargest

from msgspec import Struct

from peerscope.mesh.detection.observers import is_reporting
from peerscope.mesh.internal_events import Superseded
from peerscope.mesh.peer_state import PeerState
from peerscope.records.alerts import Orders
from peerscope.records.bodies import Kind
from peerscope.records.identity import PeerId, ref
from peerscope.records.ledger import Ledger

STANDS_S = 7 * 86_400.0
"""An order is valid for so long: seven times as long as peers remember records by default."""
STANDING_MAX = 1024
"""The latest orders that count in the whole network. Each is checked every second."""
FUTURE_MS = 2_000
"""An order may be so far above the subject's version clock, since records take time to travel."""
STRANGER_AHEAD_MS = 60_000
"""An order about an unknown peer may be so far in our future: its subject has to outbid it with its version clock."""
REPEAT_INTERVAL_S = 600.0
"""A reporting peer that answered one order is safe from further orders for so long. Otherwise an order every second
would make it vanish."""
OUTBID_AHEAD_MS = 86_400_000
"""A subject does not outbid an order that would set its version clock further ahead than this."""


class ForgetOrder(Struct, frozen=True):
    """The latest order about one peer."""

    until: int
    """Peers forget its records up to this version."""
    at: float
    """Local monotonic seconds at which it was given."""
    by: PeerId
    """The peer at which it was given."""
    author: str
    reason: str
    is_lifted: bool
    """The order takes earlier ones back."""


def latest_orders(global_ledger: Ledger, now: float, obeys: Callable[[PeerId], bool]) -> dict[PeerId, ForgetOrder]:
    """The latest order by subject. `obeys`: orders of this peer count."""
    found: dict[PeerId, ForgetOrder] = {}
    for origin in global_ledger:
        entry = global_ledger.get(origin, Kind.ORDERS)
        if entry is None or not isinstance(entry.body, Orders) or not obeys(origin):
            continue
        for said in entry.body.forgotten:
            order = ForgetOrder(
                said.until, entry.heard_at - said.sent_ms / 1000, origin, said.author, said.reason, said.is_lifted
            )
            known = found.get(PeerId(said.peer))
            if now - order.at <= STANDS_S and (known is None or (order.at, order.by) > (known.at, known.by)):
                found[PeerId(said.peer)] = order
    latest = nlargest(STANDING_MAX, found, key=lambda subject: (found[subject].at, subject))
    return {subject: found[subject] for subject in latest}


def last_version(ledger: Ledger, peer: PeerId, now: float) -> int:
    """The highest version that a known peer can have now, by its records."""
    newest = max(ledger.entries(peer), key=lambda entry: entry.record.version)
    return newest.record.version + max(0, round((now - newest.heard_at) * 1000))


class Forgetting:
    """Carries orders out at one peer. Call `review` every second."""

    def __init__(self, state: PeerState, obeyed: Set[PeerId] | None) -> None:
        """`obeyed`: their orders count besides our own; None for those of every member."""
        self._me = state.me
        self._ledger = state.ledger
        self._global_ledger = state.global_ledger
        self._clock = state.clock
        self._out = state.out
        self._obeyed = None if obeyed is None else {*obeyed, state.me}
        self._orders: dict[PeerId, ForgetOrder] = {}
        self._revision = -1
        self._dropped: dict[PeerId, tuple[int, float]] = {}
        """By dropped peer: the version of the order, and the time."""
        self._void: dict[PeerId, tuple[int, float]] = {}
        """By subject: orders up to this version do not count, even if it falls silent later; and the time."""

    def review(self, now: float) -> list[PeerId]:
        """Bury the subjects of orders, and return those that are still known."""
        if self._global_ledger.revision != self._revision:
            self._revision = self._global_ledger.revision
            latest = latest_orders(self._global_ledger, now, lambda by: self._obeyed is None or by in self._obeyed)
            for subject in self._orders.keys() & latest.keys():
                if latest[subject].is_lifted:
                    self._ledger.unbury(ref(subject))
            self._orders = {subject: order for subject, order in latest.items() if not order.is_lifted}
        gone = []
        for subject, order in sorted(self._orders.items()):
            if subject == self._me:
                self._outbid(order.until, now)
            elif now - order.at <= STANDS_S and self._counts(subject, order, now):
                self._ledger.bury(ref(subject), order.until, order.at + STANDS_S)
                if subject in self._ledger:
                    self._dropped[subject] = order.until, now
                    gone.append(subject)
        self._dropped = {subject: one for subject, one in self._dropped.items() if now - one[1] < REPEAT_INTERVAL_S}
        self._void = {subject: one for subject, one in self._void.items() if now - one[1] < STANDS_S}
        return gone

    def _counts(self, subject: PeerId, order: ForgetOrder, now: float) -> bool:
        """The subject was silent since, and can have that version: the order does not keep a living peer out."""
        if subject not in self._ledger:
            return order.until <= self._clock.wall_ms(now) + STRANGER_AHEAD_MS
        if order.until > self._dropped.get(subject, (order.until, now))[0] and is_reporting(self._ledger, subject, now):
            self._void[subject] = order.until, now
        if order.until <= self._void.get(subject, (0, now))[0]:
            return False
        can_be = order.until <= last_version(self._ledger, subject, now) + FUTURE_MS
        return can_be and self._ledger.newest(subject) <= order.until

    def _outbid(self, until: int, now: float) -> None:
        """An order names us: publish our earlier records again, above the order."""
        entries = self._ledger.entries(self._me)
        old = [entry for entry in entries if entry.record.version <= until]
        if old and until <= self._clock.wall_ms(now) + OUTBID_AHEAD_MS:
            self._clock.outbid(until, now)
            for entry in old:
                self._out.emit(Superseded(entry.record.kind))
