"""Confirmation that a node is down, from its neighbours in the network of the nodes, as peers report them.

A peer alone states that its own node is down, since nobody else can ask that node. Other peers can confirm it only
where their own nodes are neighbours of it and their sources name neighbours. Each peer that shows the alert adds this
count, which is that of now.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property

from peerscope.records.identity import PeerId
from peerscope.views.snapshot import Snapshot

COUNTS = {str(count): count for count in range(1000)}
"""Counts that a record may state, as text; a report names fewer neighbours."""
NEIGHBOURS = "overlay_neighbours"
"""Metadata key: how many peers have a node that was a neighbour of the node, as its own peer last saw it."""


def overlay_neighbours(snapshot: Snapshot, peer: PeerId, named: Collection[str]) -> frozenset[PeerId]:
    """Other peers whose nodes have these names in the layer of this peer's node."""
    mine = snapshot.profiles.get(peer)
    if mine is None or mine.node is None or not named:
        return frozenset()
    return frozenset(
        other
        for other, profile in snapshot.profiles.items()
        if other != peer and profile.node == mine.node and profile.node_id in named
    )


class OverlaySight:
    """Which nodes the living peers list as neighbours of their own, at one moment."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    @cached_property
    def _listed(self) -> tuple[frozenset[str], dict[tuple[str, str], set[PeerId]]]:
        """Layers of which any peer lists neighbours; and who lists each node, by layer and id of the node."""
        layers: set[str] = set()
        found: dict[tuple[str, str], set[PeerId]] = {}
        for peer, report in self._snapshot.living_reports.items():
            layer = self._snapshot.profiles[peer].node
            if report is None or layer is None or not report.overlay:
                continue
            layers.add(layer)
            for link in report.overlay:
                found.setdefault((layer, link.node), set()).add(peer)
        return frozenset(layers), found

    def confirmation(self, peer: PeerId, metadata: Mapping[str, str]) -> str:
        """How the neighbours of this peer's node see it now, in words; "" if none of them can see it."""
        mine = self._snapshot.profiles.get(peer)
        if mine is None or mine.node is None or mine.node_id is None:
            return ""
        layers, found = self._listed
        still = len(found.get((mine.node, mine.node_id), set()) - {peer})
        around = max(_count(metadata.get(NEIGHBOURS, "")), still)
        if not around or mine.node not in layers:
            return ""
        if not still:
            return "no overlay neighbour lists it any more"
        return f"{still} of {around} overlay neighbour{'s' if around > 1 else ''} still list it"


def _count(text: str) -> int:
    """A count from another peer's record; 0 if it is none."""
    return COUNTS.get(text, 0)
