"""Do alerts fall far more on one version or region than on the others?"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import exp, lgamma

from msgspec import Struct

from peerscope.alerts.model import Alert

Concerned = Callable[[Alert], Sequence[str]]
"""Returns the ids of the peers that an alert is about."""


class StatusShare(Struct, frozen=True):
    """How often alerts of one sort in one episode fall on one part of the network."""

    peers: int
    """Peers of this part with the alert."""
    of: int
    """Peers of this part."""
    all_peers: int
    """Peers of any part with the alert."""
    of_all: int

    def is_times(self, ratio: float) -> bool:
        """Whether it falls on this part at least `ratio` times as often as on the rest; True if there is no rest."""
        others = self.of_all - self.of
        return not others or self.peers / self.of >= ratio * (self.all_peers - self.peers) / others

    def chance(self) -> float:
        """Chance of this many or more if parts meant nothing: Fisher's exact test, one-sided."""
        return hypergeometric_tail(self.peers, self.all_peers, self.of, self.of_all)


def concentrated(
    alerts: Sequence[Alert],
    part_of: Mapping[str, str],
    concerned: Concerned,
    sort_of: Callable[[Alert], str],
    is_significant: Callable[[StatusShare], bool],
    window_s: float,
) -> dict[str, list[Alert]]:
    """By part, alerts of the sorts and episodes whose share of that part is significant; sorted by beginning."""
    sizes = Counter(part_of.values())
    by_sort: defaultdict[str, list[Alert]] = defaultdict(list)
    for alert in alerts:
        by_sort[sort_of(alert)].append(alert)
    held: defaultdict[str, list[Alert]] = defaultdict(list)
    for _, mine in sorted(by_sort.items()):
        for episode in episodes(mine, window_s):
            parts = [{part_of[peer] for peer in concerned(alert) if peer in part_of} for alert in episode]
            peers = {peer for alert in episode for peer in concerned(alert) if peer in part_of}
            per_part = Counter(part_of[peer] for peer in peers)
            significant = {
                part
                for part, count in per_part.items()
                if is_significant(StatusShare(count, sizes[part], len(peers), len(part_of)))
            }
            for alert, its in zip(episode, parts, strict=True):
                for part in its & significant:
                    held[part].append(alert)
    return {part: sorted(held[part], key=lambda alert: (alert.started_at, alert.id)) for part in sorted(held)}


def episodes(alerts: Sequence[Alert], window_s: float) -> Iterator[Sequence[Alert]]:
    """Chains of beginnings without a gap as long as the window. `alerts`: sorted by beginning."""
    first = 0
    for number in range(1, len(alerts) + 1):
        if number == len(alerts) or alerts[number].started_at - alerts[number - 1].started_at >= window_s:
            yield alerts[first:number]
            first = number


def hypergeometric_tail(found: int, drawn: int, marked: int, total: int) -> float:
    """The chance of `found` or more marked ones among `drawn` of `total`, of which `marked` are."""
    if found <= 0:
        return 1.0
    ways = _ways(total, drawn)
    possible = range(max(found, drawn - total + marked), min(marked, drawn) + 1)
    return min(1.0, sum(exp(_ways(marked, k) + _ways(total - marked, drawn - k) - ways) for k in possible))


def _ways(n: int, k: int) -> float:
    """Natural logarithm of the binomial coefficient."""
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
