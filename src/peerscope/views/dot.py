"""The map as Graphviz reads it.

Every merged link is one edge. It has an arrow at each end that the other end reports: two if both peers report the
link. Text from peers is in quoted strings. Graphviz gives a meaning to `"` and `\\` in them, and to `&` in labels (The
DOT Language; "escString"; "Character encodings").
"""

from __future__ import annotations

from peerscope.views.links import MESH, MergedLink
from peerscope.views.sanitize import fit
from peerscope.views.topology import Topology, TopologyPeer

FAST_S = 0.05
SLOW_S = 0.2
FILLS = {"healthy": "green", "degraded": "yellow", "unhealthy": "red", "down": "red"}
"""Fill by status; everything else is gray."""
BREAK = "\\n"
DOUBTFUL = ("one", "contradicted")
CONFIRMED = {
    None: "",
    "both": ", confirmed by both ends",
    "one": ", listed by one end",
    "contradicted": ", unconfirmed: the other end does not list it",
    "foreign": ", no agent at the other end",
}
"""Words about a link between nodes."""
DIRECTIONS = {"both": "both", "source": "forward", "target": "back"}


def to_dot(topology: Topology, *, clusters: bool = False) -> str:
    """A digraph for `dot`, `sfdp` and the like, safe with every name of a peer.

    `clusters`: draw a box around the peers of each region.
    """
    splitting = set(topology.articulation_peers)
    bridges = set(topology.bridges)
    lines = [
        "digraph peerscope {",
        "  graph [rankdir=LR, fontname=Helvetica, outputorder=edgesfirst];",
        "  node [shape=circle, style=filled, colorscheme=svg, fontname=Helvetica, fontsize=10];",
        "  edge [colorscheme=svg, arrowsize=0.6];",
    ]
    boxed = _by_region(topology) if clusters else {}
    inside = {peer.peer_id for members in boxed.values() for peer in members}
    for number, (region, members) in enumerate(boxed.items()):
        lines += [f"  subgraph cluster_{number} {{", f"    label={shown(region)}; style=rounded; color=gray;"]
        lines += (f"    {_node(peer, peer.peer_id in splitting)}" for peer in members)
        lines.append("  }")
    lines += (f"  {_node(peer, peer.peer_id in splitting)}" for peer in topology.peers if peer.peer_id not in inside)
    lines += (
        f"  {_edge(link, link.kind == MESH and (link.source, link.target) in bridges)}" for link in topology.links
    )
    return "\n".join([*lines, "}", ""])


def _by_region(topology: Topology) -> dict[str, list[TopologyPeer]]:
    peers = {peer.peer_id: peer for peer in topology.peers}
    return {region: [peers[id] for id in ids] for region, ids in topology.regions.items()}


def _node(peer: TopologyPeer, splits: bool) -> str:
    region = peer.region if peer.monitored else peer.layer
    lines = [peer.short_id, region] if region else [peer.short_id]
    attributes = {"label": shown("\n".join(lines)), "tooltip": shown(_tooltip(peer, splits))}
    if peer.monitored:
        attributes["fillcolor"] = FILLS.get(peer.status, "gray")
    else:
        attributes |= {"style": "dashed", "color": "gray"}
    if attributes.get("fillcolor") in ("green", "red"):
        attributes["fontcolor"] = "white"
    if peer.status == "down":
        attributes["xlabel"] = shown("partitioned" if peer.verdict == "partitioned" else "down")
    if splits:
        attributes["peripheries"] = "2"
    return f"{quoted(peer.peer_id)} [{_listed(attributes)}];"


def _tooltip(peer: TopologyPeer, splits: bool) -> str:
    state = f"{peer.peer_id}: {peer.status if peer.monitored else 'not monitored'}"
    if peer.claimed_by:
        state = f"{peer.peer_id}: claimed by {len(peer.claimed_by)} peers"
    return f"{state}; the network splits if it fails" if splits else state


def _edge(link: MergedLink, is_bridge: bool) -> str:
    color, width = _look(link.rtt_s)
    attributes = {"dir": DIRECTIONS[link.reported_by], "penwidth": width, "tooltip": shown(measured(link))}
    if link.kind == MESH:
        attributes["color"] = color
    else:  # two thin lines beside each other
        attributes["color"] = f'"{color}:white:{color}"'
        attributes["penwidth"] = "1"
    if link.rtt_s is None:
        attributes["style"] = "dashed"
    elif link.estimated:
        attributes["style"] = "dotted"
    if link.confirmed == "contradicted":
        attributes["style"], attributes["color"] = "dotted", "gray"
    words = ["bridge"] * is_bridge + ["relayed"] * bool(link.relayed) + ["unconfirmed"] * (link.confirmed in DOUBTFUL)
    if words:
        attributes["label"] = f'"{", ".join(words)}"'
    return f"{quoted(link.source)} -> {quoted(link.target)} [{_listed(attributes)}];"


def _look(rtt_s: float | None) -> tuple[str, str]:
    if rtt_s is None:
        return "gray", "1"
    if rtt_s < FAST_S:
        return "green", "3"
    return ("orange", "2") if rtt_s < SLOW_S else ("red", "1")


def measured(link: MergedLink) -> str:
    """Describe a link: "mesh, 31.0 ms, 0.5 % lost"."""
    time = "time unknown" if link.rtt_s is None else f"{link.rtt_s * 1000:.1f} ms" + " (estimated)" * link.estimated
    loss = "" if link.loss_ratio is None else f", {link.loss_ratio:.1%} lost"
    return f"{link.layer}, {time}{loss}" + ", relayed" * bool(link.relayed) + CONFIRMED[link.confirmed]


def _listed(attributes: dict[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in attributes.items())


def quoted(text: str) -> str:
    """An identifier. Graphviz shows it in tooltips, where it resolves entities."""
    return f'"{_escaped(text, " ")}"'


def shown(text: str) -> str:
    """A label that Graphviz shows as it is: no escapes like \\N, no entities like &lt;."""
    return f'"{_escaped(text, BREAK)}"'


def _escaped(text: str, line_break: str) -> str:
    text = fit(text).replace("\\", "\\\\").replace("&", "&amp;").replace('"', '\\"')
    return line_break.join(text.splitlines())
