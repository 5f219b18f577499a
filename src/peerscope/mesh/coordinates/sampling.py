"""Visits: now and then, measure the way to a random peer that is no neighbour.

A coordinate found from eight fixed neighbours fits those and few others: each peer brings as many unknowns into the
network's equations as pairs are measured (four links and a place of four numbers). Serf needs no visits since it pings
another member each second. Ours connect to a random member, say in the hello that they come as guests, exchange a few
pings and go. Nobody links, syncs, reports or accuses because of it.

Visits are frequent while a peer is young and its place a guess, and become rare as it ages: each costs a connection,
which is some 16 kB of QUIC at each end. Nobody is visited who was measured before and is still remembered, so that in a
small network visits end soon.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from random import Random

from peerscope.mesh.coordinates.vivaldi import CoordinateConfig
from peerscope.mesh.membership.rings import Rings
from peerscope.records.identity import PeerId

AGES = 12
"""Between two visits a peer lets this part of its age pass, within the configured limits."""
DRAWS = 4
"""How often to draw when somebody was drawn who needs no visit; in a small network that may be all."""


class Sampling:
    """When this peer visits, and whom."""

    def __init__(self, me: PeerId, config: CoordinateConfig, rng: Random, now: float) -> None:
        self._me = me
        self._config = config
        self._rng = rng
        self._began_at = now
        self._next_at = now + config.visit_interval_s * rng.random() if config.visit_interval_s else inf

    def deadline(self) -> float:
        """When `due` has somebody to visit."""
        return self._next_at

    def due(
        self, now: float, members: Rings, is_known: Callable[[PeerId], bool], *, busy: bool = False
    ) -> PeerId | None:
        """A member to visit now; nobody before the time, or where all that were drawn are known, or while we are
        `busy`: then a connection more is a burden, and what it measures is our own delay."""
        if now < self._next_at:
            return None
        least_s, most_s = self._config.visit_interval_s, self._config.visit_interval_s_max
        pause_s = min(most_s, max(least_s, (now - self._began_at) / AGES))
        self._next_at = now + pause_s * self._rng.uniform(0.75, 1.25)
        if busy:
            return None
        drawn = (members.any(self._rng) for _ in range(DRAWS))
        return next((peer for peer in drawn if peer != self._me and not is_known(peer)), None)
