"""Orders to forget a peer that is gone for good, and what follows from them.

An order says up to which version of its subject's records everybody forgets it: as far as the subject's own version
clock can stand at the time of the order, so that no two clocks are compared. A peer that knows nothing newer drops all
that it knows of the subject and buries it (`records/ledger.py`). Whoever still carries an older record cannot bring the
subject back, and its next record does. A subject that lives answers an order as it answers an accusation: it says again
all that it said before, above the order.

Of several orders about one subject the latest counts, whoever gave it, and it may take the others back. All this is a
function of the orders that are known, which cross the borders of zones as silences do; whose orders count is the same
for both.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from heapq import nlargest

from msgspec import Struct

from peerscope.mesh.detection.observers import is_reporting
from peerscope.mesh.internal_events import Outrun
from peerscope.mesh.peer_state import PeerState
from peerscope.records.alerts import Orders
from peerscope.records.bodies import Kind
from peerscope.records.identity import PeerId, ref
from peerscope.records.ledger import Ledger

STANDS_S = 7 * 86_400.0
"""An order holds for so long: seven times as long as carriers remember by default."""
STANDING_MAX = 1024
"""Orders that count in the whole network, the latest ones: each is looked at every second."""
FUTURE_MS = 2_000
"""An order may reach so far beyond where its subject's version clock can stand: records take time to travel."""
STRANGER_AHEAD_MS = 60_000
"""An order about a peer that we do not know may reach so far into our own future, and no further: its subject has to
outbid it with its version clock."""
REPEAT_INTERVAL_S = 600.0
"""A peer that has answered one order and reports is dropped by no order that follows within this time: whoever repeats
it every second would make the peer vanish for most of the time."""
OUTBID_AHEAD_MS = 86_400_000
"""A subject outbids no order that would set its own version clock further ahead than this."""


class ForgetOrder(Struct, frozen=True):
    """The latest order about one peer."""

    until: int
    """Its records up to this version are forgotten."""
    at: float
    """Local monotonic seconds at which it was given."""
    by: PeerId
    """The peer at which it was given."""
    author: str
    reason: str
    is_lifted: bool
    """It takes back the orders before it."""


def latest_orders(global_ledger: Ledger, now: float, obeys: Callable[[PeerId], bool]) -> dict[PeerId, ForgetOrder]:
    """By subject. `obeys`: whose orders count."""
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
    """How far the version clock of a known peer can stand now, as far as its records tell."""
    newest = max(ledger.entries(peer), key=lambda entry: entry.record.version)
    return newest.record.version + max(0, round((now - newest.heard_at) * 1000))


class Forgetting:
    """Carries orders out at one peer. Call `review` every second."""

    def __init__(self, state: PeerState, obeyed: Set[PeerId] | None) -> None:
        """`obeyed`: whose orders count besides our own; None for everybody's."""
        self._me = state.me
        self._ledger = state.ledger
        self._global_ledger = state.global_ledger
        self._clock = state.clock
        self._out = state.out
        self._obeyed = None if obeyed is None else {*obeyed, state.me}
        self._orders: dict[PeerId, ForgetOrder] = {}
        self._revision = -1
        self._dropped: dict[PeerId, tuple[int, float]] = {}
        """Whom we dropped lately: up to which version, and when."""
        self._void: dict[PeerId, tuple[int, float]] = {}
        """Orders up to that version do not count, though their subject may fall silent later; and since when."""

    def review(self, now: float) -> list[PeerId]:
        """Bury whoever is to be forgotten; those that are still known, to be dropped."""
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
        """The subject has not spoken since, and its version clock can stand there: else the order would keep a living
        peer out."""
        if subject not in self._ledger:
            return order.until <= self._clock.wall_ms(now) + STRANGER_AHEAD_MS
        if order.until > self._dropped.get(subject, (order.until, now))[0] and is_reporting(self._ledger, subject, now):
            self._void[subject] = order.until, now
        if order.until <= self._void.get(subject, (0, now))[0]:
            return False
        can_be = order.until <= last_version(self._ledger, subject, now) + FUTURE_MS
        return can_be and self._ledger.newest(subject) <= order.until

    def _outbid(self, until: int, now: float) -> None:
        """We live: say again, above the order, what we said before it."""
        entries = self._ledger.entries(self._me)
        old = [entry for entry in entries if entry.record.version <= until]
        if old and until <= self._clock.wall_ms(now) + OUTBID_AHEAD_MS:
            self._clock.outbid(until, now)
            for entry in old:
                self._out.emit(Outrun(entry.record.kind))
