"""Disasters with a known root, and the everyday trouble around them.

Each draws its own strength from the seed: how fast and how far it goes, whom it spares. So the root has to be found
from what alerts show, and not from knowing this file.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Collection
from math import ceil
from random import Random

from msgspec.structs import replace

from peerscope.records.identity import PeerId
from peerscope.sim.causes import Cause
from peerscope.sim.scenario import ScenarioStep
from peerscope.sim.shared_causes import SharedCauses
from peerscope.sim.simulator import Simulator
from peerscope.sim.troubles import BUSY, TROUBLES, Disturbance, Troubles
from peerscope.sim.truth import Truth

REACHED_MIN = 6
"""Peers that a cascade reaches at least; one that dies out is drawn again."""
HIT_MIN = 4
"""Peers of a region or version that can be a disaster."""
DISASTERS = frozenset(
    {
        "cascade",
        "region-outage",
        "bad-release",
        "busy-host",
        "noisy-neighbour",
        "two-causes",
        "slow-dependency",
        "unrelated",
        "noise",
    }
)
"""Steps that begin one, or several."""
LOSS_MAX = 0.04
"""The seed draws the loss of packets up to this; a greater one of the scenario stays."""
TRIES = 50
SMALL = 20
"""In networks with fewer peers less than two may have trouble of their own."""


class Disasters:
    """Begins disasters on a simulated network, and writes down what the root of each is."""

    def __init__(self, sim: Simulator, truth: Truth, rng: Random, crash: Callable[[PeerId], None]) -> None:
        self._sim = sim
        self._truth = truth
        self._rng = rng
        self._crash = crash
        self._loss = sim.network.faults.loss
        self._causes = truth.causes
        self._troubles = Troubles(sim, truth.causes, rng)
        self._shared = SharedCauses(sim, truth, rng, self._troubles)

    def begin(self, step: ScenarioStep) -> None:
        """Carry out one of the steps `DISASTERS`."""
        faults, loss = self._sim.network.faults, self._rng.uniform(0.0, LOSS_MAX)
        self._sim.network.faults = replace(faults, loss=self._loss if self._loss > LOSS_MAX else loss)
        match step.do:
            case "cascade":
                self._cascade(step)
            case "region-outage":
                self._outage(step)
            case "bad-release":
                self._release(step)
            case "two-causes":
                self._two_causes(step)
            case "noise":
                self._noise(step)
            case _:
                self._shared.begin(step)

    def _cascade(self, step: ScenarioStep) -> None:
        """One peer's overload spreads to some of its neighbours, from these to theirs, each after its own while."""
        reached: dict[PeerId, float] = {}
        most = max(REACHED_MIN, ceil(step.share * self._sim.running))
        for _ in range(TRIES):
            root = self._rng.choice(self._running())
            reached = self._spread(root, most, step.for_s)
            if len(reached) >= min(REACHED_MIN, most):
                break
        cause = self._causes.begin("cascade", min(reached, key=lambda peer: reached[peer]).hex())
        for peer, after_s in reached.items():
            self._troubles.later(after_s, peer, BUSY, cause)

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

    def _outage(self, step: ScenarioStep, spared: Collection[PeerId] = ()) -> None:
        """Most of a region dies within a while; or its uplinks do, at once. A region with few of the spared."""
        regions = self._large({peer: self._sim.nodes[peer].region for peer in self._running()})
        losses = {name: len(set(spared).intersection(peers)) for name, peers in regions.items()}
        region = self._rng.choice(sorted(name for name in regions if losses[name] == min(losses.values())))
        members = regions[region]
        cause = self._causes.begin("region-outage", region)
        if self._rng.random() < 0.5:
            for peer in members:
                self._causes.mark(cause, peer, ("peer-down",))
            self._truth.cut(frozenset(members))
            self._sim.cut(set(members), set(self._sim.nodes) - set(members))
            return
        dying = self._rng.sample(members, min(len(members), max(3, ceil(self._rng.uniform(0.65, 1.0) * len(members)))))
        for peer in dying:
            at = self._sim.now + self._rng.uniform(0.0, step.for_s)
            self._sim.at(at, lambda peer=peer: self._die(peer, cause))  # type: ignore[misc]

    def _die(self, peer: PeerId, cause: Cause) -> None:
        self._causes.mark(cause, peer, ("peer-down",))
        self._crash(peer)

    def _release(self, step: ScenarioStep, without: Disturbance | None = None) -> None:
        """Peers of one version degrade, each some time after the release, but not by the trouble `without`."""
        versions = self._large({peer: self._sim.nodes[peer].version for peer in self._running()})
        version = self._rng.choice(sorted(versions))
        trouble = self._rng.choice([one for one in TROUBLES if one != without])
        cause = self._causes.begin("version", version)
        members = versions[version]
        hit = min(len(members), max(3, ceil(self._rng.uniform(0.6, 0.95) * len(members))))
        for peer in self._rng.sample(members, hit):
            self._troubles.later(self._rng.uniform(0.0, step.for_s), peer, trouble, cause)

    def _two_causes(self, step: ScenarioStep) -> None:
        """Two of different kinds, the second while the first goes on."""
        kinds = self._rng.sample(("busy-host", "region-outage", "bad-release"), 2)
        is_busy = "busy-host" in kinds
        busy = self._shared.machine() if is_busy else []

        def begin(kind: str) -> None:
            match kind:
                case "busy-host":
                    self._shared.busy_host(step, busy)
                case "region-outage":
                    self._outage(step, busy)
                case _:
                    self._release(step, BUSY if is_busy else None)

        begin(kinds[0])
        self._sim.at(self._sim.now + self._rng.uniform(0.0, step.for_s / 3), lambda: begin(kinds[1]))

    def _noise(self, step: ScenarioStep) -> None:
        """Here and there something has a reason of its own."""
        running = self._sim.running
        least, most = (2, max(3, ceil(step.share * running))) if running >= SMALL else (0, max(1, running // 8))
        for peer in self._rng.sample(self._running(), min(self._rng.randint(least, most), running)):
            cause, trouble = self._causes.begin("noise", peer.hex()), self._rng.choice(TROUBLES)
            self._troubles.later(self._rng.uniform(0.0, step.for_s), peer, trouble, cause)

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
