"""The peers that were linked with us, to return to when every link is gone.

A peer that loses all others at once also forgets them: when their memberships end, or after a day of silence. Without
this memory it would look like a peer that never had others: healthy, and with no address to dial. Then a network whose
certificates all ended on one day would stay in pieces after their renewal.

Peers that left, and peers that an operator revoked, are no loss.
"""

from __future__ import annotations

from peerscope.mesh.detection import observers
from peerscope.mesh.internal_events import BootstrapAdded, BootstrapDropped
from peerscope.mesh.peer_state import PeerState
from peerscope.records.identity import PeerId

COMPANY_MAX = 32
"""Peers to return to, the last linked ones."""
RETURN_S = 5.0
"""Dial them after so long without any link."""


class Isolation:
    """Call `review` every second."""

    def __init__(self, state: PeerState) -> None:
        self._state = state
        self._known: dict[PeerId, tuple[str, ...]] = {}
        """Addresses by peer, the last linked ones at the end."""
        self._dialled: set[PeerId] = set()
        self._alone_since: float | None = None

    @property
    def lost(self) -> int:
        """Peers that we lost, while no link at all is up; else 0."""
        return 0 if self._state.links.up() else len(self._known)

    @property
    def refusal(self) -> str | None:
        """The reason of one of them that refuses us."""
        said = self._state.neighbours.turned_away
        return next((said[peer] for peer in sorted(self._dialled) if peer in said), None)

    def forget(self, peer: PeerId) -> None:
        self._known.pop(peer, None)
        self._drop_bootstrap(peer)

    def review(self, now: float) -> None:
        """Note the linked peers, and dial them when no link is up."""
        up = [peer for peer in self._state.links.up() if not self._state.links[peer].visit]
        for peer in up:
            profile = self._state.ledger.profile(peer)
            if profile is not None:
                self._known.pop(peer, None)
                self._known[peer] = profile.reached_at
        for peer in [peer for peer in self._known if observers.has_left(self._state.ledger, peer)]:
            self.forget(peer)
        while len(self._known) > COMPANY_MAX:
            self.forget(next(iter(self._known)))
        if up:
            self._alone_since = None
            for peer in sorted(self._dialled):
                self._drop_bootstrap(peer)
        elif self._alone_since is None:
            self._alone_since = now
        elif now - self._alone_since >= RETURN_S:
            for peer in sorted(self._known.keys() - self._state.neighbours.bootstrap.keys()):
                self._dialled.add(peer)
                self._state.out.emit(BootstrapAdded(peer, self._known[peer]))

    def _drop_bootstrap(self, peer: PeerId) -> None:
        if peer in self._dialled:
            self._dialled.discard(peer)
            self._state.out.emit(BootstrapDropped(peer))
