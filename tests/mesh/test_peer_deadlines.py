"""Deadlines under arbitrary histories: after a turn the next deadline is later than now, so no agent spins."""

from random import Random

import pytest

from peerscope.mesh.events import Connected, DialFailed, Disconnected, Measured
from peerscope.mesh.messages import Aged, Bye, Doubt, Hello, Key, Load, Ping, Pong, Push, Topic
from peerscope.mesh.peer import Peer
from peerscope.records.identity import Identity, ref
from strategies import IDENTITIES
from wire import GOOD, alone, hear, link, profile, record_of

OTHERS = IDENTITIES[3:10]
STEPS = 1_000
FAR_MS = 600_000
ODD_SEQUENCES = (0, 1, 2**32 - 1)


def load(rng: Random, now: float) -> Load:
    names = [ref(identity.peer_id) for identity in OTHERS]
    keys = tuple(Key(rng.choice(names), rng.randrange(4), rng.randrange(1, 2**50)) for _ in range(rng.randrange(20)))
    spare = tuple(Topic(rng.choice(names), rng.randrange(4)) for _ in range(rng.randrange(5)))
    ages_ms = (0, 10**9)
    records = (Aged(record_of(rng.choice(OTHERS), profile(), at_s=now), rng.choice(ages_ms)),) * rng.randrange(3)
    return Load(keys, records, spare)


def befall(peer: Peer, source: Identity, rng: Random, now: float) -> None:
    """Anything happens, at any moment."""
    match rng.randrange(10):
        case 0:
            peer.handle(Connected(source.peer_id, rng.random() < 0.5), now)
        case 1:
            link(peer, source, now, ticks=False)
        case 2:
            peer.handle(rng.choice((Disconnected, DialFailed))(source.peer_id, "gone"), now)
        case 3:
            hear(peer, source, Push(record_of(source, profile(), at_s=now), 0, 3, ()), now)
        case 4:
            hear(peer, source, rng.choice((Bye("over"), Hello(1, 1, "peerscope", b"", 0))), now)
        case 5:
            peer.handle(Measured(GOOD), now)
        case 6 | 7:
            ping = Ping(
                seq=rng.randrange(50),
                clock_ms=rng.randrange(2**40),
                rtt_us=rng.choice((None, 0, FAR_MS * 1_000)),
                loss=rng.choice((None, 0, 1_000)),
                next_ms=rng.choice((None, 0, 1, FAR_MS)),
                answered=rng.choice((None, *ODD_SEQUENCES)),
                load=load(rng, now),
            )
            hear(peer, source, ping, now)
        case 8:
            hear(peer, source, Pong(rng.randrange(50), rng.randrange(2**40), load=load(rng, now)), now)
        case 9:
            subjects = tuple(ref(rng.choice(OTHERS).peer_id) for _ in range(rng.randrange(1, 33)))
            hear(peer, source, Doubt(subjects, rng.randrange(33)), now)


@pytest.mark.parametrize("seed", range(12))
def test_a_turn_always_moves_the_deadline_beyond_now(seed: int) -> None:
    rng, peer, now = Random(seed), alone(seed % 3), 0.0
    for step in range(STEPS):
        befall(peer, rng.choice(OTHERS), rng, now)
        if rng.random() < 0.5:
            continue
        now = max(now, peer.deadline(), now + rng.choice((0.0, 0.0, 0.001, 0.3, 5.0, 100.0)))
        peer.tick(now)
        assert peer.deadline() > now, f"seed {seed}, step {step}"
