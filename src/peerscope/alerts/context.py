"""The context of alerts: region, version, machine and links of every peer."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping

from msgspec import Struct

from peerscope.alerts.model import Alert
from peerscope.alerts.subjects import PREFIX
from peerscope.mesh.detection.verdicts import Verdict
from peerscope.records.identity import PeerId, PeerRef
from peerscope.views.hosts import public_prefix
from peerscope.views.links import MergedLink, layer_of, lists_all, monitored_nodes, vertex_of
from peerscope.views.snapshot import Snapshot

AGENT = "agent"
"""The layer of agent versions. The layer of node versions has the name of the node."""
NODE_VERSION = "node_version"
"""Profile label with the version of the monitored node."""


class Context(Struct, frozen=True):
    """Keys are full peer ids in hexadecimal. Peers that left are absent."""

    regions: Mapping[str, str | None]
    """Region of every peer."""
    versions: Mapping[str, Mapping[str, str]]
    """By layer ("agent" or the name of the node), the version that each peer runs."""
    links: Mapping[str, Mapping[str, float]]
    """Measured round trips in seconds, by peer and neighbour, in both directions."""
    groups: Mapping[str, tuple[str, ...]] = {}
    """Members of groups that were lost together, by the id of the alert."""
    hosts: Mapping[str, str] = {}
    """Name of the machine on which each peer runs, equal for all peers of one machine. Unknown ones are absent."""
    prefixes: Mapping[str, str] = {}
    """Address prefix of each peer's provider, by peer. Unknown ones are absent."""
    overlay: Mapping[str, Mapping[str, float | None]] = {}
    """Neighbours of each peer's node in the network of the nodes, with round trips in seconds, in both directions."""


def context_of(
    snapshot: Snapshot, links: Iterable[MergedLink], alerts: Iterable[Alert] = (), before: Context | None = None
) -> Context:
    """The context now. A peer that is gone keeps the links of its last report: failures spread along them.

    `before`: an earlier context, which names the members of groups that `alerts` are about and that are back.
    """
    regions: dict[str, str | None] = {}
    versions: dict[str, dict[str, str]] = {AGENT: {}}
    around: dict[str, dict[str, float]] = {}
    for peer in snapshot.peers:
        if snapshot.verdict(peer) is Verdict.LEFT:
            continue
        name, profile = peer.hex(), snapshot.profiles[peer]
        regions[name] = snapshot.places[peer].region
        versions[AGENT][name] = profile.version
        node_version = dict(profile.labels).get(NODE_VERSION)
        if profile.node is not None and node_version is not None:
            versions.setdefault(profile.node, {})[name] = node_version
        if snapshot.verdict(peer) in (Verdict.DOWN, Verdict.PARTITIONED):
            for other, rtt_s in _last_links(snapshot, peer):
                _join(around, name, other, rtt_s)
    for link in links:
        if link.measured_s is not None and link.source in regions and link.target in regions:
            _join(around, link.source, link.target, link.measured_s)
    return Context(
        regions,
        versions,
        around,
        groups=_groups(snapshot, alerts, before.groups if before else {}),
        hosts={peer.hex(): host for peer, host in snapshot.hosts.items() if peer.hex() in regions},
        prefixes={name: found for name, found in _prefixes(snapshot) if name in regions},
        overlay=_overlay(snapshot, regions),
    )


def _prefixes(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    for peer, profile in snapshot.profiles.items():
        found = public_prefix(profile)
        if found is not None:
            yield peer.hex(), found


def _overlay(snapshot: Snapshot, known: Container[str]) -> dict[str, dict[str, float | None]]:
    """Peers whose nodes are neighbours, by the newest report of each: a node that died keeps its last neighbours.

    A round trip that both ends measured is the mean of the two. An edge to a node whose own list lacks it does not
    count: a single liar could make a node depend on another. A lost edge of a node that is gone stays.
    """
    nodes = monitored_nodes(snapshot).vertices
    full = {vertex_of(peer): peer for peer in snapshot.peers}
    said: dict[tuple[PeerId, PeerId], int | None] = {}
    names_all: set[PeerId] = set()
    for peer, profile in snapshot.profiles.items():
        report, layer = snapshot.ledger.report(peer), layer_of(profile)
        if report is None or not report.overlay:
            continue
        if lists_all(report):
            names_all.add(peer)
        for link in report.overlay:
            other = full.get(nodes.get((layer, link.node), ""))
            if other is not None and other != peer and peer.hex() in known and other.hex() in known:
                said[peer, other] = link.rtt_us
    measured: dict[tuple[str, str], list[float]] = {}
    for (peer, other), rtt_us in said.items():
        if (other, peer) in said or other not in names_all or not snapshot.is_living(peer):
            pair = (peer.hex(), other.hex()) if peer < other else (other.hex(), peer.hex())
            measured.setdefault(pair, []).extend(() if rtt_us is None else (rtt_us / 1e6,))
    around: dict[str, dict[str, float | None]] = {}
    for (first, second), times in sorted(measured.items()):
        rtt_s = sum(times) / len(times) if times else None
        around.setdefault(first, {})[second] = rtt_s
        around.setdefault(second, {})[first] = rtt_s
    return around


def _groups(
    snapshot: Snapshot, alerts: Iterable[Alert], before: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """Members by alert: the group that holds the peer in its name, or else the remaining group."""
    groups = [tuple(peer.hex() for peer in group.peers) for group in snapshot.partitions]
    found: dict[str, tuple[str, ...]] = {}
    about = {alert.id: alert for alert in alerts if alert.type == "network-partition" and alert.peer_id is None}
    unnamed = []
    for name, alert in sorted(about.items()):
        anchor = name.removeprefix(f"{alert.rule}-{PREFIX}")
        named = [group for group in groups if any(peer.startswith(anchor) for peer in group)]
        if named and alert.state == "firing":
            found[name] = named[0]
        elif name in before:
            found[name] = before[name]
        elif alert.state == "firing":
            unnamed.append(name)
    left = [group for group in groups if group not in found.values()]
    return found | dict(zip(unnamed, left, strict=False))


def labels_with_version(labels: tuple[tuple[str, str], ...], version: str | None) -> tuple[tuple[str, str], ...]:
    """Profile labels with this version of the node; unchanged if the version is unknown."""
    if version is None:
        return labels
    return (*((name, value) for name, value in labels if name != NODE_VERSION), (NODE_VERSION, version))


def _last_links(snapshot: Snapshot, peer: PeerId) -> Iterator[tuple[str, float]]:
    report = snapshot.ledger.report(peer)
    for link in report.links if report else ():
        other = snapshot.ledger.find(PeerRef(link.peer))
        if other is not None and link.rtt_us is not None:
            yield other.hex(), link.rtt_us / 1e6


def _join(around: dict[str, dict[str, float]], one: str, other: str, rtt_s: float) -> None:
    around.setdefault(one, {})[other] = rtt_s
    around.setdefault(other, {})[one] = rtt_s
