"""The store: what was written is read back, by raw values and by means; who stands where; and the size is bounded."""

import math
import sqlite3
from pathlib import Path

import pytest

from histories import BEGIN, PEERS, asked, known, said
from peerscope.errors import ConfigError
from peerscope.history.retention import MIB, HistoryConfig, used_bytes
from peerscope.history.samples import SeriesSample
from peerscope.history.schema import open_to_read
from peerscope.history.store import Store
from peerscope.records.identity import PeerId

CONFIG = HistoryConfig()
CROWD = tuple(PeerId(number.to_bytes(32, "big")) for number in range(500))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "history.db"


def crowded(at: int) -> SeriesSample:
    """Of five hundred peers, each with another number."""
    return said(at, *(float((at + 1) * number % 977) for number in range(500)), peers=CROWD)


def total_bytes(place: Path) -> int:
    return sum(file.stat().st_size for file in place.parent.iterdir())


def test_what_is_written_is_read_by_another_connection(place: Path) -> None:
    with Store(place, CONFIG) as store:
        store.write([said(0, 0.5, 0.25), said(5, 0.75, 0.25)])
        found = asked(place, until=9)
        assert (found.metric, found.unit, found.step_s, found.since, found.source) == (
            "cpu_ratio",
            "ratio",
            5,
            BEGIN,
            "raw",
        )
        assert found.samples == ((BEGIN, 0.5), (BEGIN + 5, 0.75))
        assert known(asked(place, peer=PEERS[1])) == {0: 0.25, 5: 0.25}
        assert known(asked(place, "network_peers")) == {0: 0.5, 5: 0.75}
        assert known(asked(place, "status")) == {0: 0, 5: 0}


def test_only_its_owner_can_read_the_file(place: Path) -> None:
    with Store(place, CONFIG) as store:
        store.write([said(0, 1.0)])
        assert {file.stat().st_mode & 0o077 for file in place.parent.iterdir()} == {0}


def test_no_report_is_a_gap_and_never_zero(place: Path) -> None:
    with Store(place, CONFIG) as store:
        store.write([said(0, 1.0), said(10, math.nan, 1.0), said(15, 2.0)])
    assert asked(place, until=19).samples == ((BEGIN, 1.0), (BEGIN + 5, None), (BEGIN + 10, None), (BEGIN + 15, 2.0))


def test_of_two_samples_of_one_time_the_later_counts_and_the_clock_may_go_back(place: Path) -> None:
    with Store(place, CONFIG) as store:
        store.write([said(at, 1.0) for at in range(0, 300, 5)])
        store.write([said(at, 3.0) for at in range(60, 125, 5)])
        store.write([said(at, 1.0) for at in range(300, 365, 5)])
    found = known(asked(place))
    assert {at: value for at, value in found.items() if value != 1.0} == dict.fromkeys(range(60, 125, 5), 3.0)
    minutes = known(asked(place, since=360 - 7200, until=360))
    assert (minutes[0], minutes[60], minutes[180]) == (1.0, 3.0, 1.0)
    assert minutes[120] == pytest.approx((3.0 + 11 * 1.0) / 12, rel=1e-4)


def test_minutes_and_quarters_are_means_of_raw_values_and_peaks_are_kept(place: Path) -> None:
    with Store(place, CONFIG) as store:
        for at in range(0, 960, 5):  # the first minute is measured once, all others twelve times
            store.write([said(at, 1.0 + at / 1000 if at >= 60 or at == 0 else math.nan)])
    minutes = asked(place, since=-7200, until=960)
    assert (minutes.source, minutes.step_s) == ("minute", 60)
    assert known(minutes)[0] == 1.0
    assert known(minutes)[60] == pytest.approx(1.0875, rel=1e-4)
    assert known(asked(place, "cpu_ratio_max", since=-7200, until=960))[60] == pytest.approx(1.115, rel=1e-4)
    quarters = asked(place, since=-100_000, until=960)
    assert quarters.source == "quarter"
    values = [1.0, *(1.0 + at / 1000 for at in range(60, 900, 5))]
    assert known(quarters)[0] == pytest.approx(sum(values) / len(values), rel=1e-4)  # not the mean of fifteen means


def test_the_end_of_a_coarse_answer_comes_from_finer_values(place: Path) -> None:
    with Store(place, CONFIG) as store:
        store.write([said(at, float(at < 930)) for at in range(0, 960, 5)])
    assert known(asked(place, since=-7200, until=960))[900] == 0.5
    found = asked(place, since=-100_000, until=960)
    assert found.source == "quarter"
    assert known(found) == {0: 1.0, 900: 0.5}


def test_what_was_not_made_before_a_kill_is_made_after_it(place: Path) -> None:
    with Store(place, CONFIG) as store:
        store.write([said(at, 1.0) for at in range(0, 120, 5)])  # the second minute is open
    with Store(place, CONFIG) as store:
        store.write([said(at, 2.0) for at in range(900, 910, 5)])
    with open_to_read(place) as db:
        assert [at - BEGIN for (at,) in db.execute("SELECT DISTINCT id >> 8 FROM minute")] == [0, 60]
        assert [at - BEGIN for (at,) in db.execute("SELECT DISTINCT id >> 8 FROM quarter")] == [0]


def test_peers_that_come_and_go_keep_their_places(place: Path) -> None:
    with Store(place, CONFIG) as store:
        store.write([said(0, 1.0, 2.0, 3.0)])
        store.write([said(5, 3.0, 1.0, peers=(PEERS[2], PEERS[0]))])
    with Store(place, CONFIG) as store:
        store.write([said(10, 4.0, 2.0, peers=(PEERS[3], PEERS[1]))])
    found = [known(asked(place, peer=peer)) for peer in PEERS[:5]]
    assert found == [{0: 1.0, 5: 1.0}, {0: 2.0, 10: 2.0}, {0: 3.0, 5: 3.0}, {10: 4.0}, {}]


def test_who_gets_the_slot_of_another_does_not_inherit_its_past(place: Path) -> None:
    with Store(place, CONFIG, peers_max=2) as store:
        store.write([said(0, 1.0, 2.0)])
        store.write([said(60, 1.0, 9.0, peers=(PEERS[0], PEERS[2]))])  # too soon: all slots are taken
        store.write([said(3000, 1.0, 3.0, peers=(PEERS[0], PEERS[2]))])
    assert known(asked(place, peer=PEERS[2])) == {3000: 3.0}
    assert known(asked(place, peer=PEERS[1])) == {}
    assert set(known(asked(place, peer=PEERS[0]))) == {0, 60, 3000}


def test_a_peer_that_nobody_saw_for_as_long_as_anything_is_kept_is_forgotten(place: Path) -> None:
    config = HistoryConfig(raw_s=1800, minute_s=3600, quarter_s=7200)
    with Store(place, config) as store:
        store.write([said(0, 1.0, 2.0)])
        store.write([said(9000, 1.0)])
        store.write([said(9900, 1.0, 5.0, peers=(PEERS[0], PEERS[4]))])
    with open_to_read(place) as db:
        assert dict(db.execute("SELECT peer_id, slot FROM peer")) == {PEERS[0]: 0, PEERS[4]: 1}


def test_what_is_too_old_goes(place: Path) -> None:
    config = HistoryConfig(raw_s=1800, minute_s=3600, quarter_s=7200)
    with Store(place, config) as store:
        for at in range(0, 14_400, 60):
            store.write([said(at, 1.0)])
    with open_to_read(place) as db:
        oldest = [
            db.execute(f"SELECT min(id) >> 8 FROM {name}").fetchone()[0] - BEGIN
            for name in ("raw", "minute", "quarter")
        ]
    assert oldest == [14_340 - 1800, 14_340 - 3600, 7200]


def test_the_size_stays_bounded_however_much_comes(place: Path) -> None:
    config = HistoryConfig(max_bytes=16 * MIB, interval_s=10)
    most, kept_s = 0, []
    with Store(place, config) as store:
        for at in range(0, 4200, 20):
            store.write([crowded(at), crowded(at + 10)])
            most = max(most, total_bytes(place))
        with open_to_read(place) as db:
            for name in ("raw", "minute"):
                oldest, newest = db.execute(f"SELECT min(id) >> 8, max(id) >> 8 FROM {name}").fetchone()
                kept_s.append(newest - oldest)
            assert used_bytes(db) > 10 * MIB  # it is used, too
    assert most <= 16 * MIB
    assert kept_s[0] < 3000 < 4000 < kept_s[1]  # the finest went first


def test_a_bound_that_was_lowered_gives_space_back(place: Path) -> None:
    with Store(place, CONFIG) as store:
        for first in range(0, 2000, 100):
            store.write([crowded(at) for at in range(first, first + 100, 5)])
    assert total_bytes(place) > 20 * MIB
    with Store(place, HistoryConfig(max_bytes=16 * MIB)) as store:
        for at in range(2000, 2100, 5):
            store.write([said(at, 1.0)])
    assert total_bytes(place) <= 16 * MIB


def test_a_failed_write_changes_nothing(place: Path) -> None:
    with Store(place, CONFIG) as store:
        store.write([said(0, 1.0)])
        other = sqlite3.connect(place)
        other.execute("DROP TABLE minute")
        other.commit()
        other.close()
        with pytest.raises(sqlite3.OperationalError, match="minute"):
            store.write([said(5, 1.0), said(70, 1.0)])
    with sqlite3.connect(place) as db:
        assert [at - BEGIN for (at,) in db.execute("SELECT DISTINCT id >> 8 FROM raw")] == [0]
    db.close()


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"max_bytes": MIB}, r"history.max_bytes is 1048576; must be 16777216"),
        ({"interval_s": 7}, r"history.interval_s is 7; must divide 60"),
        ({"interval_s": 0}, r"history.interval_s is 0"),
        ({"raw_s": 60}, r"history.raw_s.*1800"),
        ({"minute_s": 1900}, r"history.raw_s, minute_s and quarter_s"),
    ],
)
def test_settings_that_make_no_sense_are_named(options: dict[str, int], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        HistoryConfig(**options)
