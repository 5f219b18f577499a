"""What breaks the protocol is counted by its reason, dropped, and changes nothing."""

from collections.abc import Callable
from random import Random

import msgspec
import pytest

from peerscope.mesh.admission import NetworkConfig
from peerscope.mesh.events import (
    Connected,
    DialFailed,
    Disconnected,
    Effect,
    Forgotten,
    Hangup,
    LinkChanged,
    Measured,
    Publish,
    Received,
    Send,
)
from peerscope.mesh.messages import (
    Aged,
    Announce,
    Bye,
    Digest,
    Hello,
    Inventory,
    Key,
    Message,
    Ping,
    Pong,
    Pull,
    Push,
    Records,
    Topic,
    encode,
)
from peerscope.mesh.peer import CONNECTIONS_MAX, HELLO_TIMEOUT_S, Peer, PeerConfig
from peerscope.records.bodies import BODY_BYTES_MAX, Kind, Observations, Profile, Report, decode_body, encode_body
from peerscope.records.identity import Identity, PeerId, ref
from peerscope.records.ledger import LedgerConfig
from peerscope.records.record import Record
from strategies import IDENTITIES
from wire import GOOD, WALL_S, alone, hear, link, profile, record_of, said

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
    for record in (GOOD_RECORD, newer, GOOD_RECORD, newer):
        hear(peer, MALLORY, Push(record, 0, 1, ()), 6.0)
    assert (peer.refused, peer.duplicates) == ({"replayed": 1}, 1)
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


BEFORE_HELLO: list[Message] = [
    Ping(1, 1),
    Pong(1, 1),
    Push(GOOD_RECORD, 0, 1, ()),
    Announce((Key(ref(VICTIM.peer_id), 0, 1),)),
    Pull((Topic(ref(IDENTITIES[0].peer_id), 0),)),
    Records((Aged(GOOD_RECORD, 0),)),
    Digest(0, bytes(8)),
    Inventory(0, (0,), ()),
]


@pytest.mark.parametrize("message", BEFORE_HELLO, ids=lambda message: type(message).__name__)
def test_nothing_is_heard_before_hello(message: Message) -> None:
    peer = alone()
    peer.handle(Connected(MALLORY.peer_id, False), 0.0)
    assert hear(peer, MALLORY, message, 0.1) == []
    assert peer.refused == {"before-hello": 1}
    assert set(peer.ledger) == {peer.me}


@pytest.mark.parametrize(
    "message", [*BEFORE_HELLO, Bye("x"), Hello(1, 1, "peerscope", b"", 1)], ids=lambda m: type(m).__name__
)
def test_nothing_is_heard_without_a_connection(message: Message) -> None:
    peer = alone()
    assert hear(peer, MALLORY, message, 0.1) == []
    assert peer.refused == {"not-linked": 1}


AFTER_HELLO = {
    "no message": (b"\xc1", "malformed-message"),
    "too large a message": (bytes(70_000), "oversized-message"),
    "an inventory nobody asked for": (encode(Inventory(0, (0,), ())), "unasked"),
    "a digest cut short": (encode(Digest(4, bytes(8))), "malformed-message"),
}


@pytest.mark.parametrize("name", AFTER_HELLO)
def test_a_message_that_makes_no_sense_is_refused(name: str) -> None:
    data, reason = AFTER_HELLO[name]
    peer = alone(11)  # the greater id: it waits to be compared with
    link(peer, MALLORY)
    assert peer.handle(Received(MALLORY.peer_id, data), 1.0) == []
    assert peer.refused == {reason: 1}


CLOSED = PeerConfig(network=NetworkConfig(name="beam", secret="correct horse battery"))


@pytest.mark.parametrize(
    ("hello", "reason"),
    [
        (Hello(1, 1, "other", b"", 1), "other-network"),
        (Hello(1, 1, "beam", b"", 1), "not-a-member"),
        (Hello(1, 1, "beam", bytes(32), 1), "not-a-member"),
        (Hello(7, 9, "beam", b"", 1), "wire-version"),
    ],
)
def test_who_is_not_admitted_is_told_why_and_hung_up_on(hello: Hello, reason: str) -> None:
    peer = alone(config=CLOSED)
    peer.handle(Connected(MALLORY.peer_id, False), 0.0)
    effects = hear(peer, MALLORY, hello, 0.1)
    assert said(effects, Bye, MALLORY.peer_id) == [Bye(reason)]
    assert isinstance(effects[-1], Hangup)
    assert said(effects, Hello) == []
    assert peer.refused == {reason: 1}
    assert peer.watch.links == {}


def test_a_member_of_a_closed_network_is_admitted_by_its_proof() -> None:
    peer = alone(config=CLOSED)
    link(peer, VICTIM)
    assert (peer.watch.up(), peer.refused) == ([VICTIM.peer_id], {})


def test_our_own_proof_sent_back_to_us_admits_nobody() -> None:
    peer = alone(config=CLOSED)
    (ours,) = said(peer.handle(Connected(MALLORY.peer_id, True), 0.0), Hello)
    hear(peer, MALLORY, msgspec.structs.replace(ours, reply=True), 0.1)
    assert (peer.watch.up(), peer.refused) == ([], {"not-a-member": 1})


def test_a_linked_peer_whose_second_hello_is_wrong_is_unlinked_altogether() -> None:
    peer = alone()
    link(peer, MALLORY)
    effects = hear(peer, MALLORY, Hello(1, 1, "other", b"", 1), 1.0)
    assert [(change.peer, change.up) for change in effects if isinstance(change, LinkChanged)] == [
        (MALLORY.peer_id, False)
    ]
    peer.handle(Publish(profile("10.0.0.7:7")), 2.0)
    assert sends_to(MALLORY, peer.tick(3.0)) == []


def sends_to(identity: Identity, effects: list[Effect]) -> list[Send]:
    return [effect for effect in effects if isinstance(effect, Send) and effect.to == identity.peer_id]


def test_who_does_not_say_hello_in_time_is_hung_up_on() -> None:
    peer = alone()
    peer.handle(Connected(MALLORY.peer_id, False), 0.0)
    effects: list[Effect] = []
    now = 0.0
    while not effects:
        now = max(now, peer.deadline())
        effects = [effect for effect in peer.tick(now) if isinstance(effect, Hangup)]
    assert effects == [Hangup(MALLORY.peer_id, "no hello")]
    assert peer.watch.links == {}
    assert HELLO_TIMEOUT_S < now < HELLO_TIMEOUT_S + 2.0


def strangers(count: int) -> list[Identity]:
    return [Identity(Random(seed).randbytes(32)) for seed in range(count)]


def test_connections_are_bounded() -> None:
    peer = alone()
    for stranger in strangers(CONNECTIONS_MAX + 3):
        effects = peer.handle(Connected(stranger.peer_id, False), 0.0)
    assert effects == [Hangup(stranger.peer_id, "too many links")]
    assert len(peer.watch.links) == CONNECTIONS_MAX
    assert peer.refused == {"too-many-links": 3}


def test_strangers_that_came_and_went_do_not_keep_others_out() -> None:
    peer = alone()
    for stranger in strangers(CONNECTIONS_MAX):
        link(peer, stranger, ticks=False)
        peer.handle(Disconnected(stranger.peer_id, "idle"), 0.0)
    now = 0.0
    while (now := max(now, peer.deadline())) < 120.0:
        peer.tick(now)
    link(peer, VICTIM, 120.0)
    assert VICTIM.peer_id in peer.watch.up()


def test_a_neighbour_that_lies_about_its_clock_does_not_spoil_our_observations() -> None:
    """A record that others cannot decode would silence all our accusations."""
    peer = alone()
    latest = 2**53 - 1
    link(peer, MALLORY, clock_ms=latest)
    hear(peer, MALLORY, Push(record_of(MALLORY, profile()), 0, 1, ()), 0.1)
    for second in range(1, 5):
        hear(peer, MALLORY, Ping(second, latest), float(second))
        hear(peer, MALLORY, Pong(second, latest), second + 0.5)
    now = 5.0
    while not peer.watch.lost():
        now = max(now, peer.deadline())
        peer.tick(now)
    entry = peer.ledger.get(peer.me, Kind.OBSERVATIONS)
    assert entry is not None
    body = decode_body(Kind.OBSERVATIONS, entry.record.body)
    assert isinstance(body, Observations)
    assert [item.subject for item in body.lost] == [ref(MALLORY.peer_id)]


def test_a_peer_that_says_nothing_is_forgotten_and_we_ourselves_never_are() -> None:
    config = PeerConfig(ledger=LedgerConfig(remember_s=100.0))
    peer = Peer(IDENTITIES[0], config, Random(0), 0.0, wall_offset_s=WALL_S)
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
    assert peer.me in peer.neighbourhood.rings


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
