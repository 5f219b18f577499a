"""The evidence behind a verdict, for people."""

from __future__ import annotations

from msgspec import Struct

from peerscope.mesh.detection.verdicts import Evidence
from peerscope.records.identity import PeerId, ref
from peerscope.views.peers import Hearsay
from peerscope.views.snapshot import Snapshot


class AccusationView(Struct, frozen=True):
    """The accusation of one observer."""

    observer: str
    since: float
    """Unix seconds at which the observer last heard the subject, by our clock."""
    last_heard_s: float
    """Time since then."""
    reason: str
    counts: bool
    """False if the observer is accused itself, or lost its vote."""
    voiceless: bool = False
    """The observer lost its vote: the subject refuted its accusations again and again."""
    since_age_s: float = 0.0
    """The same as `last_heard_s`, with the usual name of an age."""


class PartitionView(Struct, frozen=True):
    """Peers lost together."""

    size: int
    peers: tuple[str, ...]


class EvidenceView(Struct, frozen=True):
    """Accusations against one peer, and the quorum for a verdict."""

    peer_id: str
    verdict: str
    observers: tuple[str, ...]
    quorum: int
    accusations: tuple[AccusationView, ...]
    heard_by: tuple[str, ...]
    """Observers that hear the peer and are not gone themselves."""
    arithmetic: str
    partition: PartitionView | None = None
    """The group that was lost together with the peer."""
    hearsay: Hearsay | None = None
    """Source of all this for a peer of another zone, in place of observers; null for our own."""


def evidence_view(snapshot: Snapshot, peer: PeerId) -> EvidenceView:
    """The evidence about one peer."""
    found = snapshot.weigh(peer)
    group = next((group for group in snapshot.partitions if peer in group.peers), None)
    accusations = tuple(
        AccusationView(
            a.observer.hex(),
            snapshot.wall - a.silence_s,
            a.silence_s,
            a.reason,
            a.counts,
            a.voiceless,
            a.silence_s,
        )
        for a in found.accusations
    )
    return EvidenceView(
        peer_id=peer.hex(),
        verdict=snapshot.verdict(peer).value,
        observers=tuple(observer.hex() for observer in found.observers),
        quorum=found.quorum,
        accusations=accusations,
        heard_by=tuple(observer.hex() for observer in found.heard_by if ref(observer) not in snapshot.gone),
        arithmetic=_silence(snapshot, peer)
        if peer in snapshot.unwatched
        else _unwatched(found)
        or arithmetic(found.accusing, found.voices, len(found.observers), found.quorum)
        + (f", and one alone needs {found.patience:g} times the silence" if found.patience > 1 else ""),
        partition=PartitionView(len(group.peers), tuple(p.hex() for p in group.peers)) if group else None,
    )


def _unwatched(found: Evidence) -> str:
    """The arithmetic if no observer of the peer is left, else empty."""
    silences_s = [a.silence_s for a in found.accusations if a.reason == "unwatched"]
    if not silences_s or len(silences_s) < len(found.accusations) or found.heard_by:
        return ""
    return (
        f"unwatched: nobody that watched this peer is left; not heard for {max(silences_s):.0f} s, "
        f"as {found.accusing} of {len(found.observers)} survivors report; {found.quorum} needed"
    )


def _silence(snapshot: Snapshot, peer: PeerId) -> str:
    newest = max(entry.heard_at for entry in snapshot.ledger.entries(peer))
    return f"nobody watches this peer, and it has been silent for {snapshot.now - newest:.0f} s"


def arithmetic(accusing: int, voices: int, observers: int, quorum: int) -> str:
    """The quorum in words. `voices`: votes of the observers, fewer if those of one prefix share one."""
    if not observers:
        return "nobody watches this peer"
    if voices not in (0, observers):
        return f"missed by {accusing} of {voices} address prefixes; {quorum} are needed"
    return f"missed by {accusing} of {observers} observers; {quorum} are needed"
