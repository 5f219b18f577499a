"""Verdicts and regions as they change: each change is published once."""

from msgspec.structs import replace

from ledgers import Book, lose, meshed
from peerscope.mesh.detection.verdicts import Verdict
from peerscope.views.changes import RegionChanges, VerdictChanges
from peerscope.views.regions import RegionConfig, RegionHealth, region_health

HOLD_S = 5.0


def health(name: str, status: str, *, down: int = 0, source: str = "declared") -> RegionHealth:
    book = Book()
    book.introduce(0, region=name)
    (found,) = region_health(book.snapshot(0.0), RegionConfig(), 4)
    return replace(found, status=status, down_peers=down, source=source)


def region_changes(changes: RegionChanges, now: float, *found: RegionHealth) -> list[tuple[str, str, str | None, str]]:
    return [(c.region, c.status, c.before, c.severity) for c in changes.update(list(found), now)]


def seen(*found: RegionHealth) -> RegionChanges:
    """Changes that have told of these."""
    changes = RegionChanges(HOLD_S)
    changes.update(list(found), 0.0)
    assert len(changes.update(list(found), HOLD_S)) == len(found)
    return changes


def test_the_first_sight_is_told_once_it_has_lasted() -> None:
    changes = RegionChanges(HOLD_S)
    assert region_changes(changes, 0.0, health("eu", "critical")) == []  # nobody has reported yet
    assert region_changes(changes, 4.0, health("eu", "healthy")) == []
    assert region_changes(changes, 8.9, health("eu", "healthy")) == []
    assert region_changes(changes, 9.0, health("eu", "healthy")) == [("eu", "healthy", None, "info")]
    assert region_changes(changes, 99.0, health("eu", "healthy")) == []


def test_what_does_not_last_is_no_news() -> None:
    changes = seen(health("eu", "healthy"))
    assert region_changes(changes, 10.0, health("eu", "degraded")) == []
    assert region_changes(changes, 14.0, health("eu", "healthy")) == []
    assert region_changes(changes, 16.0, health("eu", "degraded")) == []
    assert region_changes(changes, 20.9, health("eu", "degraded")) == []
    assert region_changes(changes, 21.0, health("eu", "degraded")) == [("eu", "degraded", "healthy", "warning")]


def test_worse_and_better_have_their_severity() -> None:
    changes = seen(health("eu", "healthy"))
    region_changes(changes, 10.0, health("eu", "critical"))
    assert region_changes(changes, 15.0, health("eu", "critical")) == [("eu", "critical", "healthy", "critical")]
    region_changes(changes, 20.0, health("eu", "healthy"))
    assert region_changes(changes, 25.0, health("eu", "healthy")) == [("eu", "healthy", "critical", "info")]


def test_a_region_whose_dead_are_forgotten_has_vanished_and_that_is_critical() -> None:
    changes = seen(health("eu", "critical", down=3), health("us", "healthy"))
    assert region_changes(changes, 10.0, health("us", "healthy")) == []
    assert region_changes(changes, 15.0, health("us", "healthy")) == [("eu", "vanished", "critical", "critical")]
    assert region_changes(changes, 99.0, health("us", "healthy")) == []


def test_goodbyes_and_guesses_that_dissolve_are_no_alarm() -> None:
    changes = seen(health("eu", "healthy"), health("~ab", "critical", down=1, source="latency"))
    region_changes(changes, 10.0)
    assert region_changes(changes, 15.0) == [
        ("eu", "vanished", "healthy", "info"),
        ("~ab", "vanished", "critical", "info"),
    ]


def test_a_region_that_comes_back_is_seen_anew() -> None:
    changes = seen(health("eu", "healthy"))
    assert region_changes(changes, 10.0) == []
    assert region_changes(changes, 12.0, health("eu", "healthy")) == []
    assert region_changes(changes, 16.0) == []  # the absence counts from here
    assert region_changes(changes, 21.0) == [("eu", "vanished", "healthy", "info")]
    region_changes(changes, 30.0, health("eu", "healthy"))
    assert region_changes(changes, 35.0, health("eu", "healthy")) == [("eu", "healthy", None, "info")]


def test_a_name_seen_only_in_passing_is_forgotten() -> None:
    changes = RegionChanges(HOLD_S)
    assert region_changes(changes, 0.0, health("eu", "healthy")) == []
    assert region_changes(changes, 10.0) == []
    assert region_changes(changes, 20.0, health("eu", "healthy")) == []  # begins anew


def test_a_region_dies_vanishes_and_is_told_as_its_peers_expire() -> None:
    book = meshed(5)
    for number in range(5):
        book.introduce(number, region="eu" if number < 1 else "us", at=0.1)
    changes, config = RegionChanges(0.0), RegionConfig()

    def update(now: float) -> list[tuple[str, str]]:
        return [(c.region, c.status) for c in changes.update(region_health(book.snapshot(now, me=1), config, 4), now)]

    assert update(1.0) == [("eu", "healthy"), ("us", "healthy")]
    now = lose(book, 0, [1, 2, 3, 4])
    assert update(now) == [("eu", "critical"), ("us", "critical")]
    book.ledger.forget(book[0])
    assert update(now + 1.0) == [("eu", "vanished"), ("us", "healthy")]


def verdict_changes(changes: VerdictChanges, book: Book, now: float) -> list[tuple[int, Verdict, bool]]:
    numbers = {book[number]: number for number in range(12)}
    return [(numbers[c.peer], c.verdict, c.majority) for c in changes.update(book.snapshot(now))]


def test_peers_that_are_well_are_no_news() -> None:
    changes = VerdictChanges()
    assert verdict_changes(changes, meshed(4), 1.0) == []
    assert changes.is_calm


def test_suspicion_majority_and_death_are_told_once_each() -> None:
    book, changes = meshed(4), VerdictChanges()
    now = lose(book, 0, [1], silence_s=2.0)
    assert verdict_changes(changes, book, now) == [(0, Verdict.SUSPECT, False)]
    assert verdict_changes(changes, book, now) == []
    assert not changes.is_calm
    lose(book, 0, [2], silence_s=2.0)
    assert verdict_changes(changes, book, now) == [(0, Verdict.SUSPECT, True)]
    assert verdict_changes(changes, book, now + 2.5) == [(0, Verdict.DOWN, True)]  # by the time alone
    assert verdict_changes(changes, book, now + 3.0) == []
    assert changes.is_calm


def test_a_peer_that_is_heard_again_is_told_to_be_alive_once() -> None:
    book, changes = meshed(4), VerdictChanges()
    now = lose(book, 0, [1, 2, 3])
    assert verdict_changes(changes, book, now) == [(0, Verdict.DOWN, True)]
    book.report(0, 1, 2, 3, at=now + 1.0)
    assert verdict_changes(changes, book, now + 1.0) == [(0, Verdict.ALIVE, False)]
    assert verdict_changes(changes, book, now + 2.0) == []


def test_a_change_says_how_many_miss_the_peer_of_how_many() -> None:
    book = meshed(4)
    now = lose(book, 0, [1, 2])
    (change,) = VerdictChanges().update(book.snapshot(now))
    assert (change.accused_by, change.observers) == (2, 3)


def test_a_goodbye_is_told_once() -> None:
    book, changes = meshed(3), VerdictChanges()
    book.introduce(0, at=1.0, left=True)
    assert verdict_changes(changes, book, 1.0) == [(0, Verdict.LEFT, False)]
    assert verdict_changes(changes, book, 2.0) == []
    assert changes.is_calm


def test_a_peer_that_comes_back_after_a_goodbye_is_alive() -> None:
    book, changes = meshed(3), VerdictChanges()
    book.introduce(0, at=1.0, left=True)
    verdict_changes(changes, book, 1.0)
    book.introduce(0, at=2.0)
    assert verdict_changes(changes, book, 2.0) == [(0, Verdict.ALIVE, False)]


def test_the_forgotten_and_the_nameless_are_no_news() -> None:
    book, changes = meshed(4), VerdictChanges()
    now = lose(book, 0, [1, 2, 3])
    verdict_changes(changes, book, now)
    book.ledger.forget(book[0])
    assert verdict_changes(changes, book, now) == []
    assert changes.is_calm
    book.report(5, 1, 2, 3)
    book.accuse(1, [5], at=now + 1.0, silence_s=5.0)
    assert verdict_changes(changes, book, now + 1.0) == []
