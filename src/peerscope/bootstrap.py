"""Where an agent begins: tickets, and the peers remembered from earlier lives."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from math import inf

from peerscope.clock import monotonic
from peerscope.mesh.events import Join
from peerscope.mesh.peer import Peer
from peerscope.records.identity import PeerId, short
from peerscope.state import State

LOOK_S = 2.0
KEEP_S = 10.0
REMEMBERED_MAX = 256
DIALLED_AT_ONCE_MAX = 16

log = logging.getLogger(__name__)

Address = tuple[PeerId, tuple[str, ...]]


class Bootstrap:
    """Joins through tickets and remembered peers, and writes down who is there for the next start."""

    def __init__(self, state: State, tickets: Sequence[Address], rng: random.Random) -> None:
        self._state = state
        self._tickets = dict(tickets)
        """Those that nobody has been told about."""
        self._reserve = list(state.remembered().items())
        """Remembered peers that were not dialled yet."""
        rng.shuffle(self._reserve)
        self._kept: dict[PeerId, tuple[str, ...]] = {}
        self.zone = state.remembered_zone()
        """Where we belong, or did in an earlier life."""
        self._kept_at = -inf

    def first(self) -> list[Join]:
        """Everybody to dial at the start."""
        return [Join(*ticket) for ticket in self._tickets.items()] + self._some_remembered()

    def look(self, peer: Peer, tell: Callable[..., None]) -> list[Join]:
        """Call now and then: more peers to dial while alone. Tells of tickets whose peer did not answer, each once."""
        for known in sorted(peer.neighbourhood.unreached(monotonic()) & set(self._tickets)):
            addresses, refusal = self._tickets.pop(known), peer.neighbourhood.turned_away.get(known)
            where = f"peer {short(known)} of a ticket", ", ".join(addresses)
            if refusal is None:
                log.warning("%s does not answer at %s; still trying", *where)
            else:
                wish = "is [network] the same here and there?"
                log.warning("%s at %s refuses us: %s; %s Still trying", *where, refusal, wish)
            tell("unreached", peer_id=known.hex(), addresses=addresses, refusal=refusal)
        if monotonic() - self._kept_at >= KEEP_S:
            self.keep(peer)
        return [] if peer.watch.up() else self._some_remembered()

    def keep(self, peer: Peer) -> None:
        """Write down our zone and where others are, when that has changed: a killed agent must find them again."""
        living = peer.neighbourhood.rings.members() - {peer.me}
        found = ((other, peer.ledger.profile(other)) for other in sorted(living)[:REMEMBERED_MAX])
        known = {other: profile.reached_at for other, profile in found if profile}
        zone = peer.borders.zone
        if not known or (known == self._kept and zone == self.zone):  # one that has lost everybody keeps those it knew
            return
        is_moved = zone != self.zone
        self._kept, self.zone, self._kept_at = known, zone, monotonic()
        try:
            self._state.remember(known)
            if is_moved:
                self._state.remember_zone(zone)
        except OSError as error:  # a full disk must not stop the agent
            log.warning("cannot remember peers in %s: %s", self._state.path, error.strerror)

    def _some_remembered(self) -> list[Join]:
        """Not all at once: those of long ago may be gone, and most of them never have to be asked."""
        some = self._reserve[:DIALLED_AT_ONCE_MAX]
        del self._reserve[:DIALLED_AT_ONCE_MAX]
        return [Join(*known) for known in some]
