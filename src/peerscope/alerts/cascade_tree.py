"""The tree of a cascade: which alert is the likeliest cause of which."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from msgspec import Struct

from peerscope.alerts.model import Alert

RESOLUTION_S = 1.0
"""Peers look at their rules once a second, so beginnings closer than this have no order."""


class TreeNode(Struct, frozen=True):
    """One alert of a cascade, and its cause."""

    alert_id: str
    peer_id: str
    parent: str | None
    """Id of the alert that caused it; None for the root."""
    delay_s: float | None
    """Time since its parent began."""
    confidence: float
    """0..1: that the parent is right; for the root, that it has no cause."""


class Cascade(Struct, frozen=True):
    """One tree, the root first."""

    nodes: tuple[TreeNode, ...]
    confidence: float
    """0..1: mean over all alerts but the root."""
    gain: float = 0.0
    """Log Bayes factor: how much likelier the places of alerts are if they spread than if neighbours mean nothing."""
    roots: tuple[tuple[str, float], ...] = ()
    """Peers where it may have begun, with the probability of each; the likeliest first."""

    @property
    def root(self) -> str:
        """Id of the peer where it began."""
        return self.nodes[0].peer_id


class CauseTree:
    """A tree of likeliest causes."""

    def __init__(
        self, events: Sequence[Alert], links: Mapping[str, Mapping[str, float]], causes: dict[int, int | None]
    ) -> None:
        self._events = events
        self._links = links
        self._causes = causes

    def rooted(self, odds: Mapping[int, Mapping[int, float]]) -> Cascade:
        """The tree from the best root, parents before children."""
        self._turn()
        kids = self._kids()
        nodes, waiting = [], list(kids[None])
        for number in waiting:
            nodes.append(self._node(number, odds))
            waiting += kids[number]
        certain = [sum(odds[number].values()) for number in self._causes if self._causes[number] is not None]
        confidence = round(sum(its / (1.0 + its) for its in certain) / len(certain), 4)
        return Cascade(tuple(nodes), confidence)

    @property
    def root(self) -> int:
        """The alert without a cause."""
        return next(number for number, cause in self._causes.items() if cause is None)

    def heir(self) -> int:
        """The child of the root with most below it; the root if it has none."""
        kids = self._kids()

        def below(number: int) -> int:
            waiting = [number]
            for one in waiting:
                waiting += kids.get(one, ())
            return len(waiting)

        return max(kids[self.root], key=lambda kid: (below(kid), -kid), default=self.root)

    def tied(self) -> dict[int, float]:
        """Neighbours of the root that may have begun before it, and the probability of that.

        Each beginning is late by any time up to the resolution, so the error of a difference is triangular.
        """
        root, found = self._events[self.root], dict[int, float]()
        for number in self._causes:
            event = self._events[number]
            unsure_s = RESOLUTION_S + root.uncertainty_s + event.uncertainty_s
            apart = abs(event.started_at - root.started_at) / unsure_s
            if number != self.root and event.peer_id in self._links[root.peer_id or ""] and apart < 1.0:
                swapped = (1.0 - apart) ** 2 / 2
                found[number] = swapped if event.started_at >= root.started_at else 1.0 - swapped
        return found

    def _kids(self) -> dict[int | None, list[int]]:
        kids: defaultdict[int | None, list[int]] = defaultdict(list)
        for number in sorted(self._causes):
            kids[self._causes[number]].append(number)
        return kids

    def _turn(self) -> None:
        """Make a child the root if it may have been first and has more neighbours among the others."""
        (root,) = (number for number, cause in self._causes.items() if cause is None)
        rivals = [number for number, cause in self._causes.items() if cause == root and self._may_precede(number, root)]
        if not rivals:
            return
        best = max([root, *rivals], key=lambda number: (self._beside(number), -number))
        if best != root:
            self._causes[best], self._causes[root] = None, best

    def _may_precede(self, one: int, other: int) -> bool:
        a, b = self._events[one], self._events[other]
        return a.started_at - a.uncertainty_s <= b.started_at + b.uncertainty_s

    def _beside(self, number: int) -> int:
        """How many peers of the tree are neighbours that may have failed later."""
        around = self._links[self._events[number].peer_id or ""]
        later = {self._events[other].peer_id for other in self._causes if self._may_precede(number, other)}
        return len(around.keys() & later)

    def _node(self, number: int, odds: Mapping[int, Mapping[int, float]]) -> TreeNode:
        event, cause = self._events[number], self._causes[number]
        whole = 1.0 + sum(odds[number].values())
        if cause is None:
            return TreeNode(event.id, event.peer_id or "", None, None, round(1.0 / whole, 4))
        parent = self._events[cause]
        confidence = odds[number].get(cause, odds[cause].get(number, 0.0)) / whole
        delay_s = round(max(0.0, event.started_at - parent.started_at), 3)
        return TreeNode(event.id, event.peer_id or "", parent.id, delay_s, round(min(1.0, confidence), 4))
