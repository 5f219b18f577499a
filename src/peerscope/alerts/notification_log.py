"""Who tells people, and who has told them: the order of notifiers, and the notices that all peers can read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Final

from msgspec import Struct

from peerscope.alerts.silences import Trust
from peerscope.mesh.detection.verdicts import Verdict
from peerscope.records.alerts import Alerts, Severity
from peerscope.records.bodies import Kind
from peerscope.records.identity import PeerId
from peerscope.records.rendezvous import weight
from peerscope.views.snapshot import Snapshot

NOTIFIER, ESCALATION = "notifier", "escalation"
"""Roles in a profile: it has channels; some of them take what nobody looked after."""
FIRING: Final = "firing"
RESOLVED: Final = "resolved"
ESCALATED: Final = "escalated"
NAME_MAX = 64
"""As long as a name in a record may be."""


class Heard(Struct, frozen=True):
    """A notice of any peer, dated by our own monotonic clock."""

    peer: PeerId
    key: str
    at: float
    severity: Severity
    delivered: bool
    episode: int = 0
    repeat: int = 0


class Roster(Struct, frozen=True):
    """The living peers that can tell people."""

    notifiers: tuple[PeerId, ...]
    escalators: tuple[PeerId, ...] = ()
    """Those that can also repeat what nobody looked after."""


def notice_key(key: str, what: str) -> str:
    """Names what was told of a group, short enough for a record."""
    whole = f"{key}:{what}"
    if len(whole) <= NAME_MAX:
        return whole
    mark = blake2b(key.encode(), digest_size=8).hexdigest()
    return f"{key[: NAME_MAX - len(mark) - len(what) - 2]}~{mark}:{what}"


def ranked(key: str, peers: Iterable[PeerId]) -> list[PeerId]:
    """Order the peers by rendezvous hash: the first sends the message, and the next follow it if it fails."""
    return sorted(peers, key=lambda peer: weight(key, peer))


def roster(snapshot: Snapshot, trusts: Trust = lambda _: True) -> Roster:
    """Peers that declare channels and live, as far as we can see."""
    living = [
        peer
        for peer in _declared(snapshot, NOTIFIER, trusts)
        if snapshot.verdict(peer) in (Verdict.ALIVE, Verdict.SUSPECT)
    ]
    return Roster(tuple(living), tuple(peer for peer in living if ESCALATION in snapshot.profiles[peer].roles))


def heard_notices(snapshot: Snapshot, trusts: Trust = lambda _: True) -> list[Heard]:
    """What the other notifiers say they told, the dead included: what they told was told.

    Notices of peers without the role count for nothing.
    """
    found: list[Heard] = []
    for peer in _declared(snapshot, NOTIFIER, trusts):
        entry = snapshot.ledger.get(peer, Kind.ALERTS)
        if peer == snapshot.me or entry is None or not isinstance(entry.body, Alerts):
            continue
        for notice in entry.body.notices:
            at = entry.heard_at - notice.sent_ms / 1000
            severity = Severity(notice.severity)
            found.append(Heard(peer, notice.key, at, severity, notice.delivered, notice.episode, notice.repeat))
    return found


def _declared(snapshot: Snapshot, role: str, trusts: Trust) -> Iterator[PeerId]:
    return (peer for peer in snapshot.peers if role in snapshot.profiles[peer].roles and trusts(peer))
