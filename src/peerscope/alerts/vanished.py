"""Which alerts end because everything that they are about is forgotten: an end of its own, and no recovery."""

from __future__ import annotations

from collections.abc import Collection

from peerscope.alerts.groups import Groups
from peerscope.alerts.rules import Rule
from peerscope.records.identity import PEER_REF_BYTES, PeerRef
from peerscope.records.ledger import Ledger
from peerscope.views.snapshot import Snapshot

ENDED = "ended"
"""Key in the metadata of an alert: why it ended, where the condition did not simply cease to hold."""
FORGOTTEN = "forgotten"


def is_gone(rule: Rule, subject: str, snapshot: Snapshot, groups: Groups, regions: Collection[str]) -> bool:
    """Nobody that the alert is about is known any more. `regions`: those whose health is known here."""
    match rule.signal:
        case "region_critical":
            return subject not in regions and all(place.region != subject for place in snapshot.places.values())
        case "partition":
            return groups.is_forgotten(subject, snapshot.ledger)
        case _:
            return is_unknown(subject, snapshot.ledger)


def is_unknown(subject: str, ledger: Ledger) -> bool:
    """The subject is a peer, and the ledger holds nothing of it. Other subjects are never unknown."""
    if len(subject) != 2 * PEER_REF_BYTES or set(subject) - set("0123456789abcdef"):
        return False
    return ledger.find(PeerRef(bytes.fromhex(subject))) is None
