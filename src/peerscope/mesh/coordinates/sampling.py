"""Sampling: now and then, measure the round-trip time to a random peer that is no neighbour.

Each peer brings as many unknowns into the network's equations as measured pairs: four links, and a place of four
numbers. So a coordinate from eight fixed neighbours fits those and few others. Serf pings another member each second.
Our peers connect to a random member as a guest, exchange a few pings and hang up. No link, sync, report or accusation
follows.

The intervals are short while a peer is young and its coordinate a guess, and grow with its age. Each connection costs
some 16 kB of QUIC at each end. A peer with a remembered measurement is not sampled again, so a small network soon needs
none.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from random import Random

from peerscope.mesh.coordinates.vivaldi import CoordinateConfig
from peerscope.mesh.membership.rings import Rings
from peerscope.records.identity import PeerId

AGES = 12
"""The interval is this part of the age, within the configured limits."""
DRAWS = 4
"""Draws, until one yields a member without a measurement."""


class Sampling:
    """Draws the members to connect to, and the times."""

    def __init__(self, me: PeerId, config: CoordinateConfig, rng: Random, now: float) -> None:
        self._me = me
        self._config = config
        self._rng = rng
        self._began_at = now
        self._next_at = now + config.visit_interval_s * rng.random() if config.visit_interval_s else inf

    def deadline(self) -> float:
        return self._next_at

    def due(
        self, now: float, members: Rings, is_known: Callable[[PeerId], bool], *, busy: bool = False
    ) -> PeerId | None:
        """A member to sample now; None before the time, or where all drawn members are known.

        None also while we are `busy`: another connection is a burden then, and measures our own delay.
        """
        if now < self._next_at:
            return None
        least_s, most_s = self._config.visit_interval_s, self._config.visit_interval_s_max
        pause_s = min(most_s, max(least_s, (now - self._began_at) / AGES))
        self._next_at = now + pause_s * self._rng.uniform(0.75, 1.25)
        if busy:
            return None
        drawn = (members.any(self._rng) for _ in range(DRAWS))
        return next((peer for peer in drawn if peer != self._me and not is_known(peer)), None)
