"""What a peer does about neighbours that misbehave: it counts, throttles, hangs up, and stays open to all others."""

import pytest
from msgspec.structs import replace

from peerscope.mesh.config import PeerConfig
from peerscope.mesh.events import Breach, Connected, Dial, Effect, Hangup, LinkChanged, Received, Send
from peerscope.mesh.limits.rate_limit import LimitConfig
from peerscope.mesh.limits.reputation import BAN_S, WEIGHTS, ReputationLevel
from peerscope.mesh.membership.admission import NetworkConfig
from peerscope.mesh.messages import (
    Aged,
    Announce,
    Bye,
    Hello,
    Key,
    Message,
    Ping,
    Pull,
    Push,
    Records,
    Topic,
    encode,
)
from peerscope.mesh.peer import Peer
from peerscope.records.bodies import BODY_BYTES_MAX, Kind
from peerscope.records.identity import ref
from peerscope.records.record import Record
from peerscope.transport.sealed import Offer, encode_offer
from strategies import IDENTITIES
from wire import alone, hear, link, profile, record_of, said

MALLORY, VICTIM, ALICE = IDENTITIES[9], IDENTITIES[5], IDENTITIES[3]
GOOD_RECORD = record_of(VICTIM, profile())
FORGED = replace(GOOD_RECORD, body=record_of(VICTIM, profile(left=True)).body)


def with_mallory(config: PeerConfig | None = None) -> Peer:
    peer = alone(config=config)
    for identity in (MALLORY, ALICE):
        link(peer, identity)
    hear(peer, MALLORY, Push(record_of(MALLORY, profile("10.0.0.9:1")), 0, 1, ()), 0.0)
    return peer


def standing(peer: Peer, now: float) -> dict[bytes, ReputationLevel]:
    return {one.peer: one.standing for one in peer.reputations.all(now)}


def bombard(peer: Peer, data: bytes, times: int, now: float = 1.0) -> list[Effect]:
    return [effect for _ in range(times) for effect in peer.handle(Received(MALLORY.peer_id, data), now)]


def ban(peer: Peer, now: float = 1.0) -> list[Effect]:
    effects = bombard(peer, encode(Push(FORGED, 0, 1, ())), 50, now)
    assert standing(peer, now) == {MALLORY.peer_id: ReputationLevel.BANNED}
    return effects


def test_who_passes_on_forged_records_is_hung_up_on_and_told_why() -> None:
    peer = with_mallory()
    effects = ban(peer)
    assert said(effects, Bye, MALLORY.peer_id) == [Bye("banned")]
    assert [effect for effect in effects if isinstance(effect, Hangup)] == [Hangup(MALLORY.peer_id, "banned")]
    assert [(one.peer, one.up) for one in effects if isinstance(one, LinkChanged)] == [(MALLORY.peer_id, False)]
    assert peer.links.up() == [ALICE.peer_id]


def test_a_banned_peer_is_refused_until_its_ban_is_over_and_never_dialled_meanwhile() -> None:
    peer = with_mallory()
    assert MALLORY.peer_id in peer.neighbours.wanted
    ban(peer)
    assert peer.handle(Connected(MALLORY.peer_id, False), 2.0) == [Hangup(MALLORY.peer_id, "banned")]
    dialled: list[Effect] = []
    now = 2.0
    while now < BAN_S:
        now = max(now, peer.deadline())
        hear(peer, ALICE, Ping(1, 1), now)
        dialled += [effect for effect in peer.tick(now) if isinstance(effect, Dial) and effect.peer == MALLORY.peer_id]
    assert dialled == []
    while not dialled and now < 3 * BAN_S:
        now = max(now, peer.deadline())
        hear(peer, ALICE, Ping(1, 1), now)
        dialled += [effect for effect in peer.tick(now) if isinstance(effect, Dial) and effect.peer == MALLORY.peer_id]
    assert len(dialled) == 1
    link(peer, MALLORY, now)
    assert MALLORY.peer_id in peer.links.up()


def test_nobody_is_accused_for_our_hanging_up_on_it() -> None:
    peer = with_mallory()
    ban(peer)
    now = 1.0
    while (now := max(now, peer.deadline())) < 20.0:
        hear(peer, ALICE, Ping(1, 1), now)
        peer.tick(now)
    observations = peer.ledger.observations(peer.me)
    assert observations is None or observations.lost == ()


def test_our_own_health_does_not_suffer_from_whom_we_banned() -> None:
    peer = with_mallory()
    hear(peer, ALICE, Push(record_of(ALICE, profile("10.0.0.3:1")), 0, 1, ()), 0.0)
    ban(peer)
    now = 1.0
    while (now := max(now, peer.deadline())) < 30.0:
        hear(peer, ALICE, Ping(1, 1), now)
        peer.tick(now)
    report = peer.ledger.report(peer.me)
    assert report is not None
    assert (report.expected, len(report.links)) == (1, 1)


def test_of_a_message_full_of_forgeries_only_as_many_are_looked_at_as_a_ban_takes() -> None:
    peer = with_mallory()
    hear(peer, MALLORY, Records((Aged(FORGED, 0),) * 60), 1.0)
    assert standing(peer, 1.0) == {MALLORY.peer_id: ReputationLevel.BANNED}
    assert peer.refused["forged"] < 20


RELAYED: dict[str, list[Message]] = {
    "what it signed twice": [
        Push(record_of(VICTIM, profile(address)), 0, 1, ()) for address in ("10.0.0.1:1", "10.0.0.2:2")
    ],
    "what it said before": [
        Push(record_of(VICTIM, profile(), at_s=at_s), 0, 1, ()) for at_s in (5.0, 4.0, 3.0, 2.0, 1.0)
    ],
    "what we cannot read": [
        Push(Record(VICTIM.peer_id, Kind.PROFILE, 10, 0, b"\x93\x01\x02\x03", bytes(64)), 0, 1, ()),
        Push(Record(VICTIM.peer_id, 20, 10, 0, bytes(BODY_BYTES_MAX + 1), bytes(64)), 0, 1, ()),
    ],
    "what somebody forged in its name": [Push(FORGED, 0, 1, ())],
}


@pytest.mark.parametrize("name", RELAYED)
def test_by_passing_on_its_words_nobody_gets_a_third_peer_banned(name: str) -> None:
    peer = with_mallory()
    link(peer, VICTIM)
    for _ in range(100):
        for message in RELAYED[name]:
            hear(peer, MALLORY, message, 1.0)
    assert VICTIM.peer_id in peer.links.up()
    assert VICTIM.peer_id not in standing(peer, 1.0)


@pytest.mark.parametrize("name", [name for name in RELAYED if "forged" not in name])
def test_an_honest_neighbour_may_pass_on_whatever_its_origin_signed(name: str) -> None:
    peer = with_mallory()
    for _ in range(100):
        for message in RELAYED[name]:
            hear(peer, ALICE, message, 1.0)
    assert standing(peer, 1.0) == {}


def test_messages_of_kinds_that_only_newer_agents_know_are_held_against_nobody() -> None:
    peer = with_mallory()
    bombard(peer, b"\x92\x7f\x01", 500)
    bombard(peer, b"\x92\xcc\xff\x01", 50)
    assert peer.refused["unknown-message"] == 500
    assert standing(peer, 1.0).get(MALLORY.peer_id) is not None  # 0xccff is no small number: nobody writes tags so
    other = with_mallory()
    bombard(other, b"\xdc\x00\x02\x7f\x01", 500)
    assert (other.refused, standing(other, 1.0)) == ({"unknown-message": 500}, {})


@pytest.mark.parametrize("config", [None, PeerConfig(network=NetworkConfig(secret="s" * 32))], ids=["open", "secret"])
@pytest.mark.parametrize("dialled", [True, False])
def test_an_offer_of_a_transport_is_held_against_nobody_even_before_the_hello(
    config: PeerConfig | None, dialled: bool
) -> None:
    peer = alone(config=config)
    peer.handle(Connected(MALLORY.peer_id, dialled), 0.0)
    assert bombard(peer, encode_offer(Offer(1, 4601, b"\x80" * 8, b"k" * 32)), 500) == []
    assert (peer.refused, standing(peer, 1.0)) == ({"unknown-message": 500}, {})
    assert MALLORY.peer_id in peer.links


FLOODS: dict[str, Message] = {
    "pings": Ping(1, 1_700_000_000_000),
    "hellos": Hello(1, 1, "peerscope", b"", 1),
    "pulls": Pull((Topic(ref(IDENTITIES[0].peer_id), 0),) * 512),
    "announcements": Announce((Key(ref(VICTIM.peer_id), 0, 1),)),
    "the same true record": Push(GOOD_RECORD, 0, 1, ()),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_of_true_messages_is_dropped_then_banned_and_answered_less_and_less(name: str) -> None:
    peer, limits = with_mallory(), LimitConfig()
    effects = bombard(peer, encode(FLOODS[name]), 8_000)
    assert standing(peer, 1.0) == {MALLORY.peer_id: ReputationLevel.BANNED}
    answered = sum(isinstance(effect, Send) for effect in effects)
    assert answered <= 2 * limits.requests_burst
    assert peer.refused["flooding"] >= 1 / WEIGHTS["flooding"]
    assert peer.links.up() == [ALICE.peer_id]


def test_whoever_is_too_loud_is_not_silent() -> None:
    config = PeerConfig(limits=LimitConfig(messages_per_s=1.0, messages_burst=5.0))
    peer = with_mallory(config)
    for second in range(1, 30):
        for _ in range(3):
            hear(peer, MALLORY, Ping(second, 1), float(second))
        hear(peer, ALICE, Ping(second, 1), float(second))
        peer.tick(float(second))
    assert peer.refused["flooding"] > 10
    assert peer.links.lost() == []


def test_a_reconnection_brings_no_new_allowance() -> None:
    config = PeerConfig(limits=LimitConfig(messages_burst=10.0, messages_per_s=1.0))
    peer = alone(config=config)
    for _ in range(20):
        link(peer, MALLORY, 0.5, ticks=False)
        hear(peer, MALLORY, Bye("again"), 0.5)
    assert peer.refused["flooding"] >= 20


def test_what_the_transport_does_not_hand_on_counts_as_well() -> None:
    peer = with_mallory()
    for _ in range(5):
        peer.handle(Breach(MALLORY.peer_id, "oversized-message"), 1.0)
    assert standing(peer, 1.0) == {MALLORY.peer_id: ReputationLevel.BANNED}
    assert peer.refused == {"oversized-message": 5}


def test_a_stranger_may_send_no_more_than_a_hello_is_long() -> None:
    peer = alone()
    peer.handle(Connected(MALLORY.peer_id, False), 0.0)
    bombard(peer, bytes(1025), 3)
    assert peer.refused == {"before-hello": 3}


def test_one_origin_has_no_more_news_than_anybody_needs_and_its_newest_comes_in_the_end() -> None:
    peer, limits = with_mallory(), LimitConfig()
    hear(peer, ALICE, Push(record_of(ALICE, profile("10.0.0.3:1")), 0, 1, ()), 0.0)
    passed_on = 0
    for number in range(1000):
        record = record_of(MALLORY, profile(f"10.0.0.9:{number + 2}"), at_s=1.0 + number / 1000)
        passed_on += len(said(hear(peer, MALLORY, Push(record, 0, 5, ()), 2.0), Push))
    assert limits.records_burst - 2 <= passed_on <= limits.records_burst
    assert peer.refused == {"too-much-news": 1000 - limits.records_burst}
    assert standing(peer, 2.0) == {}  # whoever passes on what others say is not to blame
    hear(peer, ALICE, Records((Aged(record, 0),)), 3.0)
    assert peer.ledger.profile(MALLORY.peer_id) == profile("10.0.0.9:1001")


def test_nobody_uses_up_the_news_of_another() -> None:
    peer = with_mallory()
    for _ in range(12):  # one short of a ban
        hear(peer, MALLORY, Push(FORGED, 0, 1, ()), 1.0)
    for number in range(150):
        record = record_of(VICTIM, profile(f"10.0.0.5:{number + 2}"), at_s=number / 100)
        hear(peer, ALICE, Push(record, 0, 1, ()), 2.0)
    assert peer.refused == {"forged": 12}
