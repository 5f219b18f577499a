"""Verdicts: who may accuse, whose word counts, and what refutes it, as tables over one ledger."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.mesh.detection.observers import accused, prefix, quorum, watchers
from peerscope.mesh.detection.verdicts import STAND_S, VOTE_STAND_S, Assessment, Evidence, Verdict, weigh
from peerscope.records.bodies import Body, LinkReading, Observation, Observations, Profile, Report
from peerscope.records.identity import PeerId, ref
from peerscope.records.ledger import Ledger
from peerscope.records.record import Record
from strategies import unsigned

SUBJECT = PeerId(b"subject".ljust(32))
OBSERVERS = [PeerId(bytes((number,)) * 32) for number in range(1, 9)]
STRANGER = PeerId(b"stranger".ljust(32))
HEARD_MS = 100_000
STOOD_S = STAND_S + 0.3
ALIVE, SUSPECT, DOWN, _, LEFT = Verdict

Statement = tuple[Record, Body]


def report(origin: PeerId, links: list[PeerId], *, version: int = HEARD_MS, watches: bool = True) -> Statement:
    body = Report(5000, (), tuple(LinkReading(ref(peer), watches=watches) for peer in links))
    return unsigned(origin, body, version), body


def accusation(origin: PeerId, *subjects: PeerId, silence_s: float = 5.0) -> Statement:
    """A claim that has stood for a while: at time 0 the silence has lasted `silence_s`."""
    issued_ms = max(0, round((silence_s - STOOD_S) * 1000))
    lost = (Observation(ref(subject), HEARD_MS, issued_ms) for subject in subjects)
    body = Observations(tuple(lost))
    return unsigned(origin, body, HEARD_MS), body


def profile(origin: PeerId, *, left: bool = False, version: int = 1) -> Statement:
    body = Profile((), None, "1", 0, left)
    return unsigned(origin, body, version), body


def network(observers: int) -> list[Statement]:
    """The subject, linked with so many observers that all report the link."""
    watching = OBSERVERS[:observers]
    return [profile(SUBJECT), report(SUBJECT, watching), *(report(one, [SUBJECT]) for one in watching)]


def verdict(statements: list[Statement], now: float = 0.0) -> Evidence:
    return weigh(ledger_of(statements), SUBJECT, now, down_after_s=4.0)


def ledger_of(statements: list[Statement]) -> Ledger:
    """Claims were issued a while ago, and the subject spoke last well before that; all else is of now."""
    ledger = Ledger()
    for record, body in statements:
        issued_at = -STOOD_S if isinstance(body, Observations) else -10.0 if record.peer_id == SUBJECT else 0.0
        ledger.merge(record, body, issued_at)
    return ledger


@pytest.mark.parametrize(("observers", "needed"), [(0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (7, 4), (8, 5)])
def test_a_majority_is_needed_and_two_where_there_are_two(observers: int, needed: int) -> None:
    assert quorum(observers) == needed


@pytest.mark.parametrize(
    ("observers", "accusers", "expected"),
    [
        (1, 0, ALIVE),
        (1, 1, DOWN),
        (2, 1, SUSPECT),
        (2, 2, DOWN),
        (3, 1, SUSPECT),
        (3, 2, DOWN),
        (8, 0, ALIVE),
        (8, 1, SUSPECT),
        (8, 4, SUSPECT),
        (8, 5, DOWN),
        (8, 8, DOWN),
    ],
)
def test_a_majority_of_observers_makes_a_peer_down(observers: int, accusers: int, expected: Verdict) -> None:
    found = verdict(network(observers) + [accusation(one, SUBJECT) for one in OBSERVERS[:accusers]])
    assert found.verdict is expected
    assert set(found.observers) == set(OBSERVERS[:observers])
    assert {claim.observer for claim in found.accusations} == set(OBSERVERS[:accusers])
    assert set(found.heard_by) == set(OBSERVERS[accusers:observers])
    assert found.quorum == quorum(observers)
    assert found.has_majority == (expected is DOWN)


@pytest.mark.parametrize(
    ("silence_s", "now", "expected"),
    [(2.0, 0.0, SUSPECT), (3.999, 0.0, SUSPECT), (4.0, 0.0, DOWN), (2.0, 1.9, SUSPECT), (2.0, 2.0, DOWN)],
)
def test_a_short_silence_is_suspect_and_grows_with_time(silence_s: float, now: float, expected: Verdict) -> None:
    found = verdict(network(3) + [accusation(one, SUBJECT, silence_s=silence_s) for one in OBSERVERS[:3]], now)
    assert found.verdict is expected
    assert found.has_majority
    assert [claim.silence_s for claim in found.accusations] == pytest.approx([silence_s + now] * 3)


def test_every_one_of_the_majority_must_have_seen_the_silence() -> None:
    claims = [accusation(OBSERVERS[0], SUBJECT, silence_s=9.0), accusation(OBSERVERS[1], SUBJECT, silence_s=3.0)]
    assert verdict(network(3) + claims).verdict is SUSPECT


def test_only_those_whom_the_subject_named_may_accuse() -> None:
    found = verdict([*network(3), report(STRANGER, [SUBJECT]), accusation(STRANGER, SUBJECT)])
    assert found.verdict is ALIVE
    assert found.accusations == ()


def test_a_linked_peer_that_does_not_watch_may_not_accuse() -> None:
    statements = [profile(SUBJECT), report(SUBJECT, OBSERVERS[:2], watches=False)]
    assert verdict(statements + [accusation(one, SUBJECT) for one in OBSERVERS[:2]]).verdict is ALIVE


def test_nothing_is_known_against_a_stranger() -> None:
    assert verdict([]) == Evidence(ALIVE)
    assert verdict([accusation(OBSERVERS[0], SUBJECT)]) == Evidence(ALIVE)


def test_an_observer_that_a_quorum_of_its_own_misses_does_not_count() -> None:
    """One observer of three is cut off: it misses the subject, and its own watchers miss it."""
    cut_off, *rest = OBSERVERS[:3]
    statements = [*network(3), accusation(cut_off, SUBJECT)]
    assert verdict(statements).quorum == 2
    statements += [report(cut_off, [SUBJECT, *OBSERVERS[3:5]], version=HEARD_MS + 1)]
    statements += [accusation(one, cut_off, silence_s=2.0) for one in OBSERVERS[3:5]]
    found = verdict(statements, STAND_S)  # so long it has been silent itself
    assert (found.verdict, found.quorum, set(found.observers)) == (SUSPECT, 2, set(rest))
    assert [(claim.observer, claim.counts) for claim in found.accusations] == [(cut_off, False)]
    assert not found.has_majority


def test_one_accusation_takes_a_voice_away_only_once_no_living_peer_would_leave_it_unanswered() -> None:
    accuser, *rest = OBSERVERS[:3]
    statements = [*network(3), accusation(accuser, SUBJECT), accusation(OBSERVERS[3], accuser, silence_s=2.0)]
    statements += [report(accuser, [SUBJECT, *OBSERVERS[3:5]], version=HEARD_MS + 1)]
    statements += [report(one, [accuser]) for one in OBSERVERS[4:5]]
    assert verdict(statements, VOTE_STAND_S).observers == (accuser, *rest), "it spoke to us two seconds ago"
    assert verdict(statements, 4.0).observers == tuple(rest)


def again(ledger: Ledger, *, heard_ms: int, silence_ms: int, at: float) -> None:
    """The first two observers say it (again), at this local time."""
    for number, one in enumerate(OBSERVERS[:2]):
        body = Observations((Observation(ref(SUBJECT), heard_ms, silence_ms), Observation(bytes(8), HEARD_MS, number)))
        ledger.merge(unsigned(one, body, HEARD_MS + round(at * 1000) + 60_000), body, at)


def test_what_is_said_again_stands_as_long_as_before() -> None:
    ledger = ledger_of(network(2))
    again(ledger, heard_ms=HEARD_MS, silence_ms=4_000, at=0.0)
    assert weigh(ledger, SUBJECT, STAND_S - 0.1, down_after_s=4.0).verdict is SUSPECT
    assert weigh(ledger, SUBJECT, STAND_S, down_after_s=4.0).verdict is DOWN
    again(ledger, heard_ms=HEARD_MS, silence_ms=7_000, at=3.0)
    found = weigh(ledger, SUBJECT, 3.0, down_after_s=4.0)
    assert (found.verdict, [claim.stood_s for claim in found.accusations]) == (DOWN, [3.0, 3.0])


@pytest.mark.parametrize(("heard_ms", "silence_ms"), [(HEARD_MS, 8_000), (HEARD_MS + 4_500, 3_000)])
def test_what_was_refuted_in_between_has_to_stand_anew(heard_ms: int, silence_ms: int) -> None:
    ledger = ledger_of(network(2))
    again(ledger, heard_ms=HEARD_MS, silence_ms=4_000, at=0.0)
    ledger.merge(*report(SUBJECT, OBSERVERS[:2], version=HEARD_MS + 4_200), 0.2)
    again(ledger, heard_ms=heard_ms, silence_ms=silence_ms, at=3.0)
    assert weigh(ledger, SUBJECT, 3.0, down_after_s=4.0).verdict is SUSPECT
    assert weigh(ledger, SUBJECT, 3.0 + STAND_S, down_after_s=4.0).verdict is DOWN


def test_a_liar_who_outruns_refutations_on_their_way_does_not_weigh_while_its_victim_speaks() -> None:
    ledger, late_s = ledger_of(network(2)), 0.3
    for turn in range(40):
        now = turn * 0.1
        silence_ms = round(now * 1000) + 1_000
        again(ledger, heard_ms=HEARD_MS, silence_ms=silence_ms, at=now)
        if now >= late_s:
            refutation = HEARD_MS + silence_ms - round(late_s * 1000) + 1  # of what was said that long ago
            ledger.merge(*report(SUBJECT, OBSERVERS[:2], version=refutation), now - late_s / 2)
        assert weigh(ledger, SUBJECT, now, down_after_s=0.5).verdict is SUSPECT


def test_an_observer_without_a_say_takes_no_side_and_raises_no_quorum() -> None:
    """Of eight that the subject named only two speak: the others are unknown, or report no such link."""
    statements = [profile(SUBJECT), report(SUBJECT, OBSERVERS), *(report(one, []) for one in OBSERVERS[2:5])]
    found = verdict(statements + [accusation(one, SUBJECT) for one in OBSERVERS[:2]])
    assert (found.verdict, found.quorum) == (DOWN, 2)


def test_a_void_report_speaks_for_nobody() -> None:
    statements = [*network(3), accusation(OBSERVERS[0], SUBJECT)]
    assert len(verdict(statements, now=15.0).heard_by) == 2
    found = verdict(statements, now=15.1)
    assert (found.heard_by, found.quorum, found.verdict) == ((), 1, DOWN)


@pytest.mark.parametrize(
    ("version", "expected"),
    [(HEARD_MS + 1, DOWN), (HEARD_MS + 3500, DOWN), (HEARD_MS + 3501, ALIVE), (HEARD_MS + 60_000, ALIVE)],
)
def test_a_record_dated_after_the_silence_refutes_it_and_a_slow_one_does_not(version: int, expected: Verdict) -> None:
    statements = network(3) + [accusation(one, SUBJECT) for one in OBSERVERS[:3]]
    assert verdict([*statements, report(SUBJECT, OBSERVERS[:3], version=version)]).verdict is expected
    assert verdict([*statements, profile(SUBJECT, version=version)]).verdict is expected


def test_an_observer_that_takes_it_back_accuses_no_more() -> None:
    statements = [*network(1), accusation(OBSERVERS[0], SUBJECT)]
    retracted = unsigned(OBSERVERS[0], Observations(), HEARD_MS + 1), Observations()
    assert verdict([*statements, retracted]).verdict is ALIVE


def test_a_claim_weighs_only_after_its_subject_had_the_time_to_refute_it() -> None:
    ledger = ledger_of(network(3))
    for record, body in (accusation(one, SUBJECT, silence_s=9.0) for one in OBSERVERS[:3]):
        ledger.merge(record, body, 0.0)
    assert weigh(ledger, SUBJECT, STAND_S - 0.01, down_after_s=4.0).verdict is SUSPECT
    assert weigh(ledger, SUBJECT, STAND_S + 0.01, down_after_s=4.0).verdict is DOWN


def test_observers_behind_one_prefix_have_one_voice_in_a_public_network() -> None:
    def at(origin: PeerId, address: str) -> Statement:
        body = Profile((address,), None, "1", 0)
        return unsigned(origin, body, 1), body

    crowd, others = OBSERVERS[:5], OBSERVERS[5:8]
    places = [at(one, f"192.0.2.{number}:1") for number, one in enumerate(crowd)]
    places += [at(one, f"198.51.{number}.1:1") for number, one in enumerate(others)]
    claims = [accusation(one, SUBJECT) for one in crowd]
    ledger = ledger_of(network(8) + places + claims)
    assert weigh(ledger, SUBJECT, 0.0, down_after_s=4.0).verdict is DOWN
    found = weigh(ledger, SUBJECT, 0.0, down_after_s=4.0, by_prefix=True)
    assert (found.verdict, found.voices, found.accusing, found.quorum) == (SUSPECT, 4, 1, 3)
    claims += [accusation(one, SUBJECT) for one in others[:2]]
    ledger = ledger_of(network(8) + places + claims)
    assert weigh(ledger, SUBJECT, 0.0, down_after_s=4.0, by_prefix=True).verdict is DOWN


@pytest.mark.parametrize(
    ("address", "expected"),
    [("192.0.2.7:1", "192.0.2.0/24"), ("[2001:db8:1:2::3]:1", "2001:db8:1::/48"), ("name:1", None), ("", None)],
)
def test_a_prefix_is_a_24_or_a_48(address: str, expected: str | None) -> None:
    assert prefix(address) == expected


def test_who_left_is_neither_down_nor_an_observer() -> None:
    claims = [accusation(one, SUBJECT) for one in OBSERVERS[:3]]
    assert verdict([*network(3), *claims, profile(SUBJECT, left=True, version=2)]) == Evidence(LEFT)
    found = verdict([*network(3), claims[0], profile(OBSERVERS[1], left=True), profile(OBSERVERS[2], left=True)])
    assert set(found.observers) == {OBSERVERS[0]}


def test_the_accused_are_known_rightly_or_not() -> None:
    ledger = Ledger()
    for record, body in [*network(2), report(STRANGER, []), accusation(STRANGER, SUBJECT, PeerId(b"?" * 32))]:
        ledger.merge(record, body, 0.0)
    assert accused(ledger) == {SUBJECT}
    assert not Assessment(ledger, 0.0).is_missed(SUBJECT)
    assert watchers(ledger, SUBJECT) == OBSERVERS[:2]


peers = st.sampled_from([SUBJECT, STRANGER, *OBSERVERS[:4]])
some = st.lists(peers, max_size=4, unique=True)
statements = st.one_of(
    st.builds(lambda origin, links, version: report(origin, links, version=version), peers, some, st.integers(1, 4)),
    st.builds(
        lambda origin, lost, silence_s: accusation(origin, *lost, silence_s=silence_s), peers, some, st.floats(0, 9)
    ),
    st.builds(
        lambda origin, left, version: profile(origin, left=left, version=version),
        peers,
        st.booleans(),
        st.integers(1, 4),
    ),
)


@given(st.lists(statements, max_size=25), st.data())
def test_equal_ledgers_give_equal_evidence_however_they_came_about(heard: list[Statement], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(heard), max_size=10)) if heard else []
    one, other = Ledger(), Ledger()
    for ledger, delivery in ((one, heard), (other, data.draw(st.permutations(heard + again)))):
        for record, body in delivery:
            ledger.merge(record, body, 0.0)
    assert one.fingerprints() == other.fingerprints()
    for peer in (SUBJECT, STRANGER, *OBSERVERS[:4]):
        assert weigh(one, peer, 1.0, down_after_s=4.0) == weigh(other, peer, 1.0, down_after_s=4.0)
    assert accused(one) == accused(other)


def test_who_died_before_its_first_report_is_down_by_the_word_of_those_linked_with_it() -> None:
    silent = [profile(SUBJECT, version=HEARD_MS), *(accusation(one, SUBJECT) for one in OBSERVERS[:3])]
    found = verdict(silent)
    assert (found.verdict, found.observers) == (DOWN, tuple(sorted(OBSERVERS[:3])))
    hearing = [report(one, [SUBJECT]) for one in OBSERVERS[3:6]]
    assert verdict(silent + hearing).verdict is SUSPECT
    assert verdict([*silent, report(SUBJECT, [], version=HEARD_MS)]).verdict is DOWN
    assert verdict([*silent, report(SUBJECT, [], version=HEARD_MS + 60_000)]).verdict is ALIVE
    assert verdict([profile(SUBJECT, version=HEARD_MS), *hearing]).verdict is ALIVE


def test_who_died_after_telling_of_one_link_is_down_by_the_word_of_all_who_lost_it() -> None:
    joining = [profile(SUBJECT, version=HEARD_MS), report(SUBJECT, OBSERVERS[:1])]
    lost = [accusation(one, SUBJECT) for one in OBSERVERS[:3]]
    found = verdict(joining + lost)
    assert (found.verdict, found.observers, found.quorum) == (DOWN, tuple(OBSERVERS[:3]), 2)
    assert verdict([*joining, report(OBSERVERS[0], [SUBJECT]), lost[1]]).verdict is SUSPECT
    assert verdict([*joining, *lost, report(SUBJECT, OBSERVERS[:1], version=HEARD_MS + 60_000)]).verdict is ALIVE


def test_one_alone_among_many_needs_three_times_the_patience() -> None:
    """Whoever joins is watched by few as yet, and its refutations come late where the machine has too much to do."""
    joining = [profile(SUBJECT), report(SUBJECT, OBSERVERS[:2]), accusation(OBSERVERS[0], SUBJECT)]
    elsewhere = [profile(OBSERVERS[5]), report(OBSERVERS[5], [OBSERVERS[6]])]
    assert verdict(joining).verdict is DOWN, "nobody else is there"
    found = verdict(joining + elsewhere)
    assert (found.verdict, found.quorum, found.has_majority, found.patience) == (SUSPECT, 1, True, 3.0)
    assert verdict(joining + elsewhere, 6.9).verdict is SUSPECT
    assert verdict(joining + elsewhere, 7.0).verdict is DOWN
    missed = [*joining[:2], accusation(OBSERVERS[0], SUBJECT, OBSERVERS[5]), *elsewhere]
    assert verdict([*missed, report(OBSERVERS[5], OBSERVERS[:1], version=HEARD_MS + 1)], 3.0).verdict is DOWN
    assert verdict([*joining, profile(OBSERVERS[5], left=True), elsewhere[1]]).verdict is DOWN
    assert verdict(joining + elsewhere, 16.0).verdict is DOWN, "its report has expired"


def test_one_is_not_alone_where_the_others_that_were_named_are_gone_too() -> None:
    """Half of a network dies at once: most observers of a dead peer are dead themselves, and one may be left."""
    alive, dead = OBSERVERS[:2]
    named = [profile(SUBJECT), report(SUBJECT, [alive, dead]), profile(dead), report(dead, [alive])]
    elsewhere = [profile(OBSERVERS[5]), report(OBSERVERS[5], [OBSERVERS[6]])]
    found = verdict([*named, *elsewhere, accusation(alive, SUBJECT, dead)], STOOD_S)
    assert (found.verdict, found.observers, found.patience) == (DOWN, (alive,), 1.0)
    found = verdict([*named, *elsewhere, accusation(alive, SUBJECT, dead, silence_s=2.0)], STOOD_S)
    assert (found.verdict, found.patience) == (SUSPECT, 3.0), "the other may come back"
