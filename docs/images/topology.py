"""Draws docs/images/topology.svg: what one of 48 simulated peers in four regions sees after two of them died.

.venv/bin/python docs/images/topology.py
"""

from pathlib import Path
from random import Random

from peerscope.sim.node import Machine
from peerscope.sim.simulator import Simulator
from peerscope.views.svg import to_svg
from peerscope.views.topology import Topology, topology

PLACES = {"eu-west": (0, 0), "eu-north": (14, 10), "us-east": (38, -4), "ap-south": (-30, 70)}
"""Regions on a plane whose unit is a millisecond one way."""


def latency(one: Machine, other: Machine, rng: Random) -> float:
    """One-way seconds: the distance, with some play, and two milliseconds for access."""
    (x, y), (u, v) = PLACES[one.region], PLACES[other.region]
    distance_ms: float = ((x - u) ** 2 + (y - v) ** 2) ** 0.5
    return (distance_ms * rng.uniform(0.9, 1.2) + rng.uniform(2, 4)) / 1000


def example() -> Topology:
    """The map: 30 s to settle, two crashes, and 12 s until everybody knows."""
    sim = Simulator(seed=11, latency=latency, signed=False)
    peers = [sim.add(region) for region, size in zip(PLACES, (18, 9, 14, 7), strict=True) for _ in range(size)]
    for peer in peers:
        sim.start(peer, *peers[:1])
    sim.run_until(30.0)
    for peer in (peers[5], peers[30]):
        sim.crash(peer)
    sim.run_until(42.0)
    return topology(sim.snapshot(peers[0]))


if __name__ == "__main__":
    Path(__file__).with_suffix(".svg").write_text(to_svg(example()), encoding="utf-8")
