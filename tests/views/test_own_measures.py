"""What nodes name themselves, over the network: only alike nodes and units are put together."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from ledgers import Book
from peerscope.records.bodies import Check, Kind, Profile, Report
from peerscope.records.measures import COUNT_MAX, Measure, Metrics, ReportedNode
from peerscope.views.measures import SHOWN_MAX, MeasureAggregate, MeasureSpread, measure_aggregates
from peerscope.views.window import Window


class Town:
    """A ledger, and a window that follows it as the agent's does."""

    def __init__(self, peers: int = 6, node: str = "bitcoin") -> None:
        self.book, self.window = Book(), Window()
        for number in range(peers):
            self.settle(number, node)

    def settle(self, number: int, node: str, region: str = "eu") -> None:
        self.book.say(number, Profile((), region, "1", 1_700_000_000_000, node=node))

    def say(self, number: int, *measures: Measure, at: float = 1.0) -> None:
        metrics = Metrics(node=ReportedNode(measures=measures))
        self.book.say(number, Report(60_000, (Check(0, 1000),) * 6, metrics=metrics), at=at)
        entry = self.book.ledger.get(self.book[number], Kind.REPORT)
        assert entry is not None
        self.window.note(entry)

    def found(self, now: float = 2.0) -> tuple[MeasureAggregate, ...]:
        return measure_aggregates(self.book.snapshot(now), self.window)


def heights(*values: float | None) -> Town:
    town = Town(len(values))
    for number, value in enumerate(values):
        town.say(number, Measure("block_height", value, "blocks"))
    return town


def test_a_gauge_is_the_last_value_of_each_peer() -> None:
    town = heights(100, 101, 102, None)
    town.say(0, Measure("block_height", 104, "blocks"), at=9.0)
    (one,) = town.found(10.0)
    assert (one.node, one.name, one.unit, one.is_counter) == ("bitcoin", "block_height", "blocks", False)
    assert (one.peers, one.median, one.min, one.max, one.sum) == (3, 102, 101, 104, None)
    assert one.regions == {"eu": MeasureSpread(3, 102, 101, 104)}


def test_nobody_measures_nothing() -> None:
    assert Town().found() == ()
    assert heights(None, None).found() == ()


def test_a_counter_is_its_increase_per_second_and_a_restart_of_the_node_counts_for_none() -> None:
    town = Town(2)
    for at, total, other in ((1.0, 10, 7), (11.0, 30, 9), (21.0, 5, 11), (31.0, 25, 12)):
        town.say(0, Measure("a", total, "", True), Measure("b", other, "", True), at=at)
    town.say(1, Measure("a", 1, "", True), at=31.0)
    found = {one.name: one for one in town.found(32.0)}
    assert (found["a"].peers, found["a"].median, found["a"].sum) == (1, 2.0, 2.0)
    assert found["b"].median == (2 + 1) / 20, "where one counter fell, the others of that node are unknown"


def test_regions_have_values_of_their_own() -> None:
    town = Town(4)
    town.settle(3, "bitcoin", "us")
    for number, value in enumerate((1, 2, 3, 9)):
        town.say(number, Measure("torrents", value))
    (one,) = town.found()
    assert one.regions == {"eu": MeasureSpread(3, 2, 1, 3), "us": MeasureSpread(1, 9, 9, 9)}


def test_other_units_kinds_and_nodes_are_apart_and_counted() -> None:
    town = heights(100, 100, 100, 100, 100, 100)
    town.say(3, Measure("block_height", 5, "kiloblocks"), at=2.0)
    town.settle(4, "monero")
    town.say(5, Measure("block_height", 5, "blocks", True), at=2.0)
    found = {(one.node, one.unit): one for one in town.found(3.0)}
    assert found["bitcoin", "blocks"].peers == 3
    assert found["bitcoin", "blocks"].other_peers == 1, "a counter of one report has no rate yet"
    assert (found["bitcoin", "kiloblocks"].peers, found["bitcoin", "kiloblocks"].other_peers) == (1, 3)
    assert (found["monero", "blocks"].peers, found["monero", "blocks"].other_peers) == (1, 0)


def test_strangers_with_a_thousand_names_do_not_crowd_out_those_that_many_share() -> None:
    town = heights(*(100,) * 6)
    for number in range(6):
        names = (Measure(f"a{number}_{place:02}", place) for place in range(15))
        town.say(number, *names, Measure("block_height", 100, "blocks"), at=2.0)
    found = town.found(3.0)
    assert len(found) == SHOWN_MAX
    assert next(one for one in found if one.name == "block_height").peers == 6


@given(st.lists(st.integers(-COUNT_MAX, COUNT_MAX) | st.floats(-1e300, 1e300), min_size=1, max_size=8))
def test_any_values_that_a_report_can_hold_give_numbers(values: Sequence[float]) -> None:
    (one,) = heights(*values).found()
    assert one.min <= one.median <= one.max
    assert (one.min, one.max, one.peers) == (float(min(values)), float(max(values)), len(values))
