"""The crawler believes what is signed, survives what is not, and keeps nobody's connection."""

from math import inf
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from peerscope.mesh.config import PeerConfig
from peerscope.mesh.crawling.answers import TOO_OFTEN
from peerscope.mesh.crawling.crawler import Crawler, CrawlerIdentity
from peerscope.mesh.crawling.traversal import WalkConfig
from peerscope.mesh.events import Connected, Dial, DialFailed, Disconnected, Effect, Hangup, Received, Send
from peerscope.mesh.membership.admission import NetworkConfig
from peerscope.mesh.messages import WIRE, Bye, Hello, Message, Neighbors, Vicinity, encode
from peerscope.records.bodies import Check, Report
from peerscope.records.identity import Identity, PeerId
from strategies import IDENTITIES, damaged, messages
from wire import Wire, profile, record_of, said

ME, START, OTHER, THIRD = IDENTITIES[0], IDENTITIES[1], IDENTITIES[2], IDENTITIES[3]
STRANGER = IDENTITIES[11]
START_RECORD, OTHER_RECORD = record_of(START, profile("10.0.0.1:1")), record_of(OTHER, profile("10.0.0.2:1"))
OPEN = NetworkConfig()


def crawler(network: NetworkConfig = OPEN, **limits: float) -> Crawler:
    return Crawler(CrawlerIdentity(ME.peer_id, network), {START.peer_id: ("10.0.0.1:1",)}, WalkConfig(**limits), 0.0)


def connected(**limits: float) -> Crawler:
    """It has dialled the start and asked."""
    one = crawler(**limits)
    assert one.tick(0.0) == [Dial(START.peer_id, ("10.0.0.1:1",))]
    (question,) = said(one.handle(Connected(START.peer_id, True), 0.1), Neighbors, START.peer_id)
    assert question == Neighbors(*WIRE, "peerscope", b"")
    return one


def answer(one: Crawler, source: Identity, message: Message | bytes, now: float = 0.2) -> list[Effect]:
    data = message if isinstance(message, bytes) else encode(message)
    return one.handle(Received(source.peer_id, data), now)


def test_it_dials_whom_an_answer_names_at_the_signed_address_and_hangs_up() -> None:
    one = connected()
    effects = answer(one, START, Vicinity(START_RECORD, (OTHER_RECORD,)))
    assert effects == [Dial(OTHER.peer_id, ("10.0.0.2:1",)), Hangup(START.peer_id, "thanks")]
    assert one.walk.survey().depths == {START.peer_id: 0}
    assert one.sightings[START.peer_id].region == "eu"


BAD = {
    "noise": (b"\xc1\xff", "bad answer: malformed-message"),
    "too much": (bytes(70_000), "bad answer: oversized-message"),
    "somebody else's profile": (Vicinity(OTHER_RECORD, ()), "bad answer: not-its-own"),
    "a forged profile": (Vicinity(replace(START_RECORD, body=OTHER_RECORD.body), ()), "bad answer: forged"),
    "no profile": (Vicinity(record_of(START, Report(5000, (Check(0),))), ()), "bad answer: malformed-record"),
    "a refusal": (Bye("other-network"), "refused: other-network"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_peer_that_answers_badly_is_unreachable_for_that_reason(name: str) -> None:
    message, reason = BAD[name]
    one = connected()
    assert answer(one, START, message) == [Hangup(START.peer_id, "thanks")]
    assert one.walk.survey().unreachable == {START.peer_id: reason}
    assert one.is_done(0.2)


def test_a_forged_profile_of_a_neighbour_is_counted_and_nobody_is_dialled_for_it() -> None:
    one = connected()
    forged = replace(OTHER_RECORD, body=START_RECORD.body)
    report = record_of(THIRD, Report(5000, (Check(0),)))
    effects = answer(one, START, Vicinity(START_RECORD, (forged, report)))
    assert effects == [Hangup(START.peer_id, "thanks")]
    assert one.forged == 2
    assert set(one.sightings) == {START.peer_id}


def test_of_two_profiles_the_newer_one_says_where_a_peer_is() -> None:
    one = connected(concurrency=1)
    newer = record_of(THIRD, profile("10.0.0.3:2"), at_s=5.0)
    answer(one, START, Vicinity(START_RECORD, (OTHER_RECORD, record_of(THIRD, profile("10.0.0.3:1")))))
    one.handle(Connected(OTHER.peer_id, True), 0.3)
    effects = answer(one, OTHER, Vicinity(OTHER_RECORD, (newer, START_RECORD)), 0.4)
    assert effects[0] == Dial(THIRD.peer_id, ("10.0.0.3:2",))
    one.handle(Connected(THIRD.peer_id, True), 0.5)
    answer(one, THIRD, Vicinity(record_of(THIRD, profile("10.0.0.3:1")), ()), 0.6)
    assert one.sightings[THIRD.peer_id].addresses == ("10.0.0.3:2",)


def test_a_busy_peer_is_dialled_again() -> None:
    one = connected()
    assert answer(one, START, Bye(TOO_OFTEN)) == [Hangup(START.peer_id, "thanks")]
    assert not one.is_done(0.2)
    assert one.tick(one.deadline()) == [Dial(START.peer_id, ("10.0.0.1:1",))]


def test_what_failed_has_its_reason() -> None:
    one = crawler()
    one.tick(0.0)
    one.handle(DialFailed(START.peer_id, "no answer within 5 s"), 5.0)
    assert one.walk.survey().unreachable == {START.peer_id: "no connection: no answer within 5 s"}
    one = connected()
    one.handle(Disconnected(START.peer_id, "\x1b[31mgone"), 1.0)
    assert one.walk.survey().unreachable == {START.peer_id: "hung up without an answer"}


def test_who_takes_too_long_is_hung_up_on() -> None:
    one = connected(answer_timeout_s=3.0)
    answer(one, START, Hello(1, 1, "peerscope", b"", 1))
    assert one.deadline() == 3.0
    assert one.tick(3.0) == [Hangup(START.peer_id, "thanks")]
    assert one.walk.survey().unreachable == {START.peer_id: "no answer within 3 s"}


def test_who_dials_us_is_hung_up_on() -> None:
    assert Hangup(OTHER.peer_id, "thanks") in connected().handle(Connected(OTHER.peer_id, False), 0.3)


def test_names_beyond_what_is_taken_are_not_kept() -> None:
    one = connected(neighbours_max=1)
    answer(one, START, Vicinity(START_RECORD, (OTHER_RECORD, record_of(THIRD, profile())), more=7))
    assert set(one.sightings) == {START.peer_id, OTHER.peer_id}
    assert (one.walk.surplus, one.left_out) == (1, 7)


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=200),
            messages.map(encode),
            messages.map(encode).flatmap(damaged),
            damaged(encode(Vicinity(START_RECORD, (OTHER_RECORD,)))),
        ),
        max_size=5,
    )
)
def test_whatever_it_is_told_it_never_raises_and_ends(noise: list[bytes]) -> None:
    one = connected()
    for data in noise:
        answer(one, START, data)
    turns = 0
    while (at := one.deadline()) < inf:
        one.tick(at)
        turns += 1
    assert turns < 20
    assert one.is_done(at)
    for peer, sighting in one.sightings.items():
        assert peer == START.peer_id or sighting.version > 0


def relay(wire: Wire, one: Crawler, me: PeerId) -> None:
    queue = one.tick(wire.now)

    def told(source: PeerId, replies: list[Effect]) -> None:
        for reply in replies:
            if isinstance(reply, Send) and reply.to == me:
                queue.extend(one.handle(Received(source, reply.data), wire.now))

    while queue:
        effect = queue.pop(0)
        match effect:
            case Dial(to, _):
                replies = wire.peers[to].handle(Connected(me, False), wire.now)
                queue.extend(one.handle(Connected(to, True), wire.now))
                told(to, replies)
            case Hangup(to, reason):
                wire.peers[to].handle(Disconnected(me, reason), wire.now)
            case Send(to, data):
                told(to, wire.peers[to].handle(Received(me, data), wire.now))


def test_it_maps_real_peers_with_a_secret() -> None:
    """Five real peers that know each other; what the crawler asks goes to them, and back, as bytes."""
    wire, config = Wire(), PeerConfig(network=NetworkConfig(secret="correct horse battery"))
    first = wire.start(1, config=config)
    for number in range(2, 6):
        wire.start(number, first, config=config)
    wire.run_until(20.0)
    links = {frozenset((peer.me, other)) for peer in wire.peers.values() for other in peer.links.up()}
    one = Crawler(CrawlerIdentity(STRANGER.peer_id, config.network), {first.me: ()}, WalkConfig(), wire.now)
    relay(wire, one, STRANGER.peer_id)
    survey = one.walk.survey()
    assert set(survey.depths) == set(wire.peers)
    assert {frozenset(pair) for pair in survey.links} == links
    assert all(survey.links.values())
    assert all(STRANGER.peer_id not in peer.ledger for peer in wire.peers.values())


def test_the_order_of_its_questions_follows_from_what_it_was_told() -> None:
    def questions() -> list[Effect]:
        one, records = connected(), [record_of(Identity(Random(n).randbytes(32)), profile()) for n in range(20)]
        return answer(one, START, Vicinity(START_RECORD, tuple(records)))

    assert questions() == questions()
