"""How far the estimates of coordinates are from the true round-trip times, over random pairs of peers."""

from __future__ import annotations

from math import ceil
from random import Random
from statistics import median

from msgspec import Struct

from peerscope.mesh.coordinates import estimate_s
from peerscope.sim.simulator import Simulator
from peerscope.sim.truth import Truth
from peerscope.sim.world import World

PAIRS = 5_000


class CoordinateError(Struct, frozen=True):
    """Of |estimated - true| / true."""

    median: float
    p90: float


def coordinate_error(sim: Simulator, world: World, truth: Truth, rng: Random) -> CoordinateError | None:
    """Over so many random pairs of honest peers that run and have a place now; None where there is no pair.

    Most pairs of a large network never measured each other; those that did are not left out.
    """
    honest = [peer for peer in sim.alive() if peer.me not in truth.byzantine]
    placed = [(sim.nodes[peer.me], place) for peer in honest if (place := peer.coordinates.current())]
    if len(placed) < 2:
        return None
    errors: list[float] = []
    for _ in range(PAIRS):
        (one, here), (other, there) = rng.sample(placed, 2)
        estimated_s, true_s = estimate_s(here, there), world.rtt_s(one, other)
        if estimated_s is not None:
            errors.append(abs(estimated_s - true_s) / true_s)
    errors.sort()
    if not errors:
        return None
    return CoordinateError(round(median(errors), 4), round(errors[ceil(0.9 * len(errors)) - 1], 4))
