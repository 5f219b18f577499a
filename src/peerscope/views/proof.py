"""The evidence behind a verdict, as people see it."""

from __future__ import annotations

from msgspec import Struct

from peerscope.records.identity import PeerId
from peerscope.views.moment import Moment


class AccusationView(Struct, frozen=True):
    """One observer's standing claim."""

    observer: str
    since: float
    """Unix seconds at which the observer last heard the subject, by our clock."""
    last_heard_s: float
    """How long ago that is."""
    reason: str
    counts: bool
    """False when the observer is itself accused."""


class EvidenceView(Struct, frozen=True):
    """Who says what of one peer, and how many of whom it takes."""

    peer_id: str
    verdict: str
    observers: tuple[str, ...]
    quorum: int
    accusations: tuple[AccusationView, ...]
    heard_by: tuple[str, ...]
    arithmetic: str


def evidence_view(moment: Moment, peer: PeerId) -> EvidenceView:
    """Everything behind the verdict on one peer."""
    found = moment.weigh(peer)
    accusations = tuple(
        AccusationView(a.observer.hex(), moment.wall - a.silence_s, a.silence_s, a.reason, a.counts)
        for a in found.accusations
    )
    counted = sum(a.counts for a in found.accusations)
    return EvidenceView(
        peer_id=peer.hex(),
        verdict=found.verdict.value,
        observers=tuple(observer.hex() for observer in found.observers),
        quorum=found.quorum,
        accusations=accusations,
        heard_by=tuple(observer.hex() for observer in found.heard_by),
        arithmetic=_arithmetic(counted, len(found.observers), found.quorum),
    )


def _arithmetic(counted: int, observers: int, quorum: int) -> str:
    if observers == 0:
        return "nobody watches this peer"
    return f"missed by {counted} of {observers} observers; {quorum} are needed"
