"""Observers that lie about a peer they watch: what they claim, when, and about whom, as data.

`Lie` accuses the living. `hide` keeps a dead peer alive on paper. `falsify_ages` lies about how old the records of
others are. All of them speak with their own valid key and over links that are up; nothing here forges a signature.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from peerscope.mesh.detection.observers import watchers
from peerscope.mesh.events import Effect, Send
from peerscope.mesh.messages import Aged, Push, Records, decode, encode
from peerscope.mesh.peer import Peer
from peerscope.records.bodies import OBSERVATIONS_MAX, LinkReading, Observation, Observations, Report
from peerscope.records.identity import PeerId, ref
from peerscope.records.record import Record

Ends = Literal["past", "future", "random", "far"]
When = Literal["after-refutation", "random", "period", "alternate"]
Aim = Literal["victim", "watchers", "all"]
Gang = Literal["one", "third", "minority", "all-but-one"]

SILENCE_MS = 10_000
"""How long a liar says that its victim has been silent: longer than any `down_after_s`."""
PUSH_HOPS = 8
AGES_MS = (60_000, 3_600_000)


class Plan(Struct, frozen=True):
    """How one gang lies."""

    ends: Ends = "past"
    """Where a claim ends on the victim's own clock: 50 ms ago, 1.85 s ahead, anywhere around now, an hour ahead."""
    when: When = "after-refutation"
    """As soon as the last claim was refuted; at random; every `every_s`; in turn for each victim, every `every_s`."""
    aim: Aim = "victim"
    """At the victims; at them and the others that watch them; at everybody that the liar watches."""
    every_s: float = 1.0


def gang_size(gang: Gang, watching: int) -> int:
    """How many of so many watchers lie."""
    sizes = {"one": 1, "third": max(1, watching // 3), "minority": (watching - 1) // 2, "all-but-one": watching - 1}
    return max(0, min(sizes[gang], watching))


class Lie:
    """One liar. A `Corruption`: it sees what its honest core is about to send, and adds its claims."""

    def __init__(
        self,
        plan: Plan,
        victims: tuple[PeerId, ...],
        rng: Random,
        accused: Callable[[PeerId], None],
        gang: frozenset[PeerId],
    ) -> None:
        """`accused`: called with everybody the liar accuses falsely. `gang`: accomplices, whom it spares."""
        self._plan = plan
        self._victims = victims
        self._rng = rng
        self._accused = accused
        self._gang = gang
        self._claims: dict[PeerId, Observation] = {}
        self._next_at = 0.0
        self._turn = 0

    def __call__(self, peer: Peer, effects: list[Effect], now: float) -> list[Effect]:
        targets = self._targets(peer)
        fresh = [target for target in targets if self._is_due(peer, target, now)]
        if not fresh:
            return effects
        if self._plan.when == "alternate":
            self._turn += 1
            fresh = [targets[self._turn % len(targets)]]
            self._claims.clear()
        for target in fresh:
            self._claims[target] = self._claim(peer, target, now)
            self._accused(target)
        if self._plan.when != "after-refutation":
            spread = 2 * self._rng.random() if self._plan.when == "random" else 1.0
            self._next_at = now + self._plan.every_s * spread
        standing = {ref(target): claim for target, claim in self._claims.items() if target in targets}
        true = peer.ledger.observations(peer.me)
        honest = [one for one in true.lost if one.subject not in standing] if true is not None else []
        body = Observations((*standing.values(), *honest)[:OBSERVATIONS_MAX])
        return effects + say(peer, body, now)

    def _targets(self, peer: Peer) -> list[PeerId]:
        if self._plan.aim == "all":
            found = {p for p in peer.links.up() if peer.me in watchers(peer.ledger, p)}
        else:
            found = set(self._victims)
            if self._plan.aim == "watchers":
                found |= {w for victim in self._victims for w in watchers(peer.ledger, victim)}
        return sorted(found - self._gang - {peer.me})

    def _is_due(self, peer: Peer, target: PeerId, now: float) -> bool:
        if not peer.ledger.entries(target):
            return False
        last = self._claims.get(target)
        if self._plan.when != "after-refutation":
            return now >= self._next_at
        return last is None or _version(peer, target) > last.heard_ms + last.silence_ms

    def _claim(self, peer: Peer, target: PeerId, now: float) -> Observation:
        newest = max(peer.ledger.entries(target), key=lambda entry: entry.record.version)
        clock_ms = newest.record.version + round((now - newest.heard_at) * 1000)
        beyond_ms = {"past": -50, "future": 1850, "far": 3_600_000, "random": self._rng.randint(-2000, 1950)}
        end_ms = clock_ms + beyond_ms[self._plan.ends]
        return Observation(ref(target), max(0, end_ms - SILENCE_MS), SILENCE_MS)


def hide(victims: tuple[PeerId, ...], plan: Lie | None) -> Callable[[Peer, list[Effect], float], list[Effect]]:
    """Reports links with the victims for ever, and never misses them. `plan`: its other lies."""

    def corrupt(peer: Peer, effects: list[Effect], now: float) -> list[Effect]:
        names = {ref(victim) for victim in victims}
        said, report = peer.ledger.observations(peer.me), peer.ledger.report(peer.me)
        added: list[Effect] = []
        if said is not None and any(one.subject in names for one in said.lost):
            lost = tuple(one for one in said.lost if one.subject not in names)
            effects = _without_own(peer, effects)
            added += say(peer, Observations(lost), now)
        if report is not None and names - {link.peer for link in report.links}:
            links = (*(LinkReading(name, 20_000, 0) for name in sorted(names)), *report.links)
            unique = {link.peer: link for link in reversed(links)}
            effects = _without_own(peer, effects)
            added += say(peer, replace(report, links=tuple(unique.values())), now)
        effects = effects + added
        return plan(peer, effects, now) if plan is not None else effects

    return corrupt


def falsify_ages(rng: Random) -> Callable[[Peer, list[Effect], float], list[Effect]]:
    """Carries the records of others with ages that are minutes or hours too long."""

    def aged(peer: Peer, record: Record, age_ms: int) -> int:
        return age_ms if record.origin == peer.me else age_ms + rng.randint(*AGES_MS)

    def corrupt(peer: Peer, effects: list[Effect], now: float) -> list[Effect]:
        return [_aged(effect, lambda record, age_ms: aged(peer, record, age_ms)) for effect in effects]

    return corrupt


def say(peer: Peer, body: Observations | Report, now: float) -> list[Effect]:
    """Sign a statement in the liar's own name, keep it, and push it to every neighbour."""
    record = peer.parts.publisher.keep(body, now).record
    return [Send(to, encode(Push(record, 0, PUSH_HOPS, (ref(peer.me),)))) for to in peer.links.up()]


def _without_own(peer: Peer, effects: list[Effect]) -> list[Effect]:
    """Drop the liar's own records that the honest core wanted to push."""
    kept = []
    for effect in effects:
        message = decode(effect.data) if isinstance(effect, Send) else None
        if not (isinstance(message, Push) and message.record.origin == peer.me):
            kept.append(effect)
    return kept


def _aged(effect: Effect, age: Callable[[Record, int], int]) -> Effect:
    message = decode(effect.data) if isinstance(effect, Send) else None
    if not isinstance(effect, Send):
        return effect
    match message:
        case Push(record, age_ms):
            return replace(effect, data=encode(replace(message, age_ms=age(record, age_ms))))
        case Records(items):
            lies = tuple(Aged(item.record, age(item.record, item.age_ms)) for item in items)
            return replace(effect, data=encode(Records(lies)))
        case _:
            return effect


def _version(peer: Peer, target: PeerId) -> int:
    return max(entry.record.version for entry in peer.ledger.entries(target))
