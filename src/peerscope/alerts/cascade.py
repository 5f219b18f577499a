"""Alerts that spread along links: which came first, and which caused which.

Failures that drag their neighbours along begin one after another, each beside one that failed before. Independent
failures begin anywhere. To distinguish them we go through the alerts in order of time. Given that some peer failed at
that moment, how likely was it this peer? If failing neighbours mean nothing, all peers that had not failed were equal.
If they mean something, a peer beside p failing alerts is likelier by

    1 + a * sum over those p of exp(-delay / tau)

This is Cox's partial likelihood (1972, "Regression models and life-tables"). The rate of failures may change freely, as
in a storm of unrelated alerts or under a common cause. The model only judges *where* the next one falls.
`a` and `tau` are unknown. The evidence for a spread is the mean over a grid of both, so it is a Bayes factor. If
neighbours mean nothing, it exceeds 100 in at most one of 100 cases, whatever the size (Markov's inequality). A best fit
would exceed any limit now and then. If all peers are neighbours, as in a small network, the evidence stays near 1: a
cascade looks like a common cause.

The fit gives the probability that one alert caused another (stochastic declustering; Zhuang, Ogata, Vere-Jones 2002).
It also gives the fertility of each alert: if most of its neighbours stay well, it causes less than its time suggests.
So an accidental earlier alert beside the true root does not replace the root. Each alert then gets its likeliest cause,
or none: trees. A tree is a cascade if it holds most of the alerts that began around it meanwhile. Two alerts closer in
time than measurements can show are never cause and effect of each other.

Alerts are numbered by (start, id), which decides all ties.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import exp, inf, log
from operator import add as plus

from msgspec import Struct
from msgspec.structs import replace

from peerscope.alerts.likelihoods import add
from peerscope.alerts.model import Alert

PEERS_MIN = 4
"""A root and three others. Fewer neighbours fail together by chance every day."""
OTHER_TYPE = 0.1  # a guess: overload brings overload, more often than it brings something else
"""Weight of a cause of another type."""
RATES = (2.0, 8.0, 32.0, 128.0)
DELAYS_S = (8.0, 25.0, 80.0)
"""The grid for `a` and `tau`."""
RESOLUTION_S = 1.0
"""Peers look at their rules once a second, so beginnings closer than this have no order."""
PRIOR_KIDS = 0.5
"""Prior weight of the average fertility, in alerts."""
ROUNDS = 5
"""Fertility and causes depend on each other; they settle after a few rounds."""


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
    company: int = 0
    """Other peers with such alerts meanwhile."""
    roots: tuple[tuple[str, float], ...] = ()
    """Peers where it may have begun, with the probability of each; the likeliest first."""

    @property
    def root(self) -> str:
        """Id of the peer where it began."""
        return self.nodes[0].peer_id


class _Pull(Struct, frozen=True, gc=False):
    """Why an alert fell on its peer and not on another."""

    here: float
    """Sum over causes at its neighbours, each weighted by its age."""
    everywhere: float
    """The same sum over all peers at risk."""
    at_risk: int
    """Number of peers that might have got it."""


class _Cause(Struct, frozen=True, gc=False):
    """An alert that may have caused another."""

    number: int
    delay_s: float
    weight: float


class _Events(Struct, frozen=True):
    """Alerts by number, the causes that each may have, and the network around them."""

    alerts: Sequence[Alert]
    causes: Sequence[Sequence[_Cause]]
    links: Mapping[str, Mapping[str, float]]
    peers: int


def cascades(
    alerts: Sequence[Alert], links: Mapping[str, Mapping[str, float]], peers: int, *, window_s: float
) -> list[Cascade]:
    """All cascades among the alerts, largest first. `links`: as in `Context`; `peers`: size of the network."""
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
    """For each alert the earlier ones within the window, at the same peer and its neighbours."""
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
                if other == peer or delay_s >= max(RESOLUTION_S + unsure_s, links[peer][other] / 2):
                    mine.append(_Cause(earlier, delay_s, 1.0 if before.type == event.type else OTHER_TYPE))
        found.append(sorted(mine, key=lambda cause: cause.number))
        at_peer[peer].append(number)
    return found


def _components(events: Sequence[Alert], causes: Sequence[Sequence[_Cause]]) -> list[list[int]]:
    """Alerts connected by possible causes. Each component is judged alone, so events elsewhere do not change it."""
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
    """The component, and alerts of its types that began elsewhere at about the same time.

    Among many alerts at random places some are neighbours. The others show how much that means.
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
    """Model of how the alerts of one component may have spread."""

    def __init__(self, whole: _Events, component: Sequence[int], company: Sequence[int]) -> None:
        self._events, self._causes, self._links, self._peers = whole.alerts, whole.causes, whole.links, whole.peers
        self._component = component
        self._company = company
        types = sorted({self._events[number].type for number in company})
        self._place = {kind: place for place, kind in enumerate(types)}
        self._first: defaultdict[str, dict[str, int]] = defaultdict(dict)
        """The first alert of each type, by peer."""
        for number in company:
            self._first[self._events[number].peer_id or ""].setdefault(self._events[number].type, number)

    def trees(self) -> list[Cascade]:
        """Large trees, if there is evidence that alerts spread at all."""
        reach = [self._reach(number) for number in self._company]
        fits = ((self._pulls(delay_s, reach), delay_s) for delay_s in DELAYS_S)
        grid = [(_gain(rate, pulls), rate, delay_s) for pulls, delay_s in fits for rate in RATES]
        evidence, rate, delay_s = max(grid, key=lambda fit: fit[0])
        if evidence <= 0.0:
            return []
        gain = add(*(fit for fit, _, _ in grid)) - log(len(grid))
        odds = self._odds(rate, delay_s)
        large = [members for members in self._grown(odds) if self._explains_most(members)]
        company = {self._events[number].peer_id for number in self._company}
        return [
            replace(tree, gain=gain, company=len(company - {node.peer_id for node in tree.nodes}))
            for tree in (_Tree(self._events, self._links, members).rooted(odds) for members in large)
        ]

    def _explains_most(self, tree: Mapping[int, int | None]) -> bool:
        """Whether the tree is large and holds most alerts that began around it meanwhile."""
        peers = {self._events[number].peer_id for number in tree}
        meanwhile = sum(min(tree) <= number <= max(tree) for number in self._component)
        return len(peers) >= PEERS_MIN and len(tree) * 2 > meanwhile

    def _reach(self, number: int) -> list[float]:
        """By type, how many peers the alert may drag along: itself and neighbours without an alert of that type."""
        event = self._events[number]
        around = (event.peer_id or "", *self._links[event.peer_id or ""])
        free = [len(around)] * len(self._place)
        for peer in around:
            for kind, first in self._first[peer].items() if peer in self._first else ():
                free[self._place[kind]] -= first <= number
        own = self._place[event.type]
        return [count if place == own else OTHER_TYPE * count for place, count in enumerate(free)]

    def _pulls(self, delay_s: float, reach: Sequence[Sequence[float]]) -> list[_Pull]:
        """For each first alert of a type at a peer: its pull there and everywhere."""
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
            everywhere = list(map(plus, everywhere, reached))
        return pulls

    def _odds(self, rate: float, delay_s: float) -> dict[int, dict[int, float]]:
        """For each alert and possible cause, how much likelier than chance the cause is."""
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
        """How many neighbours the alert could have dragged along, each weighted by the share of the delay it had.

        A neighbour that had the alert earlier counts 0, one that got it soon after counts little.
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
        """Trees by the likeliest cause of each alert. It is a root if no cause is likelier than all causes."""
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
    """Logarithm of the evidence for a spread of this rate."""
    return sum(log((1.0 + rate * p.here) * p.at_risk / (p.at_risk + rate * p.everywhere)) for p in pulls)


class _Tree:
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
        kids: defaultdict[int | None, list[int]] = defaultdict(list)
        for number in sorted(self._causes):
            kids[self._causes[number]].append(number)
        nodes, waiting = [], list(kids[None])
        for number in waiting:
            nodes.append(self._node(number, odds))
            waiting += kids[number]
        certain = [sum(odds[number].values()) for number in self._causes if self._causes[number] is not None]
        confidence = round(sum(its / (1.0 + its) for its in certain) / len(certain), 4)
        return Cascade(tuple(nodes), confidence, roots=self._roots(kids, odds))

    def _roots(
        self, kids: Mapping[int | None, Sequence[int]], odds: Mapping[int, Mapping[int, float]]
    ) -> tuple[tuple[str, float], ...]:
        """Where it may have begun. The first peer is no root if nothing came from it, and a tie in time is a tie."""
        (root,) = kids[None]
        wrong, heaviest, most = 1.0, root, 0
        for kid in kids[root]:
            whole = 1.0 + sum(odds[kid].values())
            wrong *= 1.0 - min(1.0, odds[kid].get(root, odds[root].get(kid, 0.0)) / whole)
            below = self._below(kid, kids)
            if below > most:
                heaviest, most = kid, below
        around = self._links[self._events[root].peer_id or ""]
        tied = [
            number
            for number in self._causes
            if number == root or (self._events[number].peer_id in around and self._is_tied(number, root))
        ]
        weights = {number: 1.0 + self._beside(number) for number in tied}
        found: defaultdict[str, float] = defaultdict(float)
        for number, weight in weights.items():
            found[self._events[number].peer_id or ""] += (1.0 - wrong) * weight / sum(weights.values())
        found[self._events[heaviest].peer_id or ""] += wrong
        return tuple(sorted(found.items(), key=lambda one: (-one[1], one[0])))

    def _below(self, number: int, kids: Mapping[int | None, Sequence[int]]) -> int:
        waiting = [number]
        for one in waiting:
            waiting += kids.get(one, ())
        return len(waiting)

    def _is_tied(self, one: int, other: int) -> bool:
        a, b = self._events[one], self._events[other]
        return abs(a.started_at - b.started_at) < RESOLUTION_S + a.uncertainty_s + b.uncertainty_s

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
