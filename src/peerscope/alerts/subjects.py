"""Subjects of alerts: peers, regions, and named groups of peers that were lost together.

A partition appears at every evaluation, a little larger or smaller. Its name is that of one member, its anchor, chosen
once. A group that shares most members with an earlier one keeps its name, even without the anchor. Aggregators that
named one group differently agree on the name that most of them state, then on the smallest.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from peerscope.alerts.rules import Rule
from peerscope.records.identity import PEER_REF_BYTES, PeerId, PeerRef
from peerscope.records.ledger import Ledger
from peerscope.views.links import vertex_of
from peerscope.views.partitions import Partition
from peerscope.views.snapshot import Snapshot

PREFIX = "group-"
SETTLE_TIMEOUT_S = 2.0
"""A younger group still grows: its anchor is the member with the smallest id, the same at all peers."""
REMEMBER_S = 900.0
GROUPS_MAX = 64


class PartitionGroup:
    """One group, kept for a while after its end."""

    __slots__ = ("members", "seen_at", "since")

    def __init__(self, members: frozenset[PeerId], now: float) -> None:
        self.members = members
        self.since = self.seen_at = now


class Groups:
    """Remembers groups by name."""

    def __init__(self) -> None:
        self._groups: dict[str, PartitionGroup] = {}

    def name(
        self, partitions: Sequence[Partition], votes: Mapping[str, int], now: float
    ) -> tuple[list[tuple[str, Partition]], dict[str, str]]:
        """Name each partition; also return which names changed to which.

        `votes`: how many aggregators, ourselves included, state each name as firing.
        """
        self._forget(now)
        named: dict[str, Partition] = {}
        renamed: dict[str, str] = {}
        for partition in partitions:
            members = frozenset(partition.peers)
            before = self._recall(members, named)
            group = self._groups.pop(before) if before else PartitionGroup(members, now)
            name = self._agreed(before, group, members, votes, now)
            if name in named:  # names are unique
                name = before if before and before not in named else anchor_name(min(members - _anchors(named)))
            if before and name != before:
                renamed[before] = name
            group.members, group.seen_at = members, now
            self._groups[name] = group
            named[name] = partition
        return list(named.items()), renamed

    def is_forgotten(self, name: str, ledger: Ledger) -> bool:
        """Whether the ledger holds no record of any member of that group."""
        group = self._groups.get(name)
        return group is not None and not any(member in ledger for member in group.members)

    def _recall(self, members: frozenset[PeerId], taken: Mapping[str, Partition]) -> str | None:
        """The known group that shares most members, if that is more than half of either."""
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
        votes: Mapping[str, int],
        now: float,
    ) -> str:
        ours = before if before and now - group.since >= SETTLE_TIMEOUT_S else anchor_name(min(members))
        theirs = [name for name in votes if (peer := _anchor(name, members | group.members)) and peer]
        best = min(theirs, key=lambda name: (-votes[name], name), default=ours)
        has_more = votes.get(best, 0) > votes.get(ours, 0)
        is_tied = votes.get(best, 0) == votes.get(ours, 0) == 1 and best < ours
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


def peer_of(subject: str, snapshot: Snapshot) -> PeerId | None:
    """The known peer of this subject, if it is one."""
    try:
        name = bytes.fromhex(subject)
    except ValueError:
        return None
    peer = snapshot.ledger.find(PeerRef(name)) if len(subject) == 2 * PEER_REF_BYTES else None
    return peer if peer in snapshot.profiles else None


def is_gone(rule: Rule, subject: str, snapshot: Snapshot, groups: Groups, regions: Collection[str]) -> bool:
    """Whether all peers that the alert is about are forgotten. `regions`: those whose health is known here."""
    match rule.signal:
        case "region_critical":
            return subject not in regions and all(place.region != subject for place in snapshot.places.values())
        case "partition":
            return groups.is_forgotten(subject, snapshot.ledger)
        case _:
            return is_unknown(subject, snapshot.ledger)


def is_unknown(subject: str, ledger: Ledger) -> bool:
    """Whether the subject is a peer without any record in the ledger. Other subjects are never unknown."""
    if len(subject) != 2 * PEER_REF_BYTES or set(subject) - set("0123456789abcdef"):
        return False
    return ledger.find(PeerRef(bytes.fromhex(subject))) is None
