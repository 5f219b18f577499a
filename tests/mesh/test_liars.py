"""What liars among the observers can do to a verdict, and what takes their voice away, as tables over one ledger."""

import pytest

from peerscope.mesh.detection.verdicts import STAND_S, VOTE_STAND_S, Assessment, Evidence, Verdict, weigh
from peerscope.records.bodies import Answer, Body, LinkReading, Observation, Observations, Report
from peerscope.records.identity import PeerId, ref
from peerscope.records.ledger import Ledger
from peerscope.records.record import Record
from strategies import unsigned

SUBJECT, OTHER, THIRD = (PeerId(name.ljust(32)) for name in (b"subject", b"other", b"third"))
OBSERVERS = [PeerId(bytes((number,)) * 32) for number in range(1, 9)]
LIAR = OBSERVERS[0]
CLOCK_MS = 100_000
HOUR_MS = 3_600_000
ALIVE, SUSPECT, DOWN, _, LEFT = Verdict

Statement = tuple[Record, Body]


def report(
    origin: PeerId,
    links: list[PeerId],
    *,
    version: int = CLOCK_MS,
    answers: tuple[Answer, ...] = (),
    refuted: tuple[PeerId, ...] = (),
) -> Statement:
    readings = tuple(LinkReading(ref(peer)) for peer in links)
    body = Report(5000, (), readings, answers=answers, refuted=tuple(ref(peer) for peer in refuted))
    return unsigned(origin, body, version), body


def claim(origin: PeerId, *subjects: PeerId, ends_ms: int = CLOCK_MS + 5_000, version: int = 7) -> Statement:
    body = Observations(tuple(Observation(ref(subject), ends_ms - 10_000, 10_000) for subject in subjects))
    return unsigned(origin, body, version), body


def ledger_of(*statements: Statement, at: float = 0.0) -> Ledger:
    ledger = Ledger()
    for record, body in statements:
        ledger.merge(record, body, at)
    return ledger


def network(*extra: Statement) -> Ledger:
    """A subject and its eight observers, which report the link."""
    return ledger_of(report(SUBJECT, OBSERVERS), *(report(one, [SUBJECT]) for one in OBSERVERS), *extra)


def look(ledger: Ledger, now: float) -> Evidence:
    return weigh(ledger, SUBJECT, now, down_after_s=4.0)


@pytest.mark.parametrize("ends_ms", [CLOCK_MS + 10, CLOCK_MS + 1_850, CLOCK_MS + HOUR_MS, 2**50])
def test_an_answer_refutes_an_accusation_whatever_that_says_of_the_subjects_clock(ends_ms: int) -> None:
    ledger = network(*(claim(liar, SUBJECT, ends_ms=ends_ms) for liar in OBSERVERS))
    assert look(ledger, 4.0).verdict is DOWN, "nobody answered"
    answers = tuple(Answer(ref(liar), 7) for liar in OBSERVERS)
    ledger.merge(*report(SUBJECT, OBSERVERS, version=CLOCK_MS + 1, answers=answers), 4.0)
    assert look(ledger, 60.0).verdict is ALIVE


def test_an_answer_refutes_no_later_accusation() -> None:
    answers = tuple(Answer(ref(one), 7) for one in OBSERVERS)
    ledger = network(report(SUBJECT, OBSERVERS, version=CLOCK_MS + 1, answers=answers))
    for one in OBSERVERS[:5]:
        ledger.merge(*claim(one, SUBJECT, version=8), 1.0)
    assert look(ledger, 3.9).verdict is SUSPECT, "it spoke to us less than four seconds ago"
    assert look(ledger, 4.0).verdict is DOWN


def test_an_accusation_stands_since_it_came_here_however_old_its_author_says_it_is() -> None:
    """A liar who carries its own claim can give it any age."""
    ledger = network()
    for liar in OBSERVERS[:5]:
        record, body = claim(liar, SUBJECT)
        ledger.merge(record, body, 10.0 - 3_600.0, now=10.0)
    assert look(ledger, 10.0).verdict is SUSPECT
    assert [one.stood_s for one in look(ledger, 10.0).accusations] == [0.0] * 5
    assert look(ledger, 10.01 + STAND_S).verdict is DOWN


def test_an_observer_that_the_subject_refuted_too_often_has_no_voice_against_it() -> None:
    liars = OBSERVERS[:5]
    ledger = network(*(claim(one, SUBJECT) for one in liars))
    ledger.merge(*report(SUBJECT, OBSERVERS, version=CLOCK_MS + 1, refuted=tuple(liars)), 0.0)
    found = look(ledger, 10.0)
    assert (found.verdict, found.observers) == (ALIVE, tuple(OBSERVERS[5:])), "not even suspect"
    assert all(one.voiceless and not one.counts for one in found.accusations)


def test_all_observers_have_their_voice_back_once_the_subject_no_longer_reports() -> None:
    """Else a peer that flapped and refuted everybody could never be called down."""
    ledger = network(report(SUBJECT, OBSERVERS, version=CLOCK_MS + 1, refuted=tuple(OBSERVERS)))
    for one in OBSERVERS:
        ledger.merge(*claim(one, SUBJECT), 2.0)
    assert look(ledger, 14.0).verdict is ALIVE
    assert look(ledger, 16.0).verdict is DOWN


def test_a_liar_without_a_voice_takes_no_voice_away() -> None:
    """Its victim does not answer it any more, so its accusation stands for as long as it likes."""
    victim = OBSERVERS[1]
    ledger = network(report(victim, [SUBJECT, LIAR, *OBSERVERS[2:4]], version=CLOCK_MS + 1, refuted=(LIAR,)))
    ledger.merge(*claim(LIAR, victim), 0.0)
    assert not Assessment(ledger, 12.0).is_missed(victim)
    ledger = network(*honest_victim(victim), claim(LIAR, victim))
    assert Assessment(ledger, VOTE_STAND_S).is_missed(victim)
    assert not Assessment(ledger, VOTE_STAND_S, down_after_s=4.0).is_missed(victim), "it spoke to us since"


def honest_victim(victim: PeerId) -> tuple[Statement, ...]:
    return (report(victim, [SUBJECT, LIAR, *OBSERVERS[2:4]], version=CLOCK_MS + 1),)


def test_seven_observers_of_a_dead_peer_are_not_silenced_by_one_liar_that_accuses_them() -> None:
    honest = OBSERVERS[1:]
    ledger = network(*(report(one, [SUBJECT, LIAR, *honest], version=CLOCK_MS + 1) for one in honest))
    for one in honest:
        ledger.merge(*claim(one, SUBJECT, version=CLOCK_MS + 2), 0.0)
    ledger.merge(*claim(LIAR, *honest, ends_ms=CLOCK_MS + 9_000), 0.0)
    found = look(ledger, VOTE_STAND_S + 1.0)
    assert (found.accusing, found.quorum) == (7, 5), "they spoke less than four seconds ago"
    for one in honest:
        ledger.merge(*report(one, [LIAR, *honest], version=CLOCK_MS + 3_000), 3.0)
    assert look(ledger, 4.0).verdict is DOWN


def watching(liar: PeerId, subjects: list[PeerId], refuting: int) -> list[Statement]:
    """So many of the subjects say that they refuted the liar again and again."""
    return [
        report(one, [liar, *OBSERVERS[1:4]], version=CLOCK_MS + 2, refuted=(liar,) if index < refuting else ())
        for index, one in enumerate(subjects)
    ]


@pytest.mark.parametrize(("refuting", "counts"), [(0, True), (2, True), (3, False)])
def test_an_observer_that_most_of_its_subjects_refuted_loses_its_voice_against_all(refuting: int, counts: bool) -> None:
    elsewhere = [OTHER, THIRD, PeerId(b"fourth".ljust(32))]
    ledger = ledger_of(
        report(SUBJECT, OBSERVERS[4:7]),
        report(OBSERVERS[4], [SUBJECT, *elsewhere]),
        *watching(OBSERVERS[4], elsewhere, refuting),
        claim(OBSERVERS[4], SUBJECT, version=9),
    )
    found = look(ledger, 1.0)
    assert [one.counts for one in found.accusations] == [counts]
    assert found.verdict is (SUSPECT if counts else ALIVE)


def test_liars_among_the_subjects_take_no_honest_voice_while_they_are_no_majority_of_them() -> None:
    subjects = [PeerId(bytes((200 + number,)) * 32) for number in range(8)]
    for liars, counts in ((4, True), (5, False)):  # of nine: the subject is one of them
        mine = report(OBSERVERS[4], [SUBJECT, *subjects])
        ledger = ledger_of(report(SUBJECT, OBSERVERS[4:7]), mine, *watching(OBSERVERS[4], subjects, liars))
        ledger.merge(*claim(OBSERVERS[4], SUBJECT, version=9), 0.0)
        assert [one.counts for one in look(ledger, 1.0).accusations] == [counts]


def test_liars_that_are_not_linked_with_an_observer_take_no_voice_from_it() -> None:
    """They list it among their links, and as refuted; it does not list them."""
    strangers = [PeerId(bytes((200 + number,)) * 32) for number in range(8)]
    mine = report(OBSERVERS[4], [SUBJECT, OTHER])
    ledger = ledger_of(report(SUBJECT, OBSERVERS[4:7]), mine, *watching(OBSERVERS[4], strangers, 8))
    ledger.merge(*claim(OBSERVERS[4], SUBJECT, version=9), 0.0)
    assert [one.counts for one in look(ledger, 1.0).accusations] == [True]


def test_an_observer_has_its_voice_back_once_others_agree_with_it() -> None:
    observer, elsewhere, dead = OBSERVERS[4], [OTHER, THIRD, LIAR], PeerId(b"dead".ljust(32))
    ledger = ledger_of(
        report(SUBJECT, OBSERVERS[4:7]),
        report(dead, OBSERVERS[4:7]),
        report(observer, [SUBJECT, *elsewhere]),
        *watching(observer, elsewhere, 3),
        claim(observer, SUBJECT, dead, version=9),
    )
    assert [one.counts for one in look(ledger, STAND_S).accusations] == [False]
    for other in OBSERVERS[5:7]:
        ledger.merge(*claim(other, dead, version=9), 0.0)
    assert [one.counts for one in look(ledger, STAND_S).accusations] == [True]


def test_a_carrier_cannot_make_a_record_older_than_the_version_clock_allows() -> None:
    ledger = ledger_of(report(SUBJECT, OBSERVERS), at=100.0)
    assert ledger.age_s_max(SUBJECT, CLOCK_MS + 5_000, 105.2) == pytest.approx(0.2)
    assert ledger.age_s_max(SUBJECT, CLOCK_MS - 5_000, 105.0) == pytest.approx(10.0), "an earlier record"
    assert ledger.age_s_max(SUBJECT, CLOCK_MS + HOUR_MS, 105.0) == 0.0, "its clock jumped"
    assert ledger.age_s_max(OTHER, CLOCK_MS, 105.0) == float("inf"), "a stranger"


def test_the_smallest_age_that_any_carrier_states_counts_and_none_makes_a_record_newer_than_its_arrival() -> None:
    record, body = report(SUBJECT, OBSERVERS)
    ledger = Ledger()
    ledger.merge(record, body, 40.0, now=100.0)
    ledger.younger(SUBJECT, 1, 99.0)
    assert ledger.entries(SUBJECT)[0].heard_at == 99.0
    ledger.younger(SUBJECT, 1, 98.0)
    assert ledger.entries(SUBJECT)[0].heard_at == 99.0
    ledger.younger(SUBJECT, 1, 500.0)
    assert ledger.entries(SUBJECT)[0].heard_at == 100.0


def test_liars_that_claim_to_hear_a_dead_peer_hide_it_until_its_report_expires() -> None:
    ledger = network()
    for liar in OBSERVERS[:7]:
        ledger.merge(*report(liar, [SUBJECT], version=CLOCK_MS + 40_000), 14.0)
    ledger.merge(*report(OBSERVERS[7], [OTHER], version=CLOCK_MS + 40_000), 2.0)
    ledger.merge(*claim(OBSERVERS[7], SUBJECT), 2.0)
    assert look(ledger, 14.9).verdict is SUSPECT
    found = look(ledger, 15.1)
    assert (found.verdict, found.observers, len(found.heard_by)) == (DOWN, (OBSERVERS[7],), 7)


def test_where_the_subject_and_all_its_observers_fell_silent_anybody_may_say_that_it_is_gone() -> None:
    witness = OTHER
    ledger = network(report(witness, [THIRD], version=CLOCK_MS + 2))
    ledger.merge(*claim(witness, SUBJECT, ends_ms=CLOCK_MS + 20_000), 20.0)
    assert look(ledger, 14.0).accusations == (), "its observers still report"
    assert look(ledger, 20.01 + STAND_S).verdict is DOWN
    ledger.merge(*report(OBSERVERS[3], [], version=CLOCK_MS + 30_000), 22.0)
    assert look(ledger, 22.0).verdict is ALIVE, "one of its observers is there, and says nothing"
