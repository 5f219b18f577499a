"""Disasters with a known root, and the everyday trouble around them.

Each draws its own strength from the seed: how fast and how far it goes, whom it spares. So the root has to be found
from what alerts show, and not from knowing this file.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from math import ceil
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from peerscope.records.identity import PeerId
from peerscope.sim.scenario import ScenarioStep
from peerscope.sim.simulator import Simulator
from peerscope.sim.truth import Truth

MEASURED_EVERY_S = 5.0
"""Machines are looked at this often, so trouble is noticed up to so much later."""
REACHED_MIN = 6
"""Peers that a cascade reaches at least; one that dies out is drawn again."""
HIT_MIN = 4
"""Peers of a region or version that can be a disaster."""
TRIES = 50


class Disturbance(Struct, frozen=True):
    """Measurements of a machine that is not well; None where it is."""

    cpu_ratio: float | None = None
    memory_ratio: float | None = None
    error_ratio: float | None = None


WELL = Disturbance()
BUSY = Disturbance(cpu_ratio=0.97)
TROUBLES = (BUSY, Disturbance(memory_ratio=0.96), Disturbance(error_ratio=0.2))


class Disasters:
    """Begins disasters on a simulated network, and writes down what the root of each is."""

    def __init__(self, sim: Simulator, truth: Truth, rng: Random, crash: Callable[[PeerId], None]) -> None:
        self._sim = sim
        self._truth = truth
        self._rng = rng
        self._crash = crash
        self._troubles: dict[PeerId, Disturbance] = {}

    def begin(self, step: ScenarioStep) -> None:
        """Carry out one of the steps `cascade`, `region-outage`, `bad-release` or `noise`."""
        faults = self._sim.network.faults
        self._sim.network.faults = replace(faults, loss=self._rng.uniform(0.0, 0.04))
        match step.do:
            case "cascade":
                self._cascade(step)
            case "region-outage":
                self._outage(step)
            case "bad-release":
                self._release(step)
            case _:
                self._noise(step)

    def _cascade(self, step: ScenarioStep) -> None:
        """One peer's overload spreads to some of its neighbours, from these to theirs, each after its own while."""
        reached: dict[PeerId, float] = {}
        most = max(REACHED_MIN, ceil(step.share * self._sim.running))
        for _ in range(TRIES):
            root = self._rng.choice(self._running())
            reached = self._spread(root, most, step.for_s)
            if len(reached) >= min(REACHED_MIN, most):
                break
        self._truth.root = ("cascade", min(reached, key=lambda peer: reached[peer]).hex())
        for peer, after_s in reached.items():
            self._later(after_s, peer, BUSY)

    def _spread(self, root: PeerId, most: int, for_s: float) -> dict[PeerId, float]:
        """The peers that it reaches, and after how many seconds."""
        catching, mean_s = self._rng.uniform(0.3, 0.7), self._rng.uniform(5.0, 20.0)
        reached: dict[PeerId, float] = {}
        coming = [(0.0, root)]
        while coming and len(reached) < most:
            after_s, peer = heapq.heappop(coming)
            core = self._sim.nodes[peer].peer
            if peer in reached or after_s > for_s or core is None:
                continue
            reached[peer] = after_s
            for other in sorted(core.links.up()):
                if other not in reached and self._rng.random() < catching:
                    heapq.heappush(coming, (after_s + 5.0 + self._rng.expovariate(1 / mean_s), other))
        return reached

    def _outage(self, step: ScenarioStep) -> None:
        """Most of a region dies within a while; or its uplinks do, at once."""
        regions = self._large({peer: self._sim.nodes[peer].region for peer in self._running()})
        region = self._rng.choice(sorted(regions))
        members = regions[region]
        self._truth.root = ("region-outage", region)
        if self._rng.random() < 0.5:
            self._truth.cut(frozenset(members))
            self._sim.cut(set(members), set(self._sim.nodes) - set(members))
            return
        dying = self._rng.sample(members, max(3, ceil(self._rng.uniform(0.65, 1.0) * len(members))))
        for peer in dying:
            self._sim.at(self._sim.now + self._rng.uniform(0.0, step.for_s), lambda peer=peer: self._crash(peer))  # type: ignore[misc]

    def _release(self, step: ScenarioStep) -> None:
        """Peers of one version degrade, each some time after the release."""
        versions = self._large({peer: self._sim.nodes[peer].version for peer in self._running()})
        version = self._rng.choice(sorted(versions))
        trouble = self._rng.choice(TROUBLES)
        self._truth.root = ("version", version)
        members = versions[version]
        for peer in self._rng.sample(members, max(3, ceil(self._rng.uniform(0.6, 0.95) * len(members)))):
            self._later(self._rng.uniform(0.0, step.for_s), peer, trouble)

    def _noise(self, step: ScenarioStep) -> None:
        """Here and there something has a reason of its own."""
        most = max(3, ceil(step.share * self._sim.running))
        for peer in self._rng.sample(self._running(), min(self._rng.randint(2, most), self._sim.running)):
            self._later(self._rng.uniform(0.0, step.for_s), peer, self._rng.choice(TROUBLES))

    def _later(self, after_s: float, peer: PeerId, trouble: Disturbance) -> None:
        """The peer has trouble from then on, and notices when it next looks."""
        at = self._sim.now + after_s + self._rng.uniform(0.0, MEASURED_EVERY_S)
        self._sim.at(at, lambda: self._trouble(peer, trouble))

    def _trouble(self, peer: PeerId, trouble: Disturbance) -> None:
        """It comes on top of what the peer has: a processor does not calm down because messages fail."""
        before = self._troubles.get(peer, WELL)
        trouble = Disturbance(
            trouble.cpu_ratio or before.cpu_ratio,
            trouble.memory_ratio or before.memory_ratio,
            trouble.error_ratio or before.error_ratio,
        )
        self._troubles[peer] = trouble
        if self._sim.nodes[peer].peer is not None:
            self._sim.measure(
                peer, trouble.cpu_ratio, memory_ratio=trouble.memory_ratio, error_ratio=trouble.error_ratio
            )

    def _running(self) -> list[PeerId]:
        return [peer.me for peer in self._sim.alive() if peer.me not in self._truth.byzantine]

    def _large(self, parts: dict[PeerId, str]) -> dict[str, list[PeerId]]:
        """Peers by part, where a part has enough; or else of the largest."""
        sizes = Counter(parts.values())
        enough = min(HIT_MIN, max(sizes.values()))
        return {
            name: [peer for peer in sorted(parts) if parts[peer] == name]
            for name, size in sizes.items()
            if size >= enough
        }
