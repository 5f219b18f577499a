"""Peers that mean ill: what each does to its own effects before they leave the machine."""

from __future__ import annotations

from random import Random

from msgspec.structs import replace

from peerscope.mesh.events import Effect, Send
from peerscope.mesh.messages import (
    NEIGHBOURS_MAX,
    Aged,
    Announce,
    Ping,
    Pong,
    Push,
    Records,
    Vicinity,
    decode,
    encode,
)
from peerscope.mesh.peer import Peer
from peerscope.records.bodies import Coordinate, Kind, Observation, Observations, Profile, encode_body
from peerscope.records.identity import Identity, Signer, ref
from peerscope.records.record import Record, sign
from peerscope.sim.node import Corruption, make_signer

EVERY_S = 1.0
"""How often a byzantine peer attacks."""
REPLAYED_MAX = 256
LATE_S = 0.2
"""How long those who misplace themselves hold an answer back, at least: until they next have something to do."""


def corruption(kind: str, signer: Signer, rng: Random) -> Corruption:
    """The corruption a scenario names: forge, replay, equivocate, accuse, drop, misplace, invent or garble."""
    if kind == "drop":
        return drop
    if kind == "misplace":
        return misplaced(rng)
    if kind in ("invent", "garble"):
        return misleading(kind, signer, rng)
    attacks = {"forge": _forge, "replay": _replay, "equivocate": _equivocate, "accuse": _accuse}
    attack, memory = attacks[kind], Memory(signer, rng)

    def corrupt(peer: Peer, effects: list[Effect], now: float) -> list[Effect]:
        memory.remember(effects)
        up = peer.links.up()
        if not up or now < memory.next_at:
            return effects
        memory.next_at = now + EVERY_S
        records = attack(peer, memory, now)
        return effects + [Send(to, encode(Push(record, 0, 5, ()))) for to in up for record in records]

    return corrupt


class Memory:
    """Records that an attacker keeps between attacks."""

    def __init__(self, signer: Signer, rng: Random) -> None:
        self.signer = signer
        self.rng = rng
        self.next_at = 0.0
        self.seen: list[Record] = []

    def remember(self, effects: list[Effect]) -> None:
        """Keep old records of others, to send them again."""
        for effect in effects:
            if isinstance(effect, Send) and len(self.seen) < REPLAYED_MAX:
                message = decode(effect.data)
                if isinstance(message, Records):
                    self.seen += [item.record for item in message.items]


def drop(peer: Peer, effects: list[Effect], now: float) -> list[Effect]:
    """Answers pings and publishes its own records, but passes nothing of others on."""
    kept: list[Effect] = []
    for effect in effects:
        message = decode(effect.data) if isinstance(effect, Send) else None
        match message:
            case Push(record) if record.origin != peer.me:
                continue
            case Announce():
                continue
            case Records(items) if isinstance(effect, Send):
                own = tuple(Aged(item.record, item.age_ms) for item in items if item.record.origin == peer.me)
                kept.append(replace(effect, data=encode(Records(own))))
            case _:
                kept.append(effect)
    return kept


def misleading(kind: str, signer: Signer, rng: Random) -> Corruption:
    """A good peer to all but crawlers, who get as many invented neighbours as an answer holds, or noise."""

    def mislead(peer: Peer, effects: list[Effect], now: float) -> list[Effect]:
        return [_misled(effect, kind, signer, rng) for effect in effects]

    return mislead


def _misled(effect: Effect, kind: str, signer: Signer, rng: Random) -> Effect:
    message = decode(effect.data) if isinstance(effect, Send) else None
    if not isinstance(effect, Send) or not isinstance(message, Vicinity):
        return effect
    if kind == "garble":
        return replace(effect, data=rng.randbytes(len(effect.data)))
    nobody, signed = Profile(("10.255.255.255:1",), None, "invented", 0), isinstance(signer, Identity)
    invented = (make_signer(rng.randbytes(32), signed=signed) for _ in range(NEIGHBOURS_MAX))
    records = tuple(
        sign(one, nobody, version=1, wall_ms=1) for one in invented
    )  # true signatures of keys without peers
    return replace(effect, data=encode(Vicinity(message.profile, records)))


def misplaced(rng: Random) -> Corruption:
    """Claims to be somewhere else with each message and to be sure of it, now and then where nobody can be.

    Also answers pings late, and claims impossible round trips."""
    held: list[tuple[float, Effect]] = []

    def place(dimensions: int) -> Coordinate:
        most_us = rng.choice((300_000, 3_000_000, 600_000_000))
        return Coordinate(tuple(rng.randint(-most_us, most_us) for _ in range(dimensions)), 0, 0)

    def corrupt(peer: Peer, effects: list[Effect], now: float) -> list[Effect]:
        dimensions = peer.config.coordinates.dimensions
        kept = [effect for due_at, effect in held if due_at <= now]
        held[:] = [(due_at, effect) for due_at, effect in held if due_at > now]
        for effect in effects:
            message = decode(effect.data) if isinstance(effect, Send) else None
            if isinstance(effect, Send) and isinstance(message, Ping):
                rtt_us = rng.choice((message.rtt_us, 1, 900_000, 600_000_000))
                lie = replace(message, coordinate=place(dimensions), rtt_us=rtt_us)
                kept.append(replace(effect, data=encode(lie)))
            elif isinstance(effect, Send) and isinstance(message, Pong):
                lies = replace(effect, data=encode(replace(message, coordinate=place(dimensions))))
                held.append((now + rng.choice((0.0, LATE_S)), lies))
            else:
                kept.append(effect)
        return kept

    return corrupt


def _forge(peer: Peer, memory: Memory, now: float) -> list[Record]:
    """A goodbye in somebody else's name, and a body changed under an honest signature."""
    victim = memory.rng.choice(sorted(peer.ledger))
    entry = peer.ledger.get(victim, Kind.PROFILE)
    if entry is None or victim == peer.me:
        return []
    goodbye = encode_body(Profile((), None, "forged", 0, left=True))
    return [replace(entry.record, version=entry.record.version + 1, body=goodbye), replace(entry.record, body=goodbye)]


def _replay(peer: Peer, memory: Memory, now: float) -> list[Record]:
    """Old records of others, as if they were news."""
    return memory.rng.sample(memory.seen, min(8, len(memory.seen)))


def _equivocate(peer: Peer, memory: Memory, now: float) -> list[Record]:
    """Two different profiles under one version."""
    entry = peer.ledger.get(peer.me, Kind.PROFILE)
    if entry is None or not isinstance(entry.body, Profile):
        return []
    other = replace(entry.body, version=f"other {memory.rng.random():.3f}")
    return [sign(memory.signer, other, version=entry.record.version, wall_ms=entry.record.version)]


def _accuse(peer: Peer, memory: Memory, now: float) -> list[Record]:
    """Claims to have lost all its neighbours long ago."""
    clock_ms = peer.parts.state.clock.clock_ms(now)
    lost = tuple(Observation(ref(to), clock_ms, 10_000) for to in peer.links.up())
    return [sign(memory.signer, Observations(lost), version=clock_ms + 1, wall_ms=clock_ms)]
