"""Carries out a scenario's steps on a simulated network, and records the truth about them."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from random import Random

from peerscope.mesh.crawling.crawler import Crawler
from peerscope.mesh.crawling.traversal import WalkConfig
from peerscope.mesh.detection.observers import watchers
from peerscope.mesh.peer import Peer
from peerscope.records.identity import PeerId
from peerscope.sim.attackers import JOIN_OVER_S, surrounding
from peerscope.sim.behaviour import Attack, Nodes, Prefixes
from peerscope.sim.byzantine import corruption
from peerscope.sim.chain import Chain
from peerscope.sim.disasters import DISASTERS, Disasters
from peerscope.sim.lies import Lie, falsify_ages, gang_size, hide
from peerscope.sim.scenario import ScenarioStep
from peerscope.sim.score import Expected
from peerscope.sim.simulator import Simulator
from peerscope.sim.truth import Truth
from peerscope.sim.zones_seen import ZoneWatch

SLOW_EVERY_S = 1.0
SLOW_FOR_S = 0.7
"""A slow observer is away for this long, again and again."""
OVERLOAD_CPU = 0.97
BLOCK_S = 12.0
RESTART_AFTER_S = (3.0, 20.0)


class Workload:
    """Chooses whom each step meets, from the seed, and does it."""

    def __init__(self, sim: Simulator, truth: Truth, rng: Random, *, lying: bool = True) -> None:
        """`lying`: False where liars are chosen, and then keep to the truth."""
        self._lying = lying
        self._sim = sim
        self._truth = truth
        self._rng = rng
        self.expected = Expected()
        """The attacks that detections should find."""
        self.nodes: Nodes | None = None
        """Where nodes can be attacked."""
        self.prefixes: Prefixes | None = None
        self._disasters = Disasters(sim, truth, rng, self._crash)
        self.zones: ZoneWatch | None = None
        """Where aggregators speak."""
        self._marked: tuple[PeerId, ...] = ()
        """Victims of the liars, chosen by the first of their steps."""
        self._chain: Chain | None = None
        """The chain that nodes follow, from the first step about it."""
        self.crawler: Crawler | None = None
        """The last stranger who mapped the network."""

    def do(self, step: ScenarioStep) -> None:
        """Carry out one step now."""
        if step.do in DISASTERS:
            self._disasters.begin(step)
            return
        chosen = self._choose(step)
        sim, truth, now = self._sim, self._truth, self._sim.now
        match step.do:
            case "crash":
                for peer in self._victims(step) if step.victim else chosen:
                    self._crash(peer)
            case "restart":
                for peer in sorted(truth.victims)[: len(chosen)]:
                    self._restart(peer)
            case "leave":
                for peer in chosen:
                    truth.left.add(peer)
                    sim.leave(peer)
            case "pause":
                for peer in chosen:
                    truth.silent_until[peer] = now + step.for_s
                    sim.pause(peer, step.for_s)
            case "slow":
                for peer in chosen:
                    self._slow(peer, now + step.for_s)
            case "cut":
                truth.cut(frozenset(chosen))
                truth.causes.cut(chosen, sim.nodes)
                sim.cut(set(chosen), set(sim.nodes) - set(chosen))
            case "heal":
                truth.healed(now)
                sim.heal()
            case "one-way" | "flap":
                for peer in chosen:
                    self._link(peer, step)
            case "step-clock":
                for peer in chosen:
                    sim.step_clock(peer, step.by_s)
            case "crawl":
                self.crawler = sim.crawl(sim.nodes[chosen[0]].region, chosen, WalkConfig())
            case "overload":
                for peer in chosen:
                    self._overload(peer, step.for_s)
            case "fall-behind":
                self._chain = self._chain or Chain(sim, step.by_s or BLOCK_S)
                self._chain.fall_behind(chosen, step.blocks)
            case "sybil":
                self._sybil(step)
            case "eclipse":
                self._eclipse(chosen[0], step)
            case "poison" | "flood-puts" | "flood-connections":
                for peer in chosen:
                    self._attack(peer, step)
            case "churn":
                self._churn(step, now + step.for_s)
            case "clone":
                for peer in chosen:
                    self._clone(peer, step)
            case "kill-aggregators":
                for turn, peer in enumerate(self._aggregators(step)):
                    sim.at(now + turn * step.by_s, lambda peer=peer: self._crash(peer))  # type: ignore[misc]
            case "lie" | "hide":
                self._lie(step, chosen)
            case "false-ages":
                for peer in chosen:
                    truth.byzantine.add(peer)
                    rng = Random(self._rng.getrandbits(64))
                    sim.nodes[peer].corruption = falsify_ages(rng) if self._lying else None
            case "inflate":
                liars = self._aggregators(step)
                truth.byzantine.update(liars)
                for peer in liars:
                    self._zones.inflate(peer)
            case _:
                for peer in chosen:
                    truth.byzantine.add(peer)
                    if step.do == "accuse":
                        self.expected.expect("false-accusation", peer.hex(), now)
                    node = sim.nodes[peer]
                    node.corruption = corruption(step.do, node.signer, Random(self._rng.getrandbits(64)))

    def _choose(self, step: ScenarioStep) -> list[PeerId]:
        fit = [p.me for p in self._sim.alive() if p.me not in self._truth.byzantine]
        count = step.count or ceil(step.share * len(self._sim.nodes))
        return self._rng.sample(fit, min(count, len(fit)))

    def _victims(self, step: ScenarioStep) -> tuple[PeerId, ...]:
        if not self._marked:
            fit = [p.me for p in self._sim.alive() if p.me not in self._truth.byzantine]
            self._marked = tuple(self._rng.sample(fit, min(step.victims, len(fit))))
        return self._marked

    def _lie(self, step: ScenarioStep, chosen: Sequence[PeerId]) -> None:
        """Observers of the victims, or peers at random, lie from now on."""
        victims, liars = self._victims(step), set(chosen) - set(self._victims(step))
        if step.gang is not None:
            liars = set()
            for victim in victims:
                ledger = self._core(victim).ledger
                watching = [w for w in watchers(ledger, victim) if w not in victims]
                liars |= set(self._rng.sample(watching, gang_size(step.gang, len(watching))))
        self._truth.byzantine |= liars
        self._truth.lied_about |= set(victims)
        for peer in sorted(liars):
            rng = Random(self._rng.getrandbits(64))
            lie = Lie(step.plan, victims, rng, self._accused, frozenset(liars)) if step.plan else None
            lies = hide(victims, lie) if step.do == "hide" or lie is None else lie
            self._sim.nodes[peer].corruption = lies if self._lying else None

    def _accused(self, peer: PeerId) -> None:
        if peer not in self._truth.byzantine:
            self._truth.lied_about.add(peer)

    def _core(self, peer: PeerId) -> Peer:
        core = self._sim.nodes[peer].peer
        assert core is not None
        return core

    def _aggregators(self, step: ScenarioStep) -> list[PeerId]:
        """The first `count` of those that act for one zone."""
        zone = self._rng.choice(sorted({peer.own_zone.zone for peer in self._sim.alive()}))
        return list(self._zones.acting(zone)[: step.count])

    @property
    def _zones(self) -> ZoneWatch:
        assert self.zones is not None, "steps with aggregators need summaries = true"
        return self.zones

    def _crash(self, peer: PeerId) -> None:
        self._truth.crashed(peer, self._sim.now)
        self._sim.crash(peer)

    def _restart(self, peer: PeerId) -> None:
        running = [p.me for p in self._sim.alive()]
        self._truth.back(peer, self._sim.now)
        self._sim.start(peer, *self._rng.sample(running, min(3, len(running))))

    def _clone(self, peer: PeerId, step: ScenarioStep) -> None:
        """A copy of a machine starts beside it, in any region, and after a while dies if a time is given."""
        sim = self._sim
        running = [p.me for p in sim.alive() if p.me != peer]
        region = self._rng.choice(sorted({node.region for node in sim.nodes.values()}))
        copy = sim.clone(peer, region, skew_s=sim.nodes[peer].skew_s + step.by_s)
        self._truth.byzantine.update((peer, copy))  # what is said of a key with two owners is nobody's mistake
        sim.start(copy, *self._rng.sample(running, min(3, len(running))))
        if step.for_s:
            sim.at(sim.now + step.for_s, lambda: sim.crash(copy))

    def _slow(self, peer: PeerId, until: float) -> None:
        if self._sim.now < until and self._sim.nodes[peer].peer is not None:
            self._truth.silent_until[peer] = self._sim.now + SLOW_FOR_S
            self._sim.pause(peer, SLOW_FOR_S)
            self._sim.at(self._sim.now + SLOW_EVERY_S, lambda: self._slow(peer, until))

    def _attack(self, peer: PeerId, step: ScenarioStep) -> None:
        """Do something to the node beside a peer."""
        kinds = {
            "poison": ("data-poisoning", Attack(inconsistent_share=step.lie_share)),
            "flood-puts": ("dht-flood", Attack(puts_minute=step.per_minute)),
            "flood-connections": ("connection-flood", Attack(connections_minute=step.per_minute)),
        }
        detection, attack = kinds[step.do]
        assert self.nodes is not None, f"{step.do} needs threats = true"
        self.nodes.attack(peer, attack)
        self.expected.expect(detection, peer.hex(), self._sim.now)

    def _sybil(self, step: ScenarioStep) -> None:
        """Identities of one hand join from few prefixes, over half a minute."""
        for prefix in self._join_from(step, [None] * step.count):
            self.expected.expect("sybil", f"{prefix}.0/24", self._sim.now)

    def _eclipse(self, victim: PeerId, step: ScenarioStep) -> None:
        """Identities chosen to become the victim's neighbours join."""
        peer = self._sim.nodes[victim].peer
        assert peer is not None
        rings, rng = peer.neighbours.rings, Random(self._rng.getrandbits(64))
        secrets = surrounding(rings, victim, step.count, rng, signed=self._sim.is_signed)
        for prefix in self._join_from(step, list(secrets)):
            # Joining together from few prefixes, they are Sybils as well; missing that is no fault of this attack's.
            self.expected.involve(f"{prefix}.0/24")
        self.expected.expect("eclipse", victim.hex(), self._sim.now)

    def _join_from(self, step: ScenarioStep, secrets: Sequence[bytes | None]) -> list[str]:
        """Machines with these keys, spread over prefixes in which nobody else is."""
        assert self.prefixes is not None, f"{step.do} needs threats = true"
        prefixes = [self.prefixes.unused() for _ in range(step.prefixes)]
        members = [p.me for p in self._sim.alive() if p.me not in self._truth.byzantine]
        for index, secret in enumerate(secrets):
            address = self.prefixes.inside(prefixes[index % len(prefixes)])
            peer = self._sim.add("nowhere", address=address, secret=secret)
            self._truth.byzantine.add(peer)
            self.expected.comes(peer)
            starts = self._rng.sample(members, min(3, len(members)))
            at = self._sim.now + self._rng.uniform(0.0, JOIN_OVER_S)
            self._sim.at(at, lambda peer=peer, starts=starts: self._sim.start(peer, *starts))  # type: ignore[misc]
        return prefixes

    def _overload(self, peer: PeerId, for_s: float) -> None:
        """All cores are busy, for a while or, where no time is given, for good."""
        self._sim.measure(peer, OVERLOAD_CPU)
        life = self._sim.nodes[peer].life
        if for_s:
            self._sim.at(self._sim.now + for_s, lambda: self._relieve(peer, life))

    def _relieve(self, peer: PeerId, life: int) -> None:
        node = self._sim.nodes[peer]
        if node.peer is not None and node.life == life:
            self._sim.measure(peer)

    def _link(self, peer: PeerId, step: ScenarioStep) -> None:
        """Spoil one of the peer's links: in one direction, or both and again and again."""
        core = self._sim.nodes[peer].peer
        assert core is not None
        up = core.links.up()
        if not up:
            return
        other, end = self._rng.choice(up), self._sim.now + step.for_s
        if step.do == "one-way":
            self._sim.network.degrade(peer, other, 1.0)
            self._sim.at(end, self._sim.heal)
        else:
            self._flap(peer, other, 1.0, step.by_s, end)

    def _flap(self, one: PeerId, other: PeerId, loss: float, period_s: float, end: float) -> None:
        on = loss if self._sim.now < end else 0.0
        self._sim.network.degrade(one, other, on)
        self._sim.network.degrade(other, one, on)
        if self._sim.now < end:
            self._sim.at(self._sim.now + period_s, lambda: self._flap(one, other, 1.0 - loss, period_s, end))

    def _churn(self, step: ScenarioStep, until: float) -> None:
        """Kill one, start it again after a while, and so on at the step's rate."""
        if self._sim.now >= until:
            return
        fit = [p.me for p in self._sim.alive()]
        peer = self._rng.choice(fit)
        self._crash(peer)
        self._sim.at(self._sim.now + self._rng.uniform(*RESTART_AFTER_S), lambda: self._restart(peer))
        rate_s = step.per_minute * len(self._sim.nodes) / 60.0
        self._sim.at(self._sim.now + self._rng.expovariate(rate_s), lambda: self._churn(step, until))
