"""A latency matrix with the shape of the real one: ten regions of the world, access lines, detours and jitter.

Round-trip times between regions are those that public clouds measure between theirs, rounded. They fit no flat space:
cables run around continents, so that Africa is nearer to India through Europe than the map says. Pairs of
peers differ too: by each peer's access line, and by each pair's own detour or shortcut. The latter breaks the triangle
inequality as real routing does. Both follow from the seed and stay; only the jitter is drawn for each message.
"""

from __future__ import annotations

from random import Random

from peerscope.sim.node import Machine

REGIONS = (
    "us-east",
    "us-west",
    "sa-east",
    "eu-west",
    "eu-central",
    "af-south",
    "ap-south",
    "ap-southeast",
    "ap-northeast",
    "oceania",
)
RTT_MS = (
    (4,),
    (65, 4),
    (115, 175, 4),
    (75, 130, 180, 4),
    (90, 145, 205, 25, 4),
    (230, 285, 340, 160, 155, 4),
    (190, 220, 300, 125, 115, 255, 4),
    (220, 165, 325, 175, 160, 310, 60, 4),
    (155, 100, 260, 205, 225, 360, 125, 70, 4),
    (200, 140, 310, 255, 250, 400, 150, 95, 105, 4),
)
"""Round trips between regions, in the order of `REGIONS`: the lower half of a symmetric matrix."""
ACCESS_MS = (0.5, 3.0, 15.0)
"""Shortest, median and longest round trip over an access line; spread as a logarithmic normal distribution."""
ACCESS_SIGMA = 0.8
DETOUR = 0.08
"""The backbone of each pair is up to this share longer or shorter than that of its regions."""
JITTER = 0.02
"""Mean share by which a message is late, exponentially distributed."""


class World:
    """The true latencies of one seed's world. A node stands in the region it names."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._access_s: dict[int, float] = {}
        self._rtt_s: dict[tuple[int, int], float] = {}

    def __call__(self, one: Machine, other: Machine, rng: Random) -> float:
        """One-way seconds for one message."""
        return self.rtt_s(one, other) / 2 * (1 + rng.expovariate(1 / JITTER))

    def rtt_s(self, one: Machine, other: Machine) -> float:
        """The true round-trip seconds of a pair, without jitter; the same both ways."""
        if one.index > other.index:
            one, other = other, one
        pair = (one.index, other.index)
        if pair not in self._rtt_s:
            detour = Random(f"{self._seed} pair {pair}").uniform(1 - DETOUR, 1 + DETOUR)
            self._rtt_s[pair] = _backbone_s(one, other) * detour + self._access(one) + self._access(other)
        return self._rtt_s[pair]

    def _access(self, node: Machine) -> float:
        if node.index not in self._access_s:
            shortest, typical, longest = ACCESS_MS
            drawn = typical * Random(f"{self._seed} access {node.index}").lognormvariate(0.0, ACCESS_SIGMA)
            self._access_s[node.index] = min(max(drawn, shortest), longest) / 1000
        return self._access_s[node.index]


def _backbone_s(one: Machine, other: Machine) -> float:
    row, column = REGIONS.index(one.region), REGIONS.index(other.region)
    return RTT_MS[max(row, column)][min(row, column)] / 1000
