"""Whether our key also runs in another zone, where no profile under it reaches us.

Profiles stay in their zone, so two with one key in two zones never meet (`shared_key.py`). Therefore every process asks
the aggregators of other zones for its own key: soon after it began, since of two the later one is the copy as often as
not, and from then on at an interval that grows with the number of zones. So each aggregator is asked about once a
second however large the network is. While another process is found to report there, it asks every minute.
"""

from __future__ import annotations

from peerscope.mesh.membership.shared_key import STANDS_S, SharedKey
from peerscope.mesh.zoning.lookup import LookupAnswer
from peerscope.records.bodies import Kind
from peerscope.records.identity import PeerId

OWN_QUESTION = 2**32 - 1
"""Number of the question, which no question from outside reaches."""
FIRST_S, SPREAD_S = 30.0, 120.0
"""A peer has found its zone by then; peers that start together do not ask together."""
EVERY_S = 900.0
"""Between two questions, for each other zone."""
ASK_INTERVAL_S = 60.0


class SharedKeySearch:
    """When to ask, and what the answer means."""

    def __init__(self, me: PeerId, life: int, now: float) -> None:
        self._me = me
        self.ask_at = now + FIRST_S + SPREAD_S * (life % 1000) / 1000
        """When to ask next."""

    def asked(self, zones: int, now: float) -> None:
        """The question is out, to so many other zones."""
        self.ask_at = now + EVERY_S * max(1, zones)

    def heard(self, answer: LookupAnswer, shared_key: SharedKey, now: float) -> bool:
        """Take the answer in; true if our profile has more to say than it does.

        Only what a peer reported within the time that a meeting stands counts: other zones remember records of an
        earlier home of ours for a day.
        """
        profile, report = answer.ledger.profile(self._me), answer.ledger.get(self._me, Kind.REPORT)
        if profile is None or report is None or profile.left or profile.life == shared_key.life:
            return False
        if now - report.heard_at > STANDS_S:
            return False
        self.ask_at = min(self.ask_at, now + ASK_INTERVAL_S)
        return shared_key.met_abroad(profile, report.record.version, now)
