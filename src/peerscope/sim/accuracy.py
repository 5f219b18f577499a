"""How far the estimates of coordinates are from the true round-trip times, over random pairs of peers."""

from __future__ import annotations

from math import ceil
from random import Random
from statistics import median

from msgspec import Struct

from peerscope.mesh.coordinates.vivaldi import estimate_s
from peerscope.mesh.peer import Peer
from peerscope.records.bodies import Coordinate
from peerscope.sim.node import Machine
from peerscope.sim.simulator import Simulator
from peerscope.sim.truth import Truth
from peerscope.sim.world import World

PAIRS = 5_000


class CoordinateError(Struct, frozen=True):
    """Quantiles of |estimated - true| / true."""

    median: float
    p90: float


Places = list[tuple[Machine, Coordinate]]


def own_places(sim: Simulator, truth: Truth) -> Places:
    """Where the honest running peers themselves think they are now."""
    honest = [peer for peer in sim.alive() if peer.me not in truth.byzantine]
    return [(sim.nodes[peer.me], place) for peer in honest if (place := peer.coordinates.current())]


def seen_places(sim: Simulator, observer: Peer) -> Places:
    """Where they are by the newest reports that one peer holds."""
    reports = ((peer, observer.ledger.report(peer)) for peer in sorted(observer.ledger))
    return [(sim.nodes[peer], report.coordinate) for peer, report in reports if report and report.coordinate]


def coordinate_error(places: Places, world: World, rng: Random) -> CoordinateError | None:
    """Over `PAIRS` random pairs, also those that measured each other, which are few; None without any pair."""
    errors: list[float] = []
    for _ in range(PAIRS if len(places) > 1 else 0):
        (one, here), (other, there) = rng.sample(places, 2)
        estimated_s, true_s = estimate_s(here, there), world.rtt_s(one, other)
        if estimated_s is not None:
            errors.append(abs(estimated_s - true_s) / true_s)
    errors.sort()
    if not errors:
        return None
    return CoordinateError(round(median(errors), 4), round(errors[ceil(0.9 * len(errors)) - 1], 4))
