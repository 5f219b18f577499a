"""Alerts that only follow from another alert of the same peer, or from a cause that is known.

A busy processor makes an agent late and its links slow. Those alerts are no news beside the first one. So the search
for causes leaves them out, and they go where the alert goes that they follow from. If that one is in no incident, they
count as alerts of their own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from peerscope.alerts.context import Context
from peerscope.alerts.explanations import LOSS, Explanation, in_order, sort_of
from peerscope.alerts.model import Alert

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


def derived(alerts: Sequence[Alert], window_s: float) -> dict[str, str]:
    """By id, the alert of the same peer that each follows from. `alerts`: sorted by beginning."""
    at_peer: defaultdict[str, list[Alert]] = defaultdict(list)
    for alert in alerts:
        if alert.peer_id is not None:
            at_peer[alert.peer_id].append(alert)
    found: dict[str, str] = {}
    for its in at_peer.values():
        for alert in its if len(its) > 1 else ():
            parents = [other for other in its if other.id not in found and _brings(other, alert, window_s)]
            if parents:
                found[alert.id] = parents[0].id
    return found


def _brings(one: Alert, other: Alert, window_s: float) -> bool:
    """Whether the first alert may have brought the other; of two that may bring each other the earlier one."""
    if one.id == other.id or other.rule not in CONSEQUENCES.get(one.rule, ()):
        return False
    delay_s = other.started_at - one.started_at
    is_mutual = one.rule in CONSEQUENCES.get(other.rule, ())
    return (0.0 if is_mutual else -BEFORE_S) <= delay_s < window_s


def with_consequences(
    chosen: Sequence[Explanation],
    alerts: Sequence[Alert],
    follows: Mapping[str, str],
    around: Context,
    window_s: float,
) -> list[tuple[Alert, ...]]:
    """For each explanation its alerts and those that follow from it, each alert once. `chosen`: the best first.

    `follows`: see `derived`.
    """
    taken = {alert.id: place for place, one in enumerate(chosen) for alert in one.alerts}
    sizes = Counter(region for region in around.regions.values() if region is not None)
    more: list[list[Alert]] = [[] for _ in chosen]
    sorts = [{sort_of(alert) for alert in one.alerts} for one in chosen]
    inside = [Counter(around.regions.get(peer) for peer in one.peers) for one in chosen]
    spans = [(one.alerts[0].started_at - BEFORE_S, one.alerts[-1].started_at + window_s) for one in chosen]
    for alert in alerts:
        if alert.id in taken:
            continue
        owner = taken.get(follows.get(alert.id, ""))
        if owner is not None:
            more[owner].append(alert)
            continue
        for place in range(len(chosen)):
            if not spans[place][0] <= alert.started_at < spans[place][1]:
                continue
            if (LOSS in sorts[place] and alert.rule == "low-connectivity") or (
                alert.type == "region-critical"
                and inside[place][alert.region] >= max(1.0, REGION_SHARE_MIN * sizes[alert.region or ""])
            ):
                more[place].append(alert)
                break
    return [in_order((*one.alerts, *extra)) for one, extra in zip(chosen, more, strict=True)]
