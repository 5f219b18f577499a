"""Many lost together: one partition, not fifty dead peers.

From inside one cannot tell a cut cable from fifty crashes, but fifty crashes at one moment have one cause, and one
line says it. A group is: peers that are down, whose silence began at about the same time, together with those that
nobody accuses only because all who watched them are gone too (no standing link leads to them any more, and nothing was
heard of them since). It is called partitioned when it is large and its members were linked among themselves.
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
"""Of all known peers. Fewer than a quarter lost at once are told one by one."""
TOGETHER_S = 10.0
"""Largest gap between the beginnings of two silences of one group."""
SLACK_S = 2.0
"""What was issued so long after the last silence began may still have been on its way when the group was lost."""


class Partition(Struct, frozen=True):
    """Peers that were lost together."""

    peers: tuple[PeerId, ...]
    silent_s: float
    """How long they have been silent: the median of what their observers say."""


def partitions(ledger: Ledger, me: PeerId, found: Mapping[PeerId, Evidence], now: float) -> list[Partition]:
    """Groups lost together, largest first. `found`: the evidence about every known peer but those who left."""
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
    """When the newest record of this peer was issued."""
    return max(entry.heard_at for entry in ledger.entries(peer))


def _links(ledger: Ledger, peer: PeerId) -> set[PeerId]:
    """Neighbours in the peer's last report, however old."""
    report = ledger.report(peer)
    found = (ledger.find(PeerRef(link.peer)) for link in report.links) if report else ()
    return {other for other in found if other is not None}


def _reachable(
    me: PeerId, links: Mapping[PeerId, set[PeerId]], found: Mapping[PeerId, Evidence], down: set[PeerId]
) -> set[PeerId]:
    """Peers to whom a chain of links leads that nobody says are lost."""
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
