"""A full ledger: strangers from the most crowded prefix displace each other, never those we know."""

from random import Random

import pytest

from peerscope.mesh.config import PeerConfig
from peerscope.mesh.events import Forgotten
from peerscope.mesh.membership.admission import NetworkConfig
from peerscope.mesh.membership.eviction import LONG_KNOWN_S, SILENT_S
from peerscope.mesh.messages import Push
from peerscope.mesh.peer import Peer
from peerscope.records.bodies import Observations, Profile
from peerscope.records.identity import Identity
from peerscope.records.ledger import LedgerConfig
from strategies import IDENTITIES
from wire import alone, hear, link, profile, record_of

SENDER = IDENTITIES[9]


def person(number: int) -> Identity:
    return Identity(Random(number).randbytes(32))


def told(peer: Peer, who: Identity, address: str, now: float) -> list[Forgotten]:
    """Its profile reaches us; who was forgotten for it."""
    effects = hear(peer, SENDER, Push(record_of(who, profile(address), at_s=now), 0, 1, ()), now)
    return [effect for effect in effects if isinstance(effect, Forgotten)]


def full(origins_max: int, crowd: int, *, address: str = "10.9.9.{}:1") -> tuple[Peer, list[Identity]]:
    """A peer whose ledger has room for no more than so many, and knows a crowd behind one prefix."""
    peer = alone(config=PeerConfig(ledger=LedgerConfig(origins_max=origins_max)))
    link(peer, SENDER)
    people = [person(number) for number in range(crowd)]
    for number, who in enumerate(people):
        told(peer, who, address.format(number), float(number))
    assert len(peer.ledger) == crowd + 1 <= origins_max
    return peer, people


def test_a_newcomer_from_elsewhere_displaces_the_newest_of_the_most_crowded_prefix() -> None:
    peer, people = full(6, 5)
    other = person(100)
    assert told(peer, other, "10.8.8.1:1", 10.0) == [Forgotten(people[-1].peer_id)]
    assert other.peer_id in peer.ledger
    assert people[-1].peer_id not in peer.ledger
    assert people[-1].peer_id not in peer.neighbours.rings
    assert len(peer.ledger) == 6


def test_a_newcomer_from_the_crowd_is_refused() -> None:
    peer, people = full(6, 5)
    assert told(peer, person(100), "10.9.9.200:1", 10.0) == []
    assert peer.refused == {"ledger-full": 1}
    assert {who.peer_id for who in people} <= set(peer.ledger)


def test_a_flood_from_one_prefix_keeps_nobody_else_out() -> None:
    peer, _ = full(50, 40)
    for number in range(100, 300):
        told(peer, person(number), f"10.9.9.{number % 250}:1", 50.0)
    honest = [person(number) for number in range(1000, 1010)]
    for number, who in enumerate(honest):
        told(peer, who, f"10.{number}.1.1:1", 60.0)
    assert {who.peer_id for who in honest} <= set(peer.ledger)
    assert len(peer.ledger) == 50


def test_ring_neighbours_that_we_were_linked_with_never_make_room() -> None:
    peer, people = full(3, 2)  # of three peers each is everybody's neighbour
    for who in people:
        link(peer, who, 10.0)
    peer.tick(11.5)
    assert peer.links.lost() == []
    assert told(peer, person(100), "10.8.8.1:1", 12.0) == []
    assert peer.refused == {"ledger-full": 1}


def test_a_link_that_the_rings_do_not_want_protects_nobody() -> None:
    peer, people = full(51, 50)
    strangers = [who for who in people if who.peer_id not in peer.neighbours.wanted]
    assert len(strangers) > 30
    for who in people:
        link(peer, who, 50.0, ticks=False)
    peer.tick(51.5)
    gone = [told(peer, person(1000 + number), f"10.{number}.1.1:1", 52.0) for number in range(30)]
    assert {one.peer for forgotten in gone for one in forgotten} <= {who.peer_id for who in strangers}
    assert sum(map(len, gone)) == 30


def test_who_is_known_for_long_makes_room_only_when_silent() -> None:
    peer, people = full(6, 5)
    later = LONG_KNOWN_S + 10.0
    for who in people:
        told(peer, who, f"10.9.9.{people.index(who)}:2", later)
    assert told(peer, person(100), "10.8.8.1:1", later + 1.0) == []
    fallen_silent = told(peer, person(101), "10.8.8.1:1", later + SILENT_S + 1.0)
    assert [one.peer in {who.peer_id for who in people} for one in fallen_silent] == [True]


def test_who_has_not_said_who_it_is_displaces_nobody() -> None:
    peer, people = full(6, 5)
    hear(peer, SENDER, Push(record_of(person(100), Observations(), at_s=10.0), 0, 1, ()), 10.0)
    assert peer.refused == {"ledger-full": 1}
    assert len(peer.ledger) == 1 + len(people)


def test_we_ourselves_never_make_room() -> None:
    peer = alone(config=PeerConfig(ledger=LedgerConfig(origins_max=1)))
    link(peer, SENDER)
    told(peer, person(1), "10.8.8.1:1", 1.0)
    assert list(peer.ledger) == [peer.me]


@pytest.mark.parametrize("public", [True, False])
def test_one_prefix_has_a_limited_number_of_members_where_the_network_is_public(public: bool) -> None:
    config = PeerConfig(network=NetworkConfig(public=public, prefix_members_max=3))
    peer = alone(config=config)
    link(peer, SENDER)
    for number in range(5):
        told(peer, person(number), f"10.9.9.{number}:1", 1.0)
        told(peer, person(100 + number), f"[2001:db8:{number}::1]:1", 1.0)
    assert len(peer.ledger) == 1 + (8 if public else 10)
    assert peer.refused == ({"prefix-full": 2} if public else {})
    told(peer, person(0), "10.9.9.77:1", 2.0)  # one that is in may say more
    body = peer.ledger.profile(person(0).peer_id)
    assert isinstance(body, Profile)
    assert body.addresses == ("10.9.9.77:1",)


def test_the_books_agree_with_the_ledger_whatever_comes_and_goes() -> None:
    rng = Random(7)
    peer = alone(config=PeerConfig(ledger=LedgerConfig(origins_max=30)))
    link(peer, SENDER)
    people = [person(number) for number in range(60)]
    for step in range(400):
        told(peer, rng.choice(people), f"10.{rng.randrange(4)}.0.1:{rng.randrange(1, 9)}", step / 10)
        assert len(peer.ledger) <= 30
        members = {who for crowd in peer.parts.receiver.eviction._members.values() for who in crowd}
        assert members == set(peer.ledger) - {peer.me}
        sizes = {place: size for size, places in peer.parts.receiver.eviction._sizes.items() for place in places}
        assert sizes == {place: len(crowd) for place, crowd in peer.parts.receiver.eviction._members.items()}
