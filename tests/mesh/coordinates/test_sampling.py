"""Visits to peers that are no neighbours: a few pings, and nothing that others could hear of."""

from itertools import pairwise
from math import inf
from random import Random

from peerscope.mesh.coordinates.sampling import Sampling
from peerscope.mesh.coordinates.vivaldi import CoordinateConfig
from peerscope.mesh.events import Connected, Dial, Hangup, LinkChanged
from peerscope.mesh.handshake import VISIT_S
from peerscope.mesh.membership.rings import Rings
from peerscope.mesh.messages import Bye, Digest, Hello, Ping, Pong
from peerscope.records.identity import PeerId
from strategies import IDENTITIES, ORIGINS
from wire import Wire, alone, hear, link, said

ME, *OTHERS = ORIGINS


def visited(visits: Sampling, members: Rings, linked: set[PeerId], end: float) -> list[tuple[float, PeerId]]:
    """Whom it visits at its deadlines until then."""
    found: list[tuple[float, PeerId]] = []
    while (now := visits.deadline()) <= end:
        host = visits.due(now, members, linked.__contains__)
        if host is not None:
            found.append((now, host))
    return found


def test_visits_become_rarer_with_age() -> None:
    visits = Sampling(ME, CoordinateConfig(), Random(1), 0.0)
    times = [at for at, _ in visited(visits, Rings(members=ORIGINS), set(), 7200.0)]
    assert 5 <= sum(at < 60 for at in times) <= 9
    assert 50 <= sum(at >= 3600 for at in times) <= 75
    assert all(later - sooner < 76 for sooner, later in pairwise(times))


def test_every_stranger_is_visited_in_time_and_nobody_who_is_known() -> None:
    visits = Sampling(ME, CoordinateConfig(), Random(2), 0.0)
    hosts = {host for _, host in visited(visits, Rings(members=ORIGINS), {OTHERS[0]}, 600.0)}
    assert hosts == set(OTHERS[1:])


def test_who_is_alone_or_knows_all_visits_nobody() -> None:
    alone_here = Sampling(ME, CoordinateConfig(), Random(3), 0.0)
    assert visited(alone_here, Rings(members=[ME]), set(), 60.0) == []
    among_friends = Sampling(ME, CoordinateConfig(), Random(3), 0.0)
    assert visited(among_friends, Rings(members=ORIGINS), set(OTHERS), 60.0) == []


def test_who_is_busy_visits_nobody_and_tries_again_later() -> None:
    visits = Sampling(ME, CoordinateConfig(), Random(5), 0.0)
    first = visits.deadline()
    assert visits.due(first, Rings(members=ORIGINS), lambda peer: False, busy=True) is None
    again = visits.deadline()
    assert again > first
    assert visits.due(again, Rings(members=ORIGINS), lambda peer: False) in OTHERS


def test_no_interval_means_no_visits() -> None:
    visits = Sampling(ME, CoordinateConfig(visit_interval_s=0.0), Random(4), 0.0)
    assert visits.deadline() == inf


def guest_hello(now: float) -> Hello:
    return Hello(1, 1, "peerscope", b"", 1_700_000_000_000 + round(now * 1000), visit=True)


def test_a_guest_is_greeted_but_no_link_and_no_news() -> None:
    host, guest = alone(0), IDENTITIES[5]
    host.handle(Connected(guest.peer_id, False), 1.0)
    effects = hear(host, guest, guest_hello(1.0), 1.0) + host.tick(1.0)
    (answer,) = said(effects, Hello)
    assert answer.reply
    assert answer.visit
    assert said(effects, Ping) == []
    assert said(effects, Digest) == []
    assert not [effect for effect in effects if isinstance(effect, LinkChanged)]
    assert host.links.up() == []
    (pong,) = said(hear(host, guest, Ping(1, 1_700_000_001_100, rtt_us=40_000), 1.1), Pong)
    assert pong.seq == 1
    assert host.coordinates.current() is not None


def test_a_guest_that_falls_silent_is_accused_of_nothing_and_sent_away() -> None:
    host, guest = alone(0), IDENTITIES[5]
    host.handle(Connected(guest.peer_id, False), 1.0)
    hear(host, guest, guest_hello(1.0), 1.0)
    effects = []
    while host.deadline() < 30.0:
        effects += host.tick(host.deadline())
    assert guest.peer_id not in host.links
    assert [effect.peer for effect in effects if isinstance(effect, Hangup)] == [guest.peer_id]
    assert host.links.lost() == []
    assert host.ledger.observations(host.me) is None


def test_a_full_link_is_not_made_a_visit_by_a_second_greeting() -> None:
    host, neighbour = alone(0), IDENTITIES[5]
    link(host, neighbour, 1.0)
    hear(host, neighbour, guest_hello(2.0), 2.0)
    assert host.links.up() == [neighbour.peer_id]


def test_a_guest_that_becomes_a_neighbour_is_linked_over_the_same_connection() -> None:
    host, guest = alone(0), IDENTITIES[5]
    host.handle(Connected(guest.peer_id, False), 1.0)
    hear(host, guest, guest_hello(1.0), 1.0)
    host.parts.handshake.dial(guest.peer_id, 2.0)
    effects = host.tick(2.0)
    assert [effect for effect in effects if isinstance(effect, Dial)] == []
    (asked,) = said(effects, Hello)
    assert not asked.visit
    hear(host, guest, Hello(1, 1, "peerscope", b"", 1_700_000_002_000, reply=True), 2.1)
    assert host.links.up() == [guest.peer_id]


def test_in_a_network_strangers_visit_each_other_and_only_neighbours_are_told_of() -> None:
    wire = Wire()
    first = wire.start(0)
    peers = [first] + [wire.start(number, first) for number in range(1, 12)]
    wire.run_until(60.0)
    before = len(wire.log)
    wire.run_until(60.0 + 10 * VISIT_S)
    greeted = [e for _, e in wire.log[before:] for e in said([e], Hello)]
    assert greeted
    assert all(hello.visit for hello in greeted)
    assert {bye.reason for _, e in wire.log[before:] for bye in said([e], Bye)} == {"the visit is over"}
    assert not [effect for _, effect in wire.log[before:] if isinstance(effect, LinkChanged)]
    for peer in peers:
        assert set(peer.links.up()) == peer.neighbours.wanted
