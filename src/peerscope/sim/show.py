"""A virtual network to look at: the simulator as fast as a clock, seen through one of its peers.

The page, the feed and the API are those of a real agent; what they show is what that one virtual peer knows. When it
crashes, another that still runs is looked through. Faults come as the scenario has them; after the last one the network
just goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from random import Random

from peerscope.agent.event_log import EventLog
from peerscope.agent.lookups import LookupRequests
from peerscope.agent.network_view import NetworkView, SelfView, SimulationView
from peerscope.agent.traffic import Traffic
from peerscope.alerts.silences import StandingAcknowledgement, StandingForget, StandingSilence
from peerscope.config import Config
from peerscope.core import Core, CoreConfig, Effect, Event
from peerscope.errors import ConfigError
from peerscope.history.recorder import Recorder
from peerscope.host.version import __version__
from peerscope.mesh.events import Received, Send
from peerscope.notify.schedule import SilenceTimes
from peerscope.records.identity import PeerId, short
from peerscope.sim.network import fixed, near
from peerscope.sim.population import populate
from peerscope.sim.scenario import Scenario, ScenarioStep
from peerscope.sim.simulator import Simulator
from peerscope.sim.truth import Truth
from peerscope.sim.workload import Workload
from peerscope.sim.world import World
from peerscope.sources.node import Node
from peerscope.views.news import News
from peerscope.views.places import NOWHERE

STRIDE_S = (0.0002, 0.5)
"""Least and most virtual seconds between looks at the real clock. In between, as many as one turn has time for."""
TURN_S = 0.006
"""Real seconds that the network may compute before others have their turn: a page load waits some hundred turns."""
TURNS_OF_OTHERS = 4
"""A request takes several steps of the event loop; these are had between two turns of the network."""
REST_S = 0.005
PACE_S = 10.0
"""Real seconds over which the speed is measured."""
NOBODY = "this network is simulated: nobody gets messages about its alerts, and nobody can look after them"
FLUSH_S = 10
"""Virtual seconds between writes of the history."""


class Show(NetworkView):
    """A simulated network behind the same views as a real agent's."""

    def __init__(
        self, scenario: Scenario, config: Config, state: Path, *, seed: int, speed: float = 1.0, signed: bool = True
    ) -> None:
        """`state`: a directory for the history. Everything is built; nothing moves before `run`."""
        super().__init__()
        rng, self.config, self.http = Random(seed), config, None
        self._scenario, self._seed, self._speed = scenario, seed, speed
        self._epoch_s = time.time()
        world = World(seed) if scenario.latency == "world" else None
        self.simulator = Simulator(
            seed=rng.getrandbits(64),
            config=config.core(),
            latency=world or (near if scenario.link_rtt_s is None else fixed(scenario.link_rtt_s)),
            faults=scenario.network,
            signed=signed,
            epoch_s=self._epoch_s,
            core=CoreConfig(parts=frozenset(("alerts",)), regions=config.regions),
        )
        populate(self.simulator, scenario, rng, seed=seed)
        workload = Workload(self.simulator, Truth(), rng)
        self._steps = sorted(scenario.steps, key=lambda step: step.at_s)
        for step in self._steps:
            self.simulator.at(scenario.settle_s + step.at_s, lambda step=step: workload.do(step))  # type: ignore[misc]
        self._eye = next(iter(self.simulator.nodes))
        self._news = News(config.regions.hold_s)
        self._reached: deque[tuple[float, float]] = deque()
        """Real and virtual times of the last ten seconds."""
        self.node = Node(config.node, config.report.interval_s, rng)
        self.event_log = EventLog(self.failure_log)
        self.lookups = LookupRequests(lambda event: self.simulator.feed(self._eye, event))
        self.recorder = None
        if config.history.enabled:
            self.recorder = Recorder(config.history, state, self.snapshot, self.network_health)
            self.recorder.verdict_log = self._news.verdict_log
        self._look_through(self._eye)
        self.simulator.on_effect.append(self._on_effect)
        self.simulator.on_event = self._on_event

    @property
    def core(self) -> Core:
        return self._core

    def clock(self) -> tuple[float, float]:
        return self.simulator.now, self._epoch_s

    @property
    def simulation(self) -> SimulationView:
        sim, settled_s = self.simulator, self._scenario.settle_s
        coming = next((step for step in self._steps if settled_s + step.at_s > sim.now), None)
        passed = self._reached[-1][0] - self._reached[0][0] if self._reached else 0.0
        return SimulationView(
            scenario=self._scenario.name,
            summary=self._scenario.summary,
            seed=self._seed,
            speed=self._speed,
            pace=(self._reached[-1][1] - self._reached[0][1]) / passed if passed > 1.0 else None,
            virtual_s=sim.now,
            next_step=None if coming is None else _told(coming),
            next_step_s=None if coming is None else settled_s + coming.at_s,
        )

    def self_view(self) -> SelfView:
        place = self.snapshot().places.get(self._eye, NOWHERE)
        profile = self.peer.ledger.profile(self._eye)
        return SelfView(
            peer_id=self._eye.hex(),
            short_id=short(self._eye),
            ticket="",
            network=self.config.network.name,
            region=place.region,
            region_source=place.source,
            version=__version__,
            uptime_s=self.simulator.now,
            node=None,
            http=self.http,
            addresses=profile.addresses if profile else (),
            refused=dict(self.peer.refused),
            simulation=self.simulation,
            keeps_history=self.recorder is not None,
            shared_key=self.peer.shared_key.running(self.simulator.now),
        )

    def silence(
        self, matchers: Iterable[str], for_s: float, author: str, reason: str, when: SilenceTimes | None = None
    ) -> StandingSilence:
        raise ConfigError(NOBODY)

    def lift(self, silence: str) -> bool:
        raise ConfigError(NOBODY)

    def acknowledge(self, key: str, author: str, reason: str = "") -> StandingAcknowledgement:
        raise ConfigError(NOBODY)

    def forget(self, peer: PeerId, author: str, reason: str = "", *, force: bool = False) -> StandingForget:
        raise ConfigError(NOBODY)

    def remember(self, peer: PeerId) -> bool:
        raise ConfigError(NOBODY)

    def leave(self, reason: str, for_s: float | None = None) -> None:
        raise ConfigError(NOBODY)

    def advance(self, until_s: float) -> None:
        """Let virtual time pass at once, up to this moment."""
        before_s = self.simulator.now
        self.simulator.run_until(until_s)
        self._look_after_the_eye()
        self._note(before_s)

    async def run(self) -> None:
        """Let virtual time pass at the wanted speed, or as fast as this machine can, until cancelled."""
        try:
            await self._go_on()
        finally:
            if self.recorder is not None:
                await self.recorder.close()

    # -- inside ----------------------------------------------------------------------------------

    async def _go_on(self) -> None:
        began, begin_s = time.monotonic(), self.simulator.now
        flushed_s, (stride_s, longest_s) = begin_s, STRIDE_S
        while True:
            turn = time.monotonic()
            due_s = begin_s + (turn - began) * self._speed
            self.advance(min(due_s, self.simulator.now + stride_s))
            took_s = time.monotonic() - turn
            stride_s = min(max(stride_s * min(2.0, TURN_S / max(took_s, TURN_S / 4)), STRIDE_S[0]), longest_s)
            self._measure_pace()
            if self.recorder is not None and self.simulator.now - flushed_s >= FLUSH_S:
                flushed_s = self.simulator.now
                await self.recorder.flush()
            if due_s - self.simulator.now > self._speed:  # a second behind: what was lost stays lost
                began, begin_s = time.monotonic(), self.simulator.now
            if self.simulator.now >= due_s:
                await asyncio.sleep(REST_S)
            for _ in range(TURNS_OF_OTHERS):
                await asyncio.sleep(0)

    def _measure_pace(self) -> None:
        real, reached = time.monotonic(), self._reached
        if not reached or real - reached[-1][0] > 0.5:
            reached.append((real, self.simulator.now))
            while real - reached[0][0] > PACE_S:
                reached.popleft()

    def _note(self, before_s: float) -> None:
        """Sample the network every interval, as agents do."""
        wall, wall_before = self._epoch_s + self.simulator.now, self._epoch_s + before_s
        interval_s = self.config.history.interval_s
        if self.recorder is not None and wall // interval_s > wall_before // interval_s:
            self.recorder.take(self.recorder.sample(int(wall // interval_s * interval_s)))

    def _look_after_the_eye(self) -> None:
        """Keep looking through a peer that runs and means well."""
        node = self.simulator.nodes[self._eye]
        if node.core is self._core and node.corruption is None:
            return
        fit = [peer for peer, node in self.simulator.nodes.items() if node.peer is not None and node.corruption is None]
        if fit:
            self._look_through(self._eye if self._eye in fit else fit[0])

    def _look_through(self, peer: PeerId) -> None:
        """Watch this peer's core, which goes on with the news of the one before."""
        self._eye, self._core = peer, self.simulator.core_of(peer)
        self._core.watch(self._news, self.simulator.now)
        self.traffic = Traffic(peer, self.snapshot, self.peer.links.ahead_s, lambda: self.simulator.now)

    def _on_event(self, peer: PeerId, event: Event) -> None:
        if peer == self._eye and isinstance(event, Received):
            self.traffic.mesh.record(self.simulator.now, len(event.data))

    def _on_effect(self, peer: PeerId, effect: Effect, now: float) -> None:
        if peer != self._eye:
            return
        if isinstance(effect, Send):
            self.traffic.mesh.record(now, len(effect.data), sent=True)
        self.event_log.note(effect)
        self.traffic.note(effect)
        self.lookups.note(effect)


def _told(step: ScenarioStep) -> str:
    """A fault, in words."""
    whom = f"{step.share:.0%} of the peers" if step.share else f"{step.count} peer{'s' * (step.count != 1)}"
    return step.do if step.do == "heal" else f"{step.do} {whom}"
