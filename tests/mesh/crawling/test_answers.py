"""Who maps the network is told who is linked to whom, within limits, and stays a stranger."""

from random import Random

import pytest
from msgspec.structs import replace

from peerscope.errors import ConfigError
from peerscope.mesh.config import PeerConfig
from peerscope.mesh.crawling.answers import BURST_S, TOO_OFTEN, CrawlConfig
from peerscope.mesh.events import Connected, Effect, Hangup, Publish
from peerscope.mesh.handshake import HELLO_TIMEOUT_S
from peerscope.mesh.membership.admission import Admission, NetworkConfig
from peerscope.mesh.messages import MESSAGE_BYTES_MAX, Bye, Challenge, Hello, Neighbors, Push, Vicinity, encode
from peerscope.mesh.peer import Peer
from peerscope.mesh.peer_state import Clocks
from peerscope.records.bodies import LINKS_MAX, Profile
from peerscope.records.identity import Identity
from strategies import IDENTITIES
from wire import WALL_S, alone, hear, link, profile, record_of, said

STRANGER = IDENTITIES[9]
QUESTION = Neighbors(1, 1, "peerscope", b"")
CLOSED = PeerConfig(network=NetworkConfig(name="beam", secret="correct horse battery"))


def asked(peer: Peer, asker: Identity, now: float, question: Neighbors = QUESTION) -> list[Effect]:
    """A stranger connects and asks."""
    return peer.handle(Connected(asker.peer_id, False), now) + hear(peer, asker, question, now)


def with_neighbours(*numbers: int, body: Profile | None = None) -> Peer:
    peer = alone()
    for number in numbers:
        other = IDENTITIES[number]
        link(peer, other)
        hear(peer, other, Push(record_of(other, body or profile(f"10.0.0.{number}:1")), 0, 1, ()), 0.0)
    return peer


def strangers(count: int) -> list[Identity]:
    return [Identity(Random(seed).randbytes(32)) for seed in range(count)]


def test_it_tells_who_it_is_and_to_whom_it_is_linked() -> None:
    peer = with_neighbours(3, 5)
    (answer,) = said(asked(peer, STRANGER, 1.0), Vicinity, STRANGER.peer_id)
    assert answer.profile.peer_id == peer.me
    assert [record.peer_id for record in answer.neighbours] == [IDENTITIES[3].peer_id, IDENTITIES[5].peer_id]
    assert answer.neighbours[0] == record_of(IDENTITIES[3], profile("10.0.0.3:1"))
    assert answer.more == 0


def test_the_asker_becomes_no_member_and_no_neighbour() -> None:
    peer = with_neighbours(3)
    effects = asked(peer, STRANGER, 1.0)
    assert said(effects, Hello) == []
    assert STRANGER.peer_id not in peer.ledger
    assert STRANGER.peer_id not in peer.neighbours.rings
    assert STRANGER.peer_id not in peer.links.up()
    assert peer.refused == {}


def test_its_connection_does_not_stay() -> None:
    peer = with_neighbours()
    asked(peer, STRANGER, 0.0)
    effects: list[Effect] = []
    now = 0.0
    while not effects and now < 2 * HELLO_TIMEOUT_S:
        now = max(now, peer.deadline())
        effects = [effect for effect in peer.tick(now) if isinstance(effect, Hangup)]
    assert effects == [Hangup(STRANGER.peer_id, "no hello")]


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        (Neighbors(1, 1, "other", b""), "other-network"),
        (Neighbors(1, 1, "beam", b""), "not-a-member"),
        (Neighbors(1, 1, "beam", bytes(32)), "not-a-member"),
        (Neighbors(7, 9, "beam", b""), "wire-version"),
    ],
)
def test_outsiders_hear_nothing_but_the_refusal(question: Neighbors, reason: str) -> None:
    peer = alone(config=CLOSED)
    effects = asked(peer, STRANGER, 0.0, question)
    assert said(effects, Bye, STRANGER.peer_id) == [Bye(reason)]
    assert said(effects, Vicinity) == []
    assert isinstance(effects[-1], Hangup)
    assert (peer.refused, peer.links) == ({reason: 1}, {})


def proved(peer: Peer, asker: Identity) -> Neighbors:
    """A member connects, and what it then asks."""
    (challenge,) = said(peer.handle(Connected(asker.peer_id, False), 0.0), Challenge, asker.peer_id)
    return Neighbors(1, 1, "beam", Admission(CLOSED.network, asker.peer_id, Random(0)).prove(peer.me, challenge.nonce))


def test_who_knows_the_secret_is_answered() -> None:
    peer = alone(config=CLOSED)
    assert said(hear(peer, STRANGER, proved(peer, STRANGER), 0.0), Vicinity) != []


def test_the_proof_of_one_stranger_is_worth_nothing_to_another_nor_a_second_time() -> None:
    peer = alone(config=CLOSED)
    question = proved(peer, STRANGER)
    asked(peer, IDENTITIES[8], 0.0, question)
    assert peer.refused == {"not-a-member": 1}
    hear(peer, STRANGER, question, 0.0)
    hear(peer, STRANGER, question, 2.0)
    assert peer.refused == {"not-a-member": 2}


def test_one_asker_is_answered_once_a_second() -> None:
    peer = with_neighbours()
    assert said(asked(peer, STRANGER, 1.0), Vicinity) != []
    effects = asked(peer, STRANGER, 1.5)
    assert (said(effects, Vicinity), said(effects, Bye)) == ([], [Bye(TOO_OFTEN)])
    assert peer.refused == {TOO_OFTEN: 1}
    assert said(asked(peer, STRANGER, 2.1), Vicinity) != []


def test_many_askers_together_get_no_more_than_the_limit() -> None:
    config = CrawlConfig(answers_per_s=5.0)
    peer = alone(config=PeerConfig(crawl=config))
    crowd = strangers(200)
    answers = sum(len(said(asked(peer, one, 100.0), Vicinity)) for one in crowd)
    assert answers == config.answers_per_s * BURST_S
    assert peer.refused == {TOO_OFTEN: len(crowd) - answers}
    assert len(peer.links) == answers
    assert sum(len(said(asked(peer, one, 101.0), Vicinity)) for one in crowd[::-1]) == config.answers_per_s


def test_a_neighbour_that_asks_too_often_stays_one() -> None:
    peer = with_neighbours(3)
    for _ in range(3):
        hear(peer, IDENTITIES[3], QUESTION, 1.0)
    assert peer.refused == {TOO_OFTEN: 2}
    assert peer.links.up() == [IDENTITIES[3].peer_id]


def test_an_answer_fits_into_a_message_however_much_neighbours_say_of_themselves() -> None:
    chatty = replace(profile(), labels=(("k" * 64, "v" * 64),) * 16, addresses=("a" * 64,) * 8)
    peer = alone()
    crowd = strangers(LINKS_MAX)
    for one in crowd:
        link(peer, one, ticks=False)
        hear(peer, one, Push(record_of(one, chatty), 0, 1, ()), 0.0)
    (answer,) = said(asked(peer, STRANGER, 1.0), Vicinity, STRANGER.peer_id)
    assert MESSAGE_BYTES_MAX - 5000 < len(encode(answer)) <= MESSAGE_BYTES_MAX
    assert answer.more == LINKS_MAX - len(answer.neighbours) > 0


def test_a_linked_peer_that_never_told_who_it_is_is_counted_only() -> None:
    peer = alone()
    link(peer, IDENTITIES[3])
    (answer,) = said(asked(peer, STRANGER, 1.0), Vicinity, STRANGER.peer_id)
    assert (answer.neighbours, answer.more) == ((), 1)


def test_before_it_has_a_profile_it_answers_nobody() -> None:
    peer = Peer(IDENTITIES[0], PeerConfig(), Random(0), Clocks(0.0, WALL_S))
    assert said(asked(peer, STRANGER, 0.0), Bye) == [Bye("no-profile")]
    peer.handle(Publish(profile()), 1.0)
    assert said(asked(peer, STRANGER, 1.0), Vicinity) != []


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), 1e6])
def test_a_senseless_limit_is_refused(value: float) -> None:
    with pytest.raises(ConfigError, match=r"crawl\.answers_per_s is"):
        CrawlConfig(answers_per_s=value)
