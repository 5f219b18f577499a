"""The model of a spread along links: how likely its fit is, and what may have caused what (see `cascade`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import exp, inf, log
from operator import add as plus

from msgspec import Struct
from msgspec.structs import replace

from peerscope.alerts.cascade_tree import Cascade, CauseTree
from peerscope.alerts.likelihoods import add
from peerscope.alerts.model import Alert

PEERS_MIN = 4
"""A root and three others. Fewer neighbours fail together by chance every day."""
OTHER_TYPE = 0.1  # a guess: overload brings overload, more often than it brings something else
"""Weight of a cause of another type."""
RATES = (2.0, 8.0, 32.0, 128.0)
DELAYS_S = (8.0, 25.0, 80.0)
"""The grid for `a` and `tau`."""
PRIOR_KIDS = 0.5
"""Prior weight of the average fertility, in alerts."""
ROUNDS = 5
"""Fertility and causes depend on each other; they settle after a few rounds."""


class AlertPull(Struct, frozen=True, gc=False):
    """Why an alert fell on its peer and not on another."""

    here: float
    """Sum over causes at its neighbours, each weighted by its age."""
    everywhere: float
    """The same sum over all peers at risk."""
    at_risk: int
    """Number of peers that might have got it."""


class PossibleCause(Struct, frozen=True, gc=False):
    """An alert that may have caused another."""

    number: int
    delay_s: float
    weight: float


class CascadeEvents(Struct, frozen=True):
    """Alerts by number, the causes that each may have, and the network around them."""

    alerts: Sequence[Alert]
    causes: Sequence[Sequence[PossibleCause]]
    links: Mapping[str, Mapping[str, float]]
    peers: int


class Spread:
    """Model of how the alerts of one component may have spread."""

    def __init__(self, whole: CascadeEvents, component: Sequence[int], company: Sequence[int]) -> None:
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
        grid = self._grid(reach)
        evidence, rate, delay_s = max(grid, key=lambda fit: fit[0])
        if evidence <= 0.0:
            return []
        gain = _mean(grid)
        odds = self._odds(rate, delay_s)
        found = []
        for members in self._grown(odds):
            if self._explains_most(members):
                wrong = self._without_false_roots(members, reach, gain)
                tree = CauseTree(self._events, self._links, members)
                cascade = tree.rooted(odds)
                found.append(replace(cascade, gain=gain, roots=self._roots(tree, wrong, reach)))
        return found

    def _roots(self, tree: CauseTree, wrong: float, reach: Sequence[Sequence[float]]) -> tuple[tuple[str, float], ...]:
        """Peers where it may have begun. `wrong`: probability that the first alert is unrelated.

        Times hardly order a tie. The likeliest root is the alert without which the rest is least likely.
        """
        weights = {tree.root: 0.0}
        for one, swapped in tree.tied().items():
            weights[one] = log(swapped / (1.0 - swapped)) + self._without(tree.root, reach) - self._without(one, reach)
        whole = add(*weights.values())
        found: defaultdict[str, float] = defaultdict(float)
        for number, weight in weights.items():
            found[self._events[number].peer_id or ""] += (1.0 - wrong) * exp(weight - whole)
        found[self._events[tree.heir()].peer_id or ""] += wrong
        return tuple(sorted(found.items(), key=lambda one: (-one[1], one[0])))

    def _without(self, number: int, reach: Sequence[Sequence[float]]) -> float:
        """Log evidence if this alert causes nothing: the counterfactual."""
        calm = [
            [0.0] * len(self._place) if other == number else its
            for other, its in zip(self._company, reach, strict=True)
        ]
        return _mean(self._grid(calm, number))

    def _grid(self, reach: Sequence[Sequence[float]], sterile: int | None = None) -> list[tuple[float, float, float]]:
        """Evidence, rate and delay of each fit; `sterile`: an alert that causes nothing."""
        fits = ((self._pulls(delay_s, reach, sterile), delay_s) for delay_s in DELAYS_S)
        return [(_gain(rate, pulls), rate, delay_s) for pulls, delay_s in fits for rate in RATES]

    def _without_false_roots(
        self, members: dict[int, int | None], reach: Sequence[Sequence[float]], gain: float
    ) -> float:
        """Drop first alerts without which the rest is likelier; the probability that the one left is false as well.

        An unrelated alert beside the true root is older than it. But its other neighbours stayed well. Alerts outside
        of the tree show how often one falls beside a root.
        """
        while True:
            root = next(number for number, cause in members.items() if cause is None)
            kids = [number for number, cause in members.items() if cause == root]
            beside = len(self._links[self._events[root].peer_id or ""])
            usual = beside * (len(self._company) - len(members) + 1) / self._peers
            false = 1.0 / (1.0 + exp(min(50.0, gain - self._without(root, reach))) / min(1.0, usual))
            if false < 0.5 or len(kids) != 1 or len(members) <= PEERS_MIN:
                return false
            del members[root]
            members[kids[0]] = None

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

    def _pulls(self, delay_s: float, reach: Sequence[Sequence[float]], sterile: int | None = None) -> list[AlertPull]:
        """For each first alert of a type at a peer: its pull there and everywhere."""
        everywhere, had = [0.0] * len(self._place), [0] * len(self._place)
        pulls, last_at = [], -inf
        for number, reached in zip(self._company, reach, strict=True):
            event = self._events[number]
            own, faded = self._place[event.type], exp((last_at - event.started_at) / delay_s)
            last_at = event.started_at
            everywhere = [pull * faded for pull in everywhere]
            if self._first[event.peer_id or ""][event.type] == number:
                here = sum(
                    [
                        cause.weight * exp(-cause.delay_s / delay_s)
                        for cause in self._causes[number]
                        if cause.number != sterile
                    ]
                )
                everywhere[own] = max(here, everywhere[own])
                pulls.append(AlertPull(here, everywhere[own], max(1, self._peers - had[own])))
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


def _mean(grid: Sequence[tuple[float, float, float]]) -> float:
    """The logarithm of the mean evidence."""
    return add(*(evidence for evidence, _, _ in grid)) - log(len(grid))


def _gain(rate: float, pulls: Sequence[AlertPull]) -> float:
    """Logarithm of the evidence for a spread of this rate."""
    return sum(log((1.0 + rate * p.here) * p.at_risk / (p.at_risk + rate * p.everywhere)) for p in pulls)
