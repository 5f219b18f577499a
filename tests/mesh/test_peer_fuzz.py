"""Whatever a peer is told, in whatever order: it never raises, it counts what it refuses, and it stays small."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from peerscope.errors import RemoteError
from peerscope.mesh.config import PeerConfig
from peerscope.mesh.detection.checks import failed
from peerscope.mesh.dissemination.gossip import GossipConfig
from peerscope.mesh.events import (
    Connected,
    DialFailed,
    Disconnected,
    Event,
    Join,
    Leave,
    Measured,
    Publish,
    Received,
    Send,
    WallClock,
)
from peerscope.mesh.messages import (
    Aged,
    Digest,
    Hello,
    Inventory,
    Key,
    Neighbors,
    Push,
    Records,
    Vicinity,
    decode,
    encode,
)
from peerscope.mesh.peer import Peer
from peerscope.mesh.peer_state import Clocks
from peerscope.records.bodies import BODY_BYTES_MAX, encode_body
from peerscope.records.identity import Identity, ref, verify_ed25519
from peerscope.records.ledger import LedgerConfig
from peerscope.records.record import verify
from strategies import IDENTITIES, bodies, damaged, messages
from wire import GOOD, WALL_S, Wire, hear, profile, record_of

ORIGINS_MAX, WANTED_MAX = 5, 20
SMALL = PeerConfig(ledger=LedgerConfig(origins_max=ORIGINS_MAX), gossip=GossipConfig(wanted_max=WANTED_MAX))
SENDERS = (*IDENTITIES[1:6], IDENTITIES[11])
"""Two of them are linked at the start and two only connected; the ids lie on both sides of ours."""

HELLO = Hello(1, 1, "peerscope", b"", 1_700_000_000_000)


def conversation() -> list[bytes]:
    """Everything that two peers say to each other in their first minute, to be replayed at the wrong moments."""
    wire = Wire()
    one = wire.start(0)
    wire.start(1, one)
    wire.run_until(60.0)
    return sorted({effect.data for _, effect in wire.log if isinstance(effect, Send)})


true_records = st.builds(
    lambda signer, body, at_s: record_of(signer, body, at_s=at_s),
    st.sampled_from(IDENTITIES),
    bodies.filter(lambda body: len(encode_body(body)) <= BODY_BYTES_MAX),
    st.integers(-100, 100),
)
refs = st.sampled_from([ref(identity.peer_id) for identity in IDENTITIES])
true_messages = st.one_of(
    st.just(HELLO),
    st.just(Neighbors(1, 1, "peerscope", b"")),
    st.builds(Vicinity, true_records, st.lists(true_records, max_size=3).map(tuple)),
    st.builds(Push, true_records, st.integers(0, 90_000_000), st.integers(0, 32), st.just(())),
    st.lists(true_records, max_size=3).map(lambda items: Records(tuple(Aged(item, 0) for item in items))),
    st.integers(0, 8).map(lambda bits: Digest(bits, bytes(8 << bits))),
    st.builds(
        Inventory,
        st.integers(0, 8),
        st.lists(st.integers(0, 255), max_size=9).map(tuple),
        st.lists(
            st.builds(
                Key,
                st.sampled_from([ref(one.peer_id) for one in IDENTITIES]),
                st.integers(0, 31),
                st.integers(1, 2**53 - 1),
            ),
            max_size=40,
        ).map(tuple),
    ),
)
valid = st.one_of(messages.map(encode), true_messages.map(encode), st.sampled_from(conversation()))
received = st.builds(
    Received,
    st.sampled_from(SENDERS).map(lambda identity: identity.peer_id),
    st.one_of(valid, valid, valid.flatmap(damaged), st.binary(max_size=200)),
)
peer_ids = st.sampled_from((*SENDERS, IDENTITIES[0])).map(lambda identity: identity.peer_id)
others = peer_ids.filter(lambda peer: peer != IDENTITIES[0].peer_id)
happenings: st.SearchStrategy[Event] = st.one_of(
    st.builds(Connected, others, st.booleans()),
    st.builds(Disconnected, others, st.just("gone")),
    st.builds(DialFailed, peer_ids, st.just("no answer")),
    st.builds(Join, peer_ids, st.just(("10.0.0.1:1",))),
    st.builds(WallClock, st.floats(-1e9, 4e9)),
    st.sampled_from([Measured(GOOD), Measured((failed("no sensor"),) * 4), Publish(profile())]),
    st.sampled_from([Leave(), *[Publish(profile(left=True))] * 3]),
)
steps = st.lists(
    st.tuples(st.one_of(received, received, received, happenings), st.sampled_from([0.0, 0.01, 0.3, 1.1, 40.0])),
    max_size=40,
)


def crowded(number: int = 2) -> Peer:
    peer = Peer(IDENTITIES[0], SMALL, Random(number), Clocks(0.0, WALL_S))
    peer.handle(Publish(profile()), 0.0)
    peer.handle(Measured(GOOD), 0.0)
    for index, sender in enumerate(SENDERS[:4]):
        peer.handle(Connected(sender.peer_id, bool(index % 2)), 0.0)
        if index < 2:
            hear(peer, sender, HELLO, 0.0)
    return peer


def is_message(data: bytes) -> bool:
    try:
        decode(data)
    except RemoteError:
        return False
    return True


@settings(max_examples=300)
@given(steps)
def test_nothing_a_peer_hears_makes_it_raise_or_grow(history: list[tuple[Event, float]]) -> None:
    peer, now = crowded(), 0.0
    for event, pause_s in history:
        before = sum(peer.refused.values())
        links = set(peer.links)
        sent = sum(peer.out.bytes.values())
        peer.handle(event, now)
        if isinstance(event, Received) and (event.peer not in links or not is_message(event.data)):
            assert sum(peer.refused.values()) == before + 1, event
        assert sum(peer.out.bytes.values()) - sent < 100_000, f"one event made it send too much: {event}"
        end = now + pause_s
        for _ in range(1000):
            peer.tick(now)
            assert peer.deadline() > now, f"the deadline stands still at {now} after {event}"
            now = max(now, peer.deadline())
            if now > end:
                break
        now = end
        assert len(peer.ledger) <= ORIGINS_MAX
        assert peer.parts.scopes.near.gossip.wanted <= WANTED_MAX
        assert len(peer.links) <= len(SENDERS)
        assert len(peer.reputations) <= len(SENDERS)
        assert len(peer.parts.receiver._origins._buckets) <= ORIGINS_MAX
        assert len(peer.parts.receiver.eviction._place) <= ORIGINS_MAX
        assert len(peer.neighbours.rings) + len(peer.neighbours.lost) <= ORIGINS_MAX
        assert set(peer.refused) <= REASONS


REASONS = {
    "banned",
    "before-hello",
    "crawl-too-often",
    "equivocation",
    "expired",
    "flooding",
    "forged",
    "impossible-coordinate",
    "impossible-rtt",
    "ledger-full",
    "malformed-body",
    "malformed-message",
    "malformed-record",
    "not-a-member",
    "not-linked",
    "other-network",
    "other-zone",
    "abroad-full",
    "oversized-body",
    "oversized-message",
    "replayed",
    "sync-too-often",
    "too-many-links",
    "too-much-news",
    "unasked",
    "unknown-message",
    "wire-version",
}
"""Reasons are fixed words, so that counting them stays small."""


@given(st.lists(st.tuples(st.sampled_from(SENDERS[:4]), st.one_of(valid.flatmap(damaged), st.binary(max_size=300)))))
def test_noise_puts_nothing_into_the_ledger_that_its_origin_did_not_sign(noise: list[tuple[Identity, bytes]]) -> None:
    peer = crowded()
    for number, (sender, data) in enumerate(noise):
        peer.handle(Received(sender.peer_id, data), number / 100)
    for origin in peer.ledger:
        for entry in peer.ledger.entries(origin):
            assert verify(entry.record, verify_ed25519) == entry.body
