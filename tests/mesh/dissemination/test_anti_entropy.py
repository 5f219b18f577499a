"""Sync: equal ledgers cost one small message, different ones become equal."""

from collections import deque
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.errors import ConfigError, RemoteError
from peerscope.mesh.dissemination.anti_entropy import Sync, SyncConfig, bits_for, pack
from peerscope.mesh.dissemination.gossip import Gossip, GossipConfig
from peerscope.mesh.dissemination.scopes import Scope
from peerscope.mesh.events import Send
from peerscope.mesh.messages import KEYS_MAX, Digest, Inventory, Key, Message, Pull, Records, decode
from peerscope.records.bodies import Body, Opaque, Profile
from peerscope.records.identity import PeerId, PeerRef
from peerscope.records.ledger import Merge
from peerscope.records.record import Record
from states import state_of
from strategies import ORIGINS, statements, unsigned

ALICE, BOB = PeerId(b"alice".ljust(32)), PeerId(b"bob".ljust(32))
Statement = tuple[Record, Body]


class Side:
    """One peer's ledger, gossip and sync."""

    def __init__(self, me: PeerId, other: PeerId, held: list[Statement]) -> None:
        self.me = me
        state = state_of(me)
        self.ledger = state.ledger
        self.bodies: dict[bytes, Body] = {}
        for record, body in held:
            self.ledger.merge(record, body, 0.0)
        self.out = state.out
        self.gossip = Gossip(me, self.ledger, GossipConfig(), Random(1), self.out)
        self.gossip.opened(other)
        self.sync = Sync(state, SyncConfig(), self.ledger, Random(2), 0.0)
        self.scope = Scope(self.gossip, self.sync, self.ledger)

    def sent(self) -> list[Message]:
        return [decode(effect.data) for effect in self.out.take() if isinstance(effect, Send)]

    def take(self, source: PeerId, message: Message, now: float) -> None:
        if isinstance(message, Digest):
            self.sync.compared(source, message, now)
        elif isinstance(message, Inventory):
            self.scope.listed(source, message, now)
        elif isinstance(message, Pull):
            self.gossip.pulled(source, message.topics, now)
        elif isinstance(message, Records):
            for item in message.items:
                if self.ledger.merge(item.record, Opaque(item.record.body), now) is Merge.STORED:
                    entry = self.ledger.get(item.record.peer_id, item.record.kind)
                    assert entry is not None
                    self.gossip.arrived(entry)
        else:
            raise AssertionError(f"sync sends no {message}")


def exchange(one: Side, other: Side, now: float) -> list[Message]:
    """One compares with the other, and everything that follows from it."""
    one.sync.start(other.me, now)
    crossed: list[Message] = []
    queue = deque((one, other, message) for message in one.sent())
    while queue:
        source, sink, message = queue.popleft()
        crossed.append(message)
        sink.take(source.me, message, now)
        queue.extend((sink, source, answer) for answer in sink.sent())
    return crossed


def sides(held: list[Statement], other: list[Statement]) -> tuple[Side, Side]:
    return Side(ALICE, BOB, held), Side(BOB, ALICE, other)


def crowd(count: int, version: int = 1, seed: int = 0) -> list[Statement]:
    rng, body = Random(seed), Profile((), "eu", "1", 0)
    return [(unsigned(PeerId(rng.randbytes(32)), body, version), body) for _ in range(count)]


@given(st.lists(statements(), max_size=20))
def test_equal_ledgers_exchange_nothing_after_the_digest(held: list[Statement]) -> None:
    one, other = sides(held, list(reversed(held)))
    (digest,) = exchange(one, other, 5.0)
    assert isinstance(digest, Digest)


def test_equal_ledgers_of_a_thousand_peers_cost_two_kilobytes() -> None:
    one, other = sides(crowd(1000), crowd(1000))
    exchange(one, other, 5.0)
    assert sum(one.out.bytes.values()) < 2100
    assert sum(other.out.bytes.values()) == 0


@st.composite
def two_histories(draw: st.DrawFn) -> tuple[list[Statement], list[Statement]]:
    """What two peers heard of origins that never contradict themselves."""
    every = draw(st.lists(statements(), max_size=25, unique_by=lambda s: (s[0].origin, s[0].kind, s[0].version)))
    heard_by = draw(st.lists(st.sampled_from(["one", "other", "both"]), min_size=25, max_size=25))
    pairs = list(zip(every, heard_by, strict=False))
    return [s for s, by in pairs if by != "other"], [s for s, by in pairs if by != "one"]


@given(two_histories())
def test_any_two_ledgers_are_equal_after_an_exchange_in_each_direction(
    histories: tuple[list[Statement], list[Statement]],
) -> None:
    one, other = sides(*histories)
    exchange(one, other, 5.0)
    exchange(other, one, 10.0)
    assert one.ledger.fingerprints() == other.ledger.fingerprints()
    assert [type(message) for message in exchange(one, other, 15.0)] == [Digest]


@pytest.mark.parametrize(("mine", "theirs"), [(0, 300), (300, 0), (3, 700), (700, 3), (1500, 1500)])
def test_ledgers_of_any_two_sizes_are_equal_after_one_exchange(mine: int, theirs: int) -> None:
    one, other = sides(crowd(mine, seed=1), crowd(theirs, seed=2))
    crossed = exchange(one, other, 5.0)
    assert len(one.ledger) == len(other.ledger) == mine + theirs
    assert one.ledger.fingerprints() == other.ledger.fingerprints()
    bodies = sum(len(message.items) for message in crossed if isinstance(message, Records))
    assert bodies == mine + theirs  # each crosses once


def test_one_difference_among_many_costs_little() -> None:
    same = crowd(1000)
    one, other = sides(same, [*same, *crowd(1, seed=9)])
    exchange(one, other, 5.0)
    assert len(one.ledger) == 1001
    assert sum(one.out.bytes.values()) + sum(other.out.bytes.values()) < 3500


def test_never_seen_peers_are_asked_for_first() -> None:
    known, news = crowd(30, version=1), crowd(30, version=2)
    one, other = sides(known, [*news, *crowd(3, seed=3)])
    pulls = [message for message in exchange(one, other, 5.0) if isinstance(message, Pull)]
    strangers = {record.origin[:8] for record, _ in crowd(3, seed=3)}
    assert {topic.origin for topic in pulls[0].topics[:3]} == strangers
    assert one.ledger.fingerprints() == other.ledger.fingerprints()


def test_two_sides_of_an_equivocation_meet() -> None:
    """The smaller digest is kept everywhere, so also where the larger came first."""
    here, there = Profile((), "here", "1", 0), Profile((), "there", "1", 0)
    one, other = sides([(unsigned(ORIGINS[0], here, 3), here)], [(unsigned(ORIGINS[0], there, 3), there)])
    exchange(one, other, 5.0)
    exchange(other, one, 10.0)
    assert one.ledger.fingerprints() == other.ledger.fingerprints()


def refusal(side: Side, message: Message, now: float) -> str:
    with pytest.raises(RemoteError) as caught:
        side.take(BOB, message, now)
    assert side.sent() == []
    return caught.value.reason


def test_an_inventory_that_nobody_asked_for_is_refused() -> None:
    one, _ = sides(crowd(5), [])
    assert refusal(one, Inventory(0, (0,), ()), 1.0) == "unasked"


def test_a_part_that_was_answered_is_not_answered_again() -> None:
    one, _ = sides(crowd(5), [])
    one.sync.start(BOB, 1.0)
    assert one.sent() != []
    one.take(BOB, Inventory(1, (0,), ()), 1.1)
    one.sent()
    assert refusal(one, Inventory(1, (0, 1), ()), 1.2) == "unasked"
    assert refusal(one, Inventory(2, (1,), ()), 1.2) == "unasked"
    one.take(BOB, Inventory(1, (1,), ()), 1.3)
    one.sent()
    one.sync.closed(BOB)
    assert refusal(one, Inventory(1, (1,), ()), 1.4) == "unasked"


def test_a_part_that_does_not_exist_is_refused() -> None:
    one, _ = sides(crowd(5), [])
    one.sync.start(BOB, 1.0)
    one.sent()
    assert refusal(one, Inventory(1, (2,), ()), 1.1) == "malformed-message"


def test_a_neighbour_that_compares_too_often_is_refused() -> None:
    one, _ = sides(crowd(5), [])
    digest = Digest(0, bytes(8))
    one.take(BOB, digest, 1.0)
    assert len(one.sent()) == 1
    assert refusal(one, digest, 1.9) == "sync-too-often"
    one.take(BOB, digest, 2.0)
    assert len(one.sent()) == 1


def test_we_do_not_compare_too_often_ourselves() -> None:
    one, _ = sides(crowd(5), [])
    one.sync.start(BOB, 1.0)
    one.sync.start(BOB, 1.5)
    assert len(one.sent()) == 1
    one.sync.start(BOB, 2.6)
    assert len(one.sent()) == 1


def test_a_digest_with_missing_fingerprints_is_refused() -> None:
    one, _ = sides(crowd(5), [])
    assert refusal(one, Digest(3, bytes(8)), 1.0) == "malformed-message"


def test_an_inventory_that_claims_too_little_costs_only_what_we_give() -> None:
    one, _ = sides(crowd(5), [])
    one.sync.start(BOB, 1.0)
    one.sent()
    one.take(BOB, Inventory(0, (0,), tuple(Key(PeerRef(b"%8d" % n), 0, 1) for n in range(KEYS_MAX))), 1.1)
    given_, pull = one.sent()
    assert isinstance(given_, Records)
    assert len(given_.items) == 5
    assert isinstance(pull, Pull)


def test_now_and_then_one_neighbour_chosen_at_random_is_compared_with() -> None:
    one, _ = sides(crowd(5), [])
    neighbours = [BOB, *ORIGINS[:3]]
    times: list[float] = []
    chosen: set[PeerId] = set()
    while len(times) < 40:
        times.append(one.sync.deadline())
        one.sync.tick(times[-1], neighbours)
        (send,) = one.out.take()
        assert isinstance(send, Send)
        chosen.add(send.to)
    gaps = [after - before for before, after in pairwise(times)]
    assert all(22.5 <= gap <= 37.5 for gap in gaps)
    assert chosen == set(neighbours)
    one.sync.tick(one.sync.deadline(), [])
    assert one.out.take() == []


@pytest.mark.parametrize(("peers", "bits"), [(0, 0), (3, 0), (4, 1), (100, 5), (1000, 8), (10_000, 8)])
def test_the_id_space_is_cut_into_about_four_peers_a_part(peers: int, bits: int) -> None:
    assert bits_for(peers) == bits


@given(st.lists(st.integers(0, 2**64 - 1), min_size=256, max_size=256), st.integers(0, 8))
def test_a_coarser_digest_is_the_finer_one_folded(values: list[int], bits: int) -> None:
    packed = pack(tuple(values), bits)
    assert len(packed) == 8 << bits
    if bits:
        finer = [int.from_bytes(packed[at : at + 8], "big") for at in range(0, len(packed), 8)]
        folded = b"".join((a ^ b).to_bytes(8, "big") for a, b in zip(finer[::2], finer[1::2], strict=True))
        assert folded == pack(tuple(values), bits - 1)


def test_an_interval_shorter_than_what_neighbours_refuse_is_named() -> None:
    with pytest.raises(ConfigError, match=r"sync\.interval_s is 1\.0"):
        SyncConfig(interval_s=1.0)
