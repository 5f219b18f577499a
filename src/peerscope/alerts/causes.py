"""All causes to look for, and alerts that only follow from a cause that is known already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

from peerscope.alerts.cascade import cascades
from peerscope.alerts.cascade_tree import Cascade
from peerscope.alerts.context import Context
from peerscope.alerts.explanations import LOSS, Case, Explanation, Propose, in_order, peers_of, sort_of
from peerscope.alerts.model import Alert
from peerscope.alerts.scopes import around_it, clusters, everybody, explained_by, gain_of_any, scopes
from peerscope.alerts.spread import PEERS_MIN

SERVICE_TYPES = frozenset(("performance-degradation", "high-latency", "node-down", "node-degraded"))
"""Trouble of a node that its neighbours in the network of the nodes may feel."""
CONSEQUENCES: dict[str, frozenset[str]] = {
    "cpu-high": frozenset(("agent-lag", "agent-cpu", "link-latency", "latency-rise", "error-ratio", "throughput-drop")),
    "memory-high": frozenset(("memory-kill", "agent-lag", "cpu-high", "node-down", "node-degraded", "error-ratio")),
    "storage-high": frozenset(("history-degraded", "node-degraded", "node-down")),
    "memory-kill": frozenset(("node-down", "node-degraded", "agent-lag")),
    "agent-cpu": frozenset(("agent-lag", "latency-rise")),
    "agent-lag": frozenset(("latency-rise", "link-latency")),
    "link-latency": frozenset(("latency-rise", "route-latency", "error-ratio", "throughput-drop")),
    "latency-rise": frozenset(("link-latency", "route-latency", "throughput-drop")),
    "link-loss": frozenset(("latency-rise", "link-latency", "error-ratio", "throughput-drop", "network-errors")),
    "network-errors": frozenset(("link-loss", "latency-rise", "low-connectivity")),
    "error-ratio": frozenset(("throughput-drop", "route-latency", "node-degraded")),
    "node-degraded": frozenset(("throughput-drop", "error-ratio", "node-down", "route-latency")),
    "node-down": frozenset(("throughput-drop", "error-ratio", "node-degraded", "p2p-degraded")),
    "low-connectivity": frozenset(("p2p-degraded", "relayed-share")),
}
"""Sorts of alerts that one sort brings at the same peer: Groot calls these rules of its event graph."""
BEFORE_S = 60.0
"""A consequence may be noticed so much earlier than its cause: rules wait for different times."""
REGION_SHARE_MIN = 0.5
"""Part of a region that an incident must affect to explain that the region is critical."""


def causes(case: Case) -> dict[str, Propose]:
    """By name, the functions that look for one cause each."""
    found: dict[str, Propose] = {f"{scope.kind}-{scope.anchor}": partial(explained_by, scope) for scope in scopes(case)}
    found["everybody"] = everybody
    found["cascade"] = partial(_spread, overlay=False)
    if case.around.overlay:
        found["overlay-cascade"] = partial(_spread, overlay=True)
    found["clusters"] = clusters
    return found


def _spread(case: Case, *, overlay: bool) -> Iterator[Explanation]:
    """Cascades along links of the mesh, or along those of the nodes."""
    around = case.around
    links: Mapping[str, Mapping[str, float]] = around.links
    alerts = [one for one in case.alerts if one.peer_id is not None]
    if overlay:
        links = {peer: {other: rtt_s or 0.0 for other, rtt_s in its.items()} for peer, its in around.overlay.items()}
        alerts = [one for one in alerts if one.type in SERVICE_TYPES]
    if len({one.peer_id for one in alerts}) < PEERS_MIN:
        return
    by_id = {alert.id: alert for alert in alerts}
    for one in cascades(alerts, links, case.size, window_s=case.window_s):
        yield _cascade(one, by_id, case)


def _cascade(found: Cascade, by_id: Mapping[str, Alert], case: Case) -> Explanation:
    """The model spreads all alerts of a sort, also those that have no cause among the others: these are not its own."""
    alerts = in_order(by_id[node.alert_id] for node in found.nodes)
    peers = {node.peer_id for node in found.nodes}
    sort = sort_of(by_id[found.nodes[0].alert_id])
    same = [alert for alert in alerts if sort_of(alert) == sort]
    near = around_it(case.by_sort[sort], same, case.window_s)
    hit = case.at_risk(sort, frozenset(peers_of(near, case.around)), same)
    score = case.priors.log_odds("cascade") + found.gain + gain_of_any(sort, hit, case, near)
    return Explanation(
        kind="cascade",
        anchor=sort,
        alerts=alerts,
        peers=tuple(sorted(peers)),
        root=found.roots[0][0] if found.roots else found.root,
        score=score,
        of=case.size,
        elsewhere=len(hit - peers),
        accounts_for=hit | peers,
        tree=found.nodes,
        roots=found.roots,
    )


def with_consequences(
    chosen: Sequence[Explanation], alerts: Iterable[Alert], around: Context, window_s: float
) -> list[tuple[Alert, ...]]:
    """For each explanation its alerts and those that follow from it, each alert once. `chosen`: the best first."""
    taken = {alert.id for one in chosen for alert in one.alerts}
    sizes = Counter(region for region in around.regions.values() if region is not None)
    more: list[list[Alert]] = [[] for _ in chosen]
    sorts = [{sort_of(alert) for alert in one.alerts} for one in chosen]
    affected = [set(one.peers) for one in chosen]
    inside = [Counter(around.regions.get(peer) for peer in one.peers) for one in chosen]
    spans = [(one.alerts[0].started_at - BEFORE_S, one.alerts[-1].started_at + window_s) for one in chosen]
    for alert in alerts:
        if alert.id in taken:
            continue
        for place in range(len(chosen)):
            if not spans[place][0] <= alert.started_at < spans[place][1]:
                continue
            if _follows(alert, sorts[place], affected[place]) or (
                alert.type == "region-critical"
                and inside[place][alert.region] >= max(1.0, REGION_SHARE_MIN * sizes[alert.region or ""])
            ):
                more[place].append(alert)
                break
    return [in_order((*one.alerts, *extra)) for one, extra in zip(chosen, more, strict=True)]


def _follows(alert: Alert, sorts: set[str], affected: set[str]) -> bool:
    if LOSS in sorts and alert.rule == "low-connectivity":
        return True
    return alert.peer_id in affected and any(alert.rule in CONSEQUENCES.get(sort, ()) for sort in sorts)
