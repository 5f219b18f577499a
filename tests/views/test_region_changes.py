"""Regions as they change: what lasts is told once, with its severity."""

from msgspec.structs import replace

from ledgers import Book, lose, meshed
from peerscope.views.region_changes import RegionChanges
from peerscope.views.regions import RegionConfig, RegionHealth, region_health

HOLD_S = 5.0


def health(name: str, status: str, *, down: int = 0, source: str = "declared") -> RegionHealth:
    book = Book()
    book.introduce(0, region=name)
    (found,) = region_health(book.snapshot(0.0), RegionConfig(), 4)
    return replace(found, status=status, down_peers=down, source=source)


def told(changes: RegionChanges, now: float, *found: RegionHealth) -> list[tuple[str, str, str | None, str]]:
    return [(c.region, c.status, c.before, c.severity) for c in changes.update(list(found), now)]


def seen(*found: RegionHealth) -> RegionChanges:
    """Changes that have told of these."""
    changes = RegionChanges(HOLD_S)
    changes.update(list(found), 0.0)
    assert len(changes.update(list(found), HOLD_S)) == len(found)
    return changes


def test_the_first_sight_is_told_once_it_has_lasted() -> None:
    changes = RegionChanges(HOLD_S)
    assert told(changes, 0.0, health("eu", "critical")) == []  # nobody has reported yet
    assert told(changes, 4.0, health("eu", "healthy")) == []
    assert told(changes, 8.9, health("eu", "healthy")) == []
    assert told(changes, 9.0, health("eu", "healthy")) == [("eu", "healthy", None, "info")]
    assert told(changes, 99.0, health("eu", "healthy")) == []


def test_what_does_not_last_is_no_news() -> None:
    changes = seen(health("eu", "healthy"))
    assert told(changes, 10.0, health("eu", "degraded")) == []
    assert told(changes, 14.0, health("eu", "healthy")) == []
    assert told(changes, 16.0, health("eu", "degraded")) == []
    assert told(changes, 20.9, health("eu", "degraded")) == []
    assert told(changes, 21.0, health("eu", "degraded")) == [("eu", "degraded", "healthy", "warning")]


def test_worse_and_better_have_their_severity() -> None:
    changes = seen(health("eu", "healthy"))
    told(changes, 10.0, health("eu", "critical"))
    assert told(changes, 15.0, health("eu", "critical")) == [("eu", "critical", "healthy", "critical")]
    told(changes, 20.0, health("eu", "healthy"))
    assert told(changes, 25.0, health("eu", "healthy")) == [("eu", "healthy", "critical", "info")]


def test_a_region_whose_dead_are_forgotten_has_vanished_and_that_is_critical() -> None:
    changes = seen(health("eu", "critical", down=3), health("us", "healthy"))
    assert told(changes, 10.0, health("us", "healthy")) == []
    assert told(changes, 15.0, health("us", "healthy")) == [("eu", "vanished", "critical", "critical")]
    assert told(changes, 99.0, health("us", "healthy")) == []


def test_goodbyes_and_guesses_that_dissolve_are_no_alarm() -> None:
    changes = seen(health("eu", "healthy"), health("~ab", "critical", down=1, source="latency"))
    told(changes, 10.0)
    assert told(changes, 15.0) == [("eu", "vanished", "healthy", "info"), ("~ab", "vanished", "critical", "info")]


def test_a_region_that_comes_back_is_seen_anew() -> None:
    changes = seen(health("eu", "healthy"))
    assert told(changes, 10.0) == []
    assert told(changes, 12.0, health("eu", "healthy")) == []
    assert told(changes, 16.0) == []  # the absence counts from here
    assert told(changes, 21.0) == [("eu", "vanished", "healthy", "info")]
    told(changes, 30.0, health("eu", "healthy"))
    assert told(changes, 35.0, health("eu", "healthy")) == [("eu", "healthy", None, "info")]


def test_a_name_seen_only_in_passing_is_forgotten() -> None:
    changes = RegionChanges(HOLD_S)
    assert told(changes, 0.0, health("eu", "healthy")) == []
    assert told(changes, 10.0) == []
    assert told(changes, 20.0, health("eu", "healthy")) == []  # begins anew


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
