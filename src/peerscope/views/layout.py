"""Where peers stand on the drawn map: islands on a circle, one a region.

The mesh is an expander: everybody is a few hops from everybody, and a layout by forces makes one ball of it. Regions
are what operators think in, so they are the shape of the picture. Each region is an island; islands stand on a circle,
near ones by latency next to each other, as large as they fit. Peers of an island stand on a ring, or fill a disc where
they are many (Vogel 1979, "A better way to construct the sunflower head"), each on the side that its links lead to.

The same input gives the same picture.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from math import asin, atan2, ceil, cos, hypot, inf, pi, sin, sqrt

from msgspec import Struct

RING_MAX = 64
"""Peers of one island that stand on a ring; more fill a disc."""
SPACING_MAX = 200.0
SPACING_MIN = 3.0
GAP = 24.0
"""Around the peers that are farthest out, and between islands: room for glyphs."""
GOLDEN_ANGLE = pi * (3 - sqrt(5))

Point = tuple[float, float]
Pair = tuple[str, str]


class Island(Struct, frozen=True):
    """One region on the map; lengths are those of the frame."""

    name: str
    center: Point
    radius: float
    """To the peers that are farthest out."""
    outer: float
    """With their labels."""
    is_ring: bool


class Layout(Struct, frozen=True):
    """Everybody's place in the frame."""

    islands: dict[str, Island]
    places: dict[str, Point]
    home: dict[str, str]
    """The island of each peer."""
    middle: Point
    spacing: float
    """Between neighbours on a ring, about."""


class Frame(Struct, frozen=True):
    """The room there is, and what stands around each island."""

    width: float
    height: float
    label: float = 0.0
    """Length of the labels outside of rings."""
    title: float = 30.0
    """Height of the name above or below an island."""


def lay_out(
    groups: Mapping[str, Collection[str]], links: Sequence[Pair], near_s: Mapping[Pair, float], frame: Frame
) -> Layout:
    """`groups`: peers by region. `near_s`: seconds between two regions, by their names in order, where known."""
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
    """Regions in an order that puts near ones next to each other: from the first by name, always to the nearest."""
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
    """All peers, depth first along the links: who is linked comes soon after."""
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
    """The greatest spacing whose islands fit into the frame, and the radius of the circle they stand on."""
    spacing = SPACING_MAX
    while True:
        around = _circle([_outer(size, spacing, frame) + GAP for size in sizes])
        _, (left, top, right, bottom) = _centers(sizes, spacing, around, frame)
        if (right - left <= frame.width and bottom - top <= frame.height) or spacing < SPACING_MIN:
            return spacing, around
        spacing *= 0.97


def _circle(radii: Sequence[float]) -> float:
    """The smallest circle on which islands of these radii stand without touching."""
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
    """Centres of the islands around (0, 0), and the box that holds all with their names."""
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
    """The members of each island, by the direction in which their links leave it, from one side to the other."""
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
        # Who has no link across stands on the far side, half of them to the left and half to the right.
        turn = _turn(atan2(y, x), inward) if hypot(x, y) > 1e-6 else (pi if place % 2 else -pi)
        members[home[peer]].append((turn, peer))
    return {name: [peer for _, peer in sorted(found, key=lambda one: one[0])] for name, found in members.items()}


def _slots(island: Island, size: int, spacing: float, inward: float) -> list[Point]:
    """Places on an island, in the order of `_by_direction`."""
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
    """An angle as seen by somebody who looks forward, -pi to pi."""
    turned = angle - forward
    return turned - 2 * pi * ceil((turned - pi) / (2 * pi))
