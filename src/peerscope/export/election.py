"""Which peer writes for all: rendezvous hashing, over those that declare the role.

Every peer works it out for itself. Two that see different members may name different writers for a while, which does no
harm: each labels its series with its own name. A death moves the task to one other peer and no further, a return moves
it back.
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
    """The writer of this zone: of those that are well and whose clock is right; if there is none, of those that are
    well; else of those that live."""
    candidates = [
        peer
        for peer, profile in snapshot.profiles.items()
        if ROLE in profile.roles and profile.zone == zone and snapshot.verdict(peer) in LIVING
    ]
    well = [peer for peer in candidates if snapshot.statuses[peer] in WELL]
    right = [peer for peer in well if clock_skew_s(snapshot, peer) is None]
    return max(right or well or candidates, key=lambda peer: weight(zone, peer), default=None)


def weight(zone: str, peer: PeerId) -> bytes:
    """The greater one wins."""
    return rendezvous.weight(f"{ROLE}\0{zone}", peer, size_bytes=16)


class Tenure:
    """Who is elected, looked at with patience.

    A change counts once it has lasted for `hold_s`. The one that goes holds on for as long as the one that comes waits,
    so that a planned change of hands leaves no gap and no more of an overlap than their views are apart; and who has
    just started, and knows of nobody else yet, does not begin at once.
    """

    def __init__(self, hold_s: float) -> None:
        self.is_ours = False
        self._hold_s = hold_s
        self._since: float | None = None
        """When an election first said otherwise."""

    def update(self, is_elected: bool, now: float) -> bool:
        """Whether the task is ours, given what an election says now."""
        if is_elected == self.is_ours:
            self._since = None
        elif self._since is None:
            self._since = now
        elif now - self._since >= self._hold_s:
            self.is_ours, self._since = is_elected, None
        return self.is_ours
