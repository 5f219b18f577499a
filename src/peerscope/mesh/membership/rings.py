"""K rings, each a pseudo-random order of all members, give each peer its neighbours.

Ring i orders the members by `blake2b(i, zone, peer_id)`. A peer links to its successor and predecessor on each. The
union of K random cycles is an expander: about 2K neighbours, logarithmic diameter, and connected with 30 % of the peers
gone (Friedman 2008). RAPID (Suresh et al. 2018) watches over such rings. The neighbours are a pure function of the
membership, so every peer can compute those of any other. A join or a leave moves O(K) links.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from random import Random

from peerscope.records.identity import PeerId

RINGS = 4


class Rings:
    """Members of one zone in the order of each ring."""

    def __init__(self, zone: str = "", members: Iterable[PeerId] = (), rings: int = RINGS) -> None:
        self._zone = zone.encode()
        self._rings: list[list[tuple[int, PeerId]]] = [[] for _ in range(rings)]
        self._members: set[PeerId] = set()
        for member in members:
            self.add(member)

    def __contains__(self, peer: PeerId) -> bool:
        return peer in self._members

    def __len__(self) -> int:
        return len(self._members)

    def members(self) -> frozenset[PeerId]:
        return frozenset(self._members)

    def any(self, rng: Random) -> PeerId:
        """A random member. There must be one."""
        return rng.choice(self._rings[0])[1]

    def add(self, peer: PeerId) -> bool:
        """Add a peer to every ring; False if it was there."""
        if peer in self._members:
            return False
        self._members.add(peer)
        for index, ring in enumerate(self._rings):
            insort(ring, _place(index, self._zone, peer))
        return True

    def remove(self, peer: PeerId) -> bool:
        """Take a peer off every ring; False if it was not there."""
        if peer not in self._members:
            return False
        self._members.remove(peer)
        for index, ring in enumerate(self._rings):
            del ring[bisect_left(ring, _place(index, self._zone, peer))]
        return True

    def neighbours(self, peer: PeerId) -> frozenset[PeerId]:
        """Successors and predecessors of `peer`, or those that it would have as a member."""
        found: set[PeerId] = set()
        for index, ring in enumerate(self._rings):
            if not ring:
                continue
            place = _place(index, self._zone, peer)
            at = bisect_left(ring, place)
            is_here = at < len(ring) and ring[at] == place
            found.add(ring[(at + is_here) % len(ring)][1])
            found.add(ring[at - 1][1])
        found.discard(peer)
        return frozenset(found)


@lru_cache(maxsize=200_000)
def _place(index: int, zone: bytes, peer: PeerId) -> tuple[int, PeerId]:
    """The cache shares one object among all rings, in a simulation those of thousands of peers."""
    return int.from_bytes(blake2b(bytes((index,)) + zone + peer, digest_size=8).digest(), "big"), peer
