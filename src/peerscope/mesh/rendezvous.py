"""Rendezvous hashing: everybody who knows the same peers names the same few of them for a task.

Each peer's weight is the hash of task and peer; the heaviest do it (Thaler and Ravishankar 1998, "Using name-based
mappings to increase hit rates"). When one goes, only its place moves, to the next in the order.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from heapq import nsmallest

from peerscope.records.identity import PeerId


def first(task: str, peers: Iterable[PeerId], count: int) -> tuple[PeerId, ...]:
    """The `count` peers that come first for a task, in order; fewer where there are no more."""
    return tuple(nsmallest(count, peers, key=lambda peer: weight(task, peer)))


@lru_cache(maxsize=100_000)
def weight(task: str, peer: PeerId) -> bytes:
    """Where a peer stands in the order for a task: the least comes first."""
    return blake2b(task.encode() + b"\0" + peer, digest_size=8, person=b"peerscope task").digest()
