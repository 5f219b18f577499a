"""Partitions: many peers lost together are one event, not fifty dead peers.

A peer cannot distinguish a cut cable from fifty crashes. But fifty crashes at one moment have one cause, and one line
reports it. A group consists of peers that are down and whose silence began at about the same time. Peers without an
accuser join it if all their observers are gone: no link leads to them, and they have been silent since then. The group
is partitioned if it is large and its members had links among themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

from msgspec import Struct

from peerscope.mesh.detection.verdicts import Evidence, Verdict
from peerscope.records.identity import PeerId, PeerRef
from peerscope.records.ledger import Ledger

MEMBERS_MIN = 3
SHARE_MIN = 0.25
"""Share of all known peers. Fewer than a quarter lost at once are reported one by one."""
TOGETHER_S = 10.0
"""Largest gap between two peers of a group in the order in which their silences began."""
SLACK_S = 2.0
"""Records that members issued up to this long after the last silence began may still have been on their way."""


class Partition(Struct, frozen=True):
    """Peers that were lost together."""

    peers: tuple[PeerId, ...]
    silent_s: float
    """Median silence of the members, as their observers report it."""


def partitions(ledger: Ledger, me: PeerId, found: Mapping[PeerId, Evidence], now: float) -> list[Partition]:
    """Find groups lost together, largest first. `found`: the evidence about every known peer."""
    down = {peer: _silence_s(e) for peer, e in found.items() if e.verdict is Verdict.DOWN}
    most = sum(e.verdict is not Verdict.LEFT for e in found.values())
    if len(down) < 2 or me in down:
        return []
    links = {peer: _links(ledger, peer) for peer in found}
    beyond = set(found) - _reachable(me, links, found, set(down)) - set(down)
    beyond = {peer for peer in beyond if found[peer].verdict is not Verdict.LEFT and peer != me and links[peer]}
    groups = []
    for cluster in _together(down):
        lost_at = now - min(down[peer] for peer in cluster)
        silent = {peer for peer in beyond if _heard_at(ledger, peer) <= lost_at + SLACK_S}
        members = set(cluster) | {peer for peer in silent if links[peer] & (set(cluster) | silent)}
        linked = sum(bool(links[peer] & members) for peer in members)
        if len(members) >= MEMBERS_MIN and len(members) > SHARE_MIN * most and linked * 2 >= len(members):
            silent_s = median(down[peer] for peer in cluster)
            groups.append(Partition(tuple(sorted(members)), silent_s))
    return sorted(groups, key=lambda group: (-len(group.peers), group.peers))


def _silence_s(found: Evidence) -> float:
    return median(accusation.silence_s for accusation in found.accusations)


def _heard_at(ledger: Ledger, peer: PeerId) -> float:
    """Local time at which the peer issued its newest record."""
    return max(entry.heard_at for entry in ledger.entries(peer))


def _links(ledger: Ledger, peer: PeerId) -> set[PeerId]:
    """Neighbours in the peer's last report, however old."""
    report = ledger.report(peer)
    found = (ledger.find(PeerRef(link.peer)) for link in report.links) if report else ()
    return {other for other in found if other is not None}


def _reachable(
    me: PeerId, links: Mapping[PeerId, set[PeerId]], found: Mapping[PeerId, Evidence], down: set[PeerId]
) -> set[PeerId]:
    """Peers at the end of a chain of links that no end has lost."""
    missed = {(accusation.observer, peer) for peer, e in found.items() for accusation in e.accusations}
    around: dict[PeerId, set[PeerId]] = {}
    for peer, others in links.items():
        for other in others:
            if peer not in down and other not in down and not {(peer, other), (other, peer)} & missed:
                around.setdefault(peer, set()).add(other)
                around.setdefault(other, set()).add(peer)
    reached, frontier = {me}, [me]
    while frontier:
        onward = around.get(frontier.pop(), set()) - reached
        reached |= onward
        frontier += onward
    return reached


def _together(down: Mapping[PeerId, float]) -> list[list[PeerId]]:
    """Clusters of peers whose silences began close to each other."""
    clusters: list[list[PeerId]] = []
    before = None
    for peer in sorted(down, key=lambda peer: (down[peer], peer)):
        if before is None or down[peer] - before > TOGETHER_S:
            clusters.append([])
        clusters[-1].append(peer)
        before = down[peer]
    return clusters
