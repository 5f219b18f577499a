"""Alerts that spread along links: what was first, and what came of what.

Failures that drag their neighbours along begin one after another, each beside one that failed before. Independent
failures begin anywhere. To tell the two apart we ask, for every alert in the order of their beginnings: given that some
peer failed just then, how likely was it this one? If failing neighbours mean nothing, all peers that had not failed
were alike. If they mean something, a peer beside p failing alerts is likelier by

    1 + a * sum over those p of exp(-delay / tau)

This is Cox's partial likelihood (1972, "Regression models and life-tables"): the rate at which things fail may change
as it will, as in a storm of unrelated alerts, and only *where* the next one falls is judged. `a` and `tau` are those of
a grid that fit best; where even they hardly fit better than chance, there is no cascade.

From the fit follows how probably one alert caused another (stochastic declustering; Zhuang, Ogata, Vere-Jones 2002),
and how fertile each alert is: one whose neighbours mostly stayed well causes less than its place in time suggests. That
keeps an accidental earlier alert beside the true root from taking its place. Each alert then gets its likeliest
cause, or none: trees. A tree is a cascade if it holds most of what began around it meanwhile. Delays shorter than the
times are exact leave open which of two alerts was first; there the one that more of the others are neighbours of is.

House rule: pure functions of their arguments. Alerts are numbered by (start, id), and nothing else decides.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import exp, inf, log
from operator import add

from msgspec import Struct

from peerscope.alerts.model import Alert

PEERS_MIN = 4
"""A root and three others. Fewer beside each other happen by chance every day."""
OTHER_TYPE = 0.1  # a guess: overload brings overload, more often than it brings something else
"""How much less an alert causes one of another type."""
RATES = (2.0, 8.0, 32.0, 128.0)
DELAYS_S = (8.0, 25.0, 80.0)
"""The grid on which `a` and `tau` are sought."""
CHANCES_PER_PEER = 0.1  # measured: at most 3 of 100 storms of alerts at random places pass for a cascade
"""How many tries chance has for each peer: so many times likelier than chance a spread along links has to be."""
PRIOR_KIDS = 0.5
"""How many average alerts' worth of doubt each alert's own fertility begins with."""
ROUNDS = 5
"""Fertility and causes depend on each other; they settle after a few rounds."""


class TreeNode(Struct, frozen=True):
    """One alert of a cascade, and what brought it about."""

    alert_id: str
    peer_id: str
    parent: str | None
    """Id of the alert it came of; None for the root."""
    delay_s: float | None
    """How much later it began than its parent."""
    confidence: float
    """0..1: that the parent is right; of the root, that it had no cause of its own."""


class Cascade(Struct, frozen=True):
    """One tree, the root first."""

    nodes: tuple[TreeNode, ...]
    confidence: float
    """0..1: mean over all but the root."""

    @property
    def root(self) -> str:
        """Id of the peer where it began."""
        return self.nodes[0].peer_id


class _Pull(Struct, frozen=True, gc=False):
    """What drew an alert to its peer rather than to another."""

    here: float
    """Sum over causes at its neighbours, each faded by its age."""
    everywhere: float
    """The same, added up over all peers that might have got it."""
    at_risk: int
    """How many those were."""


class _Cause(Struct, frozen=True, gc=False):
    """One alert that may have brought about another."""

    number: int
    delay_s: float
    weight: float


class _Events(Struct, frozen=True):
    """Alerts by number, with what may have caused each."""

    alerts: Sequence[Alert]
    causes: Sequence[Sequence[_Cause]]
    links: Mapping[str, Mapping[str, float]]
    peers: int
    """Of the whole network."""


def cascades(
    alerts: Sequence[Alert], links: Mapping[str, Mapping[str, float]], peers: int, *, window_s: float
) -> list[Cascade]:
    """All cascades among the alerts, largest first. `links`: as `Surroundings` has them; `peers`: of the network."""
    events = sorted(
        (alert for alert in alerts if alert.peer_id in links), key=lambda alert: (alert.started_at, alert.id)
    )
    causes = _causes(events, links, window_s)
    whole = _Events(events, causes, links, peers)
    found = []
    by_type: defaultdict[str, list[int]] = defaultdict(list)
    for number, event in enumerate(events):
        by_type[event.type].append(number)
    for component in _components(events, causes):
        if len({events[number].peer_id for number in component}) >= PEERS_MIN:
            found += _Spread(whole, component, _company(events, component, by_type)).trees()
    return sorted(found, key=lambda cascade: (-len(cascade.nodes), cascade.nodes[0].alert_id))


def _causes(events: Sequence[Alert], links: Mapping[str, Mapping[str, float]], window_s: float) -> list[list[_Cause]]:
    """For each alert the earlier ones at the same peer and its neighbours, no longer ago than the window."""
    at_peer: defaultdict[str, list[int]] = defaultdict(list)
    found: list[list[_Cause]] = []
    for number, event in enumerate(events):
        peer, mine = event.peer_id or "", []
        for other in (peer, *links[peer]):
            for earlier in reversed(at_peer.get(other, ())):
                before = events[earlier]
                delay_s = event.started_at - before.started_at
                if delay_s > window_s:
                    break
                unsure_s = event.uncertainty_s + before.uncertainty_s
                if other == peer or delay_s + unsure_s >= links[peer][other] / 2:  # else the news was faster than light
                    mine.append(_Cause(earlier, delay_s, 1.0 if before.type == event.type else OTHER_TYPE))
        found.append(sorted(mine, key=lambda cause: cause.number))
        at_peer[peer].append(number)
    return found


def _components(events: Sequence[Alert], causes: Sequence[Sequence[_Cause]]) -> list[list[int]]:
    """Alerts that possible causes join. Each is judged alone, so that what happens elsewhere changes nothing here."""
    leader = list(range(len(events)))

    def find(number: int) -> int:
        while leader[number] != number:
            leader[number] = number = leader[leader[number]]
        return number

    for number, mine in enumerate(causes):
        for cause in mine:
            one, other = find(number), find(cause.number)
            leader[max(one, other)] = min(one, other)
    grouped: defaultdict[int, list[int]] = defaultdict(list)
    for number in range(len(events)):
        grouped[find(number)].append(number)
    return list(grouped.values())


def _company(events: Sequence[Alert], component: Sequence[int], by_type: Mapping[str, Sequence[int]]) -> list[int]:
    """The component, and whatever of its types began elsewhere at about the same time.

    Among many alerts at random places some are neighbours. Those that are not say how much that means.
    """
    first_at = events[component[0]].started_at - DELAYS_S[-1]
    last_at = events[component[-1]].started_at + DELAYS_S[-1]
    company = set(component)
    for kind in {events[number].type for number in component}:
        numbers = by_type[kind]
        first = bisect_left(numbers, first_at, key=lambda number: events[number].started_at)
        last = bisect_right(numbers, last_at, key=lambda number: events[number].started_at)
        company.update(numbers[first:last])
    return sorted(company)


class _Spread:
    """How alerts of one component may have spread."""

    def __init__(self, whole: _Events, component: Sequence[int], company: Sequence[int]) -> None:
        self._events, self._causes, self._links, self._peers = whole.alerts, whole.causes, whole.links, whole.peers
        self._component = component
        self._company = company
        types = sorted({self._events[number].type for number in company})
        self._place = {kind: place for place, kind in enumerate(types)}
        self._first: defaultdict[str, dict[str, int]] = defaultdict(dict)
        """By peer, the first alert of each type."""
        for number in company:
            self._first[self._events[number].peer_id or ""].setdefault(self._events[number].type, number)

    def trees(self) -> list[Cascade]:
        """Those that are large enough, if there is evidence that anything spread at all."""
        reach = [self._reach(number) for number in self._company]
        fits = ((self._pulls(delay_s, reach), delay_s) for delay_s in DELAYS_S)
        evidence, rate, delay_s = max(
            ((_gain(rate, pulls), rate, delay_s) for pulls, delay_s in fits for rate in RATES), key=lambda fit: fit[0]
        )
        if evidence < log(CHANCES_PER_PEER * self._peers):
            return []
        odds = self._odds(rate, delay_s)
        large = [members for members in self._grown(odds) if self._explains_most(members)]
        return [_Tree(self._events, self._links, members).rooted(odds) for members in large]

    def _explains_most(self, tree: Mapping[int, int | None]) -> bool:
        """The tree is large, and holds most of what began around it while it grew."""
        peers = {self._events[number].peer_id for number in tree}
        meanwhile = sum(min(tree) <= number <= max(tree) for number in self._component)
        return len(peers) >= PEERS_MIN and len(tree) * 2 > meanwhile

    def _reach(self, number: int) -> list[float]:
        """By type, how many peers the alert might drag along: neighbours, and its own, that have none of that type."""
        event = self._events[number]
        around = (event.peer_id or "", *self._links[event.peer_id or ""])
        free = [len(around)] * len(self._place)
        for peer in around:
            for kind, first in self._first[peer].items() if peer in self._first else ():
                free[self._place[kind]] -= first <= number
        own = self._place[event.type]
        return [count if place == own else OTHER_TYPE * count for place, count in enumerate(free)]

    def _pulls(self, delay_s: float, reach: Sequence[Sequence[float]]) -> list[_Pull]:
        """For each first alert of a type at a peer: how much drew it there, and how much drew it anywhere."""
        everywhere, had = [0.0] * len(self._place), [0] * len(self._place)
        pulls, last_at = [], -inf
        for number, reached in zip(self._company, reach, strict=True):
            event = self._events[number]
            own, faded = self._place[event.type], exp((last_at - event.started_at) / delay_s)
            last_at = event.started_at
            everywhere = [pull * faded for pull in everywhere]
            if self._first[event.peer_id or ""][event.type] == number:
                here = sum([cause.weight * exp(-cause.delay_s / delay_s) for cause in self._causes[number]])
                everywhere[own] = max(here, everywhere[own])
                pulls.append(_Pull(here, everywhere[own], max(1, self._peers - had[own])))
                everywhere[own] -= here
                had[own] += 1
            everywhere = list(map(add, everywhere, reached))
        return pulls

    def _odds(self, rate: float, delay_s: float) -> dict[int, dict[int, float]]:
        """For each alert, how much likelier than by chance it came of each possible cause."""
        plain = {
            number: {
                cause.number: rate * cause.weight * exp(-cause.delay_s / delay_s) for cause in self._causes[number]
            }
            for number in self._component
        }
        chances = {number: self._chances(number, delay_s) for number in self._component}
        odds, per_chance = plain, sum(chances.values()) or 1.0
        for _ in range(ROUNDS):
            kids = dict.fromkeys(self._component, 0.0)
            for mine in odds.values():
                whole = 1.0 + sum(mine.values())
                for cause, its in mine.items():
                    kids[cause] += its / whole
            usual = sum(kids.values()) / per_chance
            fertility = {
                number: (PRIOR_KIDS + kids[number]) / (PRIOR_KIDS + usual * chances[number])
                for number in self._component
            }
            odds = {n: {cause: its * fertility[cause] for cause, its in mine.items()} for n, mine in plain.items()}
        return odds

    def _chances(self, number: int, delay_s: float) -> float:
        """How many neighbours the alert could have dragged along, each by how much of the usual delay it had.

        A neighbour that got the alert earlier was no chance, one that got it soon after was hardly one.
        """
        event = self._events[number]
        chances = 0.0
        for peer in self._links[event.peer_id or ""]:
            first = self._first[peer].get(event.type) if peer in self._first else None
            if first is None or first > number:
                until = self._events[self._component[-1] if first is None else first].started_at
                chances += 1.0 - exp((event.started_at - until) / delay_s)
        return chances

    def _grown(self, odds: Mapping[int, Mapping[int, float]]) -> list[dict[int, int | None]]:
        """Trees, as the likeliest cause of each alert: none where coming of nothing is likelier than of anything."""
        tree_of: dict[int, dict[int, int | None]] = {}
        trees = []
        for number in self._component:
            mine = odds[number]
            if sum(mine.values()) > 1.0:
                cause = max(mine, key=lambda cause: (mine[cause], -cause))
                tree_of[number] = tree_of[cause]
                tree_of[number][number] = cause
            else:
                tree_of[number] = {number: None}
                trees.append(tree_of[number])
        return trees


def _gain(rate: float, pulls: Sequence[_Pull]) -> float:
    """By how much the alerts speak for a spread of this rate, as a logarithm."""
    return sum(log((1.0 + rate * p.here) * p.at_risk / (p.at_risk + rate * p.everywhere)) for p in pulls)


class _Tree:
    """One tree of likeliest causes."""

    def __init__(
        self, events: Sequence[Alert], links: Mapping[str, Mapping[str, float]], causes: dict[int, int | None]
    ) -> None:
        self._events = events
        self._links = links
        self._causes = causes

    def rooted(self, odds: Mapping[int, Mapping[int, float]]) -> Cascade:
        """The tree from the root that explains most, parents before children."""
        self._turn()
        kids: defaultdict[int | None, list[int]] = defaultdict(list)
        for number in sorted(self._causes):
            kids[self._causes[number]].append(number)
        nodes, waiting = [], list(kids[None])
        for number in waiting:
            nodes.append(self._node(number, odds))
            waiting += kids[number]
        certain = [sum(odds[number].values()) for number in self._causes if self._causes[number] is not None]
        return Cascade(tuple(nodes), round(sum(its / (1.0 + its) for its in certain) / len(certain), 4))

    def _turn(self) -> None:
        """Put a child in the root's place that may as well have been first and has more neighbours among the others."""
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
        """How many peers of the tree are neighbours and did not surely fail before."""
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
