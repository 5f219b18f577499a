"""All explanations that alerts allow, each with its weight.

Alerts belong together if a chain of beginnings leads from one to the other without a gap as long as the window: an
*episode*. It needs no fixed time slots and does not depend on the order of arrival. An episode is an explanation if it
is large enough for its kind:

    partition       one alert about a group that was lost together, with alerts about its members
    region-outage   3 peers of a region, and at least half of it, by alerts that are rarer elsewhere
    version         one rule falls on peers of one version far more often than on all others (Fisher's exact test)
    cascade         alerts spread along links from one peer (see `cascade`)
    pattern         5 peers with alerts of one type
    peer-cluster    3 different rules on one peer

Several fit most alerts. Explanations that pass a test of chance come first: failures on a region, a version or along
links that chance hardly makes. Patterns take the rest. Among equals the weight decides: the number of peers, times how
much the kind says, times how well it fits.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import inf, sqrt
from typing import Literal

from msgspec import Struct

from peerscope.alerts.cascade import Cascade, TreeNode, cascades
from peerscope.alerts.context import AGENT, Context
from peerscope.alerts.model import Alert
from peerscope.alerts.shares import StatusShare, concentrated, episodes, hypergeometric_tail

IncidentKind = Literal["partition", "region-outage", "version", "cascade", "pattern", "peer-cluster", "host", "region"]

REGION_PEERS_MIN = 3
REGION_SHARE_MIN = 0.5
REGION_RATIO_MIN = 1.5  # lets three regions of four be out at once
"""How many times as often as elsewhere a type of alert must fall on the region to count."""
PATTERN_PEERS_MIN = 5
CLUSTER_RULES_MIN = 3
PARTITION_PEERS_MIN = 3
VERSION_PEERS_MIN = 3
VERSION_CHANCE_MAX = 0.01
"""Limit for the chance of this many peers of one version if versions meant nothing, over all versions."""
VERSION_RATIO_MIN = 3.0
"""How many times as often as on others it must fall on this version: a significant effect may be slight."""
REGION_CHANCE_MAX = 0.01
"""The same limit for a region that comes before all patterns."""
PEER_REF_HEX = 16
SAYS: dict[IncidentKind, float] = {
    "region-outage": 4.5,
    "partition": 3.5,
    "version": 3.0,
    "cascade": 2.5,
    "pattern": 1.0,
    "peer-cluster": 0.9,
    "host": 3.0,
    "region": 1.5,
}
"""How much each kind says about the cause, per peer that it explains.

A region or a cut names the place to check, and nothing else makes just these peers fail. A version names it too, but
needs a test. A cascade rests on times. A pattern only says "the same", a cluster "the same peer". The ratios decide
when a weaker kind wins because it explains more. 30 peers of one version outweigh 5 of a region of 10. A region that
lost less than 3 in 5 is part of a cut, not its cause.
"""


class Explanation(Struct, frozen=True):
    """Alerts with a common cause."""

    kind: IncidentKind
    anchor: str
    """The part that stays the same meanwhile: the region, version, type or peer."""
    alerts: tuple[Alert, ...]
    """Sorted by beginning, then id."""
    peers: tuple[str, ...]
    root: str | None
    confidence: float
    weight: float
    is_tested: bool = False
    """It passed a test of chance."""
    of: int = 0
    """Number of peers of the region or version."""
    tree: tuple[TreeNode, ...] = ()

    @property
    def order(self) -> tuple[bool, float]:
        """Sort key: smaller comes first."""
        return not self.is_tested, -self.weight


Propose = Callable[[Sequence[Alert]], Iterable[Explanation]]
"""Finds explanations of one kind and anchor among these alerts."""


def proposals(alerts: Sequence[Alert], around: Context, window_s: float) -> Iterator[tuple[Propose, list[Alert]]]:
    """For each kind and anchor, the function that explains alerts, and the alerts that it may explain."""
    for group in alerts:
        if is_group(group, around):
            yield _partition(group, around), _of_group(group, alerts, around, window_s)
    yield from _regional(alerts, around, window_s)
    for layer, versions in sorted(around.versions.items()):
        yield from _versioned(layer, versions, alerts, window_s)
    yield lambda mine: _cascades(mine, around, window_s), list(alerts)
    for kind, mine in _by(alerts, lambda alert: [alert.type] if alert.peer_id else []):
        yield _each(window_s, _pattern(kind)), mine
    for peer, mine in _by(alerts, lambda alert: [alert.peer_id] if alert.peer_id else []):
        yield _each(window_s, _cluster(peer)), mine


def is_group(alert: Alert, around: Context) -> bool:
    """Whether it is about peers that were lost together."""
    return alert.type == "network-partition" and len(around.groups.get(alert.id, ())) >= PARTITION_PEERS_MIN


def concerned(alert: Alert, around: Context) -> Sequence[str]:
    """Peers that an alert is about: one, the members of a group, or none."""
    return (alert.peer_id,) if alert.peer_id is not None else around.groups.get(alert.id, ())


def peers_of(alerts: Iterable[Alert], around: Context) -> tuple[str, ...]:
    """All peers that the alerts are about, each once."""
    return tuple(sorted({peer for alert in alerts for peer in concerned(alert, around)}))


def _by(alerts: Sequence[Alert], keys: Callable[[Alert], Iterable[str]]) -> list[tuple[str, list[Alert]]]:
    found: defaultdict[str, list[Alert]] = defaultdict(list)
    for alert in alerts:
        for key in keys(alert):
            found[key].append(alert)
    return sorted(found.items())


def _each(window_s: float, explain: Propose) -> Propose:
    return lambda alerts: [found for episode in episodes(alerts, window_s) for found in explain(episode)]


def _weight(kind: IncidentKind, peers: int, fit: float) -> float:
    return SAYS[kind] * peers * fit


def _partition(group: Alert, around: Context) -> Propose:
    def explain(alerts: Sequence[Alert]) -> Iterator[Explanation]:
        if group in alerts:
            peers = peers_of((alert for alert in alerts if not _is_cut_off(alert)), around)
            weight = _weight("partition", len(peers), 1.0)
            anchor = group.id.removeprefix(f"{group.rule}-")
            yield Explanation("partition", anchor, tuple(alerts), peers, None, 0.9, weight, True, len(peers))

    return explain


def _of_group(group: Alert, alerts: Sequence[Alert], around: Context, window_s: float) -> list[Alert]:
    """The alert about a group, and other alerts that its loss explains.

    These are members that are down while it lasts. Soon after it began they are also critical regions of its members,
    and peers on our side with few links left. Observers that lost the group at different moments may state it as two
    groups; groups that share members count as one.
    """
    own = set(around.groups[group.id])
    same = {
        other.id
        for other in alerts
        if is_group(other, around)
        and own & set(around.groups[other.id])
        and abs(other.started_at - group.started_at) < window_s
    }
    members = {peer for name in same for peer in around.groups[name]}
    homes = {around.regions.get(peer) for peer in members} - {None}
    begin, end = group.started_at - window_s, inf if group.resolved_at is None else group.resolved_at

    def follows(alert: Alert) -> bool:
        if not begin < alert.started_at <= end:
            return False
        if alert.type == "peer-down":
            return alert.peer_id in members
        # A group that stays away for days does not explain later alerts about others.
        is_home = alert.type == "region-critical" and alert.region in homes
        return (is_home or _is_cut_off(alert)) and alert.started_at < group.started_at + window_s

    return [alert for alert in alerts if alert.id in same or follows(alert)]


def _is_cut_off(alert: Alert) -> bool:
    """Whether one peer says that it has few links: it lost others and is not lost itself."""
    return alert.type == "network-partition" and alert.peer_id is not None


def _regional(alerts: Sequence[Alert], around: Context, window_s: float) -> Iterator[tuple[Propose, list[Alert]]]:
    """Regions that get types of alerts more often than others, with these alerts and those about the region."""
    homes = {peer: region for peer, region in around.regions.items() if region is not None}
    sizes = Counter(homes.values())
    held = concentrated(
        alerts,
        homes,
        lambda alert: concerned(alert, around),
        lambda alert: alert.type,
        lambda share: share.is_times(REGION_RATIO_MIN),
        window_s,
    )
    for region, mine in held.items():
        about = [alert for alert in alerts if alert.region == region and not concerned(alert, around)]
        ordered = sorted((*mine, *about), key=lambda alert: (alert.started_at, alert.id))
        yield _each(window_s, _region(region, sizes[region], alerts, around)), ordered


def _region(region: str, size: int, everywhere: Sequence[Alert], around: Context) -> Propose:
    def explain(alerts: Sequence[Alert]) -> Iterator[Explanation]:
        peers = tuple(peer for peer in peers_of(alerts, around) if around.regions.get(peer) == region)
        if len(peers) >= REGION_PEERS_MIN and len(peers) >= REGION_SHARE_MIN * size:
            types, first, last = {alert.type for alert in alerts}, alerts[0].started_at, alerts[-1].started_at
            alike = [alert for alert in everywhere if alert.type in types and first <= alert.started_at <= last]
            others = set(peers_of(alike, around)) - set(peers)
            chance = StatusShare(len(peers), size, len(peers) + len(others), len(around.regions)).chance()
            share = len(peers) / size
            yield Explanation(
                kind="region-outage",
                anchor=region,
                alerts=tuple(alerts),
                peers=peers,
                root=region,
                confidence=round(share, 4),
                weight=_weight("region-outage", len(peers), sqrt(share)),
                is_tested=chance <= REGION_CHANCE_MAX,
                of=size,
            )

    return explain


def _versioned(
    layer: str, versions: Mapping[str, str], alerts: Sequence[Alert], window_s: float
) -> Iterator[tuple[Propose, list[Alert]]]:
    """Versions with far more than their share of a rule's alerts, with these alerts."""
    running = Counter(versions.values())
    if len(running) < 2:
        return

    def is_significant(share: StatusShare) -> bool:
        return (
            share.peers >= VERSION_PEERS_MIN
            and share.is_times(VERSION_RATIO_MIN)
            and share.chance() * len(running) <= VERSION_CHANCE_MAX
        )

    held = concentrated(
        [alert for alert in alerts if alert.peer_id in versions],
        versions,
        lambda alert: [alert.peer_id] if alert.peer_id else [],
        lambda alert: alert.rule,
        is_significant,
        window_s,
    )
    for version, mine in held.items():
        anchor = version if layer == AGENT else f"{layer} {version}"
        yield _each(window_s, _version(anchor, running[version], len(versions))), mine


def _version(anchor: str, size: int, of_all: int) -> Propose:
    def explain(alerts: Sequence[Alert]) -> Iterator[Explanation]:
        peers = tuple(sorted({alert.peer_id for alert in alerts if alert.peer_id}))
        if len(peers) >= VERSION_PEERS_MIN:
            weight = _weight("version", len(peers), sqrt(len(peers) / size))
            confidence = round(1.0 - hypergeometric_tail(len(peers), len(peers), size, of_all), 4)
            yield Explanation("version", anchor, tuple(alerts), peers, anchor, confidence, weight, True, size)

    return explain


def _cascades(alerts: Sequence[Alert], around: Context, window_s: float) -> Iterator[Explanation]:
    for cascade in cascades(alerts, around.links, len(around.regions), window_s=window_s):
        yield _spread(cascade, {alert.id: alert for alert in alerts})


def _spread(cascade: Cascade, by_id: Mapping[str, Alert]) -> Explanation:
    mine = sorted((by_id[node.alert_id] for node in cascade.nodes), key=lambda alert: (alert.started_at, alert.id))
    peers = tuple(sorted({node.peer_id for node in cascade.nodes}))
    anchor = by_id[cascade.nodes[0].alert_id].type
    weight = _weight("cascade", len(peers), cascade.confidence)
    confidence = cascade.confidence
    return Explanation(
        "cascade", anchor, tuple(mine), peers, cascade.root, confidence, weight, True, tree=cascade.nodes
    )


def _pattern(kind: str) -> Propose:
    def explain(alerts: Sequence[Alert]) -> Iterator[Explanation]:
        peers = tuple(sorted({alert.peer_id for alert in alerts if alert.peer_id}))
        if len(peers) >= PATTERN_PEERS_MIN:
            confidence = round(len(peers) / (len(peers) + PATTERN_PEERS_MIN), 4)
            yield Explanation(
                "pattern", kind, tuple(alerts), peers, None, confidence, _weight("pattern", len(peers), 1.0)
            )

    return explain


def _cluster(peer: str) -> Propose:
    def explain(alerts: Sequence[Alert]) -> Iterator[Explanation]:
        rules = {alert.rule for alert in alerts}
        if len(rules) >= CLUSTER_RULES_MIN:
            confidence = round(len(rules) / (len(rules) + CLUSTER_RULES_MIN), 4)
            yield Explanation(
                "peer-cluster",
                peer[:PEER_REF_HEX],
                tuple(alerts),
                (peer,),
                peer,
                confidence,
                _weight("peer-cluster", 1, 1.0),
            )

    return explain
