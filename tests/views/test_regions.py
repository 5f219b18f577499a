"""The health of regions: every boundary of the rule, and where its numbers come from."""

import pytest

from latencies import settle
from ledgers import GOOD, INTERVAL_MS, WALL_S, Book, lose, meshed
from peerscope.errors import ConfigError
from peerscope.records.bodies import Check, LinkReading, Profile, Report, Status
from peerscope.records.hosts import HostTokens
from peerscope.records.identity import ref
from peerscope.views.health import expected_links
from peerscope.views.regions import (
    REGIONS_MAX,
    CrossRegion,
    RegionConfig,
    RegionHealth,
    assess,
    region_health,
    region_members,
)

RINGS = 4
DEFAULTS = RegionConfig()


@pytest.mark.parametrize(
    ("ratio", "connectivity", "reached", "others", "expected"),
    [
        # all at or above the limits
        (1.0, 1.0, 4, 4, "healthy"),
        (0.8, 1.0, 4, 4, "healthy"),
        (1.0, 0.9, 4, 4, "healthy"),
        (0.8, 0.9, 2, 4, "healthy"),
        # each just below its upper limit
        (0.79, 1.0, 4, 4, "degraded"),
        (1.0, 0.89, 4, 4, "degraded"),
        (1.0, 1.0, 1, 4, "degraded"),
        # half of the others, of an odd number too
        (1.0, 1.0, 1, 2, "healthy"),
        (1.0, 1.0, 1, 3, "degraded"),
        (1.0, 1.0, 2, 3, "healthy"),
        (1.0, 1.0, 1, 1, "healthy"),
        # ratio 0.5
        (0.5, 1.0, 4, 4, "degraded"),
        (0.49, 1.0, 4, 4, "critical"),
        (0.0, 1.0, 4, 4, "critical"),
        # connectivity 0.7, which only matters with a ratio below 0.8
        (0.79, 0.7, 4, 4, "degraded"),
        (0.79, 0.69, 4, 4, "critical"),
        (0.8, 0.69, 4, 4, "degraded"),
        (1.0, 0.0, 4, 4, "degraded"),
        (0.5, 0.7, 4, 4, "degraded"),
        (0.5, 0.69, 4, 4, "critical"),
        # no other region reached, while there are others, or none
        (1.0, 1.0, 0, 1, "critical"),
        (1.0, 1.0, 0, 4, "critical"),
        (1.0, 1.0, 0, 0, "healthy"),
        (0.79, 1.0, 0, 0, "degraded"),
        (0.49, 1.0, 0, 0, "critical"),
        # connectivity that says nothing does not count against the region, and saves it from nothing
        (0.8, None, 4, 4, "healthy"),
        (0.79, None, 4, 4, "degraded"),
        (0.5, None, 4, 4, "degraded"),
        (0.49, None, 4, 4, "critical"),
        (1.0, None, 0, 1, "critical"),
    ],
)
def test_the_status_at_every_boundary(
    ratio: float, connectivity: float | None, reached: int, others: int, expected: str
) -> None:
    assert assess(ratio, ratio, connectivity, reached, others, DEFAULTS).value == expected


@pytest.mark.parametrize(
    ("ratio", "standing", "connectivity", "expected"),
    [
        # nobody is healthy, everybody works
        (0.0, 1.0, 1.0, "degraded"),
        (0.0, 0.5, 1.0, "degraded"),
        (0.0, 0.49, 1.0, "critical"),
        # links fail: critical only where peers are missing as well
        (0.0, 0.8, 0.69, "degraded"),
        (0.0, 0.79, 0.69, "critical"),
        # healthy enough is healthy, whatever the others are
        (0.8, 0.8, 1.0, "healthy"),
        (0.79, 1.0, 1.0, "degraded"),
    ],
)
def test_degraded_peers_degrade_a_region_and_are_not_missing_from_it(
    ratio: float, standing: float, connectivity: float, expected: str
) -> None:
    assert assess(ratio, standing, connectivity, 4, 4, DEFAULTS).value == expected


@pytest.mark.parametrize(
    ("config", "ratio", "connectivity", "reached", "expected"),
    [
        (RegionConfig(ratio_degraded_below=0.6), 0.6, 1.0, 4, "healthy"),
        (RegionConfig(ratio_critical_below=0.2), 0.2, 1.0, 4, "degraded"),
        (RegionConfig(connectivity_degraded_below=0.75), 1.0, 0.75, 4, "healthy"),
        (RegionConfig(connectivity_critical_below=0.3), 0.6, 0.3, 4, "degraded"),
        (RegionConfig(reach_degraded_below=0.25), 1.0, 1.0, 1, "healthy"),
        (RegionConfig(reach_degraded_below=1.0), 1.0, 1.0, 3, "degraded"),
    ],
)
def test_every_limit_can_be_set(
    config: RegionConfig, ratio: float, connectivity: float, reached: int, expected: str
) -> None:
    assert assess(ratio, ratio, connectivity, reached, 4, config).value == expected
    assert assess(ratio, ratio, connectivity, reached, 4, DEFAULTS).value != expected


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"ratio_critical_below": 0.9}, "regions.ratio_critical_below"),
        ({"ratio_degraded_below": 1.1}, "regions.ratio_degraded_below"),
        ({"connectivity_critical_below": -0.1}, "regions.connectivity_critical_below"),
        ({"connectivity_degraded_below": float("nan")}, "regions.connectivity_degraded_below"),
        ({"reach_degraded_below": 1.5}, "regions.reach_degraded_below"),
        ({"links_min": 0}, "regions.links_min"),
        ({"hold_s": -1.0}, "regions.hold_s"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused_by_name(values: dict[str, float], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        RegionConfig(**values)


def regional(*regions: str) -> Book:
    """Healthy peers, each linked with every other, in these regions."""
    book = meshed(len(regions))
    for number, region in enumerate(regions):
        book.introduce(number, region=region, at=0.1)
    return book


def judged(book: Book, now: float, config: RegionConfig = DEFAULTS) -> dict[str, RegionHealth]:
    return {health.region: health for health in region_health(book.snapshot(now), config, RINGS)}


def test_a_whole_network_has_healthy_regions_that_reach_each_other() -> None:
    found = judged(regional(*("eu", "us") * 4), 1.0)
    assert list(found) == ["eu", "us"]
    eu = found["eu"]
    assert (eu.status, eu.source, eu.total_peers, eu.healthy_peers, eu.health_ratio) == ("healthy", "declared", 4, 4, 1)
    assert (eu.connectivity, eu.rtt_s, eu.last_assessed) == (1.0, pytest.approx(0.001), WALL_S + 1.0)
    assert (eu.reached_regions, eu.other_regions) == (1, 1)
    assert eu.cross_region == {"us": CrossRegion(pytest.approx(0.001), 16, "up")}


def test_nobody_and_peers_without_a_region_are_no_region() -> None:
    assert judged(Book(), 0.0) == {}
    book = Book()
    book.introduce(0, region=None)
    assert judged(book, 0.0) == {}


def test_a_lone_peer_is_a_region_with_nothing_to_connect_or_reach() -> None:
    (health,) = judged(regional("eu"), 1.0).values()
    assert (health.status, health.connectivity, health.expected_links, health.rtt_s) == ("healthy", None, 0, None)
    assert (health.reached_regions, health.other_regions, health.cross_region) == (0, 0, {})


def test_two_of_three_peers_with_degraded_memory_make_no_critical_region() -> None:
    book = regional(*("eu",) * 3, *("us",) * 3)
    for number in (0, 1):
        book.report(number, *(other for other in range(6) if other != number), worst=Status.DEGRADED, at=1.0)
    eu = judged(book, 1.0)["eu"]
    assert (eu.status, eu.healthy_peers, eu.degraded_peers, eu.unhealthy_peers) == ("degraded", 1, 2, 0)
    for number in (0, 1):  # the null case: unhealthy peers are missing ones
        book.report(number, *(other for other in range(6) if other != number), worst=Status.UNHEALTHY, at=2.0)
    assert judged(book, 2.0)["eu"].status == "critical"


FULL, CUT = 2, 3
"""Places of the checks of storage and network in a report."""


def strained(machines: str, unhealthy: str, *, check: int = FULL, down: str = "") -> str:
    """The status of region eu: a letter for each peer there names its machine, "-" an unknown one. Beside are three
    peers of another region. `unhealthy` and `down`: numbers of such peers."""
    peers = len(machines) + 3
    book, at = regional(*("eu",) * len(machines), *("us",) * 3), 1.0
    for number, machine in enumerate(machines):
        host = None if machine == "-" else HostTokens(machine.encode() * 8)
        book.say(number, Profile((f"10.0.0.{number}:1",), "eu", "1.0", 0, host=host), at=0.2)
    if down:
        observers = [number for number in range(peers) if str(number) not in down]
        at = lose(book, int(down[0]), observers)
        for number in observers:
            book.accuse(number, map(int, down), at=at + 0.1, silence_s=5.1)
    for number in map(int, unhealthy):
        links = tuple(LinkReading(ref(book[other]), 1000, 0) for other in range(peers) if other != number)
        checks = [GOOD] * 5
        checks[check] = Check(Status.UNHEALTHY, 9900)
        book.say(number, Report(INTERVAL_MS, tuple(checks), links), at=at + 0.5)
    return judged(book, at + 0.5)["eu"].status


@pytest.mark.parametrize(
    ("machines", "unhealthy", "expected"),
    [
        ("aaab", "012", "degraded"),  # one machine is full, the other peer is well
        ("aaaa", "0123", "degraded"),  # the whole region is one machine
        ("aabb", "0123", "critical"),  # two machines
        ("abcd", "0123", "critical"),  # each on its own
        ("aabc", "0123", "critical"),  # two of one machine, and both others
        ("aabc", "012", "degraded"),  # two of one machine, and half of the others
        ("----", "0123", "critical"),  # nobody knows the machines
        ("aaa-", "0123", "critical"),  # one of them may be on another
        ("a---", "0", "degraded"),
        ("a", "0", "degraded"),  # no other peer is missing
        ("-", "0", "critical"),
        ("ab", "01", "critical"),
        ("aaaabcd", "01234", "degraded"),  # one other peer has trouble as well; it is not the region
        ("aabbbc", "01234", "critical"),  # most of those outside the worst machine are missing
        ("abcde", "012", "critical"),  # no machine has several
        ("aaaa", "", "healthy"),
    ],
)
def test_one_full_machine_makes_no_critical_region_and_two_do(machines: str, unhealthy: str, expected: str) -> None:
    assert strained(machines, unhealthy) == expected


def test_what_agents_of_one_machine_do_not_share_counts_for_each() -> None:
    assert strained("aaab", "012", check=CUT) == "critical"


def test_a_liar_that_claims_to_be_beside_others_saves_no_region() -> None:
    """Peer 4 copies the token of peer 0: nothing that it states joins the machines of the others."""
    assert strained("abcda", "01234") == "critical"


def test_peers_that_are_down_are_missing_whatever_machine_they_share() -> None:
    assert strained("aaaab", "0", down="123") == "critical"
    assert strained("aaaab", "012", down="4") == "degraded"


def test_peers_are_counted_by_class_and_those_that_left_not_at_all() -> None:
    book = regional(*("eu",) * 8)
    now = lose(book, 0, range(4, 8))
    book.report(1, worst=Status.DEGRADED, at=now)
    book.report(2, worst=Status.UNHEALTHY, at=now)
    book.introduce(3, region="eu", left=True, at=now)
    book.introduce(8, region="eu", at=now)
    eu = judged(book, now)["eu"]
    assert (eu.total_peers, eu.healthy_peers, eu.degraded_peers, eu.unhealthy_peers) == (8, 4, 1, 1)
    assert (eu.unknown_peers, eu.down_peers, eu.health_ratio) == (1, 1, 0.5)


def test_connectivity_is_the_share_of_ring_links_inside_the_region() -> None:
    book = regional(*("eu", "us") * 5)
    inside = [number for number in range(10) if number % 2 == 0]
    expected = {
        pair
        for pair in expected_links([book[number] for number in range(10)], RINGS)
        if {book[number] for number in inside} >= set(pair)
    }
    assert judged(book, 1.0)["eu"].expected_links == len(expected)
    for number in inside:  # nobody of the region lists another of it any more
        book.report(number, *(other for other in range(10) if other not in inside), at=1.0)
    eu, us = judged(book, 1.0).values()
    assert (eu.connectivity, eu.status) == (0.0, "degraded")  # its peers are well, and hold together through others
    assert (us.connectivity, us.status) == (1.0, "healthy")
    one, other = (next(n for n in inside if book[n] == end) for end in sorted(expected)[0])
    book.report(one, other, *(far for far in range(10) if far not in inside), at=2.0)
    assert judged(book, 2.0)["eu"].connectivity == pytest.approx(1 / len(expected))


def test_in_a_region_of_two_the_missing_link_is_shown_and_does_not_count() -> None:
    book = regional("eu", "eu", "us", "us", "us")
    for number, other in ((0, 1), (1, 0)):
        book.report(number, *(far for far in range(5) if far not in (number, other)), at=1.0)
    eu = judged(book, 1.0)["eu"]
    assert (eu.expected_links, eu.connectivity, eu.status) == (1, 0.0, "healthy")
    assert judged(book, 1.0, RegionConfig(links_min=1))["eu"].status == "degraded"


def test_a_region_that_nobody_is_linked_to_is_critical_and_so_are_those_it_alone_could_reach() -> None:
    book = regional("eu", "eu", "eu", "us", "us", "us")
    for group in ((0, 1, 2), (3, 4, 5)):
        for number in group:
            book.report(number, *(other for other in group if other != number), at=1.0)
    eu, us = judged(book, 1.0).values()
    assert (eu.status, us.status) == ("critical", "critical")
    assert eu.cross_region["us"] == CrossRegion(None, 0, "down")


def test_a_region_whose_peers_are_all_down_is_critical_and_its_links_are_gone() -> None:
    book = regional("eu", "us", "us", "us")
    now = lose(book, 0, [1, 2, 3])
    found = judged(book, now)
    assert (found["eu"].status, found["eu"].health_ratio, found["eu"].down_peers) == ("critical", 0.0, 1)
    assert found["us"].cross_region["eu"] == CrossRegion(None, 0, "down")
    assert found["us"].status == "critical"  # it reaches no other region while there is one


def test_one_dead_region_of_three_degrades_nobody_else() -> None:
    book = regional("eu", "us", "us", "as", "as")
    now = lose(book, 0, [1, 2, 3, 4])
    found = judged(book, now)
    assert {name: health.status for name, health in found.items()} == {
        "as": "healthy",
        "eu": "critical",
        "us": "healthy",
    }
    assert (found["us"].reached_regions, found["us"].other_regions) == (1, 2)


def test_a_lone_peer_is_not_asked_to_reach_more_regions_than_it_has_ring_links() -> None:
    book = regional(*(f"r{number}" for number in range(12)))
    ring = {0: 1, 1: 0}
    for number in range(12):
        book.report(number, *((ring[number],) if number in ring else ()), at=1.0)
    found = region_health(book.snapshot(1.0), DEFAULTS, rings=1)
    # Eleven others, one of them reached: with one ring a peer has two links, and half of two is one.
    assert [health.status for health in found if health.reached_regions == 1] == ["healthy", "healthy"]
    four = region_health(book.snapshot(1.0), DEFAULTS, rings=RINGS)
    assert [health.status for health in four if health.reached_regions == 1] == ["degraded", "degraded"]


def test_a_region_of_mixed_sources_is_told_with_the_least_sure() -> None:
    book = Book()
    book.introduce(0, region="DE")
    assert judged(book, 1.0)["DE"].source == "declared"
    book.say(1, Profile((), "DE", "1.0", 0, region_source="country"))
    assert judged(book, 1.0)["DE"].source == "country"
    settle(book, 2, 0.0)
    assert {health.source for name, health in judged(book, 1.0).items() if name.startswith("~")} == {"latency"}


def test_regions_are_bounded_and_the_largest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    assert REGIONS_MAX >= 64
    monkeypatch.setattr("peerscope.views.regions.REGIONS_MAX", 2)
    book = regional("a", "b", "b", "c", "d", "d", "d")
    assert list(region_members(book.snapshot(1.0))) == ["b", "d"]
    found = judged(book, 1.0)
    assert list(found) == ["b", "d"]
    assert list(found["b"].cross_region) == ["d"]
