"""What nodes name themselves, over time: columns by name, of one peer and of the network."""

import math
import sqlite3
from array import array
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histories import BEGIN, PEERS
from ledgers import INTERVAL_MS, Book
from peerscope.errors import HistoryError
from peerscope.history.columns import plain
from peerscope.history.last_reports import LastReport, last_report
from peerscope.history.measures import MEASURE_COLUMNS, MeasureKey, MeasureNumbers, columns_of, measure_series
from peerscope.history.reader import History, Point, Question, read, series_named
from peerscope.history.retention import HistoryConfig, tiers
from peerscope.history.samples import SeriesSample, sample
from peerscope.history.schema import STEPS, bring_up_to_date
from peerscope.history.series import NO_ROW
from peerscope.history.store import Store
from peerscope.records.bodies import Check, Kind, Report
from peerscope.records.identity import PeerId
from peerscope.records.measures import Measure, Metrics, ReportedNode

CONFIG = HistoryConfig()
HEIGHT = MeasureKey("bitcoin", "block_height", "blocks", False)
TWELVE = tuple(PeerId(bytes([number]) * 32) for number in range(1, 13))


def said(at: int, rows: Sequence[Mapping[MeasureKey, float]], peers: Sequence[PeerId] = PEERS) -> SeriesSample:
    count = len(rows)
    return sample(BEGIN + at, peers[:count], ["healthy"] * count, [NO_ROW] * count, (1.0,) * 9, rows)


def heights(at: int, *values: float) -> SeriesSample:
    return said(at, [{HEIGHT: value} for value in values])


def asked(place: Path | None, name: str, peer: PeerId | None = None, *, until: int = 3600, since: int = 0) -> History:
    return read(place, tiers(CONFIG), Question(series_named(name), peer, BEGIN + since, BEGIN + until))


def known(history: History) -> dict[int, float]:
    return {at - BEGIN: value for at, value in history.samples if value is not None}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "history.db"


def test_a_measure_of_one_peer_and_of_the_network_is_read_back_with_its_unit(place: Path) -> None:
    with Store(place, CONFIG) as store:
        store.write([heights(0, 900, 910, 905), heights(5, 901, math.nan, 906)])
    one = asked(place, "measure:block_height", PEERS[1])
    assert (one.metric, one.unit, known(one)) == ("measure:block_height", "blocks", {0: 910})
    assert known(asked(place, "measure_median:block_height")) == {0: 905, 5: 903.5}
    assert known(asked(place, "measure_min:block_height")) == {0: 900, 5: 901}
    assert known(asked(place, "measure_max:block_height@bitcoin")) == {0: 910, 5: 906}
    assert known(asked(place, "measure_max:block_height@monero")) == {}
    assert known(asked(place, "measure:torrents", PEERS[0])) == {}


def test_means_of_minutes_are_kept_too(place: Path) -> None:
    with Store(place, CONFIG) as store:
        store.write([heights(at, 100 + at, 300) for at in range(0, 4000, 5)])
    day = asked(place, "measure:block_height", PEERS[0], until=4000, since=-3600)
    assert day.source == "minute"
    assert known(day)[60] == pytest.approx(100 + 60 + 27.5, rel=1e-4)
    assert known(asked(place, "measure_max:block_height", until=4000, since=-3600))[60] == 300


def test_nodes_of_several_kinds_have_columns_of_their_own(place: Path) -> None:
    monero = HEIGHT._replace(node="monero")
    with Store(place, CONFIG) as store:
        store.write([said(0, [{HEIGHT: 900}, {HEIGHT: 902}, {monero: 3_000_000}])])
    assert known(asked(place, "measure_median:block_height@monero")) == {0: 3_000_000}
    assert known(asked(place, "measure_median:block_height@bitcoin")) == {0: 901}
    assert known(asked(place, "measure_median:block_height")) == {0: 901}, "never both together"
    assert known(asked(place, "measure:block_height", PEERS[2])) == {0: 3_000_000}


def test_a_restarted_writer_goes_on_in_the_same_columns(place: Path) -> None:
    with Store(place, CONFIG) as store:
        store.write([heights(0, 1)])
    with Store(place, CONFIG) as store:
        store.write([said(5, [{MeasureKey("x", "other", "", False): 7, HEIGHT: 2}])])
    assert known(asked(place, "measure:block_height", PEERS[0])) == {0: 1, 5: 2}
    assert known(asked(place, "measure:other", PEERS[0])) == {5: 7}


def test_more_measures_than_columns_are_left_out_until_old_ones_have_gone(place: Path) -> None:
    many = [MeasureKey("x", f"m{number:03}", "", False) for number in range(100)]
    with Store(place, CONFIG) as store:
        store.write([said(0, [dict.fromkeys(many, 1.0)]), said(1800, [dict.fromkeys(many[80:], 2.0)])])
        store.write([said(3600, [dict.fromkeys(many[80:], 2.0)]), said(3605, [{many[0]: 3.0}])])
    kept = [key.name for key in many if known(asked(place, f"measure:{key.name}", PEERS[0], until=3605))]
    assert kept == [key.name for key in (many[0], *many[21:64], *many[80:])], "a column went from one to another"
    assert known(asked(place, "measure:m080", PEERS[0])) == {1800: 2, 3600: 2}, "not what was in the column before"


HONEST, LIAR = 11, 11
SAME_NAME = HEIGHT._replace(unit="x")


def cycled(minute: int) -> dict[MeasureKey, float]:
    """Sixteen of eighty names, as one peer can report them."""
    return {MeasureKey("bitcoin", f"z{(minute * 16 + one) % 80:02}", "zz", False): 1.0 for one in range(16)}


def minutes(place: Path, *spans: tuple[range, bool, Callable[[int], dict[MeasureKey, float]]]) -> None:
    """Write a minute a sample: whether the honest peers report their height, and the report of the liar."""
    with Store(place, CONFIG) as store:
        for span, is_honest, lie in spans:
            for minute in span:
                row = {HEIGHT: 1000.0 + minute} if is_honest else {}
                store.write([said(60 * minute, [row] * HONEST + [lie(minute)], TWELVE)])


def of_minutes(place: Path, name: str, peer: PeerId | None, last: int) -> tuple[str, list[int]]:
    """The unit of a series, and minutes with the right value; any other value fails."""
    history = asked(place, name, peer, until=60 * last)
    values = known(history)
    assert all(value == 1000 + at // 60 for at, value in values.items()), values
    return history.unit, [at // 60 for at in values]


def test_a_liar_with_many_names_keeps_no_column_from_measures_of_several_peers(place: Path) -> None:
    minutes(place, (range(6), False, cycled), (range(6, 100), True, cycled))
    for name, peer in (("measure:block_height", TWELVE[0]), ("measure_median:block_height", None)):
        assert of_minutes(place, name, peer, 100) == ("blocks", list(range(6, 100)))


def test_the_past_of_several_peers_outlives_a_liar_while_they_are_gone(place: Path) -> None:
    minutes(place, (range(30), True, lambda _: {}), (range(30, 90), False, cycled))
    minutes(place, (range(90, 100), True, cycled))  # after a restart
    found = of_minutes(place, "measure:block_height", TWELVE[0], 100)
    assert found == ("blocks", [*range(30), *range(90, 100)])


def test_the_median_is_of_what_most_peers_report_even_while_they_pause(place: Path) -> None:
    def lie(_: int) -> dict[MeasureKey, float]:
        return {SAME_NAME: -1e30}

    minutes(place, (range(1), False, lie), (range(1, 40), True, lie), (range(40, 60), False, lie))
    for statistic in ("median", "min", "max"):
        assert of_minutes(place, f"measure_{statistic}:block_height", None, 60) == ("blocks", list(range(1, 40)))
    assert of_minutes(place, "measure:block_height", TWELVE[0], 60) == ("blocks", list(range(1, 40)))
    assert asked(place, "measure:block_height", TWELVE[LIAR]).unit == "x"


def test_while_more_peers_report_another_unit_the_series_is_unknown(place: Path) -> None:
    rows = [{HEIGHT: 5.0}] * 6 + [{SAME_NAME: 7.0}] * 2
    with Store(place, CONFIG) as store:
        store.write([said(at, rows) for at in (0, 5, 10)])
        store.write([said(15, [{HEIGHT: 5.0}] + [{SAME_NAME: 7.0}] * 7)])
    assert known(asked(place, "measure_median:block_height")) == {0: 5, 5: 5, 10: 5}


def test_values_in_memory_are_of_one_measure_with_those_in_the_file(place: Path) -> None:
    with Store(place, CONFIG) as store:
        store.write([said(at, [{HEIGHT: 5.0}] * 6) for at in (0, 5)])
    waiting = {BEGIN + 10: said(10, [{HEIGHT: 6.0}] * 2), BEGIN + 15: said(15, [{SAME_NAME: 7.0}])}
    for name, peer, values in (
        ("measure_max:block_height", None, {0: 5, 5: 5, 10: 6}),
        ("measure:block_height", PEERS[0], {0: 5, 5: 5, 10: 6}),
    ):
        series = series_named(name)
        unwritten = {at: Point(one.value(series, peer), one.variant(series, peer)) for at, one in waiting.items()}
        found = read(place, tiers(CONFIG), Question(series, peer, BEGIN, BEGIN + 60), unwritten)
        assert (found.unit, known(found)) == ("blocks", values)


def test_no_mean_mixes_two_measures_of_one_column(place: Path) -> None:
    lone = [MeasureKey("x", f"m{number:02}", "", False) for number in range(64)]
    with Store(place, CONFIG) as store:
        store.write([said(at, [dict.fromkeys(lone, 1e6)]) for at in range(0, 1000, 5)])
        store.write([heights(at, 5, 5, 5) for at in range(1000, 4000, 5)])
    assert set(known(asked(place, "measure_max:block_height", until=4000, since=-3600)).values()) == {5}
    assert set(known(asked(place, "measure_max:block_height", until=4000, since=-100_000)).values()) == {5}


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 99), st.integers(1, 2)), max_size=30), max_size=30), st.integers(1, 4000)
)
def test_measures_of_fewer_peers_displace_none_of_more(samples: list[list[tuple[int, int]]], step_s: int) -> None:
    kept = [MeasureKey("x", f"kept{number}", "", False) for number in range(40)]
    db = sqlite3.connect(":memory:", isolation_level=None)
    with closing(db):
        bring_up_to_date(db, Path("memory"))
        numbers = MeasureNumbers(db)
        held = [numbers.number(key, BEGIN, 3) for key in kept]
        for count, row in enumerate(samples, 1):
            at = BEGIN + count * step_s
            ranked = sorted(row, key=lambda one: -one[1])
            found = [numbers.number(MeasureKey("y", f"m{name}", "", False), at, peers) for name, peers in ranked]
            own = [number for number in dict(zip(ranked, found, strict=True)).values() if number is not None]
            assert not set(own) & set(held)
        assert [numbers.number(key, BEGIN + 31 * step_s, 1) for key in kept] == held


def test_of_too_many_those_of_the_most_peers_are_kept() -> None:
    rows = [
        {HEIGHT: 1.0} | {MeasureKey("x", f"m{peer}_{place}", "", False): 1.0 for place in range(16)}
        for peer in range(9)
    ]
    columns = columns_of(rows)
    assert len(columns) == len(MEASURE_COLUMNS)
    assert next(iter(columns)) == HEIGHT


def test_values_that_four_bytes_cannot_hold_are_unknown_and_break_no_answer(place: Path) -> None:
    with Store(place, CONFIG) as store:
        store.write([heights(at, 1e300, -1e300, 5) for at in range(0, 120, 5)])
    assert set(known(asked(place, "measure_max:block_height")).values()) == {5}
    assert known(asked(place, "measure:block_height", PEERS[0])) == {}


def test_a_file_of_an_earlier_version_has_no_measures_and_can_be_read(place: Path) -> None:
    db = sqlite3.connect(place, isolation_level=None)
    bring_up_to_date(db, place, STEPS[:2])
    db.close()
    assert known(asked(place, "measure:block_height", PEERS[0])) == {}


def test_a_file_with_measures_and_without_their_numbers_of_peers_is_read_and_written_on(place: Path) -> None:
    with closing(sqlite3.connect(place, isolation_level=None)) as db:
        bring_up_to_date(db, place, STEPS[:3])
        db.execute("INSERT INTO measure VALUES (64, 'bitcoin', 'block_height', 'blocks', 0, ?, ?)", (BEGIN, BEGIN))
        db.execute("INSERT INTO peer VALUES (?, 0, ?, ?)", (PEERS[0], BEGIN, BEGIN))
        db.execute("INSERT INTO raw VALUES (?, ?)", (BEGIN << 8 | 64, plain(array("f", [900]))))
    assert known(asked(place, "measure:block_height", PEERS[0])) == {0: 900}
    with Store(place, CONFIG) as store:
        store.write([heights(5, 901)])
    assert known(asked(place, "measure:block_height", PEERS[0])) == {0: 900, 5: 901}


@pytest.mark.parametrize(
    "name",
    ["measure", "measure:", "measure:Height", "measure_mean:x", "measure:x@", "measure:x@a\n", "measure:" + "x" * 49],
)
def test_a_name_that_no_measure_can_have_is_refused(name: str) -> None:
    assert measure_series(name) is None
    with pytest.raises(HistoryError):
        series_named(name)


@given(st.text(max_size=40))
def test_any_text_is_a_name_or_none(text: str) -> None:
    for name in (text, f"measure:{text}", f"measure:x@{text}"):
        series = measure_series(name)
        assert series is None or series.name == name


def reports(*rows: tuple[Measure, ...]) -> list[LastReport]:
    """Each report ten seconds after the last."""
    book, found, before = Book(), [], None
    for number, row in enumerate(rows):
        metrics = Metrics(node=ReportedNode(measures=row))
        book.say(0, Report(INTERVAL_MS, (Check(0),) * 6, metrics=metrics), at=10.0 * number)
        entry = book.ledger.get(book[0], Kind.REPORT)
        assert entry is not None
        before = last_report(entry, before, "etcd")
        found.append(before)
    return found


def test_a_counter_is_a_rate_and_a_restart_a_gap() -> None:
    totals = [
        (Measure("leader_changes", value, "", True), Measure("wal", more, "bytes", True))
        for value, more in ((1, 100), (6, 300), (0, 400), (2, 500))
    ]
    key, wal = MeasureKey("etcd", "leader_changes", "", True), MeasureKey("etcd", "wal", "bytes", True)
    assert [dict(one.measures) for one in reports(*totals)] == [{}, {key: 0.5, wal: 20.0}, {}, {key: 0.2, wal: 10.0}]
    assert (key.shown_unit, wal.shown_unit) == ("1/s", "bytes/s")


def test_a_gauge_is_its_value_and_nothing_where_it_is_unknown() -> None:
    found = reports((Measure("torrents", 3), Measure("dht_nodes", None)), (Measure("torrents", 2.5),))
    key = MeasureKey("etcd", "torrents", "", False)
    assert [dict(one.measures) for one in found] == [{key: 3}, {key: 2.5}]
