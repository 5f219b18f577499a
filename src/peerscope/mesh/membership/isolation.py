"""The peers we were linked with: whom to return to when every link is gone.

A peer that loses everybody at once forgets them as well, when their memberships end or after a day of silence. Without
this memory it would look like a peer that never had anybody: healthy, and with nobody to dial. Then a network whose
certificates all ended on one day would stay in pieces after they were renewed.

Peers that said goodbye, and peers that an operator revoked, are no loss.
"""

from __future__ import annotations

from peerscope.mesh.detection import observers
from peerscope.mesh.internal_events import StartFrom, StartNoMore
from peerscope.mesh.peer_state import PeerState
from peerscope.records.identity import PeerId

COMPANY_MAX = 32
"""Peers to return to, those linked last: enough to meet again, few enough to dial."""
RETURN_S = 5.0
"""Without any link for so long, they are dialled."""


class Isolation:
    """Call `review` every second."""

    def __init__(self, state: PeerState) -> None:
        self._state = state
        self._known: dict[PeerId, tuple[str, ...]] = {}
        """With their addresses; those linked last at the end."""
        self._dialled: set[PeerId] = set()
        self._alone_since: float | None = None

    @property
    def lost(self) -> int:
        """How many of them are gone, while no link at all is up; else 0."""
        return 0 if self._state.links.up() else len(self._known)

    @property
    def refusal(self) -> str | None:
        """Why one of them refuses us, where one said so."""
        said = self._state.neighbours.turned_away
        return next((said[peer] for peer in sorted(self._dialled) if peer in said), None)

    def forget(self, peer: PeerId) -> None:
        """It is no loss."""
        self._known.pop(peer, None)
        self._part(peer)

    def review(self, now: float) -> None:
        """Note who is linked, and dial them when nobody is."""
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
                self._part(peer)
        elif self._alone_since is None:
            self._alone_since = now
        elif now - self._alone_since >= RETURN_S:
            for peer in sorted(self._known.keys() - self._state.neighbours.bootstrap.keys()):
                self._dialled.add(peer)
                self._state.out.emit(StartFrom(peer, self._known[peer]))

    def _part(self, peer: PeerId) -> None:
        if peer in self._dialled:
            self._dialled.discard(peer)
            self._state.out.emit(StartNoMore(peer))
