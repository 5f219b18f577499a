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

from peerscope.alerts.cascade_tree import RESOLUTION_S, Cascade
from peerscope.alerts.model import Alert
from peerscope.alerts.spread import DELAYS_S, OTHER_TYPE, PEERS_MIN, CascadeEvents, PossibleCause, Spread


def cascades(
    alerts: Sequence[Alert],
    links: Mapping[str, Mapping[str, float]],
    peers: int,
    *,
    window_s: float,
) -> list[Cascade]:
    """All cascades among the alerts, largest first. `links`: as in `Context`; `peers`: size of the network."""
    events = sorted(
        (alert for alert in alerts if alert.peer_id in links), key=lambda alert: (alert.started_at, alert.id)
    )
    causes = _causes(events, links, window_s)
    whole = CascadeEvents(events, causes, links, peers)
    found = []
    by_type: defaultdict[str, list[int]] = defaultdict(list)
    for number, event in enumerate(events):
        by_type[event.type].append(number)
    for component in _components(events, causes):
        if len({events[number].peer_id for number in component}) >= PEERS_MIN:
            found += Spread(whole, component, _company(events, component, by_type)).trees()
    return sorted(found, key=lambda cascade: (-len(cascade.nodes), cascade.nodes[0].alert_id))


def _causes(
    events: Sequence[Alert], links: Mapping[str, Mapping[str, float]], window_s: float
) -> list[list[PossibleCause]]:
    """For each alert the earlier ones within the window, at the same peer and its neighbours."""
    at_peer: defaultdict[str, list[int]] = defaultdict(list)
    found: list[list[PossibleCause]] = []
    for number, event in enumerate(events):
        peer, mine = event.peer_id or "", []
        for other in (peer, *links[peer]):
            for earlier in reversed(at_peer.get(other, ())):
                before = events[earlier]
                delay_s = event.started_at - before.started_at
                if delay_s > window_s:
                    break
                unsure_s = event.uncertainty_s + before.uncertainty_s
                weight = 1.0 if before.type == event.type else OTHER_TYPE
                if other != peer:
                    weight *= _order(delay_s, max(RESOLUTION_S + unsure_s, links[peer][other] / 2))
                if weight > 0.0:
                    mine.append(PossibleCause(earlier, delay_s, weight))
        found.append(sorted(mine, key=lambda cause: cause.number))
        at_peer[peer].append(number)
    return found


def _components(events: Sequence[Alert], causes: Sequence[Sequence[PossibleCause]]) -> list[list[int]]:
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


def _order(delay_s: float, sure_s: float) -> float:
    """How far a delay shows which alert was first: not below `sure_s`, and fully from twice that on.

    Peers date an alert of another one a little differently. A step would make them see different causes.
    """
    return min(1.0, max(0.0, delay_s / sure_s - 1.0))
