"""Causes that several peers share without any spread among them, and trouble that they do not share at all.

Each draws from the seed how fast and how far it goes, which alerts come late, and which never come.
"""

from __future__ import annotations

from collections import defaultdict
from math import ceil
from random import Random

from peerscope.records.identity import PeerId
from peerscope.sim.causes import Cause
from peerscope.sim.scenario import ScenarioStep
from peerscope.sim.simulator import Simulator
from peerscope.sim.troubles import BUSY, FAILING, FULL, SLOW, TROUBLES, Disturbance, Troubles
from peerscope.sim.truth import Truth

CPU_RATIOS = (0.93, 0.99)
"""Agents of one busy machine measure it at different moments."""
SPREAD_S_MIN = 5.0
LATE_SHARE_MAX = 0.1
LATE_S = 30.0
"""An agent that is itself starved of time may measure so much later."""
LOST_SHARE_MAX = 0.05
"""Peers whose agent never notices."""
ONSET_S = (8.0, 25.0)
"""Seconds until the first that depends on a slow node is slowed down, and until the last begins to be."""
UNRELATED_SHARE = (0.15, 0.5)


class SharedCauses:
    """Begins them on a simulated network, and keeps account of what they cause."""

    def __init__(self, sim: Simulator, truth: Truth, rng: Random, troubles: Troubles) -> None:
        self._sim = sim
        self._truth = truth
        self._rng = rng
        self._troubles = troubles

    def begin(self, step: ScenarioStep) -> None:
        """Carry out one of the steps `busy-host`, `noisy-neighbour`, `slow-dependency` or `unrelated`."""
        match step.do:
            case "busy-host":
                self.busy_host(step, self.machine())
            case "noisy-neighbour":
                self._noisy_neighbour(step)
            case "slow-dependency":
                self._slow_dependency(step)
            case "unrelated":
                self._unrelated(step)
            case _:
                raise AssertionError(f"no shared cause: {step.do}")

    def machine(self) -> list[PeerId]:
        """The peers of some machine on which several run."""
        return self._rng.choice(self._machines())

    def busy_host(self, step: ScenarioStep, peers: list[PeerId]) -> None:
        """One machine of several peers is busy, and their agents notice at different moments."""
        spread_s = self._rng.uniform(SPREAD_S_MIN, step.for_s)
        cause = self._host(peers)
        for peer in peers:
            self._notice(self._rng.uniform(0.0, spread_s), peer, self._busy(), cause)

    def _noisy_neighbour(self, step: ScenarioStep) -> None:
        """On each of two machines one peer takes more than its part, and the others there suffer in several ways.

        The second begins while the first goes on. All agents of a machine may see its processor or memory used up;
        the nodes of some fail messages as well.
        """
        machines = self._machines()
        chosen = self._rng.sample(machines, min(2, len(machines)))
        begins_s = 0.0
        for number, peers in enumerate(chosen):
            used_up = (BUSY, FULL)[(number + self._rng.randrange(2)) % 2]
            cause, spread_s = self._host(peers), self._rng.uniform(SPREAD_S_MIN, step.for_s)
            failing = self._rng.uniform(0.0, 0.5)
            for peer in peers:
                after_s = begins_s + self._rng.uniform(0.0, spread_s)
                self._notice(after_s, peer, self._busy() if used_up is BUSY else FULL, cause)
                if self._rng.random() < failing:
                    self._notice(after_s + self._rng.uniform(0.0, 10.0), peer, FAILING, cause)
            begins_s = self._rng.uniform(0.0, step.for_s / 2)

    def _slow_dependency(self, step: ScenarioStep) -> None:
        """The machine of a node through which others route is busy: then their messages take long, or fail."""
        around = self._dependents()
        root = self._rng.choice(sorted(around, key=lambda peer: (-len(around[peer]), peer))[: max(1, len(around) // 2)])
        cause = self._truth.causes.begin("cascade", root.hex())
        self._troubles.later(0.0, root, self._busy(), cause)
        symptom, share = self._rng.choice((SLOW, FAILING)), self._rng.uniform(0.6, 1.0)
        dependents = sorted(around[root])
        for peer in self._rng.sample(dependents, max(1, ceil(share * len(dependents)))):
            self._notice(self._rng.uniform(*ONSET_S) + self._rng.expovariate(1 / 15.0), peer, symptom, cause)

    def _unrelated(self, step: ScenarioStep) -> None:
        """Peers anywhere have trouble, each of its own kind and for its own reason."""
        running = self._running()
        count = max(2, round(self._rng.uniform(*UNRELATED_SHARE) * len(running)))
        for peer in self._rng.sample(running, min(count, len(running))):
            cause = self._truth.causes.begin("noise", peer.hex())
            trouble = self._rng.choice((*TROUBLES, SLOW))
            self._troubles.later(self._rng.uniform(0.0, step.for_s), peer, trouble, cause)

    def _notice(self, after_s: float, peer: PeerId, trouble: Disturbance, cause: Cause) -> None:
        """The peer's agent notices then, or late, or never."""
        if self._rng.random() < LOST_SHARE_MAX * self._rng.random():
            return
        late = self._rng.random() < LATE_SHARE_MAX * self._rng.random()
        self._troubles.later(after_s + (self._rng.uniform(0.0, LATE_S) if late else 0.0), peer, trouble, cause)

    def _host(self, peers: list[PeerId]) -> Cause:
        """A cause on their machine, by the name that every peer gives that."""
        return self._truth.causes.begin("host", self._sim.snapshot(peers[0]).hosts[peers[0]])

    def _busy(self) -> Disturbance:
        return Disturbance(cpu_ratio=self._rng.uniform(*CPU_RATIOS))

    def _running(self) -> list[PeerId]:
        return [peer.me for peer in self._sim.alive() if peer.me not in self._truth.byzantine]

    def _machines(self) -> list[list[PeerId]]:
        """Peers of each machine on which several run."""
        found: defaultdict[str, list[PeerId]] = defaultdict(list)
        for peer in self._running():
            host = self._sim.nodes[peer].host
            if host is not None:
                found[host].append(peer)
        return [peers for _, peers in sorted(found.items()) if len(peers) > 1]

    def _dependents(self) -> dict[PeerId, set[PeerId]]:
        """For each router, the peers whose nodes route through its node."""
        by_node = {self._sim.nodes[peer].node_id: peer for peer in self._running()}
        found: defaultdict[PeerId, set[PeerId]] = defaultdict(set)
        for peer in self._running():
            for node in self._sim.nodes[peer].routes_through:
                router = by_node.get(node)
                if router is not None:
                    found[router].add(peer)
        return found
