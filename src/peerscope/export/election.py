"""Elects the peer that writes for all, by rendezvous hashing (Thaler and Ravishankar 1996) among peers with the role.

Every peer calculates it by itself. Peers that see different members may elect different writers for a while. That does
no harm: each writer labels its series with its own id. When the writer fails, one other peer takes over; when it
returns, it takes over again.
"""

from __future__ import annotations

from peerscope.mesh.detection.verdicts import Verdict
from peerscope.records import rendezvous
from peerscope.records.identity import PeerId
from peerscope.views.peers import clock_skew_s
from peerscope.views.snapshot import Snapshot

ROLE = "exporter"
WELL = ("healthy", "degraded")
LIVING = (Verdict.ALIVE, Verdict.SUSPECT)


def elected(snapshot: Snapshot, zone: str) -> PeerId | None:
    """Elect the writer of this zone.

    Peers that are well and have the right clock come first, then peers that are well, then peers that live.
    """
    candidates = [
        peer
        for peer, profile in snapshot.profiles.items()
        if ROLE in profile.roles and profile.zone == zone and snapshot.verdict(peer) in LIVING
    ]
    well = [peer for peer in candidates if snapshot.statuses[peer] in WELL]
    right = [peer for peer in well if clock_skew_s(snapshot, peer) is None]
    return max(right or well or candidates, key=lambda peer: weight(zone, peer), default=None)


def weight(zone: str, peer: PeerId) -> bytes:
    """The peer with the greatest weight wins."""
    return rendezvous.weight(f"{ROLE}\0{zone}", peer, size_bytes=16)


class Tenure:
    """Delays a change of the writer until it has lasted for `hold_s`.

    The old writer goes on for as long as the new one waits. So a planned change leaves no gap, and no more overlap than
    the views of the two differ in time. A peer that has just started, and knows no others yet, does not begin at once.
    """

    def __init__(self, hold_s: float) -> None:
        self.is_ours = False
        self._hold_s = hold_s
        self._since: float | None = None
        """When the outcome of elections changed."""

    def update(self, is_elected: bool, now: float) -> bool:
        """Whether this peer writes, given the outcome of an election now."""
        if is_elected == self.is_ours:
            self._since = None
        elif self._since is None:
            self._since = now
        elif now - self._since >= self._hold_s:
            self.is_ours, self._since = is_elected, None
        return self.is_ours
