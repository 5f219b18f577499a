"""Signals: what is read from a peer's own data, and from the ledger about others."""

import pytest
from msgspec.structs import replace

from ledgers import GOOD, INTERVAL_MS, Book, lose, meshed
from peerscope.alerts.model import ConditionReading
from peerscope.alerts.network_signals import NETWORK_SIGNALS
from peerscope.alerts.own_signals import OWN_SIGNALS, Own, SignalContext, UsualLevel
from peerscope.alerts.subjects import Groups
from peerscope.records.bodies import CHECKS, Check, LinkReading, OtherLife, Profile, Report, Status
from peerscope.records.identity import PeerId, ref
from peerscope.records.measures import AgentMetrics, Metrics, PerformanceMetrics, SystemMetrics
from peerscope.views.partitions import Partition
from peerscope.views.regions import RegionConfig, region_health


def own(name: str, state: Own, **sight: object) -> list[float | None]:
    seen = SignalContext(meshed(6).snapshot(1.0), state, **sight)
    return [reading.value for reading in OWN_SIGNALS[name](seen)]


def network(name: str, book: Book, now: float, **sight: object) -> list[ConditionReading]:
    return list(NETWORK_SIGNALS[name](SignalContext(book.snapshot(now), **sight)))


def test_what_was_not_measured_is_unknown_and_never_zero() -> None:
    for name in ("cpu_ratio", "memory_ratio", "storage_ratio", "link_rtt_s", "error_ratio", "agent_lag_s"):
        assert own(name, Own()) == [None]


def test_memory_is_that_of_this_very_machine_and_a_check_stands_in_for_missing_metrics() -> None:
    assert own("memory_ratio", Own(metrics=Metrics(SystemMetrics(None, 95, 100)))) == [0.95]
    assert own("memory_ratio", Own(checks=(GOOD, Check(2, 9_600)))) == [0.96]
    assert own("cpu_ratio", Own(checks=(Check(2, 9_700),))) == [0.97]
    assert own("cpu_ratio", Own(checks=(Check(Status.UNKNOWN),))) == [None]


def test_few_links_matter_only_where_others_live_that_one_could_be_linked_to() -> None:
    assert own("linked_peers", Own(linked=2)) == [2.0]
    book = meshed(4)
    assert list(OWN_SIGNALS["linked_peers"](SignalContext(book.snapshot(1.0), Own(linked=2)))) == []
    book = meshed(6)
    for number in (4, 5):
        book.introduce(number, at=1.0, left=True)
    assert list(OWN_SIGNALS["linked_peers"](SignalContext(book.snapshot(2.0), Own(linked=2)))) == []


def test_a_rise_is_measured_against_what_is_usual_here_but_not_against_next_to_nothing() -> None:
    slow = Own(rtt_s=0.3)
    assert own("link_rtt_rise", slow) == []
    assert own("link_rtt_rise", slow, usual_rtt_s=0.15) == [2.0]
    assert own("link_rtt_rise", Own(rtt_s=0.002), usual_rtt_s=0.0001)[0] < 1.0
    assert own("link_rtt_rise", Own(), usual_rtt_s=0.1) == [None]


def test_throughput_is_a_share_of_what_is_usual_where_that_is_traffic_at_all() -> None:
    state = Own(metrics=Metrics(performance=PerformanceMetrics(None, 900, 20_000)))
    assert own("throughput_share", state) == []
    assert own("throughput_share", state, usual_bytes_s=80_000.0) == [0.25]
    assert own("throughput_share", state, usual_bytes_s=5_000.0) == []
    assert own("error_ratio", state) == [0.09]


def test_the_slowest_route_the_agent_itself_and_the_history_are_read() -> None:
    assert own("route_p95_s", Own(routes=(("a>b", 0.2), ("a>c", 0.7)))) == [0.7]
    assert own("route_p95_s", Own()) == []
    agent = Own(metrics=Metrics(agent=AgentMetrics(cpu=9_000, lag_us=750_000)))
    assert own("agent_lag_s", agent) == [0.75]
    assert own("agent_cpu_ratio", agent) == [0.9]
    assert own("history_trouble", Own(trouble="disk full")) == [1.0]
    assert own("history_trouble", Own()) == []
    assert own("export_trouble", Own(export_trouble="samples wait: it answers 401")) == [1.0]
    assert own("export_trouble", Own()) == []


def test_a_baseline_knows_nothing_before_ten_minutes_and_does_not_follow_a_spike() -> None:
    usual = UsualLevel()
    for second in range(600):
        usual.note(0.1, float(second))
    assert usual.usual is None
    for second in range(600, 720):
        usual.note(5.0, float(second))
    assert usual.usual == 0.1


def test_a_baseline_counts_only_minutes_in_which_something_was_measured() -> None:
    usual = UsualLevel()
    for second in range(3600):
        usual.note(1.0 if second % 600 < 60 else None, float(second))
    assert usual.usual is None


def test_a_dead_peer_is_named_with_those_that_lost_it() -> None:
    book = meshed(6)
    at = lose(book, 5, range(5))
    (reading,) = network("peer_down", book, at)
    assert reading.subject == ref(book[5]).hex()
    assert set(reading.confirmed_by) == {book[number] for number in range(5)}
    assert "5 of 5" in reading.text


def test_peers_of_a_partition_are_one_reading_and_not_down() -> None:
    book = meshed(8)
    for number in range(5):
        book.report(number, *(n for n in range(5) if n != number), at=6.0)
        book.accuse(number, [5, 6, 7], at=6.0, silence_s=5.0)
    snapshot = book.snapshot(6.0)
    named, _ = Groups().name(snapshot.partitions, {}, 6.0)
    (reading,) = network("partition", book, 6.0, groups=named)
    assert reading.metadata == (("peers", "3"),)
    assert set(reading.confirmed_by) == {book[number] for number in range(5)}
    assert network("peer_down", book, 6.0) == []


def test_a_region_is_critical_once_something_speaks_against_it() -> None:
    book = meshed(6)
    for number in (4, 5):
        book.introduce(number, at=1.0, region="us")
    for number in range(4):
        book.report(number, *(n for n in range(4) if n != number), at=6.0)
        book.accuse(number, [4, 5], at=6.0, silence_s=5.0)
    health = region_health(book.snapshot(6.0), RegionConfig(), 4)
    assert [one.subject for one in network("region_critical", book, 6.0, regions=health)] == ["us"]
    guessed = [replace(one, source="latency") for one in health]
    assert network("region_critical", book, 6.0, regions=guessed) == []


class TestALonePeer:
    """A region of one peer, whose own alert says what is wrong with it."""

    def pages(self, book: Book, now: float) -> list[str]:
        health = region_health(book.snapshot(now), RegionConfig(), 4)
        assert next(one.status for one in health if one.region == "us") == "critical"
        return [one.subject for one in network("region_critical", book, now, regions=health)]

    def with_check(self, name: str, status: Status) -> Book:
        book = meshed(6)
        book.introduce(5, at=1.0, region="us")
        checks = tuple(Check(status, 9_900) if name == one else GOOD for one in CHECKS)
        links = tuple(LinkReading(ref(book[number]), 1000, 0) for number in range(5))
        book.say(5, Report(INTERVAL_MS, checks, links), at=1.0)
        return book

    def test_that_is_down_does_not_page_twice(self) -> None:
        book = meshed(6)
        book.introduce(5, at=1.0, region="us")
        now = lose(book, 5, range(5))
        assert [one.subject for one in network("peer_down", book, now)] == [book[5].hex()[:16]]
        assert self.pages(book, now) == []

    @pytest.mark.parametrize("check", CHECKS)
    def test_that_is_unhealthy_pages_by_the_rule_of_the_failed_check(self, check: str) -> None:
        assert self.pages(self.with_check(check, Status.UNHEALTHY), 1.5) == []

    def test_of_which_nobody_knows_anything_makes_its_region_critical(self) -> None:
        book = self.with_check("cpu", Status.HEALTHY)
        for number in range(5):
            book.report(number, *(other for other in range(6) if other != number), at=30.0)
        assert self.pages(book, 30.0) == ["us"]


def test_a_network_that_has_just_started_condemns_no_region() -> None:
    book = Book()
    for number in range(6):
        book.introduce(number, region="eu" if number % 2 else "us")
        book.report(number)
    health = region_health(book.snapshot(1.0), RegionConfig(), 4)
    assert {one.status for one in health} == {"critical"}
    assert network("region_critical", book, 1.0, regions=health) == []


class TestClockSkew:
    """Never on one peer's word."""

    def told(self, peers: int, skews: dict[tuple[int, int], int]) -> dict[str, float | None]:
        """`skews`: how far (observer, subject) finds the subject's clock ahead."""
        book = meshed(peers)
        for number in range(peers):
            others = [n for n in range(peers) if n != number]
            links = tuple(LinkReading(ref(book[n]), 1000, 0, skew_s=skews.get((number, n), 0)) for n in others)
            book.say(number, Report(INTERVAL_MS, (GOOD,) * 5, links), at=1.0)
        names = {ref(book[number]).hex(): str(number) for number in range(peers)}
        return {names[one.subject]: one.value for one in network("clock_skew_s", book, 2.0)}

    def test_a_clock_that_most_neighbours_find_wrong_is_named(self) -> None:
        skews = {(n, 0): 60 for n in range(1, 5)} | {(0, n): -60 for n in range(1, 5)}
        assert self.told(5, skews) == {"0": 60.0}

    def test_one_behind_is_named_as_well(self) -> None:
        assert self.told(4, {(n, 0): -30 - n for n in range(1, 4)}) == {"0": 32.0}

    def test_one_observer_or_a_minority_says_nothing(self) -> None:
        assert self.told(5, {(1, 0): 60}) == {}
        assert self.told(5, {(1, 0): 60, (2, 0): 60}) == {}

    def test_observers_that_disagree_in_which_direction_say_nothing(self) -> None:
        assert self.told(5, {(1, 0): 60, (2, 0): 60, (3, 0): -60, (4, 0): -60}) == {}

    def test_of_three_peers_only_the_wrong_one_is_named(self) -> None:
        assert self.told(3, {(1, 0): 60, (2, 0): 60, (0, 1): -60, (0, 2): -60}) == {"0": 60.0}

    def test_a_lone_neighbour_is_not_enough(self) -> None:
        assert self.told(2, {(1, 0): 60, (0, 1): -60}) == {}


class TestSharedKey:
    """What a peer proves under its own key, and nobody else can."""

    def told(
        self, *met: OtherLife, addresses: tuple[str, ...] = ("10.0.0.1:1",), left: bool = False
    ) -> list[ConditionReading]:
        book = meshed(4)
        book.say(1, Profile(addresses, "eu", "1.0", 0, left, life=5, met=met), at=1.0)
        return network("shared_key", book, 2.0)

    def test_both_addresses_are_named_in_one_order_whichever_of_the_two_spoke_last(self) -> None:
        (one,) = self.told(OtherLife(6, True, ("10.0.0.2:1", "10.1.0.2:1"), "us"))
        (other,) = self.told(OtherLife(5, True, ("10.0.0.1:1",), "eu"), addresses=("10.0.0.2:1",))
        assert "10.0.0.1:1 (eu), 10.0.0.2:1 (us)" in one.text
        assert "10.0.0.1:1 (eu), 10.0.0.2:1 (eu)" in other.text
        assert dict(one.metadata) == {"address_1": "10.0.0.1:1 (eu)", "address_2": "10.0.0.2:1 (us)"}

    def test_an_earlier_life_is_nobody(self) -> None:
        assert self.told(OtherLife(6)) == []
        assert self.told() == []

    def test_one_that_left_or_is_down_is_told_as_that(self) -> None:
        assert self.told(OtherLife(6, True), left=True) == []

    def test_an_address_that_is_not_known_is_told_as_unknown_and_texts_keep_their_bounds(self) -> None:
        (one,) = self.told(*(OtherLife(n, True, ("x" * 64,), "y" * 64) for n in range(1, 4)), addresses=())
        assert one.text.startswith("4 agents run with the key")
        assert "an unknown address (eu)" in one.text
        assert len(one.metadata) == 4


class TestGroups:
    """Names of groups."""

    PEERS = tuple(PeerId(bytes([number]) * 32) for number in range(1, 30))

    def name(self, groups: Groups, members: tuple[PeerId, ...], now: float, **voices: int) -> str:
        stated = {name.replace("_", "-"): count for name, count in voices.items()}
        ((name, _),), _ = groups.name([Partition(members, 5.0)], stated, now)
        return name

    def test_a_group_keeps_its_name_as_it_grows_and_shrinks_even_without_its_anchor(self) -> None:
        groups, peers = Groups(), self.PEERS
        name = self.name(groups, peers[5:9], 0.0)
        assert self.name(groups, peers[5:9], 3.0) == name
        assert self.name(groups, peers[2:12], 4.0) == name
        assert self.name(groups, peers[6:12], 5.0) == name

    def test_while_it_is_young_the_smallest_member_is_its_anchor(self) -> None:
        groups, peers = Groups(), self.PEERS
        self.name(groups, peers[5:9], 0.0)
        grown = self.name(groups, peers[2:9], 1.0)
        assert grown == self.name(Groups(), peers[2:9], 1.0)

    def test_two_groups_have_two_names(self) -> None:
        named, _ = Groups().name([Partition(self.PEERS[:6], 5.0), Partition(self.PEERS[8:12], 50.0)], {}, 0.0)
        assert len({name for name, _ in named}) == 2

    def test_it_takes_the_name_that_more_aggregators_state_and_no_liars_word_for_it(self) -> None:
        peers = self.PEERS
        groups = Groups()
        ours = self.name(groups, peers[5:9], 0.0)
        theirs = self.name(Groups(), (*peers[6:9], peers[9]), 0.0)
        self.name(groups, peers[5:10], 3.0)
        assert self.name(groups, peers[5:10], 4.0, **{ours: 2, theirs: 1}) == ours
        assert self.name(groups, peers[5:10], 5.0, **{ours: 1, theirs: 2}) == theirs

    def test_a_name_of_somebody_outside_is_not_taken(self) -> None:
        peers = self.PEERS
        groups = Groups()
        ours = self.name(groups, peers[5:9], 0.0)
        stranger = self.name(Groups(), peers[20:24], 0.0)
        assert self.name(groups, peers[5:9], 3.0, **{stranger: 6}) == ours
