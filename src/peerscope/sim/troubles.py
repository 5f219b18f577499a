"""Troubles of simulated machines: what an agent measures there from some moment on, and until the end."""

from __future__ import annotations

from random import Random

from msgspec import Struct

from peerscope.alerts.own_signals import OwnFacts
from peerscope.records.identity import PeerId
from peerscope.sim.causes import Cause, Causes
from peerscope.sim.simulator import Simulator

MEASURED_EVERY_S = 5.0
"""Machines are looked at this often, so trouble is noticed up to so much later."""


class Disturbance(Struct, frozen=True):
    """Measurements of a machine that is not well; None where it is."""

    cpu_ratio: float | None = None
    memory_ratio: float | None = None
    error_ratio: float | None = None
    route_s: float | None = None
    """95th percentile of the latency of one route."""

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules that it makes fire."""
        measured = (self.cpu_ratio, self.memory_ratio, self.error_ratio, self.route_s)
        return tuple(rule for rule, value in zip(RULES, measured, strict=True) if value is not None)


RULES = ("cpu-high", "memory-high", "error-ratio", "route-latency")
WELL = Disturbance()
BUSY = Disturbance(cpu_ratio=0.97)
FULL = Disturbance(memory_ratio=0.96)
FAILING = Disturbance(error_ratio=0.2)
SLOW = Disturbance(route_s=1.4)
TROUBLES = (BUSY, FULL, FAILING)


class Troubles:
    """Gives peers trouble, and notes its cause."""

    def __init__(self, sim: Simulator, causes: Causes, rng: Random) -> None:
        self._sim = sim
        self._causes = causes
        self._rng = rng
        self._now: dict[PeerId, Disturbance] = {}

    def later(self, after_s: float, peer: PeerId, trouble: Disturbance, cause: Cause | None) -> None:
        """The peer has trouble from then on, and notices when it next looks."""
        at = self._sim.now + after_s + self._rng.uniform(0.0, MEASURED_EVERY_S)
        self._sim.at(at, lambda: self._begin(peer, trouble, cause))

    def _begin(self, peer: PeerId, trouble: Disturbance, cause: Cause | None) -> None:
        """It comes on top of what the peer has: a processor does not calm down because messages fail."""
        before = self._now.get(peer, WELL)
        now = Disturbance(
            trouble.cpu_ratio or before.cpu_ratio,
            trouble.memory_ratio or before.memory_ratio,
            trouble.error_ratio or before.error_ratio,
            trouble.route_s or before.route_s,
        )
        self._now[peer] = now
        if self._sim.nodes[peer].peer is None:
            return
        self._causes.mark(cause, peer, trouble.rules)
        self._sim.measure(peer, now.cpu_ratio, memory_ratio=now.memory_ratio, error_ratio=now.error_ratio)
        if trouble.route_s is not None:
            region = self._sim.nodes[peer].region
            self._sim.feed(peer, OwnFacts(routes=((f"{region} to {region}", trouble.route_s),)))
