"""How much of other zones is kept: never more than there is room for, and the same everywhere."""

from collections.abc import Iterable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peerscope.mesh.zoning.remote_quota import STRANGERS_MAX, RemoteQuota
from peerscope.records.alerts import Acknowledgement, Orders
from peerscope.records.blocks import Block, Blocks
from peerscope.records.bodies import WORLD, Body, Kind, Profile
from peerscope.records.identity import PeerId
from peerscope.records.ledger import Ledger, LedgerConfig
from peerscope.records.record import sign
from peerscope.sim.node import make_signer

SIGNERS = [make_signer(bytes((number,)) * 32, signed=False) for number in range(12)]
PEERS = [signer.peer_id for signer in SIGNERS]
ME = PeerId(b"me".ljust(32))
MOST = 4
SAID, EMPTY = Orders((), (Acknowledgement("cpu-high", 0, "ana"),)), Orders()
pytestmark = pytest.mark.usefixtures("narrow")


@pytest.fixture(scope="module")
def narrow() -> Iterable[None]:
    with pytest.MonkeyPatch.context() as patch:
        for kind in WORLD:
            patch.setitem(STRANGERS_MAX, kind, MOST)
        yield


class Shelf:
    """The two ledgers of one peer, and the room between them."""

    def __init__(self, members: Iterable[int] = (), trusted: Iterable[int] = ()) -> None:
        self.ledger, self.global_ledger = Ledger(), Ledger(LedgerConfig(remember_s=100.0))
        for index in members:
            self._merge(self.ledger, index, Profile((), None, "1", 0), 0.0)
        self.remote_quota = RemoteQuota(
            self.ledger, self.global_ledger, ME, frozenset(PEERS[index] for index in trusted)
        )

    def take(self, index: int, body: Body, at: float = 0.0) -> bool:
        """Offer a record; was it taken?"""
        if PEERS[index] in self.remote_quota.make(PEERS[index], body, at, at):
            return False
        self._merge(self.global_ledger, index, body, at)
        return True

    def kept(self, kind: int = Kind.ORDERS) -> set[int]:
        return {index for index, peer in enumerate(PEERS) if self.global_ledger.get(peer, kind) is not None}

    @staticmethod
    def _merge(ledger: Ledger, index: int, body: Body, at: float) -> None:
        version = round(at * 1000) + 1
        ledger.merge(sign(SIGNERS[index], body, version=version, wall_ms=version), body, at)


@given(st.permutations(range(12)), st.permutations(range(12)), st.sets(st.integers(0, 11), max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_order_of_arrival_the_same_strangers_are_kept(
    one: list[int], other: list[int], members: set[int]
) -> None:
    shelves = Shelf(members), Shelf(members)
    for shelf, order in zip(shelves, (one, other), strict=True):
        for index in order:
            shelf.take(index, SAID)
            assert len(shelf.kept() - members) <= MOST
    assert shelves[0].kept() == shelves[1].kept() >= members
    assert len(shelves[0].kept() - members) == min(MOST, 12 - len(members))


@given(st.permutations(range(12)), st.sets(st.integers(0, 11), max_size=5))
def test_who_says_nothing_any_more_makes_room_first(order: list[int], spent: set[int]) -> None:
    shelf = Shelf()
    for index in order:
        shelf.take(index, EMPTY if index in spent else SAID)
    assert not shelf.kept() & spent


def test_those_whom_the_settings_trust_never_make_room() -> None:
    for trusted in range(12):
        shelf = Shelf(trusted=[trusted])
        for index in range(12):
            shelf.take(index, SAID)
        assert trusted in shelf.kept()
        assert len(shelf.kept()) == MOST + 1


def test_each_kind_has_room_of_its_own() -> None:
    shelf = Shelf()
    for index in range(12):
        shelf.take(index, SAID)
    for index in range(12):
        shelf.take(index, Blocks((Block("192.0.2.1"),)))
    assert len(shelf.kept(Kind.ORDERS)) == len(shelf.kept(Kind.BLOCKS)) == MOST
    assert shelf.kept(Kind.ORDERS) != shelf.kept(Kind.BLOCKS)  # a key made to win the one wins nothing of the other


def test_who_is_no_member_any_more_counts_as_a_stranger() -> None:
    shelf = Shelf(members=range(10))
    for index in range(10):
        assert shelf.take(index, SAID)
    for index in range(10):
        shelf.ledger.forget(PEERS[index])
    shelf.take(11, SAID)
    assert len(shelf.kept()) == MOST


def test_a_newer_record_of_one_that_is_kept_is_always_taken() -> None:
    shelf = Shelf()
    for index in range(12):
        shelf.take(index, SAID)
    assert all(shelf.take(index, EMPTY, at=1.0) for index in shelf.kept())


def test_each_record_is_forgotten_by_itself_when_it_is_old() -> None:
    shelf = Shelf()
    shelf.take(0, SAID, at=0.0)
    shelf.take(0, Blocks((Block("192.0.2.1"),)), at=50.0)
    assert shelf.remote_quota.expire(101.0) == [PEERS[0]]
    assert (shelf.kept(Kind.ORDERS), shelf.kept(Kind.BLOCKS)) == (set(), {0})
    assert shelf.remote_quota.expire(151.0) == [PEERS[0]]
    assert len(shelf.global_ledger) == 0
    assert shelf.global_ledger.fingerprints() == Ledger().fingerprints()
