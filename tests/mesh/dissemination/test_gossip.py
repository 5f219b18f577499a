"""Gossip: urgent bodies go to a few and their keys to the rest; everything else is announced and pulled once."""

from collections import Counter
from math import ceil, inf, log
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.errors import ConfigError
from peerscope.mesh.dissemination.gossip import CROWD_S, URGENT_S, Gossip, GossipConfig, ttl
from peerscope.mesh.events import Outbox, Send
from peerscope.mesh.messages import (
    KEYS_MAX,
    MESSAGE_BYTES_MAX,
    PATH_MAX,
    Announce,
    Key,
    Message,
    Pull,
    Push,
    Records,
    Topic,
    decode,
)
from peerscope.records.bodies import BODY_BYTES_MAX, Kind, Opaque, Profile
from peerscope.records.identity import PeerId, PeerRef, ref
from peerscope.records.ledger import Entry, Ledger
from peerscope.records.record import Record
from strategies import ORIGINS, unsigned

ME, ORIGIN = ORIGINS[0], ORIGINS[1]
NEIGHBOURS = [PeerId(bytes((100 + index,)) * 32) for index in range(8)]
ONE, TWO, THREE, *_ = NEIGHBOURS
PROFILE = Profile((), "eu", "1", 0)


class Side:
    """One peer's gossip, and what it sends."""

    def __init__(self, me: PeerId = ME, neighbours: list[PeerId] = NEIGHBOURS, **config: float) -> None:
        self.me = me
        self.ledger = Ledger()
        self.out = Outbox()
        self.gossip = Gossip(me, self.ledger, GossipConfig(**config), Random(1), self.out)  # type: ignore[arg-type]
        for neighbour in neighbours:
            self.gossip.opened(neighbour)

    def store(self, origin: PeerId = ORIGIN, version: int = 1, now: float = 0.0) -> Entry:
        return self.take(unsigned(origin, PROFILE, version), now)

    def take(self, record: Record, heard_at: float) -> Entry:
        self.ledger.merge(record, PROFILE, heard_at)
        entry = self.ledger.get(record.peer_id, record.kind)
        assert entry is not None
        self.gossip.arrived(entry)
        return entry

    def sent(self) -> list[tuple[PeerId, Message]]:
        """Everything sent since the last call."""
        return [(effect.to, decode(effect.data)) for effect in self.out.take() if isinstance(effect, Send)]


def key(origin: PeerId = ORIGIN, version: int = 1) -> Key:
    return Key(ref(origin), Kind.PROFILE, version)


TOPIC = Topic(ref(ORIGIN), Kind.PROFILE)


def test_urgent_news_goes_in_full_to_a_few_and_by_key_to_the_rest_soon() -> None:
    side = Side()
    entry = side.store()
    side.gossip.push(entry, 1.5, hops=6)
    pushed = {to for to, message in side.sent() if message == Push(entry.record, 1500, 6, (ref(ME),))}
    assert len(pushed) == 3
    assert side.gossip.deadline() == 1.5 + URGENT_S
    side.gossip.tick(1.5 + URGENT_S)
    told = {to for to, message in side.sent() if message == Announce((key(),))}
    assert pushed | told == set(NEIGHBOURS)


def test_news_goes_neither_to_those_it_passed_nor_to_its_origin() -> None:
    side = Side(neighbours=[*NEIGHBOURS, ORIGIN])
    been = NEIGHBOURS[:5]
    side.gossip.push(side.store(), 0.0, path=tuple(ref(peer) for peer in been), hops=6)
    side.gossip.tick(URGENT_S)
    assert {to for to, _ in side.sent()} == set(NEIGHBOURS[5:])


def test_a_push_out_of_hops_is_still_announced() -> None:
    side = Side()
    side.gossip.push(side.store(), 0.0, hops=0)
    side.gossip.tick(URGENT_S)
    sent = side.sent()
    assert {to for to, _ in sent} == set(NEIGHBOURS)
    assert {message for _, message in sent} == {Announce((key(),))}


def test_the_path_of_a_push_keeps_its_last_stations() -> None:
    side = Side()
    path = tuple(bytes((index,)) * 8 for index in range(PATH_MAX))
    side.gossip.push(side.store(), 0.0, path=path, hops=6)
    assert {message.path for _, message in side.sent() if isinstance(message, Push)} == {(*path[1:], ref(ME))}


@pytest.mark.parametrize(
    ("peers", "fanout", "hops"), [(1, 3, 5), (10, 3, 5), (100, 3, 7), (1_000, 3, 9), (5_000, 3, 10), (10_000, 1, 16)]
)
def test_a_push_may_travel_far_enough_to_cover_the_network(peers: int, fanout: int, hops: int) -> None:
    assert ttl(peers, fanout) == hops
    assert hops >= ceil(log(max(peers, 2), max(fanout, 2))) + 2
    assert hops <= 32


def test_keys_wait_for_company_and_leave_out_where_they_came_from() -> None:
    side = Side()
    side.gossip.spread(side.store(), 0.0, source=ONE)
    side.gossip.spread(side.store(ORIGINS[2]), 0.1)
    assert side.sent() == []
    at = side.gossip.deadline()
    assert 0.0 < at <= 0.2  # who these peers are is told soon
    side.gossip.tick(2 * CROWD_S)
    sent = dict(side.sent())
    assert sent.pop(ONE) == Announce((key(ORIGINS[2]),))
    assert list(sent.values()) == [Announce((key(), key(ORIGINS[2])))] * 7
    assert side.gossip.deadline() == inf


def test_only_the_newest_version_of_what_waits_is_announced() -> None:
    side = Side(neighbours=[ONE])
    for version in (1, 2, 3):
        side.gossip.spread(side.store(version=version), 0.0)
    side.gossip.tick(side.gossip.deadline())
    assert side.sent() == [(ONE, Announce((key(version=3),)))]


def test_what_a_neighbour_announced_itself_is_not_announced_back() -> None:
    side = Side(neighbours=[ONE, TWO])
    side.gossip.spread(side.store(), 0.0)
    side.gossip.announced(ONE, [key()], 0.0)
    side.gossip.tick(side.gossip.deadline())
    assert side.sent() == [(TWO, Announce((key(),)))]


def test_announce_pull_records_brings_a_body_over_once() -> None:
    source, sink = Side(TWO, [ME]), Side(ME, [TWO, ONE])
    entry = source.store()
    source.gossip.spread(entry, 0.0)
    source.gossip.tick(source.gossip.deadline())
    ((_, announce),) = source.sent()
    sink.gossip.announced(TWO, announce.keys, 0.5)
    sink.gossip.announced(ONE, announce.keys, 0.5)  # the second to offer it is not asked
    ((asked, pull),) = sink.sent()
    assert (asked, pull) == (TWO, Pull((TOPIC,)))
    source.gossip.pulled(ME, pull.topics, 0.6)
    ((_, answer),) = source.sent()
    assert isinstance(answer, Records)
    assert [(item.record, item.age_ms) for item in answer.items] == [(entry.record, 600)]
    sink.take(entry.record, 0.0)
    sink.gossip.announced(ONE, announce.keys, 0.7)
    sink.gossip.tick(10.0)
    assert (sink.gossip.wanted, sink.sent()) == (0, [])


@pytest.mark.parametrize("now", [0.0, 0.1, 0.3, 0.7, 1234.567])
def test_another_source_is_asked_after_the_timeout(now: float) -> None:
    side = Side()
    side.gossip.announced(ONE, [key()], now)
    side.gossip.announced(TWO, [key()], now)
    side.gossip.announced(THREE, [key()], now)
    assert side.sent() == [(ONE, Pull((TOPIC,)))]
    side.gossip.tick(now + 1.9)
    assert side.sent() == []
    side.gossip.closed(TWO)
    at = side.gossip.deadline()
    assert at == pytest.approx(now + 2.0)
    side.gossip.tick(at)
    assert side.gossip.deadline() > at  # a turn that leaves its deadline behind would be repeated for ever
    assert side.sent() == [(THREE, Pull((TOPIC,)))]  # the second in line is gone
    side.gossip.tick(side.gossip.deadline())
    assert side.sent() == []
    assert (side.gossip.wanted, side.gossip.deadline()) == (0, inf)


def test_a_newer_version_is_asked_for_even_while_an_older_is_on_its_way() -> None:
    side = Side()
    side.gossip.announced(ONE, [key(version=1)], 0.0)
    side.gossip.announced(TWO, [key(version=2)], 0.1)
    side.gossip.announced(THREE, [key(version=1)], 0.1)
    assert side.sent() == [(ONE, Pull((TOPIC,))), (TWO, Pull((TOPIC,)))]
    side.store(version=1)
    assert side.gossip.wanted == 1
    side.store(version=2)
    assert side.gossip.wanted == 0


def test_what_is_wanted_at_one_time_is_bounded() -> None:
    side = Side(wanted_max=10)
    junk = [Key(PeerRef(b"%8d" % index), 0, 1) for index in range(50)]
    side.gossip.announced(ONE, junk, 0.0)
    ((_, pull),) = side.sent()
    assert len(pull.topics) == side.gossip.wanted == 5  # one neighbour fills half of it at most
    side.gossip.announced(TWO, junk[10:], 0.0)
    assert side.gossip.wanted == 10


def test_a_pull_of_what_we_do_not_have_is_not_answered() -> None:
    side = Side()
    side.store()
    side.gossip.pulled(ONE, [Topic(ref(ORIGIN), 31), Topic(PeerRef(b"unheard."), 0)], 0.0)
    assert side.sent() == []


def test_a_pull_that_repeats_itself_is_answered_once() -> None:
    side = Side()
    side.store()
    side.gossip.pulled(ONE, [TOPIC] * KEYS_MAX, 0.0)
    assert sum(len(message.items) for _, message in side.sent() if isinstance(message, Records)) == 1


@given(st.lists(st.integers(0, BODY_BYTES_MAX), max_size=120))
def test_records_are_given_in_messages_that_the_other_side_accepts(sizes: list[int]) -> None:
    side = Side()
    largest = 2**53 - 1
    entries = [
        Entry(unsigned(ORIGIN, Opaque(bytes(size)), largest, kind=31, ahead_ms=largest), Opaque(b""), b"", -1e12)
        for size in sizes
    ]
    side.gossip.give(ONE, entries, 0.0)
    sends = [effect for effect in side.out.take() if isinstance(effect, Send)]
    assert all(len(send.data) <= MESSAGE_BYTES_MAX for send in sends)
    items = [item for send in sends for item in decode(send.data).items]  # type: ignore[union-attr]
    assert [item.record for item in items] == [entry.record for entry in entries]


def test_a_long_batch_of_keys_is_cut_into_messages_the_other_side_accepts() -> None:
    side = Side(neighbours=[ONE])
    for index in range(KEYS_MAX + 10):
        side.gossip.spread(side.store(PeerId(index.to_bytes(2, "big") * 16)), 0.0)
    side.gossip.tick(side.gossip.deadline())
    assert [len(message.keys) for _, message in side.sent() if isinstance(message, Announce)] == [KEYS_MAX, 10]


def test_a_link_that_closed_is_told_nothing() -> None:
    side = Side(neighbours=[ONE, TWO])
    side.gossip.spread(side.store(), 0.0)
    side.gossip.closed(ONE)
    side.gossip.tick(1.0)
    side.gossip.push(side.store(version=2), 1.0, hops=5)
    assert {to for to, _ in side.sent()} == {TWO}


def test_urgent_news_reaches_everybody_on_a_mesh_and_stops() -> None:
    """Ten peers, all linked: everybody forwards news once, so that it dies out by itself."""
    crowd = [*NEIGHBOURS, ME, ORIGIN]
    sides = {peer: Side(peer, [other for other in crowd if other != peer]) for peer in crowd}
    start = sides[ORIGIN]
    start.gossip.push(start.store(), 0.0, hops=5)
    bodies: Counter[PeerId] = Counter()
    queue = [(ORIGIN, to, message) for to, message in start.sent()]
    while queue:
        source, to, message = queue.pop(0)
        side = sides[to]
        if isinstance(message, Push):
            bodies[to] += 1
            if side.ledger.lacks(ref(ORIGIN), Kind.PROFILE, 1):
                entry = side.take(message.record, 0.0)
                side.gossip.push(entry, 0.0, path=message.path, hops=message.ttl - 1)
        elif isinstance(message, Announce):
            side.gossip.announced(source, message.keys, 0.0)
        elif isinstance(message, Pull):
            side.gossip.pulled(source, message.topics, 0.0)
        elif isinstance(message, Records):
            bodies[to] += 1
            side.take(message.items[0].record, 0.0)
        side.gossip.tick(URGENT_S)
        queue += [(to, receiver, answer) for receiver, answer in side.sent()]
    assert set(bodies) == set(crowd) - {ORIGIN}
    assert sum(bodies.values()) <= (3 + 1) * len(crowd)  # three pushes by each, one pull by each


@pytest.mark.parametrize(
    ("field", "value"),
    [("fanout", 0), ("fanout", 65), ("announce_interval_s", 0.0), ("pull_timeout_s", -1.0), ("budget_bytes_s", 99)],
)
def test_settings_that_cannot_work_are_named(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"gossip.{field}"):
        GossipConfig(**{field: value})  # type: ignore[arg-type]


def test_nothing_stays_of_an_origin_whose_records_are_forgotten() -> None:
    """Peers come and go for months, while a link lasts."""
    side = Side(neighbours=[ONE])
    for number in range(50):
        origin = PeerId(number.to_bytes(2, "big") * 16)
        side.gossip.spread(side.store(origin), 0.0)
        side.gossip.pulled(ONE, [Topic(ref(origin), Kind.PROFILE)], 0.0)
        side.gossip.announced(ONE, [Key(ref(origin), Kind.PROFILE, 2)], 0.0)
        side.gossip.load(ONE, 0.0, 960)
        side.gossip.forget(origin)
    waiting = side.gossip._batches._of[ONE]
    assert (waiting.keys, waiting.riding, waiting.whole, waiting.spare) == ({}, {}, set(), {})
    assert side.gossip._providers == {}
