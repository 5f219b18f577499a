"""Records that break the protocol are counted by reason, dropped, and change nothing."""

from collections.abc import Callable
from random import Random

import msgspec
import pytest

from peerscope.mesh.config import PeerConfig
from peerscope.mesh.events import (
    DialFailed,
    Forgotten,
    Measured,
    Publish,
)
from peerscope.mesh.messages import (
    Aged,
    Bye,
    Message,
    Push,
    Records,
)
from peerscope.mesh.peer import Peer
from peerscope.mesh.peer_state import Clocks
from peerscope.records.bodies import BODY_BYTES_MAX, Kind, Profile, Report, encode_body
from peerscope.records.identity import PeerId
from peerscope.records.ledger import LedgerConfig
from peerscope.records.record import Record
from strategies import IDENTITIES
from wire import GOOD, WALL_S, alone, hear, link, profile, record_of

MALLORY, VICTIM, BYSTANDER = IDENTITIES[9], IDENTITIES[5], IDENTITIES[7]

GOOD_RECORD = record_of(VICTIM, profile())


def signed(kind: int, body: bytes, *, version: int = 10, ahead_ms: int = 0) -> Record:
    """Mallory's own true signature over what `sign` would never make."""
    bare = Record(MALLORY.peer_id, kind, version, ahead_ms, body, bytes(64))
    return msgspec.structs.replace(bare, signature=MALLORY.sign(bare.signed_bytes()))


def changed(**fields: object) -> Record:
    return msgspec.structs.replace(GOOD_RECORD, **fields)


BAD_RECORDS = {
    "a signature of zeros": (changed(signature=bytes(64)), "forged"),
    "a changed version": (changed(version=GOOD_RECORD.version + 1), "forged"),
    "a changed body": (changed(body=encode_body(profile(left=True))), "forged"),
    "another's name": (changed(origin=BYSTANDER.peer_id), "forged"),
    "our own name": (changed(origin=IDENTITIES[0].peer_id, version=2**52), "forged"),
    "a changed kind": (changed(kind=20), "forged"),
    "no profile": (signed(Kind.PROFILE, b"\x93\x01\x02\x03"), "malformed-body"),
    "a control character": (signed(Kind.PROFILE, encode_body(Profile((), "\x1b[2J", "1", 0))), "malformed-body"),
    "too large a body": (signed(20, bytes(BODY_BYTES_MAX + 1)), "oversized-body"),
    "a date before 1970": (signed(20, b"", version=5, ahead_ms=6), "malformed-record"),
}


@pytest.mark.parametrize(
    "wrapped", [lambda r: Push(r, 0, 5, ()), lambda r: Records((Aged(r, 0),))], ids=["push", "pull"]
)
@pytest.mark.parametrize("name", BAD_RECORDS)
def test_a_record_that_is_not_what_it_claims_is_refused(name: str, wrapped: Callable[[Record], Message]) -> None:
    record, reason = BAD_RECORDS[name]
    peer = alone()
    link(peer, MALLORY)
    before = peer.ledger.fingerprints()
    effects = hear(peer, MALLORY, wrapped(record), 1.0)
    assert peer.refused == {reason: 1}
    assert peer.ledger.fingerprints() == before
    assert effects == []


def test_bad_records_do_not_spoil_the_good_ones_beside_them() -> None:
    peer = alone()
    link(peer, MALLORY)
    bad = [Aged(record, 0) for record, _ in BAD_RECORDS.values()]
    hear(peer, MALLORY, Records((*bad[:5], Aged(GOOD_RECORD, 0), *bad[5:])), 1.0)
    assert peer.ledger.profile(VICTIM.peer_id) == profile()
    assert sum(peer.refused.values()) == len(BAD_RECORDS)


def test_an_older_record_is_a_replay_and_the_same_one_a_duplicate() -> None:
    peer = alone()
    link(peer, MALLORY)
    newer = record_of(VICTIM, profile("10.0.0.7:7"), at_s=5.0)
    for record in (GOOD_RECORD, newer, GOOD_RECORD):
        hear(peer, MALLORY, Push(record, 0, 1, ()), 6.0)
    assert hear(peer, MALLORY, Push(newer, 0, 1, ()), 6.0) == []
    assert peer.refused == {"replayed": 1}
    assert peer.ledger.profile(VICTIM.peer_id) == profile("10.0.0.7:7")


def test_a_record_older_than_we_remember_is_refused() -> None:
    peer = alone(config=PeerConfig(ledger=LedgerConfig(remember_s=100.0)))
    link(peer, MALLORY)
    hear(peer, MALLORY, Records((Aged(GOOD_RECORD, 100_001),)), 1.0)
    assert peer.refused == {"expired": 1}
    assert VICTIM.peer_id not in peer.ledger


def test_two_statements_of_one_version_are_refused_and_proved() -> None:
    peer = alone()
    link(peer, MALLORY)
    one, other = record_of(VICTIM, profile("10.0.0.1:1")), record_of(VICTIM, profile("10.0.0.2:2"))
    for record in (one, other):
        hear(peer, MALLORY, Push(record, 0, 1, ()), 1.0)
    assert peer.refused == {"equivocation": 1}
    assert [set(pair) for pair in peer.ledger.proofs.values()] == [{one, other}]


def test_peers_beyond_the_limit_are_refused() -> None:
    peer = alone(config=PeerConfig(ledger=LedgerConfig(origins_max=2)))
    link(peer, MALLORY)
    for identity in IDENTITIES[1:5]:
        hear(peer, MALLORY, Push(record_of(identity, profile()), 0, 1, ()), 1.0)
    assert peer.refused == {"ledger-full": 3}
    assert len(peer.ledger) == 2


def test_a_peer_that_says_nothing_is_forgotten_and_we_ourselves_never_are() -> None:
    config = PeerConfig(ledger=LedgerConfig(remember_s=100.0))
    peer = Peer(IDENTITIES[0], config, Random(0), Clocks(0.0, WALL_S))
    peer.handle(Publish(profile()), 0.0)  # and no measurement ever: a peer that only watches
    link(peer, MALLORY)
    hear(peer, MALLORY, Push(GOOD_RECORD, 0, 1, ()), 1.0)
    hear(peer, MALLORY, Bye("enough"), 1.0)
    forgotten: list[PeerId] = []
    now = 1.0
    while (now := max(now, peer.deadline())) < 300.0:
        effects = peer.tick(now)
        forgotten += [effect.peer for effect in effects if isinstance(effect, Forgotten)]
        for failed in effects:
            peer.handle(DialFailed(getattr(failed, "peer", VICTIM.peer_id), "no answer"), now)
    assert forgotten == [VICTIM.peer_id]
    assert peer.me in peer.ledger
    assert peer.me in peer.neighbours.rings


def test_only_our_own_records_speak_for_us() -> None:
    """A true record of ours that we never made in this life is outrun, not adopted."""
    peer = alone()
    link(peer, MALLORY)
    earlier = record_of(IDENTITIES[0], Report(5000, ()), at_s=500.0)
    hear(peer, MALLORY, Push(earlier, 0, 1, ()), 1.0)
    peer.handle(Measured(GOOD), 1.0)
    peer.tick(1.0)
    entry = peer.ledger.get(peer.me, Kind.REPORT)
    assert entry is not None
    assert entry.record.version > earlier.version
    assert entry.body != Report(5000, ())
