"""Connections: who is heard, who is hung up on, and what a linked peer can spoil."""

from random import Random

import msgspec
import pytest

from peerscope.mesh.config import PeerConfig
from peerscope.mesh.events import (
    Connected,
    Disconnected,
    Effect,
    Hangup,
    LinkChanged,
    Publish,
    Received,
    Send,
)
from peerscope.mesh.handshake import CONNECTIONS_MAX, HELLO_TIMEOUT_S
from peerscope.mesh.membership.admission import Admission, NetworkConfig
from peerscope.mesh.messages import (
    Aged,
    Announce,
    Bye,
    Challenge,
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
    Vicinity,
    encode,
)
from peerscope.mesh.peer import Peer
from peerscope.records.bodies import Kind, Observations, decode_body
from peerscope.records.identity import Identity, ref
from strategies import IDENTITIES
from wire import alone, hear, link, profile, record_of, said

MALLORY, VICTIM = IDENTITIES[9], IDENTITIES[5]
GOOD_RECORD = record_of(VICTIM, profile())

BEFORE_HELLO: list[Message] = [
    Ping(1, 1),
    Pong(1, 1),
    Push(GOOD_RECORD, 0, 1, ()),
    Announce((Key(ref(VICTIM.peer_id), 0, 1),)),
    Pull((Topic(ref(IDENTITIES[0].peer_id), 0),)),
    Records((Aged(GOOD_RECORD, 0),)),
    Digest(0, bytes(8)),
    Inventory(0, (0,), ()),
    Vicinity(GOOD_RECORD, ()),
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
    "neighbours nobody asked for": (encode(Vicinity(GOOD_RECORD, ())), "unasked"),
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
    assert peer.links == {}


def test_a_member_of_a_closed_network_is_admitted_by_its_proof() -> None:
    peer = alone(config=CLOSED)
    link(peer, VICTIM)
    assert (peer.links.up(), peer.refused) == ([VICTIM.peer_id], {})


def test_our_own_proof_sent_back_to_us_admits_nobody() -> None:
    peer = alone(config=CLOSED)
    assert peer.handle(Connected(MALLORY.peer_id, True), 0.0) == []
    (ours,) = said(hear(peer, MALLORY, Challenge(bytes(16)), 0.1), Hello)
    hear(peer, MALLORY, msgspec.structs.replace(ours, reply=True), 0.2)
    assert (peer.links.up(), peer.refused) == ([], {"not-a-member": 1})


def test_a_challenge_is_answered_once_for_each_dial_and_never_without_one() -> None:
    peer = alone(config=CLOSED)
    peer.handle(Connected(MALLORY.peer_id, False), 0.0)
    assert hear(peer, MALLORY, Challenge(bytes(16)), 0.1) == []
    peer.handle(Connected(VICTIM.peer_id, True), 0.2)
    answers = [said(hear(peer, VICTIM, Challenge(bytes(16)), 0.3), Hello) for _ in range(3)]
    assert [len(hellos) for hellos in answers] == [1, 0, 0]
    assert peer.refused == {"unasked": 3}


def test_a_recorded_hello_is_worth_nothing_on_the_next_connection() -> None:
    peer = alone(config=CLOSED)
    link(peer, VICTIM)
    (recorded,) = hellos_of(VICTIM, peer)
    peer.handle(Connected(VICTIM.peer_id, False), 1.0)
    hear(peer, VICTIM, recorded, 1.1)
    assert (peer.links.up(), peer.refused) == ([], {"not-a-member": 1})


def hellos_of(identity: Identity, peer: Peer) -> list[Hello]:
    """What one says on a fresh connection, with the right proof, after it has been heard once."""
    (challenge,) = said(peer.handle(Connected(identity.peer_id, False), 0.5), Challenge)
    proof = Admission(CLOSED.network, identity.peer_id, Random(0)).prove(peer.me, challenge.nonce)
    hello = Hello(1, 1, "beam", proof, 1)
    hear(peer, identity, hello, 0.6)
    assert peer.refused == {}
    return [hello]


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
    assert peer.links == {}
    assert HELLO_TIMEOUT_S < now < HELLO_TIMEOUT_S + 2.0


def test_while_we_are_behind_others_have_longer_to_say_hello() -> None:
    peer = alone()
    peer.handle(Connected(MALLORY.peer_id, False), 0.0)
    now = 0.0
    while now < 3 * HELLO_TIMEOUT_S:
        now = max(now + 3.0, peer.deadline() + 1.0)  # every turn comes a second late
        assert not [effect for effect in peer.tick(now) if isinstance(effect, Hangup)]
        assert MALLORY.peer_id in peer.links
        if now > 2 * HELLO_TIMEOUT_S:
            break
    assert now > 2 * HELLO_TIMEOUT_S


def strangers(count: int) -> list[Identity]:
    return [Identity(Random(seed).randbytes(32)) for seed in range(count)]


def test_connections_are_bounded_and_the_oldest_that_says_nothing_makes_room() -> None:
    peer = alone()
    for number, stranger in enumerate(strangers(CONNECTIONS_MAX + 3)):
        effects = peer.handle(Connected(stranger.peer_id, False), number / 1000)
    assert len(peer.links) == CONNECTIONS_MAX
    assert [effect for effect in effects if isinstance(effect, Hangup)] == [
        Hangup(strangers(3)[2].peer_id, "too many links")
    ]


def test_members_that_nobody_wants_keep_other_strangers_out_but_not_our_neighbours() -> None:
    peer = alone()
    crowd = strangers(CONNECTIONS_MAX)
    for stranger in crowd:
        link(peer, stranger, ticks=False)
    effects = peer.handle(Connected(MALLORY.peer_id, False), 0.1)
    assert effects == [Hangup(MALLORY.peer_id, "too many links")]
    assert peer.refused == {"too-many-links": 1}
    hear(peer, crowd[0], Push(GOOD_RECORD, 0, 1, ()), 0.2)
    assert VICTIM.peer_id in peer.neighbours.wanted
    link(peer, VICTIM, 0.3)
    assert VICTIM.peer_id in peer.links.up()
    assert len(peer.links) == CONNECTIONS_MAX


def test_strangers_that_came_and_went_do_not_keep_others_out() -> None:
    peer = alone()
    for stranger in strangers(CONNECTIONS_MAX):
        link(peer, stranger, ticks=False)
        peer.handle(Disconnected(stranger.peer_id, "idle"), 0.0)
    now = 0.0
    while (now := max(now, peer.deadline())) < 120.0:
        peer.tick(now)
    link(peer, VICTIM, 120.0)
    assert VICTIM.peer_id in peer.links.up()


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
    while not peer.links.lost():
        now = max(now, peer.deadline())
        peer.tick(now)
    entry = peer.ledger.get(peer.me, Kind.OBSERVATIONS)
    assert entry is not None
    body = decode_body(Kind.OBSERVATIONS, entry.record.body)
    assert isinstance(body, Observations)
    assert [item.subject for item in body.lost] == [ref(MALLORY.peer_id)]
