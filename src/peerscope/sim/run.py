"""One run of a scenario: build, settle, disturb, watch, and say what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random

from msgspec.structs import replace

from peerscope.core import CoreConfig, Effect
from peerscope.host.signature_files import load_signatures
from peerscope.mesh.config import PeerConfig
from peerscope.records.identity import PeerId
from peerscope.sim.accuracy import coordinate_error, own_places
from peerscope.sim.alerts_seen import AlertHistory
from peerscope.sim.behaviour import Nodes, Prefixes
from peerscope.sim.checkers import Convergence, Detection, DetectionLog, InformationSpread, crawled
from peerscope.sim.costs import TrafficCost
from peerscope.sim.failures import failures
from peerscope.sim.incidents_seen import incidents_seen
from peerscope.sim.network import fixed, near
from peerscope.sim.outcome import Outcome, Times, times
from peerscope.sim.population import populate
from peerscope.sim.scenario import Scenario
from peerscope.sim.score import FindingsWatch
from peerscope.sim.simulator import Simulator
from peerscope.sim.truth import Truth
from peerscope.sim.workload import Workload
from peerscope.sim.world import World
from peerscope.sim.zones_seen import ZoneWatch

Progress = Callable[[float, float, str], None]
"""Called with virtual seconds passed, virtual seconds in all, and what goes on."""
STRIDE_S = 0.5
LOOSE_S = 5.0
"""Between two looks whether all peers agree, in scenarios about alerts that set no bound for it: each is expensive."""


LIES = ("lie", "hide", "false-ages")


def run(
    scenario: Scenario,
    *,
    seed: int,
    config: PeerConfig | None = None,
    signed: bool = True,
    options: str = "",
    progress: Progress | None = None,
) -> Outcome:
    """Run a scenario. `options`: the command line's, for the replay command.

    A scenario in which liars hide a death runs a second time, with everybody honest, to measure what the lies added.
    """
    if not any(step.do in LIES for step in scenario.steps) or not any(step.victim for step in scenario.steps):
        return _play(scenario, seed, config, signed, options, progress)
    honest = _play(scenario, seed, config, signed, options, progress, lying=False)
    outcome = _play(scenario, seed, config, signed, options, progress)
    hidden_s = _seen_s(scenario, outcome) - _seen_s(scenario, honest)
    outcome = replace(outcome, hidden_s=hidden_s, wall_s=round(outcome.wall_s + honest.wall_s, 2))
    limit_s = scenario.bounds.hidden_s
    if limit_s is not None and hidden_s > limit_s:
        broken = f"seconds that liars hid a death: {hidden_s:.2f}, at most {limit_s} allowed"
        outcome = replace(outcome, failures=(*outcome.failures, broken))
    return outcome


def _seen_s(scenario: Scenario, outcome: Outcome) -> float:
    """Seconds until the last survivor saw the deaths; until the end where somebody never did."""
    down = outcome.detection["down"]
    if down.max_s is None or down.missed:
        return scenario.duration_s - min(step.at_s for step in scenario.steps if step.victim)
    return down.max_s


def _play(
    scenario: Scenario,
    seed: int,
    config: PeerConfig | None,
    signed: bool,
    options: str,
    progress: Progress | None,
    *,
    lying: bool = True,
) -> Outcome:
    """`lying`: False for the same history with liars that keep to the truth."""
    began = time.perf_counter()
    rng = Random(seed)
    world = World(seed) if scenario.latency == "world" else None
    seed_of_sim = rng.getrandbits(64)
    latency = world or (near if scenario.link_rtt_s is None else fixed(scenario.link_rtt_s))
    config = config or PeerConfig()
    if scenario.zone_max is not None:
        config = replace(config, zones=replace(config.zones, zone_max=scenario.zone_max))
    core = CoreConfig(signatures=load_signatures()) if scenario.threats else CoreConfig()
    faults = scenario.network
    sim = Simulator(seed=seed_of_sim, config=config, latency=latency, faults=faults, signed=signed, core=core)
    truth = Truth()
    detection, spread = Detection(sim, truth), InformationSpread(sim)

    def on_effect(peer: PeerId, effect: Effect, now: float) -> None:
        detection.on_effect(peer, effect, now)
        spread.on_effect(peer, effect, now)

    workload = Workload(sim, truth, rng, lying=lying)
    dice = Random(f"{seed} threats")  # drawn apart, so that scenarios without threats keep their histories
    if scenario.threats:
        workload.prefixes = Prefixes(dice)
    populate(sim, scenario, rng, workload.prefixes, seed)
    sim.on_effect.append(on_effect)
    findings = None
    if scenario.threats:
        workload.nodes, findings = Nodes(sim, dice), FindingsWatch(sim, workload.expected)
    zones = workload.zones = ZoneWatch(sim, truth) if scenario.summaries else None
    alerts = AlertHistory(sim) if scenario.alerts else None
    total_s = scenario.settle_s + scenario.duration_s
    report = progress or (lambda passed_s, total_s, what: None)
    _pass(sim, scenario.settle_s, lambda now: report(now, total_s, "settling"))
    is_loose = scenario.alerts and scenario.bounds.convergence_s is None
    convergence = Convergence(sim, truth, max(LOOSE_S if is_loose else 0.5, scenario.peers / 1000))
    convergence.begin()
    looks = DetectionLog(sim, truth)
    if any(step.do in LIES for step in scenario.steps):
        sim.at(scenario.settle_s + min(step.at_s for step in scenario.steps if step.do in LIES), looks.begin)
    traffic = TrafficCost(sim)
    if zones is not None:
        zones.watch()
    for step in scenario.steps:
        sim.at(scenario.settle_s + step.at_s, lambda step=step: workload.do(step))  # type: ignore[misc]
    _pass(sim, total_s, lambda now: report(now, total_s, "running"))
    last_s = scenario.settle_s + max((step.at_s + step.for_s for step in scenario.steps), default=0.0)
    score = findings.score() if findings else None
    seen = incidents_seen(sim, truth) if alerts else None
    outcome = Outcome(
        scenario=scenario.name,
        seed=seed,
        peers=scenario.peers,
        virtual_s=sim.now,
        wall_s=round(time.perf_counter() - began, 2),
        events=sim.events,
        detection=_detection(sim, truth, detection),
        false_down=len(detection.false_down),
        false_suspect=len(detection.false_suspect),
        down_share_alive=looks.down_share,
        expired_share_alive=looks.expired_share,
        hidden_s=None,
        convergence_s=None if convergence.mistake() else max(0.0, convergence.wrong_at - last_s),
        **traffic.since(),
        time_to_all_s=times(spread.to_all_s),
        crawl=crawled(workload.crawler, sim, truth),
        zones=zones.outcome(last_s) if zones is not None else None,
        coordinate_error=coordinate_error(own_places(sim, truth), world, Random(seed)) if world else None,
        alerts=alerts.seen(truth) if alerts else None,
        incidents=seen.incidents if seen else None,
        incidents_agreed=seen.agreed if seen else None,
        root_right=seen.root_right if seen else None,
        truth=seen.truth if seen else None,
        incident_precision=seen.pairs.precision if seen else None,
        incident_recall=seen.pairs.recall if seen else None,
        precision=score.precision if score else None,
        recall=score.recall if score else None,
        false_alarms=score.false_alarms if score else None,
        threats=score,
        digest=sim.digest(),
        failures=(),
        replay=f"peerscope simulate {scenario.name} --seed {seed}{options}",
    )
    return replace(outcome, failures=tuple(failures(scenario, outcome, convergence.mistake())))


def _pass(sim: Simulator, end: float, tell: Callable[[float], None]) -> None:
    while sim.now < end:
        sim.run_until(min(end, sim.now + STRIDE_S))
        tell(sim.now)


def _detection(sim: Simulator, truth: Truth, found: Detection) -> dict[str, Times]:
    survivors = [peer.me for peer in sim.alive() if peer.me not in truth.byzantine]
    ledgers = {peer.me: peer.ledger for peer in sim.alive()}
    pairs = [(one, victim) for one in survivors for victim in truth.victims if victim in ledgers[one]]
    return {
        "suspect": times([found.suspect_s[pair] for pair in pairs if pair in found.suspect_s]),
        "down": replace(
            times([found.down_s[pair] for pair in pairs if pair in found.down_s]),
            first_s=min((found.down_s[pair] for pair in pairs if pair in found.down_s), default=None),
            missed=sum(pair not in found.down_s for pair in pairs) if pairs else None,
        ),
    }
