"""Reads the whole routing table of a Kademlia node through questions that each show only its closest entries.

A node answers FIND_NODE with the `closest` entries of its table to the target (8 in BitTorrent, 20 in libp2p). If the
farthest of them shares `c` leading bits with the target, the node has shown all its entries that share more than `c`.
The table is a binary tree over the bits of ids, so this finishes one subtree. The siblings on the way down to it stay
to be asked, the largest first. A subtree is also finished when an answer leaves it, since nothing outside is closer
than what is inside. A table of n entries takes about n/5 questions of 8, and any answer that shows the whole table
ends it.

Some programs answer from a few buckets only, with fewer entries than they have. So a short answer does not end the
reading while it still shows something new. `questions_max` bounds nodes that invent new entries forever.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection


class TableReading:
    """Questions to one node: ask for `next`, pass each answer to `answered`, until `next` is None."""

    def __init__(self, *, bits: int, closest: int, questions_max: int, depth_max: int) -> None:
        """`bits`: length of ids. `depth_max`: leading bits of a target that the caller can choose."""
        self._bits = bits
        self._closest = closest
        self._left = questions_max
        self._depth_max = depth_max
        self._open: list[tuple[int, int]] = [(0, 0)]
        """Subtrees to ask about, as (number of leading bits, their value)."""
        self._opened = {(0, 0)}
        self._known: set[int] = set()
        self.is_cut = False
        """A bound ended the reading, so the table may have more entries."""

    def next(self) -> tuple[int, int] | None:
        """Number of leading bits of the next target, and their value; None at the end."""
        if not self._open:
            return None
        if self._left == 0:
            self.is_cut = True
            return None
        self._left -= 1
        return heapq.heappop(self._open)

    def answered(self, depth: int, target: int, ids: Collection[int]) -> None:
        """The node showed these entries for this target, which begins with the `depth` bits of `next`."""
        has_news = not self._known.issuperset(ids)
        self._known.update(ids)
        if not ids:
            return
        shared = min(self._bits - (target ^ one).bit_length() for one in ids)
        if len(ids) >= self._closest:
            is_finished = shared < depth
        else:
            is_finished = not has_news
        if is_finished:
            return
        for level in range(min(depth, shared), shared + 1):
            if level >= self._bits:
                break
            if level >= self._depth_max:
                self.is_cut = True
                break
            sibling = (level + 1, target >> (self._bits - level - 1) ^ 1)
            if sibling not in self._opened:
                self._opened.add(sibling)
                heapq.heappush(self._open, sibling)
