"""Living peers with their address prefix, the time since we first heard of them, and their fingerprint.

Ages are our own, because a peer can claim any age. Peers that were there when this agent started, or came within a
minute, count as older: we cannot distinguish them.
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
"""Longest time that a new agent needs to hear of all peers."""


class KnownPeer(Struct, frozen=True):
    """A living peer, as this agent knows it."""

    peer: PeerId
    prefix: str | None
    """The /24 or /48 of its declared address; None if that is a name or missing."""
    age_s: float
    """Infinite for peers that were there before us."""
    fingerprint: tuple[object, ...]
    """Properties that identities of one operator would share."""


class PeerAges:
    """When this agent first heard of each peer."""

    def __init__(self, now: float) -> None:
        self._since: dict[PeerId, float] = {}
        self._looks: dict[PeerId, tuple[Profile, str | None, tuple[object, ...]]] = {}
        """Prefix and fingerprint of each profile."""
        self._began_at = now

    def update(self, snapshot: Snapshot) -> None:
        """Add new peers, and remove those that the ledger has forgotten."""
        now, since = snapshot.now, self._since
        for peer in snapshot.profiles:
            if peer not in since:
                since[peer] = -inf if now - self._began_at <= ARRIVAL_S else now
        for gone in [peer for peer in since if peer not in snapshot.profiles]:
            del since[gone]
            self._looks.pop(gone, None)

    def members(self, snapshot: Snapshot) -> list[KnownPeer]:
        """All living peers that `update` has seen, in a fixed order."""
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
    """Prefix of its first address."""
    return prefix(profile.addresses[0]) if profile.addresses else None


def fingerprint(profile: Profile) -> tuple[object, ...]:
    """Version, node, labels, roles and port: equal if one operator set them up. Neighbours share the region anyway."""
    port = profile.addresses[0].rpartition(":")[2] if profile.addresses else ""
    return profile.version, profile.node, profile.labels, profile.roles, port
