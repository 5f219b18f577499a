"""One run of a scenario: build, settle, disturb, watch, and say what came of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from math import ceil
from random import Random
from statistics import fmean, median
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from peerscope.core import CoreConfig, Effect
from peerscope.host.signature_files import load_signatures
from peerscope.mesh.config import PeerConfig
from peerscope.mesh.events import Recall
from peerscope.mesh.limits.reputation import WEIGHTS
from peerscope.mesh.messages import Aged
from peerscope.mesh.zoning.names import zone_name
from peerscope.records.bodies import Kind
from peerscope.records.identity import PeerId
from peerscope.sim.accuracy import CoordinateError, coordinate_error, own_places
from peerscope.sim.alerts_seen import AlertHistory, AlertsSeen, IncidentSeen, incidents_seen
from peerscope.sim.behaviour import Nodes, Prefixes
from peerscope.sim.checkers import Convergence, Crawl, Detection, DetectionLog, InformationSpread, crawled
from peerscope.sim.network import fixed, near
from peerscope.sim.scenario import Bounds, Scenario
from peerscope.sim.score import FindingsWatch, Score
from peerscope.sim.simulator import Simulator
from peerscope.sim.truth import Truth
from peerscope.sim.workload import Workload
from peerscope.sim.world import World
from peerscope.sim.zones_seen import ZoneOutcome, ZoneWatch

Progress = Callable[[float, float, str], None]
"""Called with virtual seconds passed, virtual seconds in all, and what goes on."""
STRIDE_S = 0.5


LIES = ("lie", "hide", "false-ages")
SCOUTS = 2
"""Peers of each zone that begin with a peer of the first zone."""


class Times(Struct, frozen=True):
    """Seconds over all pairs of a survivor and a victim; null without any."""

    median_s: float | None
    p99_s: float | None
    max_s: float | None
    first_s: float | None = None
    missed: int | None = None


class Outcome(Struct, frozen=True):
    """Results of a run. Keys a scenario has nothing to say about are null."""

    scenario: str
    seed: int
    peers: int
    virtual_s: float
    wall_s: float
    events: int
    detection: dict[str, Times]
    false_down: int
    false_suspect: int
    down_share_alive: float | None
    """Share of honest looks, five a second, that call a living peer down that liars accuse; null where nobody lies."""
    expired_share_alive: float | None
    """Share of the same looks that take a living peer's report for expired."""
    hidden_s: float | None
    """How much later than without liars the last survivor saw the death of their victims; null where none died."""
    convergence_s: float | None
    """From the last step until all running peers saw what was the case, for good; null if they never did."""
    bytes_per_peer_s: dict[str, float | None]
    messages_per_peer_s: float | None
    redundancy: float | None
    """Copies of an announced record's body that each peer received above one."""
    redundancy_pushed: float | None
    last_hop: int | None
    """Most hops any urgent record took."""
    time_to_all_s: Times
    """From the issue of an urgent record until all running peers held it."""
    zones: ZoneOutcome | None
    """The zones as peers saw them at the end; null where there is only one."""
    coordinate_error: CoordinateError | None
    """At the end; null where the scenario's latency has no fixed truth."""
    bytes_share: dict[str, float]
    refused: dict[str, int]
    offences: int
    """Refusals that were held against the neighbour that sent it: none among honest peers."""
    crawl: Crawl | None
    alerts: AlertsSeen | None
    """null unless the scenario's peers look at their alert rules."""
    incidents: tuple[IncidentSeen, ...] | None
    """As one survivor sees them at the end; null unless alerts are looked at."""
    incidents_agreed: bool | None
    """A second survivor sees the same."""
    root_right: bool | None
    """The largest incident is what happened, with its root; null where nothing with a root did."""
    precision: float | None
    recall: float | None
    false_alarms: int | None
    threats: Score | None
    """null unless the scenario's peers look for threats."""
    digest: str
    failures: tuple[str, ...]
    """Bounds of the scenario that were broken, each in a sentence."""
    replay: str
    """The command that runs the very same history again."""


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
    populate(sim, scenario, rng, workload.prefixes)
    sim.on_effect.append(on_effect)
    findings = None
    if scenario.threats:
        workload.nodes, findings = Nodes(sim, dice), FindingsWatch(sim, workload.expected)
    zones = workload.zones = ZoneWatch(sim, truth) if scenario.summaries else None
    alerts = AlertHistory(sim) if scenario.alerts else None
    total_s = scenario.settle_s + scenario.duration_s
    report = progress or (lambda passed_s, total_s, what: None)
    _pass(sim, scenario.settle_s, lambda now: report(now, total_s, "settling"))
    convergence = Convergence(sim, truth, max(0.5, scenario.peers / 1000))
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
        time_to_all_s=_times(spread.to_all_s),
        crawl=crawled(workload.crawler, sim, truth),
        zones=zones.outcome(last_s) if zones is not None else None,
        coordinate_error=coordinate_error(own_places(sim, truth), world, Random(seed)) if world else None,
        alerts=alerts.seen(truth) if alerts else None,
        incidents=seen.incidents if seen else None,
        incidents_agreed=seen.agreed if seen else None,
        root_right=seen.root_right if seen else None,
        precision=score.precision if score else None,
        recall=score.recall if score else None,
        false_alarms=score.false_alarms if score else None,
        threats=score,
        digest=sim.digest(),
        failures=(),
        replay=f"peerscope simulate {scenario.name} --seed {seed}{options}",
    )
    return replace(outcome, failures=tuple(_failures(scenario, outcome, convergence.mistake())))


class TrafficCost:
    """Traffic of all peers since the counting began."""

    def __init__(self, sim: Simulator) -> None:
        self._sim = sim
        self._began_at = sim.now
        self._before = {peer.me: (peer, self._count(peer)) for peer in sim.alive()}

    @staticmethod
    def _count(peer: Any) -> tuple[Counter[str], Counter[str], Counter[str]]:
        return Counter(peer.out.bytes), Counter(peer.out.messages), Counter(peer.copies)

    def since(self) -> dict[str, Any]:
        """The fields of an `Outcome` that speak of traffic, over peers that ran all the time."""
        passed_s = self._sim.now - self._began_at
        stayed = [(p, self._before[p.me][1]) for p in self._sim.alive() if self._before.get(p.me, (None,))[0] is p]
        sent, messages, copies = Counter[str](), Counter[str](), Counter[str]()
        each: list[float] = []
        aggregators: list[float] = []
        for peer, (bytes_then, messages_then, copies_then) in stayed:
            now = self._count(peer)
            sent += now[0] - bytes_then
            messages += now[1] - messages_then
            copies += now[2] - copies_then
            each.append((now[0] - bytes_then).total() / passed_s)
            if peer.me in peer.global_ledger:
                aggregators.append(each[-1])
        each.sort()
        total = sent.total()
        everybody = self._sim.alive()
        refused: Counter[str] = sum((peer.refused for peer in everybody), Counter())
        return {
            "bytes_per_peer_s": {
                "mean": fmean(each) if each else None,
                "p99": _quantile(each, 0.99),
                "max": each[-1] if each else None,
                "aggregators": fmean(aggregators) if aggregators else None,
            },
            "messages_per_peer_s": messages.total() / passed_s / len(each) if each else None,
            "redundancy": _above_one(copies["announced"], copies["announced news"]),
            "redundancy_pushed": _above_one(copies["pushed"], copies["pushed news"]),
            "last_hop": max((max(peer.hops) for peer in everybody if peer.hops), default=None),
            "bytes_share": {name: round(count / total, 4) for name, count in sorted(sent.items())} if total else {},
            "refused": dict(sorted(refused.items())),
            "offences": sum(refused[reason] for reason in WEIGHTS),
        }


def populate(sim: Simulator, scenario: Scenario, rng: Random, prefixes: Prefixes | None = None) -> None:
    """Machines, and their agents: all knowing each other, or all at once through the first.

    `prefixes`: where they are; by default side by side.
    """
    peers = []
    for index in range(scenario.peers):
        skewed = rng.random() < scenario.skewed_share
        skew_s = rng.uniform(-scenario.skew_s, scenario.skew_s) if skewed else 0.0
        address, version = prefixes.address() if prefixes else None, scenario.version(rng)
        peers.append(sim.add(scenario.region(index), skew_s=skew_s, address=address, version=version))
    for peer in peers:
        index = sim.nodes[peer].index
        zone = zone_name(scenario.region(index)) if scenario.zones else ""
        scouts = scenario.zones and index % scenario.zones > 0 and index < SCOUTS * scenario.zones
        stranger = (not scenario.warm and peer != peers[0]) or scouts
        sim.start(peer, *([peers[0]] if stranger else []), zone=zone)
    if scenario.warm:
        by_zone: dict[str, list[Aged]] = {}
        for one in sim.alive():
            entry = one.ledger.get(one.me, Kind.PROFILE)
            if entry is not None:
                by_zone.setdefault(one.own_zone.zone, []).append(Aged(entry.record, 0))
        known = {zone: Recall(tuple(items), zone) for zone, items in by_zone.items()}
        for one in sim.alive():
            sim.feed(one.me, known[one.own_zone.zone])


def _pass(sim: Simulator, end: float, tell: Callable[[float], None]) -> None:
    while sim.now < end:
        sim.run_until(min(end, sim.now + STRIDE_S))
        tell(sim.now)


def _detection(sim: Simulator, truth: Truth, found: Detection) -> dict[str, Times]:
    survivors = [peer.me for peer in sim.alive() if peer.me not in truth.byzantine]
    ledgers = {peer.me: peer.ledger for peer in sim.alive()}
    pairs = [(one, victim) for one in survivors for victim in truth.victims if victim in ledgers[one]]
    return {
        "suspect": _times([found.suspect_s[pair] for pair in pairs if pair in found.suspect_s]),
        "down": replace(
            _times([found.down_s[pair] for pair in pairs if pair in found.down_s]),
            first_s=min((found.down_s[pair] for pair in pairs if pair in found.down_s), default=None),
            missed=sum(pair not in found.down_s for pair in pairs) if pairs else None,
        ),
    }


def _wrong(outcome: Outcome) -> int | None:
    return None if outcome.root_right is None else int(not (outcome.root_right and outcome.incidents_agreed))


def _worst_allowed(zones: ZoneOutcome | None, bounds: Bounds) -> float | None:
    """In small networks two deaths that nobody could notice yet are more than any share."""
    ratio = bounds.zone_error_ratio_max
    return ratio if zones is None or ratio is None else max(ratio, 2 / zones.living)


def _failures(scenario: Scenario, outcome: Outcome, mistake: str) -> Iterable[str]:
    zones = outcome.zones
    bounds, detection, crawl, error = scenario.bounds, outcome.detection, outcome.crawl, outcome.coordinate_error
    alerts = outcome.alerts
    checks = (
        ("suspect, median", detection["suspect"].median_s, bounds.suspect_median_s),
        ("down, median", detection["down"].median_s, bounds.down_median_s),
        ("down, slowest", detection["down"].max_s, bounds.down_max_s),
        ("living peers called down", outcome.false_down, bounds.false_down),
        ("dead peers never called down", detection["down"].missed, bounds.missed),
        ("share of looks that call a living peer down", outcome.down_share_alive, bounds.down_share_alive),
        ("seconds until all agreed", outcome.convergence_s, bounds.convergence_s),
        ("redundancy", outcome.redundancy, bounds.redundancy),
        ("offences", outcome.offences, bounds.offences),
        ("seconds of the crawl", crawl.seconds if crawl else None, bounds.crawl_s),
        ("honest peers the crawl missed", crawl.missed if crawl else None, bounds.crawl_missed),
        ("error of the count of all peers", zones.error_ratio if zones else None, bounds.zone_error_ratio),
        ("the same, at its worst", zones.error_ratio_max if zones else None, _worst_allowed(zones, bounds)),
        ("peers that do not name an aggregator that lies", zones.unnamed if zones else None, bounds.unnamed),
        ("age of summaries, 99 %", zones.age_p99_s if zones else None, bounds.summary_age_s),
        ("incidents", None if outcome.incidents is None else len(outcome.incidents), bounds.incidents),
        ("roots not found, or not by both survivors", _wrong(outcome), bounds.root_wrong),
        ("peers that see other alerts than most", alerts.disagreeing if alerts else None, bounds.disagreeing),
        ("share of attacks missed", None if outcome.recall is None else 1 - outcome.recall, bounds.attacks_missed),
        ("false alarms", outcome.false_alarms, bounds.false_alarms),
        ("relative error of coordinates, median", error.median if error else None, bounds.coordinate_error),
    )
    for name, value, most in checks:
        if value is not None and most is not None and value > most:
            yield f"{name}: {value:.2f}, at most {most} allowed"
    if zones and bounds.zones not in (None, zones.count):
        yield f"zones at the end: {zones.count}, wanted {bounds.zones}"
    if zones and bounds.zones_exact_s is not None and (zones.exact_s is None or zones.exact_s > bounds.zones_exact_s):
        found = "never" if zones.exact_s is None else f"{zones.exact_s:.1f}"
        yield f"seconds until everybody counted right: {found}, at most {bounds.zones_exact_s} allowed"
    if alerts and bounds.alerts is not None:
        if alerts.active != bounds.alerts:
            yield f"alerts that fire at the end: {alerts.active}, wanted {bounds.alerts}"
        if alerts.ids > sum(bounds.alerts.values()):
            yield f"alerts that ever fired: {alerts.ids}, wanted {sum(bounds.alerts.values())}"
    if mistake:
        yield f"not everybody sees what is the case at the end: {mistake}"


def _times(seconds: list[float]) -> Times:
    ordered = sorted(seconds)
    if not ordered:
        return Times(None, None, None)
    return Times(median(ordered), _quantile(ordered, 0.99), ordered[-1])


def _quantile(ordered: list[float], share: float) -> float | None:
    return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else None


def _above_one(copies: int, news: int) -> float | None:
    return copies / news - 1 if news else None
