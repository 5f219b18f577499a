"""What nodes name themselves, over time: columns by name, of one peer and of the network."""

import math
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histories import BEGIN, PEERS
from ledgers import INTERVAL_MS, Book
from peerscope.errors import HistoryError
from peerscope.history.last_reports import LastReport, last_report
from peerscope.history.measures import MEASURE_COLUMNS, MeasureKey, columns_of, measure_series
from peerscope.history.reader import History, Question, read, series_named
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
