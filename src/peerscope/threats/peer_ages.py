"""Who is here, behind which address prefix, how long we have known them, and what they look like.

Ages are our own: since when this agent has heard of a peer. What a peer says of its age proves nothing. Whoever was
there when we came, or came within a minute of it, counts as having been there before: we cannot tell.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from msgspec import Struct

from peerscope.mesh.detection.observers import prefix
from peerscope.mesh.detection.verdicts import Verdict
from peerscope.records.bodies import Profile
from peerscope.records.identity import PeerId
from peerscope.views.snapshot import Snapshot

ARRIVAL_S = 60.0
"""How long a peer that starts needs at most to hear of everybody."""


class KnownPeer(Struct, frozen=True):
    """One living peer."""

    peer: PeerId
    prefix: str | None
    """The /24 or /48 it says it is in; None where it gives a name, or nothing."""
    age_s: float
    """Infinite for those who were there before us."""
    fingerprint: tuple[object, ...]
    """What identities of one operator would have in common."""


class PeerAges:
    """Remembers since when each peer is known."""

    def __init__(self, now: float) -> None:
        self._since: dict[PeerId, float] = {}
        self._looks: dict[PeerId, tuple[Profile, str | None, tuple[object, ...]]] = {}
        """What was worked out from each profile."""
        self._began_at = now

    def greet(self, snapshot: Snapshot) -> None:
        """Note who is new. Those whom the ledger has forgotten are forgotten here too."""
        now, since = snapshot.now, self._since
        for peer in snapshot.profiles:
            if peer not in since:
                since[peer] = -inf if now - self._began_at <= ARRIVAL_S else now
        for gone in [peer for peer in since if peer not in snapshot.profiles]:
            del since[gone]
            self._looks.pop(gone, None)

    def members(self, snapshot: Snapshot) -> list[KnownPeer]:
        """Everybody living who was greeted, in a fixed order."""
        return [
            self._member(peer, snapshot.profiles[peer], snapshot.now)
            for peer in living(snapshot)
            if peer in self._since
        ]

    def _member(self, peer: PeerId, profile: Profile, now: float) -> KnownPeer:
        look = self._looks.get(peer)
        if look is None or look[0] is not profile:
            look = self._looks[peer] = (profile, prefix_of(profile), fingerprint(profile))
        return KnownPeer(peer, look[1], now - self._since[peer], look[2])


def living(snapshot: Snapshot) -> Iterable[PeerId]:
    """Peers that neither left nor are down."""
    return (peer for peer in snapshot.peers if snapshot.verdict(peer) not in (Verdict.LEFT, Verdict.DOWN))


def prefix_of(profile: Profile) -> str | None:
    """Where the first of its addresses lies."""
    return prefix(profile.addresses[0]) if profile.addresses else None


def fingerprint(profile: Profile) -> tuple[object, ...]:
    """Version, node, labels, roles and port: the same in what one hand set up. Neighbours share the region anyway."""
    port = profile.addresses[0].rpartition(":")[2] if profile.addresses else ""
    return profile.version, profile.node, profile.labels, profile.roles, port
