"""Verdicts as they change: each change is told once."""

from ledgers import Book, lose, meshed
from peerscope.mesh.detection.verdicts import Verdict
from peerscope.views.changes import VerdictChanges


def told(changes: VerdictChanges, book: Book, now: float) -> list[tuple[int, Verdict, bool]]:
    numbers = {book[number]: number for number in range(12)}
    return [(numbers[c.peer], c.verdict, c.majority) for c in changes.update(book.snapshot(now))]


def test_peers_that_are_well_are_no_news() -> None:
    changes = VerdictChanges()
    assert told(changes, meshed(4), 1.0) == []
    assert changes.is_calm


def test_suspicion_majority_and_death_are_told_once_each() -> None:
    book, changes = meshed(4), VerdictChanges()
    now = lose(book, 0, [1], silence_s=2.0)
    assert told(changes, book, now) == [(0, Verdict.SUSPECT, False)]
    assert told(changes, book, now) == []
    assert not changes.is_calm
    lose(book, 0, [2], silence_s=2.0)
    assert told(changes, book, now) == [(0, Verdict.SUSPECT, True)]
    assert told(changes, book, now + 2.5) == [(0, Verdict.DOWN, True)]  # by the time alone
    assert told(changes, book, now + 3.0) == []
    assert changes.is_calm


def test_a_peer_that_is_heard_again_is_told_to_be_alive_once() -> None:
    book, changes = meshed(4), VerdictChanges()
    now = lose(book, 0, [1, 2, 3])
    assert told(changes, book, now) == [(0, Verdict.DOWN, True)]
    book.report(0, 1, 2, 3, at=now + 1.0)
    assert told(changes, book, now + 1.0) == [(0, Verdict.ALIVE, False)]
    assert told(changes, book, now + 2.0) == []


def test_a_change_says_how_many_miss_the_peer_of_how_many() -> None:
    book = meshed(4)
    now = lose(book, 0, [1, 2])
    (change,) = VerdictChanges().update(book.snapshot(now))
    assert (change.accused_by, change.observers) == (2, 3)


def test_a_goodbye_is_told_once() -> None:
    book, changes = meshed(3), VerdictChanges()
    book.introduce(0, at=1.0, left=True)
    assert told(changes, book, 1.0) == [(0, Verdict.LEFT, False)]
    assert told(changes, book, 2.0) == []
    assert changes.is_calm


def test_a_peer_that_comes_back_after_a_goodbye_is_alive() -> None:
    book, changes = meshed(3), VerdictChanges()
    book.introduce(0, at=1.0, left=True)
    told(changes, book, 1.0)
    book.introduce(0, at=2.0)
    assert told(changes, book, 2.0) == [(0, Verdict.ALIVE, False)]


def test_the_forgotten_and_the_nameless_are_no_news() -> None:
    book, changes = meshed(4), VerdictChanges()
    now = lose(book, 0, [1, 2, 3])
    told(changes, book, now)
    book.ledger.forget(book[0])
    assert told(changes, book, now) == []
    assert changes.is_calm
    book.report(5, 1, 2, 3)
    book.accuse(1, [5], at=now + 1.0, silence_s=5.0)
    assert told(changes, book, now + 1.0) == []
