"""The map as SVG 1.1 with a legend, for browsers and documents.

Colours are attributes, not a style sheet: the content security policy of our pages forbids inline styles.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from math import atan2, cos, degrees, hypot, sin
from statistics import median

from peerscope.views.dot import measured
from peerscope.views.layout import Frame, Island, Layout, Pair, Point, lay_out
from peerscope.views.legend import (
    BANDS,
    DOUBTED_DASH,
    INK,
    LAND,
    LINE,
    LOST,
    MARKS,
    MONO,
    MUTED,
    RELAYED_DASH,
    SANS,
    SEA,
    band,
    legend,
    mark_of,
    ring,
)
from peerscope.views.links import MESH, MergedLink
from peerscope.views.sanitize import clipped, one_line
from peerscope.views.topology import Topology, TopologyPeer

WIDTH, HEIGHT = 1600, 1200
DISTANCES_MAX = 12
"""Most times between regions on the map, the slowest first."""
MAP = Frame(1220.0, 1140.0)
MARGIN = 30
PANEL_X = 1290
LABELLED_MAX = 320
"""With more peers, only those that need attention have names."""
NAMED_MAX = 40
"""With more peers, names have six digits instead of ten."""
SPACING_LABELLED_MIN = 44.0
"""From this spacing on, names fit inside a disc."""
TITLED_MAX = 1_200
"""With more links, these have no tooltips, which would double the file."""


def to_svg(topology: Topology) -> str:
    """Draw the whole map and its legend, 1600 x 1200."""
    peers = {peer.peer_id: peer for peer in topology.peers}
    groups = islands_of(topology)
    is_labelled = len(peers) <= LABELLED_MAX
    digits = 10 if len(peers) <= NAMED_MAX else 6
    frame = Frame(MAP.width, MAP.height, (digits * 7.2 + 14) if is_labelled else 0.0, MAP.title)
    pairs = [(link.source, link.target) for link in topology.links]
    layout = lay_out(groups, pairs, between(topology, groups), frame)
    radius = max(2.2, min(12.0, layout.spacing * 0.3))
    drawing = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="{escape(SANS)}" fill="{INK}">',
        f"<title>peerscope: {len(peers)} peers, {len(topology.links)} links</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{SEA}"/>',
        *_shapes(radius),
        f'<g transform="translate({MARGIN} {MARGIN})">',
        *_land(layout),
        *_shades(topology, layout, radius),
        *_links(topology, layout),
        *_distances(topology, layout),
        *_peers(topology, layout, radius),
        *_names(topology, layout, radius, digits, is_labelled),
        *_titles(topology, layout),
        "</g>",
        *legend(topology, PANEL_X, HEIGHT - MARGIN),
        "</svg>",
    ]
    return "\n".join(drawing) + "\n"


def islands_of(topology: Topology) -> dict[str, list[str]]:
    """Peers by region, "" for none. An unmonitored node is in the region of most of its neighbours."""
    groups: dict[str, list[str]] = {}
    home: dict[str, str] = {}
    for peer in topology.peers:
        if peer.monitored:
            home[peer.peer_id] = peer.region or ""
    votes: dict[str, Counter[str]] = {}
    for link in topology.links:
        for here, there in ((link.source, link.target), (link.target, link.source)):
            if here not in home and there in home:
                votes.setdefault(here, Counter())[home[there]] += 1
    for peer in topology.peers:
        name = peer.peer_id
        region = home[name] if name in home else max(sorted(votes[name]), key=votes[name].__getitem__)
        groups.setdefault(region, []).append(name)
    return groups


def between(topology: Topology, groups: Mapping[str, Iterable[str]]) -> dict[Pair, float]:
    """Median seconds of the links between each two regions."""
    home = {peer: name for name, members in groups.items() for peer in members}
    found: dict[Pair, list[float]] = {}
    for link in topology.links:
        one, other = sorted((home[link.source], home[link.target]))
        if one != other and link.rtt_s is not None:
            found.setdefault((one, other), []).append(link.rtt_s)
    return {pair: median(times) for pair, times in found.items()}


def _shapes(radius: float) -> Iterator[str]:
    yield "<defs>"
    for name, (path, is_filled, color, width) in MARKS.items():
        look = f'fill="{color}" stroke="{SEA}" stroke-width="{1.4 / radius:.2f}"'
        if not is_filled:
            ground = "none" if name == "down" else SEA
            dash = ' stroke-dasharray=".5 .3"' if name == "unmonitored" else ""
            look = f'fill="{ground}" stroke="{color}" stroke-width="{width}" stroke-linecap="round"{dash}'
        yield f'<path id="{name}" d="{path}" transform="scale({radius:.2f})" {look}/>'
    yield "</defs>"


def _land(layout: Layout) -> Iterator[str]:
    for island in layout.islands.values():
        if len(layout.islands) > 1 or island.name:
            x, y = island.center
            far = island.radius + max(10.0, min(24.0, layout.spacing * 0.5))
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{far:.1f}" fill="{LAND}" stroke="{LINE}"/>'


def _shades(topology: Topology, layout: Layout, radius: float) -> Iterator[str]:
    for group in topology.partitions:
        far = max(radius * 2.2, min(layout.spacing * 0.75, radius * 4))
        yield f'<g fill="{LOST}" opacity=".18">'
        for x, y in (layout.places[peer] for peer in group):
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{far:.1f}"/>'
        yield "</g>"


def _links(topology: Topology, layout: Layout) -> Iterator[str]:
    """Links by style, the most common ones lowest."""
    size = max(1, len(topology.links))
    width = max(0.7, min(2.4, 7.5 / size**0.27))
    opacity = min(0.85, 3.6 / size**0.36)
    is_titled = size <= TITLED_MAX
    bridges = set(topology.bridges)
    under = [link for link in topology.links if link.kind == MESH and (link.source, link.target) in bridges]
    for color, more in ((INK, 6.0), (SEA, 3.0)):
        yield f'<g fill="none" stroke="{color}" stroke-width="{width + more:.1f}" stroke-linecap="round">'
        yield from (f'<path d="{_course(link, layout)}"/>' for link in under)
        yield "</g>"
    for kind in ("mesh", "overlay"):
        for name, color in (("unknown", BANDS["unknown"]), *((n, c) for n, c in BANDS.items() if n != "unknown")):
            for estimated in (True, False):
                chosen = [x for x in topology.links if (x.kind, band(x.rtt_s), x.estimated) == (kind, name, estimated)]
                if not chosen:
                    continue
                dash = ' stroke-dasharray="6 5"' if name == "unknown" else ' stroke-dasharray="1 4"' * estimated
                thick = width * (1 if kind == "mesh" else 2) + (1.8 if kind == "overlay" else 0)
                yield (
                    f'<g fill="none" stroke="{color}" stroke-width="{thick:.2f}" '
                    f'stroke-opacity="{opacity if kind == "mesh" else 0.9:.2f}" stroke-linecap="round"{dash}>'
                )
                for link in chosen:
                    title = f"<title>{_link_title(link)}</title>" if is_titled else ""
                    how = RELAYED_DASH if link.relayed else DOUBTED_DASH if link.confirmed == "contradicted" else ""
                    yield f'<path d="{_course(link, layout)}"{how}' + (f">{title}</path>" if title else "/>")
                yield "</g>"
                if kind == "overlay":  # a white core makes two lines of one
                    yield f'<g fill="none" stroke="{SEA}" stroke-width="{width:.2f}">'
                    yield from (f'<path d="{_course(link, layout)}"/>' for link in chosen)
                    yield "</g>"


def _course(link: MergedLink, layout: Layout) -> str:
    """A path inside an island bends to its middle; between islands it follows the common bundle."""
    (ax, ay), (bx, by) = layout.places[link.source], layout.places[link.target]
    here, there = layout.home[link.source], layout.home[link.target]
    if here == there:
        (cx, cy), pull = layout.islands[here].center, 0.3 if layout.islands[here].is_ring else 0.1
        mx, my = (ax + bx) / 2, (ay + by) / 2
        return f"M{ax:.1f} {ay:.1f}Q{mx + (cx - mx) * pull:.1f} {my + (cy - my) * pull:.1f} {bx:.1f} {by:.1f}"
    first, second = _way(layout, here, there)
    first = _aside(first, (ax, ay), layout.islands[here].center)
    second = _aside(second, (bx, by), layout.islands[there].center)
    return f"M{ax:.1f} {ay:.1f}C{first[0]:.1f} {first[1]:.1f} {second[0]:.1f} {second[1]:.1f} {bx:.1f} {by:.1f}"


def _way(layout: Layout, here: str, there: str) -> tuple[Point, Point]:
    """Control points that bundle all links between two islands, a little towards the middle of the map."""
    (ax, ay), (bx, by) = layout.islands[here].center, layout.islands[there].center
    mx = (ax + bx) / 2 + 0.25 * (layout.middle[0] - (ax + bx) / 2)
    my = (ay + by) / 2 + 0.25 * (layout.middle[1] - (ay + by) / 2)
    return (ax + (mx - ax) * 0.8, ay + (my - ay) * 0.8), (bx + (mx - bx) * 0.8, by + (my - by) * 0.8)


def _aside(point: Point, place: Point, center: Point) -> Point:
    """Give a bundle some width, so that single links stay visible."""
    return point[0] + 0.1 * (place[0] - center[0]), point[1] + 0.1 * (place[1] - center[1])


def _distances(topology: Topology, layout: Layout) -> Iterator[str]:
    """Median times between regions, on the bundles between them, if there is space."""
    taken = [(x, y - 6) for x, y in (_title_place(island, layout) for island in layout.islands.values())]
    times = between(topology, _members(layout))
    for (one, other), rtt_s in sorted(times.items(), key=lambda item: (-item[1], item[0]))[:DISTANCES_MAX]:
        (ax, ay), (bx, by) = layout.islands[one].center, layout.islands[other].center
        (px, py), (qx, qy) = _way(layout, one, other)
        for t in (0.5, 0.4, 0.6, 0.3, 0.7):
            a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
            x, y = a * ax + b * px + c * qx + d * bx, a * ay + b * py + c * qy + d * by
            is_clear = all(abs(x - u) > 74 or abs(y - v) > 26 for u, v in taken) and all(
                hypot(x - i.center[0], y - i.center[1]) > i.outer + 14 for i in layout.islands.values()
            )
            if is_clear:
                taken.append((x, y))
                color = BANDS[band(rtt_s)]
                yield (
                    f'<rect x="{x - 33:.1f}" y="{y - 11:.1f}" width="66" height="22" rx="11" fill="{SEA}" '
                    f'stroke="{color}" stroke-width="1.5"/>'
                    f'<text x="{x:.1f}" y="{y + 4.5:.1f}" font-size="12.5" text-anchor="middle">{_time(rtt_s)}</text>'
                )
                break


def _peers(topology: Topology, layout: Layout, radius: float) -> Iterator[str]:
    splitting = set(topology.articulation_peers)
    for peer in topology.peers:
        x, y = layout.places[peer.peer_id]
        if peer.peer_id in splitting:
            yield ring(x, y, radius * 1.75, INK, max(1.6, radius * 0.28))
        if peer.verdict == "suspect":
            yield ring(x, y, radius * 1.5, "#a86a00", max(1.2, radius * 0.22), ' stroke-dasharray="3 2.6"')
        title = f"<title>{_peer_title(peer, peer.peer_id in splitting)}</title>"
        yield f'<use href="#{mark_of(peer)}" x="{x:.1f}" y="{y:.1f}">{title}</use>'


def _names(topology: Topology, layout: Layout, radius: float, digits: int, is_labelled: bool) -> Iterator[str]:
    """Short ids: around rings for all peers, elsewhere for those that need attention."""
    splitting = set(topology.articulation_peers)
    size = max(8.5, min(12.0, layout.spacing * 0.5))
    yield f'<g font-family="{escape(MONO)}" font-size="{size:.1f}" fill="{MUTED}" {_halo()}>'
    for peer in topology.peers:
        island = layout.islands[layout.home[peer.peer_id]]
        is_notable = peer.peer_id in splitting or peer.status in ("unhealthy", "down")
        x, y = layout.places[peer.peer_id]
        weight = f' font-weight="bold" fill="{INK}"' if is_notable else ""
        text = escape(clipped(peer.short_id, 10)[:digits])
        if is_labelled and island.is_ring:
            angle = _outward(layout, island, (x, y))
            far = radius * 1.3 + 5 + (radius * 0.7 if peer.peer_id in splitting else 0)
            x, y = x + far * cos(angle), y + far * sin(angle)
            turn, anchor = degrees(angle), "start"
            if abs(turn) > 90:
                turn, anchor = turn - 180, "end"
            where = f'transform="translate({x:.1f} {y:.1f}) rotate({turn:.1f})"'
            yield f'<text {where} dy=".35em" text-anchor="{anchor}"{weight}>{text}</text>'
        elif is_labelled and layout.spacing >= SPACING_LABELLED_MIN:
            yield f'<text x="{x:.1f}" y="{y + radius + 9:.1f}" dy=".35em" text-anchor="middle"{weight}>{text}</text>'
        elif is_notable:
            yield f'<text x="{x + radius * 1.9:.1f}" y="{y:.1f}" dy=".35em"{weight}>{text}</text>'
    yield "</g>"


def _outward(layout: Layout, island: Island, place: Point) -> float:
    """Angle away from the middle of the island, or of the map for a lone peer."""
    center = island.center if island.radius else layout.middle
    if place == center:
        return 0.0
    return atan2(place[1] - center[1], place[0] - center[0])


def _titles(topology: Topology, layout: Layout) -> Iterator[str]:
    sizes = Counter(layout.home[peer.peer_id] for peer in topology.peers if peer.monitored)
    for name, island in layout.islands.items():
        if len(layout.islands) == 1 and not name:
            continue
        x, y = _title_place(island, layout)
        shown = escape(clipped(name, 26)) if name else "no region"
        yield (
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="17" font-weight="600" text-anchor="middle" '
            f'{_halo(4)}>{shown}<tspan font-size="13" font-weight="400" fill="{MUTED}" dx="7">{sizes[name]}'
            "</tspan></text>"
        )


def _title_place(island: Island, layout: Layout) -> Point:
    """Above the island, or below it in the lower half of the map."""
    x, y = island.center
    return x, (y + island.outer + 22 if y > layout.middle[1] + 1 else y - island.outer - 8)


def _members(layout: Layout) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for peer, name in layout.home.items():
        groups.setdefault(name, []).append(peer)
    return groups


def _peer_title(peer: TopologyPeer, splits: bool) -> str:
    parts = [one_line(peer.peer_id), one_line(peer.region) if peer.region else "no region", peer.status]
    if not peer.monitored:
        parts = [one_line(peer.peer_id), f"seen only as a neighbour in {one_line(peer.layer)}"]
        if peer.claimed_by:
            parts[1] = f"{len(peer.claimed_by)} peers claim this node of {one_line(peer.layer)}"
    if peer.verdict not in (None, "alive", peer.status):
        parts.append(str(peer.verdict))
    if splits:
        parts.append("the mesh splits without it")
    return escape("; ".join(parts))


def _link_title(link: MergedLink) -> str:
    return escape(f"{one_line(link.source)[:10]} – {one_line(link.target)[:10]}: {one_line(measured(link))}")


def _halo(width: float = 3) -> str:
    return f'stroke="{SEA}" stroke-width="{width}" stroke-linejoin="round" paint-order="stroke"'


def _time(rtt_s: float) -> str:
    ms = rtt_s * 1000
    return f"{ms:.1f} ms" if ms < 10 else f"{ms:.0f} ms"
