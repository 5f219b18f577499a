"""Marks and colours of the drawn map, and the legend beside it.

Shapes and colours are those of the dashboard. Every status has both, for readers who cannot distinguish green from red.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from html import escape

from peerscope.views.dot import FAST_S, SLOW_S
from peerscope.views.links import MESH
from peerscope.views.sanitize import clipped
from peerscope.views.topology import Topology, TopologyPeer

INK, MUTED, LINE, SEA, LAND = "#17202c", "#5b6878", "#dce2ea", "#ffffff", "#f1f4f8"
LOST = "#a03795"
WARNING, WARNING_GROUND = "#7a5200", "#fff3d6"
SANS = "system-ui, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif"
MONO = "ui-monospace, 'Cascadia Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"

# Shapes in a box of radius 1, the same as the dashboard's: (path, is filled, colour, width of the line).
MARKS = {
    "healthy": ("M.9 0A.9.9 0 1 1-.9 0A.9.9 0 1 1 .9 0Z", True, "#0b9560", 0.0),
    "degraded": ("M0-1.1L1.1.85H-1.1Z", True, "#bf7600", 0.0),
    "unhealthy": ("M-.85-.85H.85V.85H-.85Z", True, "#d2352b", 0.0),
    "unknown": ("M.7 0A.7.7 0 1 1-.7 0A.7.7 0 1 1 .7 0Z", False, "#6e7b8c", 0.45),
    "down": ("M-.8-.8L.8.8M.8-.8L-.8.8", False, LOST, 0.55),
    "unmonitored": ("M.8 0A.8.8 0 1 1-.8 0A.8.8 0 1 1 .8 0Z", False, "#6e7b8c", 0.18),
}
BANDS = {"fast": "#1d9a69", "medium": "#d98a10", "slow": "#c9302c", "unknown": "#8793a3"}
"""In the order of drawing: slow links lie on top."""
RELAYED_DASH = ' stroke-dasharray="9 4 2 4"'
DOUBTED_DASH = ' stroke-dasharray="1 7"'
WORDS = {"fast": "under 50 ms", "medium": "under 200 ms", "slow": "200 ms or more", "unknown": "not measured"}


def band(rtt_s: float | None) -> str:
    """The key in `BANDS` of a link's colour."""
    if rtt_s is None:
        return "unknown"
    return "fast" if rtt_s < FAST_S else "medium" if rtt_s < SLOW_S else "slow"


def mark_of(peer: TopologyPeer) -> str:
    """The key in `MARKS` of a peer."""
    if not peer.monitored:
        return "unmonitored"
    return peer.status if peer.status in MARKS else "unknown"


def legend(topology: Topology, x: float, height: float) -> Iterator[str]:
    """Draw counts, warnings and the meaning of each mark."""
    y = 62.0
    regions, links = len(topology.regions), len(topology.links)
    monitored = sum(peer.monitored for peer in topology.peers)
    yield f'<g transform="translate({x} 0)" font-size="14">'
    yield f'<text y="{y}" font-size="25" font-weight="600">{_count(monitored, "peer")}</text>'
    yield f'<text y="{y + 24}" fill="{MUTED}">{_count(links, "link")}, {_count(regions, "region")}</text>'
    y += 52
    warnings = _warnings(topology)
    if warnings:
        yield f'<rect x="-14" y="{y}" width="304" height="{len(warnings) * 20 + 20}" rx="6" fill="{WARNING_GROUND}"/>'
        for line in warnings:
            y += 20
            name = line.removeprefix("  ")
            x = 0 if name == line else 14
            yield f'<text x="{x}" y="{y + 5:.0f}" fill="{WARNING}" font-size="13">{escape(name)}</text>'
        y += 38
    statuses = Counter(mark_of(peer) for peer in topology.peers)
    y += 14
    yield _heading(y, "Peers")
    for name, (path, is_filled, color, width) in MARKS.items():
        if not statuses[name] and name == "unmonitored":
            continue
        y += 25
        label = "seen as a neighbour only" if name == "unmonitored" else name
        look = f'fill="{color}"' if is_filled else f'fill="none" stroke="{color}" stroke-width="{width}"'
        dash = ' stroke-dasharray=".5 .3"' if name == "unmonitored" else ""
        yield f'<path d="{path}" transform="translate(8 {y - 5}) scale(8)" {look}{dash} stroke-linecap="round"/>'
        yield _row(y, label, statuses[name])
    if any(peer.verdict == "suspect" for peer in topology.peers):
        y += 25
        yield ring(8, y - 5, 8, "#a86a00", 1.8, ' stroke-dasharray="3 2.6"')
        yield _row(y, "suspect", sum(peer.verdict == "suspect" for peer in topology.peers))
    if topology.articulation_peers:
        y += 25
        yield ring(8, y - 5, 8.5, INK, 2.4)
        yield _row(y, "the mesh splits without it", len(topology.articulation_peers))
    if topology.partitions:
        y += 25
        yield f'<circle cx="8" cy="{y - 5}" r="9" fill="{LOST}" opacity=".18"/>'
        yield _row(y, "lost together", sum(map(len, topology.partitions)))
    y += 42
    yield _heading(y, "Links, round trip")
    bands = Counter(band(link.rtt_s) for link in topology.links)
    for name, color in BANDS.items():
        y += 25
        dash = ' stroke-dasharray="6 5"' if name == "unknown" else ""
        yield _sample(y, color, dash) + _row(y, WORDS[name], bands[name])
    if estimated := sum(link.estimated for link in topology.links):
        y += 25
        yield _sample(y, MUTED, ' stroke-dasharray="1 4"') + _row(y, "estimated", estimated)
    if relayed := sum(bool(link.relayed) for link in topology.links):
        y += 25
        yield _sample(y, MUTED, RELAYED_DASH) + _row(y, "through a relay", relayed)
    if doubted := sum(link.confirmed == "contradicted" for link in topology.links):
        y += 25
        yield _sample(y, MUTED, DOUBTED_DASH) + _row(y, "not listed by its other end", doubted)
    for layer, number in sorted(Counter(x.layer for x in topology.links if x.kind != MESH).items())[:6]:
        y += 25
        yield _sample(y - 2.5, MUTED) + _sample(y + 2.5, MUTED) + _row(y, f"of {clipped(layer, 20)}", number)
    if topology.bridges:
        y += 25
        for color, width in ((INK, 8), (SEA, 5)):
            yield f'<path d="M-2 {y - 5}h22" stroke="{color}" stroke-width="{width}" stroke-linecap="round"/>'
        yield _sample(y, BANDS["fast"]) + _row(y, "the mesh splits without it", len(topology.bridges))
    yield from _region_rows(topology, y + 42, height)
    yield "</g>"


def _region_rows(topology: Topology, y: float, height: float) -> Iterator[str]:
    """Shares of healthy peers by region, as many as there is space for."""
    room = int((height - y) // 25)
    if not topology.regions or room < 3:
        return
    yield _heading(y, "Healthy, by region")
    healthy = {peer.peer_id for peer in topology.peers if peer.status == "healthy"}
    rows = sorted(topology.regions.items(), key=lambda item: (-len(item[1]), item[0]))
    for name, members in rows[: room - 1]:
        y += 25
        yield _row(y, clipped(name, 24), f"{len(healthy.intersection(members))} of {len(members)}", x=0)
    if len(rows) > room - 1:
        yield _row(y + 25, f"and {len(rows) - room + 1} more", "", x=0)


def _warnings(topology: Topology) -> list[str]:
    """Lines about each way in which the network may split."""
    short = {peer.peer_id: peer.short_id for peer in topology.peers}
    lines = []
    if len(topology.components) > 1:
        sizes = [str(len(part)) for part in topology.components[:5]]
        lines.append(
            f"The mesh is in {len(topology.components)} pieces: {', '.join(sizes)}"
            + " ..." * (len(topology.components) > 5)
        )
    if peers := topology.articulation_peers:
        lines.append(
            "The network splits if one of these fails:" if len(peers) > 1 else "The network splits if this peer fails:"
        )
        lines += [f"  {short[peer]}" for peer in peers[:4]]
        lines += [f"  and {len(peers) - 4} more"] * (len(peers) > 4)
    if bridges := topology.bridges:
        lines.append("or if one of these links fails:" if peers else "The network splits if this link fails:")
        lines += [f"  {short[one]} – {short[other]}" for one, other in bridges[:3]]
        lines += [f"  and {len(bridges) - 3} more"] * (len(bridges) > 3)
    return lines


def ring(x: float, y: float, radius: float, color: str, width: float, dash: str = "") -> str:
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="none" stroke="{color}" '
        f'stroke-width="{width:.1f}"{dash}/>'
    )


def _heading(y: float, text: str) -> str:
    return f'<text y="{y}" font-size="15" font-weight="600">{text}</text>'


def _row(y: float, text: str, number: object, x: int = 30) -> str:
    return (
        f'<text x="{x}" y="{y}">{escape(text)}</text>'
        f'<text x="280" y="{y}" text-anchor="end" fill="{MUTED}">{escape(str(number))}</text>'
    )


def _sample(y: float, color: str, dash: str = "") -> str:
    return f'<path d="M-2 {y - 5}h22" stroke="{color}" stroke-width="2.4" stroke-linecap="round"{dash}/>'


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + "s" * (number != 1)
