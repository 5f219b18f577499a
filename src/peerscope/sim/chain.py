"""A chain of blocks that the nodes beside simulated peers follow: all at its top, some so many blocks behind."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from peerscope.mesh.detection.checks import judge
from peerscope.mesh.events import Measured
from peerscope.records.identity import PeerId
from peerscope.records.measures import Measure, ReportedNode
from peerscope.sim.measured import TYPICAL
from peerscope.sim.simulator import Simulator

MEASURED_EVERY_S = 5.0
FIRST_BLOCK = 900_000


class Chain:
    """Measures the block height of every node from here on."""

    def __init__(self, sim: Simulator, block_s: float) -> None:
        """`block_s`: time between two blocks."""
        self._sim = sim
        self._block_s = block_s
        self._began_at = sim.now
        self._behind: dict[PeerId, int] = {}
        """How many blocks each node is behind the top."""
        self._claims: dict[PeerId, int] = {}
        """Heights that some nodes claim, whatever they have."""
        self._look()

    def claim(self, peer: PeerId, height: int) -> None:
        """The node of this peer claims that height from here on."""
        self._claims[peer] = height

    def fall_behind(self, peers: Iterable[PeerId], blocks: int) -> None:
        """The nodes of these peers are so many blocks behind from here on."""
        self._behind.update(dict.fromkeys(peers, blocks))

    def height(self, peer: PeerId) -> int:
        """The height that one node states."""
        if peer in self._claims:
            return self._claims[peer]
        grown = (self._sim.now - self._began_at) // self._block_s
        return FIRST_BLOCK + int(grown) - self._behind.get(peer, 0)

    def _look(self) -> None:
        for peer in self._sim.alive():
            self._sim.feed(peer.me, self._measured(peer.me))
        self._sim.at(self._sim.now + MEASURED_EVERY_S, self._look)

    def _measured(self, peer: PeerId) -> Measured:
        health = self._sim.config.health
        good, intact = judge(0.1, health.cpu, ""), judge(0.0, health.network, "")
        measures = (Measure("block_height", self.height(peer), "blocks"),)
        metrics = replace(TYPICAL, node=ReportedNode(measures=measures))
        return Measured((good, good, good, intact), metrics, good)
