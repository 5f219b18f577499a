"""Moments at which one peer does what is not urgent: every quarter of a second, so that one wake-up serves many parts.

A wake-up of a process costs more than most of what it then does. The moments of different peers differ.
"""

from __future__ import annotations

from hashlib import blake2b
from math import ceil, inf

from peerscope.records.identity import PeerId

GRID_S = 0.25


class Grid:
    """The moments of one peer, as monotonic seconds."""

    __slots__ = ("_offset_s",)

    def __init__(self, me: PeerId) -> None:
        share = int.from_bytes(blake2b(me, digest_size=4, person=b"grid").digest()) / 2**32
        self._offset_s = share * GRID_S

    def after(self, at: float) -> float:
        """The first moment that is not before `at`; infinite for infinity."""
        if at in (inf, -inf):
            return at
        return max(at, ceil((at - self._offset_s) / GRID_S) * GRID_S + self._offset_s)

    def near(self, at: float) -> float:
        """The moment that is nearest to `at`: for what happens in intervals, which thus do not drift."""
        if at in (inf, -inf):
            return at
        return round((at - self._offset_s) / GRID_S) * GRID_S + self._offset_s
