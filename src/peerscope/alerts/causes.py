"""All causes to look for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from math import log

from msgspec.structs import replace

from peerscope.alerts.cascade import cascades
from peerscope.alerts.cascade_tree import RESOLUTION_S, Cascade, TreeNode
from peerscope.alerts.explanations import Case, Explanation, Propose, case_of, in_order, peers_of, sort_of
from peerscope.alerts.model import Alert
from peerscope.alerts.scopes import (
    PEER_REF_HEX,
    CauseScope,
    around_it,
    clusters,
    everybody,
    explained_by,
    gain_of_any,
    scopes,
)
from peerscope.alerts.spread import PEERS_MIN

SERVICE_TYPES = frozenset(("performance-degradation", "high-latency", "node-down", "node-degraded"))
"""Trouble of a node that its neighbours in the network of the nodes may feel."""
FELT_TYPES = SERVICE_TYPES | {"resource-exhaustion", "agent-overload"}
"""Trouble of a peer that its node passes on."""
DEPENDENCY_ODDS = 3.0
"""How often such a cause is expected beside a cascade: two networks know the neighbours of a node."""


def causes(case: Case) -> dict[str, Propose]:
    """By name, the functions that look for one cause each."""
    found: dict[str, Propose] = {f"{scope.kind}-{scope.anchor}": partial(explained_by, scope) for scope in scopes(case)}
    found["everybody"] = everybody
    found["cascade"] = _spread
    for root, scope in dependencies(case):
        found[f"dependency-{root}"] = partial(_dependants, root, scope)
    found["clusters"] = clusters
    return found


def dependencies(case: Case) -> list[tuple[str, CauseScope]]:
    """Peers with trouble whose nodes have neighbours: these may feel it."""
    troubled = sorted({one.peer_id for one in case.alerts if one.peer_id is not None and one.type in FELT_TYPES})
    found = [(peer, frozenset(case.around.overlay.get(peer, {})) - {peer}) for peer in troubled]
    large = [(peer, around) for peer, around in found if len(around) >= PEERS_MIN]
    prior = case.priors.log_odds("cascade") + log(DEPENDENCY_ODDS) - log(max(1, len(large)))
    return [
        (peer, CauseScope("cascade", peer[:PEER_REF_HEX], peer, around, prior, (2.0, 1.0), PEERS_MIN))
        for peer, around in large
    ]


def _dependants(root: str, scope: CauseScope, case: Case) -> Iterator[Explanation]:
    """Neighbours of a node in the network of the nodes that have trouble after it: a tree of one level."""
    own = [one for one in case.alerts if one.peer_id == root and one.type in FELT_TYPES]
    services = case_of([one for one in case.alerts if one.peer_id != root and one.type in SERVICE_TYPES], case)
    for found in explained_by(scope, services):
        first_at = found.alerts[0].started_at
        causes = [one for one in own if 0 < first_at - one.started_at - RESOLUTION_S < case.window_s]
        if not causes:
            continue
        cause = causes[-1]
        leaves = tuple(
            TreeNode(one.id, one.peer_id or "", cause.id, round(one.started_at - cause.started_at, 3), 1.0)
            for one in found.alerts
        )
        yield replace(
            found,
            alerts=in_order((cause, *found.alerts)),
            peers=tuple(sorted({root, *found.peers})),
            tree=(TreeNode(cause.id, root, None, None, 1.0), *leaves),
        )


def _spread(case: Case) -> Iterator[Explanation]:
    """Cascades along links of the mesh."""
    alerts = [one for one in case.alerts if one.peer_id is not None]
    if len({one.peer_id for one in alerts}) < PEERS_MIN:
        return
    by_id = {alert.id: alert for alert in alerts}
    for one in cascades(alerts, case.around.links, case.size, window_s=case.window_s):
        yield _cascade(one, by_id, case)


def _cascade(found: Cascade, by_id: Mapping[str, Alert], case: Case) -> Explanation:
    """The model spreads all alerts of a sort, also those that have no cause among the others: these are not its own."""
    alerts = in_order(by_id[node.alert_id] for node in found.nodes)
    peers = {node.peer_id for node in found.nodes}
    sorts = Counter(sort_of(alert) for alert in alerts)
    sort = min(sorts, key=lambda one: (-sorts[one], one))
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
