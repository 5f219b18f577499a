"""Where a network would come apart: its pieces, and the peers and links that alone hold one together.

A peer is an articulation peer when its piece would fall into two or more without it; a link is a bridge when its piece
would without it. Both come from one depth-first search (Hopcroft, Tarjan 1973, "Efficient algorithms for graph
manipulation"), here rustworkx's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct


class Cuts(Struct, frozen=True):
    """What holds a network together, by id."""

    components: tuple[tuple[str, ...], ...] = ()
    """The pieces, largest first."""
    articulation_peers: tuple[str, ...] = ()
    bridges: tuple[tuple[str, str], ...] = ()


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
