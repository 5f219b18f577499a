"""Causes that affect a known set of peers: a machine, a prefix, a region, a version, or the whole network.

Every model here says: each peer of the set gets the alert with one unknown probability, and what happens elsewhere is
chance. They differ in the set, in how sure the cause is to affect each peer, and in their prior odds.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from math import log

from msgspec import Struct

from peerscope.alerts.context import AGENT
from peerscope.alerts.explanations import (
    LOSS,
    Case,
    Explanation,
    IncidentKind,
    concerned,
    episodes,
    in_order,
    is_about_group,
    peers_of,
)
from peerscope.alerts.likelihoods import Climate, log_affected, log_any_share, log_chance, log_together
from peerscope.alerts.model import Alert

MACHINE_RULES = frozenset(("cpu-high", "memory-high", "storage-high", "clock-skew", "agent-lag", "memory-kill"))
"""All agents of a machine measure these on the same machine."""
ONE_MORE = log(0.02)  # a guess: a cause picks one of many sorts
"""Prior of a second sort of alerts from the same cause."""
PATTERN_PEERS_MIN = 5
"""Fewer are no incident: they only compete with others."""
RIVAL_PEERS_MIN = 3
ONE_BY_ONE = 0.05
"""How often peers that are lost for reasons of their own are stated as one group."""
OTHER_SORTS_MIN = 4
"""With fewer other sorts of alerts, the missing ones count as calm."""
OUTAGE_SHARE_MIN = 0.5
PARTITION_PEERS_MIN = 3
CLUSTER_RULES_MIN = 3
PEER_REF_HEX = 16
OTHER_HOST_CAUSE = 0.05
"""How often a machine makes its agents report something that each measures on its own, beside what all share."""
OTHER_HOST_MIN = 3
PREFIX_ODDS = 0.1
"""How often a cause at a provider's prefix is expected, beside one at a machine."""


class CauseScope(Struct, frozen=True):
    """Peers that one cause may affect."""

    kind: IncidentKind
    anchor: str
    root: str
    peers: frozenset[str]
    log_prior: float
    usual: tuple[float, float]
    """Pseudo-counts of peers that such a cause affects, and spares."""
    peers_min: int


class Bout(Struct, frozen=True):
    """Alerts of one sort in one scope, without a long gap."""

    sort: str
    alerts: tuple[Alert, ...]
    peers: frozenset[str]
    gain: float
    """Log Bayes factor of the cause against chance, without its prior."""
    elsewhere: int

    @property
    def first_at(self) -> float:
        return self.alerts[0].started_at

    @property
    def last_at(self) -> float:
        return self.alerts[-1].started_at


def scopes(case: Case) -> list[CauseScope]:
    """All scopes with two or more peers."""
    around, priors = case.around, case.priors
    found = _of("host", _members(around.hosts), priors.log_odds("host"), (10.0, 1.0), 2)
    found += _of("host", _members(around.prefixes), priors.log_odds("host") + log(PREFIX_ODDS), (4.0, 1.0), 3)
    regions = _members({peer: region for peer, region in around.regions.items() if region is not None})
    found += _of("region", regions, priors.log_odds("region"), (2.0, 1.0), 3)
    found += _of("region-outage", regions, priors.log_odds("region-outage"), (4.0, 1.0), 3)
    for layer, versions in sorted(around.versions.items()):
        running = _members(versions)
        if len(running) > 1:
            named = {name if layer == AGENT else f"{layer} {name}": peers for name, peers in running.items()}
            found += _of("version", named, priors.log_odds("version"), (1.0, 1.0), 3)
    return found


def _members(part_of: Mapping[str, str]) -> dict[str, frozenset[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for peer, part in part_of.items():
        found[part].add(peer)
    return {part: frozenset(found[part]) for part in sorted(found)}


def _of(
    kind: IncidentKind, parts: Mapping[str, frozenset[str]], log_odds: float, usual: tuple[float, float], least: int
) -> list[CauseScope]:
    large = {name: peers for name, peers in parts.items() if len(peers) >= least}
    return [
        CauseScope(kind, name, name, peers, log_odds - log(len(large)), usual, least) for name, peers in large.items()
    ]


def explained_by(scope: CauseScope, case: Case) -> Iterator[Explanation]:
    """Explanations of alerts by a cause at this scope; one for each time that it may have happened."""
    bouts = [bout for sort in case.by_sort if _fits(scope, sort) for bout in _bouts(scope, sort, case)]
    bouts.sort(key=lambda bout: (bout.first_at, bout.sort))
    for together in _joined(bouts, case.window_s):
        best = max(together, key=lambda bout: bout.gain)
        kept = [bout for bout in together if bout is best or bout.gain + ONE_MORE > 0]
        alerts = in_order(alert for bout in kept for alert in bout.alerts)
        yield Explanation(
            kind=scope.kind,
            anchor=scope.anchor,
            alerts=alerts,
            peers=tuple(sorted(frozenset().union(*(bout.peers for bout in kept)))),
            root=scope.root,
            score=scope.log_prior + best.gain + sum(bout.gain + ONE_MORE for bout in kept if bout is not best),
            of=len(scope.peers),
            elsewhere=best.elsewhere,
            accounts_for=scope.peers,
        )


def _fits(scope: CauseScope, sort: str) -> bool:
    return (sort == LOSS) == (scope.kind == "region-outage") or scope.kind in ("host", "version", "cascade")


def _joined(bouts: Sequence[Bout], window_s: float) -> Iterator[list[Bout]]:
    """Bouts that overlap or nearly do. `bouts`: sorted by beginning."""
    together: list[Bout] = []
    until = 0.0
    for bout in bouts:
        if together and bout.first_at - until >= window_s:
            yield together
            together = []
        until = max(until, bout.last_at) if together else bout.last_at
        together.append(bout)
    if together:
        yield together


def _bouts(scope: CauseScope, sort: str, case: Case) -> Iterator[Bout]:
    alerts = case.by_sort[sort]
    at_peer = case.at_peer[sort]
    fewer, more = sorted((scope.peers, at_peer.keys()), key=len)
    affected = [peer for peer in fewer if peer in more]
    if len(affected) < scope.peers_min:
        return
    inside = in_order(alert for peer in affected for alert in at_peer[peer])
    for episode in episodes(inside, case.window_s):
        of = case.at_risk(sort, scope.peers, episode)
        hit = frozenset(peers_of(episode, case.around)) & of
        if len(hit) < (OTHER_HOST_MIN if _is_of_each(scope, sort) else scope.peers_min):
            continue
        if scope.kind == "region-outage" and len(hit) < OUTAGE_SHARE_MIN * len(of):
            continue
        meant = peers_of(around_it(alerts, episode, case.window_s), case.around)
        others = case.at_risk(sort, frozenset(meant), episode) - scope.peers
        yield Bout(
            sort=sort,
            alerts=tuple(episode),
            peers=hit,
            gain=_gain(scope, sort, len(hit), len(of), len(others), case, episode),
            elsewhere=len(others),
        )


def _is_of_each(scope: CauseScope, sort: str) -> bool:
    """Whether each agent of the machine measures this on its own: two of them may well have it by chance."""
    return scope.kind == "host" and sort != LOSS and sort not in MACHINE_RULES


def _gain(scope: CauseScope, sort: str, hit: int, of: int, others: int, case: Case, episode: Sequence[Alert]) -> float:
    climate = climate_of(sort, episode, case)
    rest = max(len(case.at_risk(sort, case.everybody - scope.peers, episode)), others)
    is_machine = scope.kind == "host" and sort in MACHINE_RULES
    return (
        log_affected(hit, of, (20.0, 1.0) if is_machine else scope.usual)
        + log_chance(others, rest, climate)
        - log_chance(hit + others, of + rest, climate)
        + log_together(times_of(episode, scope.peers, case), case.window_s)
        + (log(OTHER_HOST_CAUSE) if scope.kind == "host" and not is_machine else 0.0)
    )


def climate_of(sort: str, alerts: Sequence[Alert], case: Case) -> Climate:
    """How frequent other sorts of alerts are meanwhile. `alerts`: of this sort, by beginning."""
    counts = sorted(len(around_it(its, alerts, case.window_s)) for other, its in case.by_sort.items() if other != sort)
    middling = [0] * (OTHER_SORTS_MIN - len(counts)) + counts
    share = middling[(len(middling) - 1) // 2] / max(case.size, 1)
    return Climate(lasted_s(alerts), case.window_s, share)


def around_it(alerts: Sequence[Alert], episode: Sequence[Alert], window_s: float) -> Sequence[Alert]:
    """Alerts that began meanwhile, or within the same window if the episode is short. `alerts`: by beginning."""
    spare_s = max(0.0, window_s - lasted_s(episode)) / 2
    return meanwhile(alerts, episode[0].started_at - spare_s, episode[-1].started_at + spare_s)


def meanwhile(alerts: Sequence[Alert], first_at: float, last_at: float) -> Sequence[Alert]:
    """Alerts that began in this span. `alerts`: sorted by beginning."""
    first = bisect_left(alerts, first_at, key=lambda alert: alert.started_at)
    return alerts[first : bisect_right(alerts, last_at, key=lambda alert: alert.started_at)]


def everybody(case: Case) -> Iterator[Explanation]:
    """Patterns of any peers, and partitions: groups of any peers that were lost at one moment."""
    for sort, alerts in case.by_sort.items():
        for episode in episodes(alerts, case.window_s):
            peers = case.at_risk(sort, frozenset(peers_of(episode, case.around)), episode)
            groups = [one for one in episode if is_about_group(one)]
            if groups and len(peers) >= PARTITION_PEERS_MIN:
                yield from _partitions(groups, episode, case)
            if len(peers) >= RIVAL_PEERS_MIN:
                yield Explanation(
                    kind="pattern",
                    anchor=sort,
                    alerts=tuple(episode),
                    peers=tuple(sorted(peers)),
                    root=None,
                    score=case.priors.log_odds("pattern")
                    + gain_of_any(sort, peers, case, episode)
                    + (log(ONE_BY_ONE) if groups else 0.0),
                    of=case.size,
                    accounts_for=frozenset(case.around.regions),
                )


def _partitions(groups: Sequence[Alert], episode: Sequence[Alert], case: Case) -> Iterator[Explanation]:
    """Groups that share members are one: observers that lost it at different moments may state it as two."""
    parts: list[tuple[set[str], list[Alert]]] = []
    for group in groups:
        members, mine = set(concerned(group, case.around)), [group]
        for part in [part for part in parts if part[0] & members]:
            parts.remove(part)
            members, mine = members | part[0], [*part[1], *mine]
        parts.append((members, mine))
    for everyone, mine in parts:
        lost = case.at_risk(LOSS, frozenset(everyone), mine)
        if len(lost) < PARTITION_PEERS_MIN:
            continue
        alone = {alert.id for alert in mine}
        begin = mine[0].started_at - case.window_s
        over = [alert.resolved_at for alert in mine]
        end = max((at for at in over if at is not None), default=0.0) if None not in over else None
        alerts = [
            alert
            for alert in episode
            if alert.id in alone
            or (alert.peer_id in lost and alert.started_at > begin and (end is None or alert.started_at <= end))
        ]
        yield Explanation(
            kind="partition",
            anchor=mine[0].id.removeprefix(f"{mine[0].rule}-"),
            alerts=tuple(alerts),
            peers=tuple(sorted(lost)),
            root=None,
            score=case.priors.log_odds("partition") + gain_of_any(LOSS, lost, case, mine),
            of=case.size,
            accounts_for=lost,
        )


def gain_of_any(sort: str, peers: frozenset[str], case: Case, alerts: Sequence[Alert]) -> float:
    """Log Bayes factor of a cause that may affect any share of the network."""
    size = max(len(case.at_risk(sort, case.everybody, alerts)), len(peers))
    return (
        log_any_share(len(peers), size)
        - log_chance(len(peers), size, climate_of(sort, alerts, case))
        + log_together(times_of(alerts, peers, case), case.window_s)
    )


def clusters(case: Case) -> Iterator[Explanation]:
    """Peers with alerts of several rules."""
    by_peer: defaultdict[str, list[Alert]] = defaultdict(list)
    for alert in case.alerts:
        if alert.peer_id is not None:
            by_peer[alert.peer_id].append(alert)
    for peer, alerts in sorted(by_peer.items()):
        for episode in episodes(alerts, case.window_s):
            rules = len({alert.rule for alert in episode})
            if rules >= CLUSTER_RULES_MIN:
                elsewhere = len(around_it(case.alerts, episode, case.window_s)) - len(episode)
                usual = max(elsewhere / max(case.size - 1, 1), 0.02)
                gain = rules * log((1 + usual) / usual) + log(1 + usual) - log(2.0) * rules
                yield Explanation(
                    kind="peer-cluster",
                    anchor=peer[:PEER_REF_HEX],
                    alerts=tuple(episode),
                    peers=(peer,),
                    root=peer,
                    score=case.priors.log_odds("peer-cluster") + gain,
                    of=1,
                    accounts_for=frozenset((peer,)),
                )


def times_of(alerts: Sequence[Alert], peers: frozenset[str], case: Case) -> list[float]:
    """When it began at each of these peers that the alerts are about, in the order of the alerts."""
    seen: set[str] = set()
    times = []
    for alert in alerts:
        for peer in concerned(alert, case.around):
            if peer in peers and peer not in seen:
                seen.add(peer)
                times.append(alert.started_at)
    return times


def lasted_s(alerts: Sequence[Alert]) -> float:
    """Seconds from the first beginning to the last."""
    return alerts[-1].started_at - alerts[0].started_at
