"""Positions of peers on the drawn map: one island per region, on a circle.

The mesh is an expander: all peers are a few hops apart, and a layout by forces makes one ball of it. Operators think in
regions, so regions shape the picture. Islands with low latency between them are neighbours, and all are as large as
fits. Peers of an island form a ring. Many fill a disc (Vogel 1979, "A better way to construct the sunflower head").
Each peer is on the side that its links lead to. Equal input gives equal pictures.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from math import asin, atan2, ceil, cos, hypot, inf, pi, sin, sqrt

from msgspec import Struct

RING_MAX = 64
"""Most peers on a ring; more fill a disc."""
SPACING_MAX = 200.0
SPACING_MIN = 3.0
GAP = 24.0
"""Space for glyphs around the outermost peers, and between islands."""
GOLDEN_ANGLE = pi * (3 - sqrt(5))

Point = tuple[float, float]
Pair = tuple[str, str]


class Island(Struct, frozen=True):
    """One region on the map. Lengths are in units of the frame."""

    name: str
    center: Point
    radius: float
    """Distance of the outermost peers from the center."""
    outer: float
    """The same with their labels."""
    is_ring: bool


class Layout(Struct, frozen=True):
    """Positions of all peers in the frame."""

    islands: dict[str, Island]
    places: dict[str, Point]
    home: dict[str, str]
    """The island of each peer."""
    middle: Point
    spacing: float
    """Approximate distance of neighbours on a ring."""


class Frame(Struct, frozen=True):
    """The available space, and margins of each island."""

    width: float
    height: float
    label: float = 0.0
    """Length of the labels outside of rings."""
    title: float = 30.0
    """Height of the name above or below an island."""


def lay_out(
    groups: Mapping[str, Collection[str]], links: Sequence[Pair], near_s: Mapping[Pair, float], frame: Frame
) -> Layout:
    """`groups`: peers by region. `near_s`: seconds between two regions, by their sorted names, if known."""
    names = in_a_circle(groups, near_s)
    sizes = [len(groups[name]) for name in names]
    spacing, ways = _fitting(sizes, frame)
    centers, (left, top, right, bottom) = _centers(sizes, spacing, ways, frame)
    shift = ((frame.width - left - right) / 2, (frame.height - top - bottom) / 2)
    islands = {
        name: Island(
            name,
            (x + shift[0], y + shift[1]),
            _radius(size, spacing),
            _outer(size, spacing, frame),
            size <= RING_MAX,
        )
        for name, size, (x, y) in zip(names, sizes, centers, strict=True)
    }
    home = {peer: name for name in names for peer in groups[name]}
    places: dict[str, Point] = {}
    for name, members in _by_direction(islands, home, links, shift).items():
        inward = _direction(islands[name].center, shift)
        places.update(zip(members, _slots(islands[name], len(members), spacing, inward), strict=True))
    return Layout(islands, places, home, shift, spacing)


def in_a_circle(groups: Iterable[str], near_s: Mapping[Pair, float]) -> list[str]:
    """Order regions so that near ones are neighbours: from the first by name, always to the nearest."""
    left = sorted(groups)
    found = left[:1]
    del left[:1]
    while left:
        here = found[-1]
        nearest = min(left, key=lambda name: (near_s.get((min(here, name), max(here, name)), inf), name))
        left.remove(nearest)
        found.append(nearest)
    return found


def walk(peers: Iterable[str], links: Iterable[Pair]) -> list[str]:
    """Order peers depth first along the links, so that linked ones are close."""
    around: dict[str, list[str]] = {peer: [] for peer in sorted(peers)}
    for one, other in links:
        around[one].append(other)
        around[other].append(one)
    found: dict[str, None] = {}
    for start in around:
        stack = [start]
        while stack:
            peer = stack.pop()
            if peer not in found:
                found[peer] = None
                stack += sorted(around[peer], reverse=True)
    return list(found)


def _radius(size: int, spacing: float) -> float:
    if size == 1:
        return 0.0
    return max(0.7 * spacing, size * spacing / (2 * pi)) if size <= RING_MAX else 0.56 * spacing * sqrt(size)


def _outer(size: int, spacing: float, frame: Frame) -> float:
    edge = min(0.5 * spacing, GAP)
    return _radius(size, spacing) + (max(edge, frame.label) if size <= RING_MAX else edge)


def _fitting(sizes: Sequence[int], frame: Frame) -> tuple[float, float]:
    """The greatest spacing whose islands fit into the frame, and the radius of their circle."""
    spacing = SPACING_MAX
    while True:
        around = _circle([_outer(size, spacing, frame) + GAP for size in sizes])
        _, (left, top, right, bottom) = _centers(sizes, spacing, around, frame)
        if (right - left <= frame.width and bottom - top <= frame.height) or spacing < SPACING_MIN:
            return spacing, around
        spacing *= 0.97


def _circle(radii: Sequence[float]) -> float:
    """Radius of the smallest circle that has space for islands of these radii."""
    if len(radii) < 2:
        return 0.0
    low, high = max(radii), sum(radii)
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if sum(asin(radius / middle) for radius in radii) <= pi else (middle, high)
    return high


def _centers(
    sizes: Sequence[int], spacing: float, around: float, frame: Frame
) -> tuple[list[Point], tuple[float, float, float, float]]:
    """Centres of the islands around (0, 0), and the box around all with their names."""
    outers = [_outer(size, spacing, frame) for size in sizes]
    shares = [asin(min(1.0, (outer + GAP) / around)) if around else pi for outer in outers]
    slack = 2 * (pi - sum(shares)) / max(1, len(sizes))
    angle = pi if len(sizes) == 2 else -pi / 2
    centers = []
    for place, share in enumerate(shares):
        angle += share + slack if place else 0.0
        centers.append((around * cos(angle), around * sin(angle)))
        angle += share
    if not centers:
        return [], (0.0, 0.0, 0.0, 0.0)
    lefts, tops, rights, bottoms = zip(
        *((x - o, y - o - frame.title, x + o, y + o + frame.title) for (x, y), o in zip(centers, outers, strict=True)),
        strict=True,
    )
    return centers, (min(lefts), min(tops), max(rights), max(bottoms))


def _by_direction(
    islands: Mapping[str, Island], home: Mapping[str, str], links: Sequence[Pair], middle: Point
) -> dict[str, list[str]]:
    """The members of each island, ordered by the direction in which their links leave it."""
    pull: dict[str, list[float]] = {peer: [0.0, 0.0] for peer in home}
    for one, other in links:
        for here, there in ((one, other), (other, one)):
            if home[here] != home[there]:
                angle = _direction(islands[home[here]].center, islands[home[there]].center)
                pull[here][0] += cos(angle)
                pull[here][1] += sin(angle)
    members: dict[str, list[tuple[float, str]]] = {name: [] for name in islands}
    for place, peer in enumerate(walk(home, links)):
        island, (x, y) = islands[home[peer]], pull[peer]
        inward = _direction(island.center, middle)
        # Peers without a link to other islands are on the far side, half of them left and half right.
        turn = _turn(atan2(y, x), inward) if hypot(x, y) > 1e-6 else (pi if place % 2 else -pi)
        members[home[peer]].append((turn, peer))
    return {name: [peer for _, peer in sorted(found, key=lambda one: one[0])] for name, found in members.items()}


def _slots(island: Island, size: int, spacing: float, inward: float) -> list[Point]:
    """Positions on an island, in the order of `_by_direction`."""
    x, y = island.center
    if size == 1:
        return [island.center]
    if island.is_ring:
        turns = ((number + 0.5) / size * 2 * pi - pi + inward for number in range(size))
        return [(x + island.radius * cos(turn), y + island.radius * sin(turn)) for turn in turns]
    spots = [(0.56 * spacing * sqrt(number + 0.5), number * GOLDEN_ANGLE) for number in range(size)]
    spots.sort(key=lambda spot: _turn(spot[1], inward))
    return [(x + far * cos(angle), y + far * sin(angle)) for far, angle in spots]


def _direction(here: Point, there: Point) -> float:
    return atan2(there[1] - here[1], there[0] - here[0])


def _turn(angle: float, forward: float) -> float:
    """The angle relative to `forward`, -pi to pi."""
    turned = angle - forward
    return turned - 2 * pi * ceil((turned - pi) / (2 * pi))
