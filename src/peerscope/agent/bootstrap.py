"""Where an agent begins: tickets, and the peers remembered from earlier lives."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from math import inf

from peerscope.host.clock import monotonic
from peerscope.host.state import StateDirectory
from peerscope.mesh.events import Join
from peerscope.mesh.peer import Peer
from peerscope.mesh.zoning.names import WHOLE
from peerscope.records.identity import PeerId, short
from peerscope.transport.joining import Start

LOOK_INTERVAL_S = 2.0
DIAL_INTERVAL_S = 30.0
"""Between two looks for peers of our settings that are not there."""
KEEP_S = 10.0
REMEMBERED_MAX = 256
DIALLED_AT_ONCE_MAX = 16

log = logging.getLogger(__name__)


class Bootstrap:
    """Joins through peers of the settings and remembered ones, and writes down who is there for the next start."""

    def __init__(self, state: StateDirectory, starts: Mapping[PeerId, Start], rng: random.Random) -> None:
        """`starts`: the peers of `peer.join`; the transport looks their names up at each dial."""
        self._state = state
        remembered = state.remembered()
        # Either may be stale where a peer moved.
        self._starts = {
            known: tuple(dict.fromkeys(start.addresses + remembered.pop(known, ()))) for known, start in starts.items()
        }
        self._tickets = dict(starts)
        """Those that no listener was sent yet."""
        self._reserve = list(remembered.items())
        """Remembered peers that were not dialled yet."""
        rng.shuffle(self._reserve)
        self._kept: dict[PeerId, tuple[str, ...]] = {}
        self.zone = state.remembered_zone()
        """Where we belong, or did in an earlier life."""
        self._kept_at = self._again_at = -inf

    def first(self) -> list[Join]:
        """Everybody to dial at the start."""
        self._again_at = monotonic() + DIAL_INTERVAL_S
        return [Join(*start) for start in self._starts.items()] + self._some_remembered()

    def look(self, peer: Peer, tell: Callable[..., None]) -> list[Join]:
        """Call now and then: more peers to dial while alone. Reports each ticket whose peer did not answer once."""
        for known in sorted(peer.neighbours.unreached(monotonic()) & set(self._tickets)):
            addresses, refusal = self._tickets.pop(known).places, peer.neighbours.turned_away.get(known)
            where = f"peer {short(known)} of peer.join", ", ".join(addresses)
            if refusal is None:
                log.warning("%s does not answer at %s; still trying", *where)
            else:
                wish = "is [network] the same here and there?"
                log.warning("%s at %s refuses us: %s; %s Still trying", *where, refusal, wish)
            tell("unreached", peer_id=known.hex(), addresses=addresses, refusal=refusal)
        if monotonic() - self._kept_at >= KEEP_S:
            self.keep(peer)
        return self._missing(peer) + ([] if peer.links.up() else self._some_remembered())

    def keep(self, peer: Peer) -> None:
        """Write down our zone and where others are, when that has changed: a killed agent must find them again."""
        living = peer.neighbours.rings.members() - {peer.me}
        found = ((other, peer.ledger.profile(other)) for other in sorted(living)[:REMEMBERED_MAX])
        known = {other: profile.reached_at for other, profile in found if profile}
        zone = peer.own_zone.zone
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

    def _missing(self, peer: Peer) -> list[Join]:
        """Peers of our settings to look for again: those that are lost, or that nobody here remembers.

        A network whose peers have all moved finds itself again by their names, and through nobody else. In a network of
        zones a peer that we do not know may be well in another zone. We look there again once we are alone.
        """
        if monotonic() < self._again_at:
            return []
        self._again_at = monotonic() + DIAL_INTERVAL_S
        is_alone, is_whole = not peer.links.up(), peer.own_zone.zone == WHOLE
        return [
            Join(known, addresses)
            for known, addresses in self._starts.items()
            if is_alone or known in peer.neighbours.lost or (is_whole and known not in peer.ledger)
        ]

    def _some_remembered(self) -> list[Join]:
        """Not all at once: those of long ago may be gone, and most of them never have to be asked."""
        some = self._reserve[:DIALLED_AT_ONCE_MAX]
        del self._reserve[:DIALLED_AT_ONCE_MAX]
        return [Join(*known) for known in some]
