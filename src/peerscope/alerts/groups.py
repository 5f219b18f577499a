"""Names for groups of peers that were lost together.

A partition is seen again at every look, a little larger or smaller. Its name is that of one member, its anchor, chosen
once: a group that shares most of its members with one seen before keeps that one's name, even without the anchor.
Aggregators that named one group differently agree on the name that most of them state, then on the smallest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from peerscope.records.identity import PeerId
from peerscope.records.ledger import Ledger
from peerscope.views.links import vertex_of
from peerscope.views.partitions import Partition

PREFIX = "group-"
SETTLE_TIMEOUT_S = 2.0
"""While a group is younger it is still growing: its anchor is the member with the smallest id, which all find alike."""
REMEMBER_S = 900.0
GROUPS_MAX = 64


class PartitionGroup:
    """One group, while it lives and a while longer."""

    __slots__ = ("members", "seen_at", "since")

    def __init__(self, members: frozenset[PeerId], now: float) -> None:
        self.members = members
        self.since = self.seen_at = now


class Groups:
    """Remembers groups by name."""

    def __init__(self) -> None:
        self._groups: dict[str, PartitionGroup] = {}

    def name(
        self, partitions: Sequence[Partition], voices: Mapping[str, int], now: float
    ) -> tuple[list[tuple[str, Partition]], dict[str, str]]:
        """Each partition with its name, and which names became others.

        `voices`: names that are stated as firing, and by how many aggregators, ourselves included.
        """
        self._forget(now)
        named: dict[str, Partition] = {}
        renamed: dict[str, str] = {}
        for partition in partitions:
            members = frozenset(partition.peers)
            before = self._recall(members, named)
            group = self._groups.pop(before) if before else PartitionGroup(members, now)
            name = self._agreed(before, group, members, voices, now)
            if name in named:  # two groups cannot have one name
                name = before if before and before not in named else anchor_name(min(members - _anchors(named)))
            if before and name != before:
                renamed[before] = name
            group.members, group.seen_at = members, now
            self._groups[name] = group
            named[name] = partition
        return list(named.items()), renamed

    def is_forgotten(self, name: str, ledger: Ledger) -> bool:
        """The ledger holds nothing of any member of that group."""
        group = self._groups.get(name)
        return group is not None and not any(member in ledger for member in group.members)

    def _recall(self, members: frozenset[PeerId], taken: Mapping[str, Partition]) -> str | None:
        """The known group with which these share most, if that is more than half of either."""
        shared = {
            name: len(group.members & members)
            for name, group in self._groups.items()
            if name not in taken and 2 * len(group.members & members) > min(len(group.members), len(members))
        }
        return min(shared, key=lambda name: (-shared[name], name), default=None)

    def _agreed(
        self,
        before: str | None,
        group: PartitionGroup,
        members: frozenset[PeerId],
        voices: Mapping[str, int],
        now: float,
    ) -> str:
        ours = before if before and now - group.since >= SETTLE_TIMEOUT_S else anchor_name(min(members))
        theirs = [name for name in voices if (peer := _anchor(name, members | group.members)) and peer]
        best = min(theirs, key=lambda name: (-voices[name], name), default=ours)
        has_more = voices.get(best, 0) > voices.get(ours, 0)
        is_tied = voices.get(best, 0) == voices.get(ours, 0) == 1 and best < ours
        return best if has_more or is_tied else ours

    def _forget(self, now: float) -> None:
        self._groups = {name: group for name, group in self._groups.items() if now - group.seen_at < REMEMBER_S}
        while len(self._groups) > GROUPS_MAX:
            del self._groups[min(self._groups, key=lambda name: (self._groups[name].seen_at, name))]


def anchor_name(peer: PeerId) -> str:
    """The name of a group with this anchor."""
    return PREFIX + vertex_of(peer)


def _anchor(name: str, members: frozenset[PeerId]) -> PeerId | None:
    return next((peer for peer in members if anchor_name(peer) == name), None)


def _anchors(named: Mapping[str, Partition]) -> set[PeerId]:
    return {peer for partition in named.values() for peer in partition.peers if anchor_name(peer) in named}
