"""The ledger is a join semilattice: what it holds depends on what arrived, never on how."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.records.bodies import Body, Kind, Observation, Observations, Opaque, Profile, Report
from peerscope.records.identity import PeerId, PeerRef, ref
from peerscope.records.ledger import BURIED_S, PROOFS_MAX, Entry, Ledger, LedgerConfig, Merge
from peerscope.records.record import Record
from strategies import ORIGINS, statements, unsigned

Statement = tuple[Record, Body]
A, B, C, *_ = ORIGINS
deliveries = st.lists(statements(), max_size=30)


def ledger_of(delivery: Iterable[Statement], ledger: Ledger | None = None) -> Ledger:
    ledger = Ledger() if ledger is None else ledger  # an empty one is false
    for record, body in delivery:
        ledger.merge(record, body, 0.0)
    return ledger


def held(ledger: Ledger) -> dict[tuple[PeerId, int], Record]:
    return {(peer, e.record.kind): e.record for peer in ledger for e in ledger.entries(peer)}


def said(origin: PeerId, version: int, text: str = "") -> Statement:
    body = Profile((), text, "1", 0)
    return unsigned(origin, body, version), body


@given(deliveries, st.data())
def test_the_order_of_arrival_is_forgotten(delivery: list[Statement], data: st.DataObject) -> None:
    one, other = ledger_of(delivery), ledger_of(data.draw(st.permutations(delivery)))
    assert held(one) == held(other)
    assert one.fingerprints() == other.fingerprints()
    assert one.accusers == other.accusers


@given(deliveries, st.data())
def test_what_arrives_again_changes_nothing(delivery: list[Statement], data: st.DataObject) -> None:
    ledger = ledger_of(delivery)
    before, fingerprints = held(ledger), ledger.fingerprints()
    if delivery:
        ledger_of(data.draw(st.lists(st.sampled_from(delivery), max_size=20)), ledger)
    assert held(ledger) == before
    assert ledger.fingerprints() == fingerprints


@given(deliveries, deliveries, deliveries)
def test_groups_of_records_may_be_merged_in_any_grouping(
    a: list[Statement], b: list[Statement], c: list[Statement]
) -> None:
    def kept(*groups: Iterable[Statement]) -> list[Statement]:
        ledger = ledger_of(statement for group in groups for statement in group)
        return [(e.record, e.body) for peer in sorted(ledger) for e in ledger.entries(peer)]

    assert kept(kept(a, b), c) == kept(a, kept(b, c)) == kept(kept(c, a), b)


@given(deliveries, st.data())
def test_peers_that_each_missed_something_agree_once_they_have_it(
    delivery: list[Statement], data: st.DataObject
) -> None:
    one = ledger_of(data.draw(st.lists(st.sampled_from(delivery)) if delivery else st.just([])))
    other = ledger_of(reversed(delivery))
    ledger_of(data.draw(st.permutations(delivery)), one)
    assert held(one) == held(other)
    assert one.fingerprints() == other.fingerprints()


@given(deliveries)
def test_the_newest_version_of_each_topic_is_kept_and_of_equals_the_smaller_digest(delivery: list[Statement]) -> None:
    expected: dict[tuple[PeerId, int], Record] = {}
    for record, _ in delivery:
        key = (record.peer_id, record.kind)
        rival = expected.get(key, record)
        expected[key] = min(rival, record, key=lambda one: (-one.version, one.digest()))
    assert {key: record.digest() for key, record in held(ledger_of(delivery)).items()} == {
        key: record.digest() for key, record in expected.items()
    }


@given(deliveries, st.lists(st.sampled_from(ORIGINS), unique=True), deliveries, deliveries)
def test_fingerprints_are_equal_exactly_if_the_records_are(
    before: list[Statement], forgotten: list[PeerId], after: list[Statement], others: list[Statement]
) -> None:
    ledger = ledger_of(before)
    for peer in forgotten:
        if peer in ledger:
            ledger.forget(peer)
    ledger_of(after, ledger)
    for second in (ledger_of(others), ledger_of((e.record, e.body) for p in ledger for e in ledger.entries(p))):
        assert (ledger.fingerprints() == second.fingerprints()) == (held(ledger) == held(second))
    for peer in list(ledger):
        ledger.forget(peer)
    assert ledger.fingerprints() == Ledger().fingerprints()
    assert [ledger.bucket(index) for index in range(256)] == [[]] * 256
    assert ledger.accusers == set()


@given(deliveries)
def test_the_buckets_hold_everything_once_in_a_fixed_order(delivery: list[Statement]) -> None:
    one, other = ledger_of(delivery), ledger_of(reversed(delivery))
    listed = [e.record for index in range(256) for e in one.bucket(index)]
    assert listed == [e.record for index in range(256) for e in other.bucket(index)]
    assert sorted(listed, key=lambda r: (r.origin, r.kind)) == listed
    assert {(r.peer_id, r.kind): r for r in listed} == held(one)


@pytest.mark.parametrize("turned", [False, True])
def test_an_equivocation_keeps_the_smaller_digest_and_both_as_proof(turned: bool) -> None:
    pair = sorted((said(A, 7, "here"), said(A, 7, "there")), key=lambda statement: statement[0].digest())
    ledger = Ledger()
    first, second = reversed(pair) if turned else pair
    assert ledger.merge(*first, 0.0) is Merge.STORED
    assert ledger.merge(*second, 0.0) is Merge.EQUIVOCATION
    assert held(ledger) == {(A, Kind.PROFILE): pair[0][0]}
    assert set(ledger.proofs[A, Kind.PROFILE, 7]) == {pair[0][0], pair[1][0]}
    assert ledger.merge(*said(A, 8), 0.0) is Merge.STORED
    assert len(ledger.proofs) == 1


def test_a_proof_is_kept_once_and_proofs_are_bounded() -> None:
    ledger = Ledger()
    for version in range(1, PROOFS_MAX + 20):
        for text in ("here", "there", "elsewhere"):
            ledger.merge(*said(A, version, text), 0.0)
    assert len(ledger.proofs) == PROOFS_MAX


def test_what_became_of_a_record_is_said() -> None:
    ledger = Ledger()
    assert ledger.merge(*said(A, 5), 0.0) is Merge.STORED
    revision = ledger.revision
    assert ledger.merge(*said(A, 5), 0.0) is Merge.KNOWN
    assert ledger.merge(*said(A, 4), 0.0) is Merge.OLDER
    assert ledger.revision == revision
    assert ledger.merge(*said(A, 6), 0.0) is Merge.STORED
    assert ledger.revision > revision


def test_origins_are_bounded_and_those_inside_still_update() -> None:
    ledger = Ledger(LedgerConfig(origins_max=2))
    assert ledger.merge(*said(A, 1), 0.0) is Merge.STORED
    assert ledger.merge(*said(B, 1), 0.0) is Merge.STORED
    fingerprints, revision = ledger.fingerprints(), ledger.revision
    assert ledger.merge(*said(C, 1), 0.0) is Merge.FULL
    assert (ledger.fingerprints(), ledger.revision, len(ledger)) == (fingerprints, revision, 2)
    assert ledger.merge(*said(A, 2), 0.0) is Merge.STORED
    ledger.forget(B)
    assert ledger.merge(*said(C, 1), 0.0) is Merge.STORED


def test_a_second_key_with_the_same_short_id_is_refused() -> None:
    twin = PeerId(A[:8] + b"another key".ljust(24, b"\0"))
    ledger = ledger_of([said(A, 1)])
    assert ledger.merge(*said(twin, 9), 0.0) is Merge.FULL
    assert ledger.find(ref(A)) == A
    assert twin not in ledger


@given(deliveries, st.sampled_from(ORIGINS), st.sampled_from([0, 1, 2, 20]), st.integers(1, 5))
def test_a_record_is_lacked_exactly_if_its_version_is_news(
    delivery: list[Statement], peer: PeerId, kind: int, version: int
) -> None:
    ledger = ledger_of(delivery)
    newest = max((r.version for r, _ in delivery if (r.peer_id, r.kind) == (peer, kind)), default=0)
    assert ledger.lacks(ref(peer), kind, version) == (version > newest)


def test_everything_is_lacked_of_a_peer_never_heard_of() -> None:
    assert Ledger().lacks(PeerRef(b"unheard."), 0, 1)


def test_a_silent_peer_is_forgotten_after_a_while_and_a_talkative_one_is_not() -> None:
    ledger = Ledger(LedgerConfig(remember_s=100.0))
    ledger.merge(*said(A, 1), 0.0)
    ledger.merge(*said(B, 1), 0.0)
    ledger.merge(unsigned(B, Report(5000, ())), Report(5000, ()), 50.0)
    assert ledger.expire(100.0) == []
    assert ledger.expire(100.1) == [A]
    assert (A in ledger, B in ledger) == (False, True)
    assert ledger.fingerprints() == ledger_of((e.record, e.body) for e in ledger.entries(B)).fingerprints()
    assert ledger.expire(150.1) == [B]
    assert len(ledger) == 0


def test_who_misses_somebody_is_known_without_looking_at_all() -> None:
    ledger = Ledger()
    misses = Observations((Observation(ref(B), 1, 1),))
    ledger.merge(unsigned(A, misses, 1), misses, 0.0)
    assert ledger.accusers == {A}
    ledger.merge(unsigned(A, Observations(), 2), Observations(), 0.0)
    assert ledger.accusers == set()


def test_each_topic_has_its_own_reader() -> None:
    bodies: tuple[Body, ...] = (Profile((), None, "1", 0), Report(5000, ()), Observations(), Opaque(b"?"))
    ledger = ledger_of((unsigned(A, body, kind=20), body) for body in bodies)
    assert (ledger.profile(A), ledger.report(A), ledger.observations(A)) == bodies[:3]
    assert [entry.body for entry in ledger.entries(A)] == list(bodies)
    assert (ledger.profile(B), ledger.report(B), ledger.observations(B)) == (None, None, None)
    entry = ledger.get(A, 20)
    assert isinstance(entry, Entry)
    assert entry.body == Opaque(b"?")


def test_a_buried_peer_is_brought_back_by_nothing_that_it_said_before() -> None:
    ledger = ledger_of([said(A, 5)])
    ledger.bury(ref(A), ledger.newest(A), until=100.0)
    assert not ledger.is_buried(ref(A)), "it is still known"
    ledger.forget(A)
    assert ledger.is_buried(ref(A))
    assert ledger.is_buried(ref(A), 5)
    assert not ledger.is_buried(ref(A), 6)
    assert [ledger.lacks(ref(A), Kind.REPORT, version) for version in (4, 5, 6)] == [False, False, True]


def test_a_peer_that_speaks_after_its_burial_is_known_with_all_that_it_said() -> None:
    ledger = Ledger()
    ledger.bury(ref(A), 5, until=100.0)
    ledger_of([said(A, 6)], ledger)
    assert not ledger.is_buried(ref(A))
    assert ledger.lacks(ref(A), Kind.REPORT, 3)


def test_a_grave_is_kept_until_its_end_and_the_oldest_make_room() -> None:
    ledger = Ledger(LedgerConfig(origins_max=2))
    for number, peer in enumerate((A, B, C)):
        ledger.bury(ref(peer), 5, until=100.0 + number)
    assert [ledger.is_buried(ref(peer)) for peer in (A, B, C)] == [False, True, True]
    ledger.expire(101.5)
    assert [ledger.is_buried(ref(peer)) for peer in (A, B, C)] == [False, False, True]


def test_of_two_burials_the_later_version_and_the_later_end_count() -> None:
    ledger = Ledger()
    ledger.bury(ref(A), 9, until=10.0)
    ledger.bury(ref(A), 5, until=20.0)
    ledger.expire(15.0)
    assert ledger.is_buried(ref(A), 9)


def test_a_peer_that_expires_is_buried_for_a_while() -> None:
    ledger = ledger_of([said(A, 5)], Ledger(LedgerConfig(remember_s=100.0)))
    assert ledger.expire(100.1) == [A]
    assert ledger.is_buried(ref(A), 5)
    ledger.expire(100.2 + BURIED_S)
    assert not ledger.is_buried(ref(A), 5)


def test_peers_that_fell_silent_together_expire_together() -> None:
    ledger = Ledger(LedgerConfig(remember_s=100.0))
    for at, peer in ((0.0, A), (9.0, B), (30.0, C)):
        record, body = said(peer, 5)
        ledger.merge(record, body, at)
    assert ledger.expire(100.0) == []
    assert ledger.expire(100.1) == [A, B]
    assert set(ledger) == {C}
