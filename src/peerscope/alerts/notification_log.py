"""Notices of messages to people, which all peers can read, and the order in which notifiers send."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct

from peerscope.alerts.silences import Trust, order_key
from peerscope.mesh.detection.verdicts import Verdict
from peerscope.records.alerts import Alerts, Severity
from peerscope.records.bodies import Kind
from peerscope.records.identity import PeerId
from peerscope.records.rendezvous import weight
from peerscope.views.snapshot import Snapshot

NOTIFIER, ESCALATION, HEARTBEAT = "notifier", "escalation", "heartbeat"
"""Roles in a profile: it has channels, channels for alerts that nobody acknowledged, and a heartbeat URL that works."""
FIRING: Final = "firing"
RESOLVED: Final = "resolved"
ESCALATED: Final = "escalated"
UPDATED: Final = "updated"
"""People know its alerts as an incident of another kind."""


class SentNotice(Struct, frozen=True):
    """A message that a peer has sent or is about to send. `at` is monotonic seconds, in files Unix seconds."""

    key: str
    """Id of the alert or incident, with the state that was sent."""
    at: float
    severity: Severity = Severity.LOW
    delivered: bool = True
    """False while it is on its way: a claim."""
    episode: int = 0
    """Names the episode; 0 if unnamed."""
    repeat: int = 0
    """Number of the repetition; 0 for any other message."""


class Heard(SentNotice, frozen=True, kw_only=True):
    """A notice and its author."""

    peer: PeerId


class Roster(Struct, frozen=True):
    """Living peers that can send messages to people."""

    notifiers: tuple[PeerId, ...]
    escalators: tuple[PeerId, ...] = ()
    """Those that can also repeat alerts that nobody acknowledged."""


def notice_key(key: str, what: str) -> str:
    """Key of a notice about a group, short enough for a record."""
    return order_key(key, f":{what}")


def ranked(key: str, peers: Iterable[PeerId]) -> list[PeerId]:
    """The order in which peers send, by rendezvous hash (Thaler and Ravishankar 1998).

    Every peer computes the same order, a different one for each key. A peer that goes only moves up those behind it.
    """
    return sorted(peers, key=lambda peer: weight(key, peer))


def roster(snapshot: Snapshot, trusts: Trust = lambda _: True) -> Roster:
    """Living peers that declare channels."""
    living = [
        peer
        for peer in _declared(snapshot, NOTIFIER, trusts)
        if snapshot.verdict(peer) in (Verdict.ALIVE, Verdict.SUSPECT)
    ]
    return Roster(tuple(living), tuple(peer for peer in living if ESCALATION in snapshot.profiles[peer].roles))


def heard_notices(snapshot: Snapshot, trusts: Trust = lambda _: True) -> list[Heard]:
    """Notices of all other notifiers, including those that are down. Notices of peers without the role are ignored."""
    found: list[Heard] = []
    for peer in _declared(snapshot, NOTIFIER, trusts):
        entry = snapshot.ledger.get(peer, Kind.ALERTS)
        if peer == snapshot.me or entry is None or not isinstance(entry.body, Alerts):
            continue
        for notice in entry.body.notices:
            at = entry.heard_at - notice.sent_ms / 1000
            severity = Severity(notice.severity)
            sent = (notice.key, at, severity, notice.delivered, notice.episode, notice.repeat)
            found.append(Heard(*sent, peer=peer))
    return found


def _declared(snapshot: Snapshot, role: str, trusts: Trust) -> Iterator[PeerId]:
    return (peer for peer in snapshot.peers if role in snapshot.profiles[peer].roles and trusts(peer))
