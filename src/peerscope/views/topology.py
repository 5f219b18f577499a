"""The map: all peers, all links on every layer, and the points where the network could split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import Struct

from peerscope.mesh.detection.verdicts import Verdict
from peerscope.records.bodies import Profile, Report
from peerscope.records.identity import SHORT_HEX, PeerId, short
from peerscope.views.links import MESH, OVERLAY, LinkCache, MergedLink
from peerscope.views.places import Place
from peerscope.views.snapshot import LIVING, Snapshot

FOREIGN_MAX = 500
"""Nodes without an agent on the map. Each report may list 32, so a large network knows tens of thousands."""
CLAIMANTS_MAX = 8


class TopologyPeer(Struct, frozen=True, gc=False):
    """One peer on the map, or a node that is only known as the neighbour of another."""

    peer_id: str
    """For an unmonitored node the name that its neighbours use: "layer:name", or the first 16 digits of a peer's id."""
    short_id: str
    region: str | None = None
    region_source: Literal["declared", "country", "latency"] | None = None
    status: str = "unknown"
    verdict: str | None = None
    """null without an observer."""
    monitored: bool = True
    """An agent runs there and has published its profile."""
    layer: str = MESH
    """"mesh", or the network of the node whose neighbour it is."""
    node: str | None = None
    host: str | None = None
    """Name of its machine, the same for all peers there; null if unknown."""
    claimed_by: tuple[str, ...] = ()
    """Living peers that all name this node as theirs, by the first 16 digits of their ids. So it has no peer."""


class LayerView(Struct, frozen=True):
    """The network of the nodes of one kind, as far as agents run beside them."""

    layer: str
    monitored: int
    """Nodes with an agent beside them."""
    foreign: int
    """Nodes that only neighbours list."""
    hidden: int
    """Those of them that the map leaves out, with their links: it shows those with the most neighbours."""
    confirmed: int
    """Links that the agents at both ends list."""
    one_end: int
    """Links that one agent lists, where the other cannot say."""
    contradicted: int
    """Links that one agent lists, and that the list of the other lacks. They count nowhere."""
    to_foreign: int
    """Links to nodes without an agent."""


class Topology(Struct, frozen=True):
    """The map of the network, without peers that have left."""

    peers: tuple[TopologyPeer, ...]
    links: tuple[MergedLink, ...]
    regions: dict[str, tuple[str, ...]]
    """Peers by region, without those that have none."""
    partitions: tuple[tuple[str, ...], ...]
    """Groups of peers that were lost together."""
    articulation_peers: tuple[str, ...]
    """The mesh splits if one of these fails."""
    bridges: tuple[tuple[str, str], ...]
    """The mesh splits if one of these links fails."""
    components: tuple[tuple[str, ...], ...]
    """Connected parts of the mesh of living peers, largest first."""
    layers: tuple[LayerView, ...] = ()
    """Networks of nodes, by name."""


class Cuts(Struct, frozen=True):
    """Parts of a graph, and the nodes and links whose loss splits one (Hopcroft and Tarjan 1973)."""

    components: tuple[tuple[str, ...], ...] = ()
    """Connected parts, largest first."""
    articulation_peers: tuple[str, ...] = ()
    bridges: tuple[tuple[str, str], ...] = ()


class TopologyCache:
    """Keeps the last map and computes the next one from it and from the changes."""

    def __init__(self) -> None:
        self.links = LinkCache()
        self._known: dict[PeerId, tuple[_Basis, TopologyPeer]] = {}
        self._mesh: tuple[list[str], list[tuple[str, str]]] = ([], [])
        self._cuts = Cuts()
        self._last: Topology | None = None
        self._all_links: tuple[MergedLink, ...] = ()
        """Those of the last map, with hidden ones."""

    def at(self, snapshot: Snapshot) -> Topology:
        """The map of the snapshot; the same object as before if nothing changed."""
        links, known = self.links.at(snapshot), self._peers(snapshot)
        groups = tuple(tuple(peer.hex() for peer in group.peers) for group in snapshot.partitions)
        last = self._last
        strangers = self.links.strangers()
        hidden = self._hidden(strangers)
        peers = known + self._unmonitored(strangers, hidden)
        is_same = last is not None and self._all_links is links and last.peers == peers and last.partitions == groups
        if last is not None and is_same:
            return last
        self._all_links = links
        layers = _layers(known, strangers, hidden, links)
        if hidden:
            links = tuple(link for link in links if link.source not in hidden and link.target not in hidden)
        regions: dict[str, list[str]] = {}
        for peer in known:
            if peer.region is not None:
                regions.setdefault(peer.region, []).append(peer.peer_id)
        parts = self._cut(known, links)
        self._last = Topology(
            peers=peers,
            links=links,
            regions={name: tuple(regions[name]) for name in sorted(regions)},
            partitions=groups,
            articulation_peers=parts.articulation_peers,
            bridges=parts.bridges,
            components=parts.components,
            layers=layers,
        )
        return self._last

    def _hidden(self, strangers: dict[str, str]) -> set[str]:
        """Nodes without an agent beyond `FOREIGN_MAX`; those that most ends list stay."""
        foreign = [name for name, layer in strangers.items() if layer != MESH]
        if len(foreign) <= FOREIGN_MAX:
            return set()
        return set(sorted(foreign, key=lambda name: (-self.links.listed_by(name), name))[FOREIGN_MAX:])

    def _unmonitored(self, strangers: dict[str, str], hidden: set[str]) -> tuple[TopologyPeer, ...]:
        """Ends of links that are not known peers, with their names and layers."""
        shared = self.links.nodes.shared
        return tuple(
            TopologyPeer(
                peer_id=name,
                short_id=(name if layer == MESH else name.removeprefix(f"{layer}:"))[:SHORT_HEX],
                monitored=False,
                layer=layer,
                claimed_by=shared.get((layer, name.removeprefix(f"{layer}:")), ())[:CLAIMANTS_MAX],
            )
            for name, layer in strangers.items()
            if name not in hidden
        )

    def _peers(self, snapshot: Snapshot) -> tuple[TopologyPeer, ...]:
        known = {}
        evidence, profiles, reports = snapshot.evidence, snapshot.profiles, snapshot.fresh_reports
        places, hosts = snapshot.places, snapshot.hosts
        for peer in snapshot.peers:
            verdict = evidence[peer].verdict
            if verdict is not Verdict.LEFT:
                basis = (profiles[peer], reports[peer], verdict, places[peer], hosts.get(peer))
                before = self._known.get(peer)
                known[peer] = before if before and before[0] == basis else (basis, _shown(snapshot, peer, basis))
        self._known = known
        return tuple(shown for _, shown in known.values())

    def _cut(self, known: tuple[TopologyPeer, ...], links: tuple[MergedLink, ...]) -> Cuts:
        """Cut the mesh of living peers. Peers without a profile are left out: not all their links are known."""
        living = [peer.peer_id for peer in known if peer.verdict in LIVING]
        strangers = self.links.strangers()
        pairs = [(link.source, link.target) for link in links if link.kind == MESH]
        if strangers:
            pairs = [pair for pair in pairs if not strangers.keys() & pair]
        if (living, pairs) != self._mesh:
            self._mesh, self._cuts = (living, pairs), cuts(living, pairs)
        return self._cuts


_Basis = tuple[Profile, Report | None, Verdict, Place, str | None]


def topology(snapshot: Snapshot) -> Topology:
    """The map, computed from scratch."""
    return TopologyCache().at(snapshot)


def _shown(snapshot: Snapshot, peer: PeerId, basis: _Basis) -> TopologyPeer:
    profile, _, verdict, place, host = basis
    return TopologyPeer(
        peer_id=peer.hex(),
        short_id=short(peer),
        region=place.region,
        region_source=place.source,
        status=snapshot.statuses[peer],
        verdict=verdict.value,
        node=profile.node,
        host=host,
    )


def _layers(
    known: tuple[TopologyPeer, ...], strangers: dict[str, str], hidden: set[str], links: tuple[MergedLink, ...]
) -> tuple[LayerView, ...]:
    monitored = Counter(peer.node if peer.node != MESH else OVERLAY for peer in known if peer.node)
    foreign = Counter(layer for layer in strangers.values() if layer != MESH)
    unseen = Counter(strangers[name] for name in hidden)
    edges = Counter((link.layer, link.confirmed) for link in links if link.kind != MESH)
    names = {*monitored, *foreign, *(layer for layer, _ in edges)}
    return tuple(
        LayerView(
            name,
            monitored[name],
            foreign[name],
            unseen[name],
            *(edges[name, confirmed] for confirmed in ("both", "one", "contradicted", "foreign")),
        )
        for name in sorted(names)
    )


def cuts(peers: Sequence[str], links: Iterable[tuple[str, str]]) -> Cuts:
    """Analyse a graph. `peers`: all nodes, in a fixed order; `links`: pairs among them, each once."""
    import rustworkx  # 5 MB and 16 ms, which an agent that shows no map does not need

    graph: rustworkx.PyGraph[str, None] = rustworkx.PyGraph(multigraph=False)
    graph.add_nodes_from(peers)
    place = {peer: number for number, peer in enumerate(peers)}
    graph.add_edges_from_no_data([(place[one], place[other]) for one, other in links])
    components = [tuple(peers[number] for number in sorted(part)) for part in rustworkx.connected_components(graph)]
    found: set[tuple[int, int]] = rustworkx.bridges(graph)  # type: ignore[assignment]  # its stub says tuple[int]
    bridges = [sorted((peers[one], peers[other])) for one, other in found]
    return Cuts(
        tuple(sorted(components, key=lambda part: (-len(part), part))),
        tuple(sorted(peers[number] for number in rustworkx.articulation_points(graph))),
        tuple(sorted((one, other) for one, other in bridges)),
    )
