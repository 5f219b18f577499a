"""Rules about measures: relative to the others, robust against liars, and silent where nothing can be compared."""

from collections.abc import Iterable, Sequence
from statistics import median_high

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ledgers import GOOD, INTERVAL_MS, Book
from peerscope.alerts.engine import NOTHING, AlertEngine
from peerscope.alerts.measured import GAP_S_MIN, MeasureSignals
from peerscope.alerts.model import ConditionReading
from peerscope.alerts.own_signals import Own
from peerscope.alerts.rules import Rule, default_rules, parse_rules
from peerscope.errors import ConfigError
from peerscope.records.alerts import Alerts
from peerscope.records.bodies import Profile, Report
from peerscope.records.measures import COUNT_MAX, Measure, Metrics, ReportedNode

BLOCK_LAG = next(rule for rule in default_rules() if rule.name == "block-lag")
SYNC_LAG = next(rule for rule in default_rules() if rule.name == "sync-lag")
HEIGHT = 912_345


def rule(text: str) -> Rule:
    (one,) = parse_rules(f'[mine]\ntype = "t"\nseverity = "low"\ntitle = "x"\n{text}', "mine")
    return one


def metrics(*some: Measure, **standard: int) -> Metrics:
    return Metrics(node=ReportedNode(**standard, measures=some))


def height(blocks: float | None, unit: str = "blocks") -> Metrics:
    return metrics(Measure("block_height", blocks, unit))


def town(others: Iterable[Metrics | None], *, node: str = "bitcoin", at: float = 0.0, book: Book | None = None) -> Book:
    """Peer 0, and others with these measurements."""
    book = book or Book()
    for number, one in enumerate([None, *others]):
        book.say(number, Profile((), "eu", "1", 1_700_000_000_000, node=node), at=at)
        if one is not None:
            book.say(number, Report(INTERVAL_MS, (GOOD,) * 6, metrics=one), at=at)
    return book


def read(
    one: Rule, mine: Metrics, book: Book, now: float = 1.0, signals: MeasureSignals | None = None
) -> ConditionReading:
    (found,) = (signals or MeasureSignals(book[0])).readings(one, book.snapshot(now), Own(metrics=mine))
    return found


def test_a_node_is_as_far_behind_as_the_median_of_the_others_is_ahead() -> None:
    found = read(BLOCK_LAG, height(HEIGHT - 20), town([height(HEIGHT)] * 11), 3.0)
    assert found.value == 20.0
    assert BLOCK_LAG.holds(20.0, fires=False)
    assert found.text == "block_height 912,325 blocks; 6 of 12 nodes are 20 or more above, in reports up to 3 s old"
    assert found.metadata == (("measure", "block_height"),)


def test_a_node_ahead_or_alike_is_not_behind() -> None:
    book = town([height(HEIGHT)] * 5)
    assert read(BLOCK_LAG, height(HEIGHT), book).value == 0.0
    ahead = read(BLOCK_LAG, height(HEIGHT + 9), book).value
    assert ahead == -9.0
    assert not BLOCK_LAG.holds(ahead, fires=False)


@pytest.mark.parametrize("others", range(4))
def test_a_median_over_fewer_than_four_others_says_nothing(others: int) -> None:
    assert read(BLOCK_LAG, height(1), town([height(HEIGHT)] * others)).value is None


LIES = st.none() | st.sampled_from([-1e300, 1e300, HEIGHT + 13, HEIGHT - 13]) | st.integers(-COUNT_MAX, COUNT_MAX)


@given(
    st.lists(st.none() | st.integers(HEIGHT - 2, HEIGHT + 2), min_size=2, max_size=11),
    st.lists(LIES, max_size=10),
    st.integers(HEIGHT - 2, HEIGHT + 2),
)
def test_liars_below_half_of_all_nodes_make_no_honest_node_lag(
    honest: list[int | None], lies: list[float | None], mine: int
) -> None:
    lies = lies[: min(len(honest), 11 - len(honest))]  # with ourselves, there is one honest node more
    book = town(map(height, [*honest, *lies]))
    for one in (BLOCK_LAG, replace(BLOCK_LAG, above=5.0, below=None)):
        found = read(one, height(mine), book)
        assert found.value is None or (not one.holds(found.value, fires=False) and found.value <= 4)


@given(
    st.lists(st.integers(HEIGHT - 2, HEIGHT + 2), min_size=2, max_size=11),
    st.lists(LIES, max_size=10),
    st.integers(20, HEIGHT),
)
def test_a_lagging_node_is_found_if_the_others_that_are_honest_are_half_of_all(
    honest: list[int], lies: list[float | None], behind: int
) -> None:
    lies = lies[: min(len(honest) - 1, 11 - len(honest))]
    found = read(BLOCK_LAG, height(HEIGHT - behind), town(map(height, [*honest, *lies])))
    if len(honest) + sum(one is not None for one in lies) < BLOCK_LAG.peers_min:
        assert found.value is None
    else:
        assert found.value is not None
        assert found.value >= behind - 2


@pytest.mark.parametrize(
    ("lie", "liars", "honest", "unknown", "mine", "value"),
    [
        (1e300, 2, 2, 0, HEIGHT, 0.0),
        (HEIGHT + 13, 2, 2, 0, HEIGHT, 0.0),
        (1e300, 5, 5, 0, HEIGHT, 0.0),
        (1e300, 5, 5, 1, HEIGHT, 0.0),
        (-1e300, 5, 6, 0, HEIGHT - 50, 50.0),
        (-1e300, 5, 5, 0, HEIGHT - 50, None),  # the honest half cannot be seen from here
        (-1e300, 5, 5, 1, HEIGHT - 50, None),
    ],
)
def test_the_most_liars_that_are_fewer_than_half(
    lie: float, liars: int, honest: int, unknown: int, mine: int, value: float | None
) -> None:
    others = [height(lie)] * liars + [height(HEIGHT)] * honest + [height(None)] * unknown
    found = read(BLOCK_LAG, height(mine), town(others)).value
    assert found == value if value is not None else not BLOCK_LAG.holds(found or 0.0, fires=False)


def test_unknown_values_confirm_nothing() -> None:
    found = read(BLOCK_LAG, height(1), town([height(HEIGHT)] * 6 + [height(None)] * 5))
    assert found.text.endswith("6 of 12 nodes are 912,344 or more above, in reports up to 1 s old; 5 unknown")
    assert read(BLOCK_LAG, height(1), town([height(HEIGHT)] * 5 + [height(None)] * 6)).value is None


@pytest.mark.parametrize("late_s", [0, 5, 15])
def test_values_of_others_are_compared_with_our_own_of_that_time(late_s: int) -> None:
    for one, apart in ((BLOCK_LAG, -20), (rule('measure = "block_height"\nrelative = "median"\nabove = 5'), 20)):
        book, found = town([]), []
        signals = MeasureSignals(book[0])
        for at in range(0, 100, 5):
            if at >= late_s:
                town([height(HEIGHT + at - late_s)] * 5, at=float(at - late_s), book=book)
            found.append(read(one, height(HEIGHT + at + apart), book, float(at), signals).value)
        assert set(found[8:]) == {20.0}


def test_one_liar_with_a_huge_height_makes_nobody_lag() -> None:
    book = town([height(HEIGHT)] * 4 + [height(COUNT_MAX)])
    assert read(BLOCK_LAG, height(HEIGHT), book).value == 0.0


def test_other_units_kinds_and_nodes_are_not_compared() -> None:
    same, other = [height(HEIGHT)] * 4, [height(5, "kiloblocks"), metrics(Measure("block_height", 5, "blocks", True))]
    found = read(BLOCK_LAG, height(HEIGHT - 20), town([*same, *other]))
    assert found.value == 20.0
    assert found.text.endswith("; 2 with another unit not compared")
    assert read(BLOCK_LAG, height(HEIGHT - 20), town([*same[:3], *other])).value is None
    assert read(BLOCK_LAG, height(HEIGHT - 20, "kiloblocks"), town(same)).value is None
    book = town([height(3_000_000)] * 6, node="monero")
    book.say(0, Profile((), "eu", "1", 1_700_000_000_000, node="bitcoin"), at=0.5)
    assert read(BLOCK_LAG, height(HEIGHT), book).value is None


def test_old_reports_left_peers_and_unknown_values_do_not_count() -> None:
    book = town([height(HEIGHT)] * 4)
    assert read(BLOCK_LAG, height(1), book, 1.0).value is not None
    assert read(BLOCK_LAG, height(1), book, 100.0).value is None
    book.introduce(4, at=0.5, left=True)
    assert read(BLOCK_LAG, height(1), book, 1.0).value is None
    assert read(BLOCK_LAG, height(1), town([height(None)] * 9)).value is None
    assert read(BLOCK_LAG, height(None), town([height(HEIGHT)] * 9)).value is None
    assert read(BLOCK_LAG, Metrics(), town([height(HEIGHT)] * 9)).value is None


def test_all_nodes_that_lag_alike_raise_nothing() -> None:
    book = town([height(HEIGHT - 5_000)] * 11)
    assert read(BLOCK_LAG, height(HEIGHT - 5_000), book).value == 0.0


def test_the_lag_that_a_node_states_itself_needs_no_other_peer() -> None:
    found = read(SYNC_LAG, metrics(Measure("sync_lag", 40, "blocks")), town([]))
    assert (found.value, found.text) == (40.0, "sync_lag 40 blocks")
    assert read(SYNC_LAG, metrics(Measure("sync_lag", 40, "seconds")), town([])).value is None


def test_standard_values_are_measures_too_and_no_node_gives_their_names_another_meaning() -> None:
    few = rule('measure = "p2p_peers"\nrelative = "median"\nbelow = 10')
    others = [metrics(p2p_peers=50)] * 4
    assert read(few, metrics(p2p_peers=20), town(others)).value == 30.0
    assert read(few, metrics(Measure("p2p_peers", 20)), town(others)).value is None
    loud = rule('measure = "error_bytes"\nabove = 3')
    assert read(loud, metrics(Measure("error_bytes", 5, "bytes")), town([])).value == 5.0


# -- changes over time ---------------------------------------------------------------------------

FALLS = 'measure = "p2p_peers"\nover_s = 60\nrelative = "median"\nbelow = 10'


def walk(one: Rule, steps: Sequence[tuple[float, Metrics, Sequence[Metrics]]]) -> list[float | None]:
    """Read a rule at these times, with these own and others' measurements."""
    book, found = town([]), []
    signals = MeasureSignals(book[0])
    for at, mine, others in steps:
        town(others, at=at, book=book)
        found.append(read(one, mine, book, at, signals).value)
    return found


def test_the_only_node_whose_peers_fall_is_found_and_a_common_fall_is_not() -> None:
    many, few = metrics(p2p_peers=50), metrics(p2p_peers=20)
    alone = [(at, many if at < 60 else few, [many] * 5) for at in range(0, 121, 5)]
    together = [(at, mine, [mine] * 5) for at, mine, _ in alone]
    one = rule(FALLS)
    found = walk(one, alone)
    assert found[:12] == [None] * 12, "a past of a minute is needed first"
    assert found[12:] == [30.0] * 12 + [0.0], "it is over once the fall lies in the past"
    assert set(walk(one, together)) == {None, 0.0}


def test_the_increase_of_a_counter_is_unknown_after_a_restart() -> None:
    changes = rule('measure = "leader_changes"\nover_s = 60\nabove = 3')
    values = {0: 10, 30: 11, 60: 15, 90: 0, 120: 1, 150: 6}
    steps = [(at, metrics(Measure("leader_changes", value, "", True)), ()) for at, value in values.items()]
    assert walk(changes, steps) == [None, None, 5.0, None, None, 6.0]


@given(st.lists(st.tuples(st.floats(1, 40), st.integers(0, 1000)), max_size=40))
def test_a_change_is_one_between_values_at_least_that_far_apart(steps: list[tuple[float, int]]) -> None:
    one, at, past = rule('measure = "torrents"\nover_s = 60\nabove = 3'), 0.0, []
    book = town([])
    signals = MeasureSignals(book[0])
    for wait_s, value in steps:
        at += wait_s
        past.append((at, value))
        found = read(one, metrics(Measure("torrents", value)), book, at, signals).value
        old = {when: value - before for when, before in past if at - 60 - GAP_S_MIN <= when <= at - 60}
        assert found in old.values() if found is not None else all(when < at - 58 - GAP_S_MIN for when in old)


def test_a_change_over_a_gap_is_unknown() -> None:
    counter = rule('measure = "leader_changes"\nover_s = 900\nabove = 3')
    times = [*range(0, 2000, 10), *range(20_000, 21_000, 10)]
    steps = [(float(at), metrics(Measure("leader_changes", 10 + at // 3600, "", True)), ()) for at in times]
    found = walk(counter, steps)
    assert set(found) == {None, 0.0}
    assert set(found[200:290]) == {None}, "five changes in five hours are not five in a quarter of an hour"


def test_our_gap_makes_no_common_fall_ours_alone() -> None:
    steps = []
    for at in range(0, 8000, 10):
        fallen = metrics(p2p_peers=100 - at // 100)
        steps.append((float(at), metrics() if 1000 < at < 6000 else fallen, [fallen] * 6))
    found = walk(rule(FALLS.replace("60", "600")), steps)
    assert {value for value in found if value is not None} <= {-1.0, 0.0, 1.0}


# -- the rule language ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('above = 1\nsignal = "cpu_ratio"\nmeasure = "x"', "only one of `signal` and `measure`"),
        ("above = 1", "signal is ''"),
        ('above = 1\nsignal = "cpu_ratio"\nrelative = "median"', "need a `measure`"),
        ('above = 1\nsignal = "measure"', "need a `measure`"),
        ('measure = "x"', "exactly one of `above` and `below`"),
        ('above = 1\nmeasure = "X"', "measure: "),
        ('above = 1\nmeasure = "x"\nrelative = "mean"', "relative: "),
        ('above = 1\nmeasure = "x"\nscope = "network"', "scope is 'network'"),
        ('below = -20\nmeasure = "x"\nrelative = "median"', "none may be negative"),
        ('below = 5\nclear = 6\nmeasure = "x"\nrelative = "median"', "good side"),
        ('above = 1\nmeasure = "x"\nrelative = "median"\npeers_min = 2', "peers_min: "),
    ],
)
def test_a_rule_that_means_nothing_is_refused_with_the_reason(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        rule(text)


def test_a_relative_rule_clears_at_a_smaller_distance() -> None:
    assert BLOCK_LAG.holds(3.0, fires=True)
    assert not BLOCK_LAG.holds(3.0, fires=False)
    assert not BLOCK_LAG.holds(2.0, fires=True)
    changed = replace(BLOCK_LAG, below=20.0)
    assert (changed.signal, changed.measure) == (BLOCK_LAG.signal, "block_height")


# -- the whole engine ------------------------------------------------------------------------------


def stated(mine: Metrics, others: Sequence[Metrics], *, until_s: int = 400) -> list[tuple[str, str | None, str | None]]:
    """Rule, value and unit of what peer 0 states after that time."""
    engine, found = AlertEngine(Book()[0]), []
    book = Book()
    for at in range(0, until_s, 5):
        town(others, at=float(at), book=book)
        news = engine.update(book.snapshot(float(at)), Own(metrics=mine, linked=8), NOTHING, float(at))
        if news is not None:
            assert isinstance(news.body, Alerts)
            found = [(one.rule, one.value, one.unit) for one in news.body.statements if one.resolved_ms is None]
    return found


def test_a_lagging_node_raises_one_alert_with_its_distance_after_five_minutes() -> None:
    others = [height(HEIGHT)] * 11
    assert stated(height(HEIGHT - 20), others) == [("block-lag", "20", None)]
    assert stated(height(HEIGHT - 20), others, until_s=290) == []
    assert stated(height(HEIGHT), others) == []


def test_a_growing_chain_publishes_an_alert_once_and_not_with_each_block() -> None:
    engine, book, published = AlertEngine(Book()[0]), Book(), 0
    for at in range(0, 900, 5):
        town([height(HEIGHT + at)] * 6, at=float(at), book=book)
        own = Own(metrics=height(HEIGHT + at - 20), linked=8)
        published += engine.update(book.snapshot(float(at)), own, NOTHING, float(at)) is not None
    assert published == 1


@given(st.lists(st.integers(0, 10**6), min_size=4, max_size=11), st.integers(0, 10**6))
def test_the_distance_of_a_node_behind_is_that_of_the_median(others: list[int], mine: int) -> None:
    found = read(BLOCK_LAG, height(mine), town(map(height, others)))
    assert found.value is not None
    assert max(found.value, 0) == median_high([mine, *others]) - mine or median_high([mine, *others]) < mine
