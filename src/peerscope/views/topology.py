"""The map: everybody, every link on every layer, and where the network would come apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import Struct

from peerscope.mesh.detection.verdicts import Verdict
from peerscope.records.bodies import Profile, Report
from peerscope.records.identity import SHORT_HEX, PeerId, short
from peerscope.views.links import MESH, Links, MergedLink
from peerscope.views.places import Place
from peerscope.views.snapshot import LIVING, Snapshot


class TopologyPeer(Struct, frozen=True, gc=False):
    """One peer on the map, or a node that is only known as somebody's neighbour."""

    peer_id: str
    """Of an unmonitored one, what its neighbours call it: "layer:name", or the first 16 digits of a peer's id."""
    short_id: str
    region: str | None = None
    region_source: Literal["declared", "country", "latency"] | None = None
    status: str = "unknown"
    verdict: str | None = None
    """Null where nobody watches."""
    monitored: bool = True
    """An agent runs there and has told who it is."""
    layer: str = MESH
    """Where it was seen: "mesh", or the network of the node that has it for a neighbour."""
    node: str | None = None


class Topology(Struct, frozen=True):
    """The map of the network. Who said goodbye is not on it."""

    peers: tuple[TopologyPeer, ...]
    links: tuple[MergedLink, ...]
    regions: dict[str, tuple[str, ...]]
    """Peers by region; those that have none are in none."""
    partitions: tuple[tuple[str, ...], ...]
    """Groups of peers that were lost together."""
    articulation_peers: tuple[str, ...]
    """The mesh splits if one of these fails."""
    bridges: tuple[tuple[str, str], ...]
    """The mesh splits if one of these links fails."""
    components: tuple[tuple[str, ...], ...]
    """The pieces that the mesh of living peers is in, largest first."""


class Cuts(Struct, frozen=True):
    """What holds a network together, by id."""

    components: tuple[tuple[str, ...], ...] = ()
    """The pieces, largest first."""
    articulation_peers: tuple[str, ...] = ()
    bridges: tuple[tuple[str, str], ...] = ()


class TopologyCache:
    """Maps, one after the other: each is worked out from the last one and what has changed since."""

    def __init__(self) -> None:
        self.links = Links()
        self._known: dict[PeerId, tuple[_Basis, TopologyPeer]] = {}
        self._mesh: tuple[list[str], list[tuple[str, str]]] = ([], [])
        self._cuts = Cuts()
        self._last: Topology | None = None

    def at(self, snapshot: Snapshot) -> Topology:
        """The map at this moment; the same object as before where nothing changed."""
        links, known = self.links.at(snapshot), self._peers(snapshot)
        groups = tuple(tuple(peer.hex() for peer in group.peers) for group in snapshot.partitions)
        last = self._last
        peers = known + _hollow(self.links.strangers())
        if last is not None and last.links is links and last.peers == peers and last.partitions == groups:
            return last
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
        )
        return self._last

    def _peers(self, snapshot: Snapshot) -> tuple[TopologyPeer, ...]:
        known = {}
        evidence, profiles, reports, places = (
            snapshot.evidence,
            snapshot.profiles,
            snapshot.fresh_reports,
            snapshot.places,
        )
        for peer in snapshot.peers:
            verdict = evidence[peer].verdict
            if verdict is not Verdict.LEFT:
                basis = (profiles[peer], reports[peer], verdict, places[peer])
                before = self._known.get(peer)
                known[peer] = before if before and before[0] == basis else (basis, _shown(snapshot, peer, basis))
        self._known = known
        return tuple(shown for _, shown in known.values())

    def _cut(self, known: tuple[TopologyPeer, ...], links: tuple[MergedLink, ...]) -> Cuts:
        """Only living peers hold the mesh together; who has told nothing of itself may be linked to others, too."""
        living = [peer.peer_id for peer in known if peer.verdict in LIVING]
        strangers = self.links.strangers()
        pairs = [(link.source, link.target) for link in links if link.kind == MESH]
        if strangers:
            pairs = [pair for pair in pairs if not strangers.keys() & pair]
        if (living, pairs) != self._mesh:
            self._mesh, self._cuts = (living, pairs), cuts(living, pairs)
        return self._cuts


_Basis = tuple[Profile, Report | None, Verdict, Place]


def topology(snapshot: Snapshot) -> Topology:
    """The map, worked out from nothing."""
    return TopologyCache().at(snapshot)


def _shown(snapshot: Snapshot, peer: PeerId, basis: _Basis) -> TopologyPeer:
    profile, _, verdict, place = basis
    return TopologyPeer(
        peer_id=peer.hex(),
        short_id=short(peer),
        region=place.region,
        region_source=place.source,
        status=snapshot.statuses[peer],
        verdict=verdict.value,
        node=profile.node,
    )


def _hollow(strangers: dict[str, str]) -> tuple[TopologyPeer, ...]:
    """What is known of ends of links that are nobody we know: a name, and where it was seen."""
    return tuple(
        TopologyPeer(
            peer_id=name,
            short_id=(name if layer == MESH else name.removeprefix(f"{layer}:"))[:SHORT_HEX],
            monitored=False,
            layer=layer,
        )
        for name, layer in strangers.items()
    )


def cuts(peers: Sequence[str], links: Iterable[tuple[str, str]]) -> Cuts:
    """`peers`: everybody, in a fixed order; `links`: pairs among them, each once."""
    import rustworkx  # 5 MB and 16 ms, for which an agent that shows no map has no use

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
