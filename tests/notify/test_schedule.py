"""Windows of silences that are ordered in advance, with the days on which the clocks change, and their bounds."""

import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from peerscope.errors import ConfigError
from peerscope.notify.schedule import CHECKED, GAP_S, Schedule, SilenceTimes, order_schedule, upcoming

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()


def ordered(begin: str | None, for_s: float, rule: str | None, zone: str | None, now: float) -> Schedule:
    return order_schedule(SilenceTimes(begin, rule, zone), for_s, now)


def local(*when: int, fold: int = 0) -> float:
    return datetime(*when, tzinfo=BERLIN, fold=fold).timestamp()  # type: ignore[arg-type]


def shown(windows: tuple[tuple[float, float], ...]) -> list[str]:
    return [f"{datetime.fromtimestamp(begin, BERLIN):%Y-%m-%d %H:%M %z}" for begin, _ in windows]


def daily(begin_at: float, rule: str = "FREQ=DAILY", for_s: float = 3600.0) -> Schedule:
    return Schedule(begin_at, for_s, "Europe/Berlin", rule)


def test_a_daily_half_past_two_does_not_exist_on_the_day_the_clocks_go_forward() -> None:
    assert shown(upcoming(daily(local(2026, 3, 27, 2, 30)), local(2026, 3, 27), 4)) == [
        "2026-03-27 02:30 +0100",
        "2026-03-28 02:30 +0100",
        "2026-03-30 02:30 +0200",
        "2026-03-31 02:30 +0200",
    ]


def test_a_daily_half_past_two_counts_once_on_the_day_the_clocks_go_back() -> None:
    windows = upcoming(daily(local(2026, 10, 24, 2, 30)), local(2026, 10, 24), 3)
    assert shown(windows) == ["2026-10-24 02:30 +0200", "2026-10-25 02:30 +0200", "2026-10-26 02:30 +0100"]
    assert [end - begin for begin, end in windows] == [3600.0] * 3
    assert windows[2][0] - windows[1][0] == 25 * 3600


def test_a_day_without_the_time_does_not_count_for_count() -> None:
    assert len(upcoming(daily(local(2026, 3, 27, 2, 30), "FREQ=DAILY;COUNT=3"), 0.0, 9)) == 3
    assert shown(upcoming(daily(local(2026, 3, 27, 2, 30), "FREQ=DAILY;COUNT=3"), 0.0, 9))[-1].startswith("2026-03-30")


def test_the_clock_of_the_zone_counts_and_not_that_of_the_machine() -> None:
    summer = upcoming(daily(local(2026, 6, 1, 2, 30)), local(2026, 6, 1), 1)
    winter = upcoming(daily(local(2026, 6, 1, 2, 30)), local(2026, 12, 1), 1)
    assert [datetime.fromtimestamp(one[0][0], UTC).hour for one in (summer, winter)] == [0, 1]


@pytest.mark.parametrize(
    ("rule", "days"),
    [
        ("FREQ=WEEKLY;BYDAY=SU", ["2026-12-06", "2026-12-13", "2026-12-20"]),
        ("RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=SU", ["2026-12-06", "2026-12-20", "2027-01-03"]),
        ("freq=monthly;byday=-1fr", ["2026-12-25", "2027-01-29", "2027-02-26"]),
        ("FREQ=MONTHLY;BYMONTHDAY=31", ["2026-12-31", "2027-01-31", "2027-03-31"]),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", ["2028-02-29", "2032-02-29", "2036-02-29"]),
        ("FREQ=DAILY;UNTIL=20261202", ["2026-12-01", "2026-12-02"]),
        ("FREQ=DAILY;UNTIL=20261202T013000Z", ["2026-12-01", "2026-12-02"]),
        ("FREQ=DAILY;UNTIL=20261202T012900Z", ["2026-12-01"]),
        ("FREQ=DAILY;COUNT=2", ["2026-12-01", "2026-12-02"]),
    ],
)
def test_rules_are_those_of_rfc_5545(rule: str, days: list[str]) -> None:
    made = ordered("2026-12-01T02:30", 3600, rule, "Europe/Berlin", NOW)
    assert made.rule == rule  # the operator's own text
    assert [one[:10] for one in shown(upcoming(made, NOW, 3))] == days


def test_no_window_begins_before_the_order_though_the_rule_does() -> None:
    begin = str(int(local(2026, 11, 23, 12, 30)))  # an hour and a half before the order, a week ago
    made = ordered(begin, 7200, "FREQ=DAILY;COUNT=10", "Europe/Berlin", NOW)
    windows = upcoming(made, NOW, 64)
    assert shown(windows)[0] == "2026-12-01 12:30 +0100"
    assert len(windows) == 2, "those before the order count"


def test_a_window_that_has_begun_is_listed_until_it_is_over() -> None:
    made = daily(local(2026, 12, 1, 2, 30))
    begin = local(2026, 12, 2, 2, 30)
    assert upcoming(made, begin + 3599, 1)[0] == (begin, begin + 3600)
    assert upcoming(made, begin + 3600, 1)[0][0] == local(2026, 12, 3, 2, 30)


@pytest.mark.parametrize(
    ("begin", "zone", "expected"),
    [
        ("14:00", "Europe/Berlin", local(2026, 11, 30, 14)),
        ("02:30", "Europe/Berlin", local(2026, 12, 1, 2, 30)),
        ("12:30", None, datetime(2026, 11, 30, 12, 30, tzinfo=UTC).timestamp()),
        ("2026-12-01T02:30", "Europe/Berlin", local(2026, 12, 1, 2, 30)),
        ("2026-12-01T02:30:00+09:00", "Europe/Berlin", datetime(2026, 11, 30, 17, 30, tzinfo=UTC).timestamp()),
        ("2026-12-01T02:30Z", None, datetime(2026, 12, 1, 2, 30, tzinfo=UTC).timestamp()),
        ("1780000000", None, 1_780_000_000.0),
        ("2027-10-31T02:30", "Europe/Berlin", local(2027, 10, 31, 2, 30, fold=0)),
    ],
)
def test_a_begin_is_a_time_of_its_zone_or_any_absolute_time(begin: str, zone: str | None, expected: float) -> None:
    at = expected - 3600 if begin.isdigit() else NOW
    assert ordered(begin, 3600, None, zone, at).begin_at == expected


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ({"begin": "soon"}, "begin is 'soon'; must be as 02:30"),
        ({"begin": "²2:30"}, "begin is"),
        ({"begin": "2027-03-28T02:30"}, "does not exist in Europe/Berlin"),
        ({"begin": "2029-01-01T00:00"}, "within a year"),
        ({"begin": "9999-12-31T23:59"}, "within a year"),
        ({"begin": "2026-11-30T10:00"}, "which is over; leave it out"),
        ({"begin": None, "rule": "FREQ=DAILY"}, "needs a begin"),
        ({"zone": "Mars/Olympus"}, "no time zone 'Mars/Olympus'"),
        ({"zone": "../../etc/passwd"}, "no time zone"),
        ({"zone": "Europe"}, "no time zone"),
        ({"zone": "x" * 500}, "no time zone"),
        ({"rule": ""}, "the rule has 0 characters"),
        ({"rule": "FREQ=SECONDLY"}, "FREQ must be one of DAILY"),
        ({"rule": "FREQ=MINUTELY"}, "FREQ must be one of DAILY"),
        ({"rule": "FREQ=HOURLY"}, "FREQ must be one of DAILY"),
        ({"rule": "BYDAY=SU"}, "FREQ must be one of DAILY"),
        ({"rule": "FREQ=DAILY;BYSECOND=1,2"}, "'BYSECOND=1,2'"),
        ({"rule": "FREQ=DAILY;FREQ=WEEKLY"}, "'FREQ=WEEKLY'"),
        ({"rule": "FREQ=DAILY\nDTSTART:20200101T000000"}, "the rule"),
        ({"rule": "FREQ=DAILY;BYHOUR=25"}, "the rule"),
        ({"rule": "FREQ=DAILY;BYDAY=XX"}, "the rule"),
        ({"rule": "FREQ=DAILY;INTERVAL=0"}, "INTERVAL is 0"),
        ({"rule": "FREQ=DAILY;INTERVAL=99999"}, "INTERVAL is 99999"),
        ({"rule": "FREQ=DAILY;COUNT=0"}, "COUNT is 0"),
        ({"rule": "FREQ=DAILY;COUNT=2;UNTIL=20270101"}, "both COUNT and UNTIL"),
        ({"rule": "FREQ=DAILY;UNTIL=20261340"}, "UNTIL is 20261340"),
        ({"rule": "FREQ=DAILY;UNTIL=20200101"}, "holds never again"),
        ({"rule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"}, "holds never again"),
        ({"rule": "FREQ=DAILY;BYMINUTE=0,5"}, "two windows begin 300 s apart"),
        ({"rule": "FREQ=DAILY", "for_s": 90_000.0}, "must be 90000 s or more"),
        ({"rule": "x" * 161}, "the rule has 161 characters"),
    ],
)
def test_what_is_wrong_or_too_much_is_refused(order: dict[str, object], words: str) -> None:
    good: dict[str, object] = {"begin": "13:30", "for_s": 60.0, "rule": None, "zone": "Europe/Berlin", "now": NOW}
    with pytest.raises(ConfigError, match=words.replace("(", r"\(").replace(".", r"\.")):
        ordered(**(good | order))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=WEEKLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=MONTHLY;BYYEARDAY=366;BYMONTH=1",
        "FREQ=YEARLY;BYWEEKNO=53;BYMONTH=6",
        "FREQ=DAILY;BYSETPOS=366;BYHOUR=1",
    ],
)
def test_a_rule_that_no_date_fits_ends_the_search(rule: str) -> None:
    """Steps of python-dateutil, not time: its search would go on until the year 9999."""
    import dateutil.rrule

    steps, real = 0, dateutil.rrule._iterinfo.rebuild

    def counting(self: object, year: int, month: int) -> None:
        nonlocal steps
        steps += 1
        real(self, year, month)

    patch = pytest.MonkeyPatch()
    patch.setattr(dateutil.rrule._iterinfo, "rebuild", counting)
    try:
        with pytest.raises(ConfigError, match="holds never again"):
            ordered("12:30", 60.0, rule, "UTC", NOW)
    finally:
        patch.undo()
    assert steps <= 400 * 12 + 10


def test_far_dates_have_the_weekday_of_ours() -> None:
    from dateutil.rrule import rrulestr

    start = datetime(2026, 12, 1, 2, 30)
    for rule in ("FREQ=WEEKLY;BYDAY=MO,SU;INTERVAL=3", "FREQ=YEARLY;BYWEEKNO=53;BYDAY=MO", "FREQ=MONTHLY;BYDAY=2TU"):
        plain = [one.replace(tzinfo=UTC).timestamp() for one in rrulestr(rule, dtstart=start)[:40]]
        found = upcoming(Schedule(start.replace(tzinfo=UTC).timestamp(), 1.0, "UTC", rule), 0.0, 40)
        assert [begin for begin, _ in found] == plain


rules = st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]).flatmap(
    lambda freq: st.tuples(
        st.just(freq),
        st.integers(1, 5),
        st.lists(st.sampled_from(["MO", "TU", "WE", "TH", "FR", "SA", "SU"]), unique=True),
        st.lists(st.integers(1, 12), unique=True),
    )
)


@given(rules, st.integers(0, 366 * 24 * 60), st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe"]))
def test_windows_are_in_order_far_enough_apart_and_real_local_times(
    parts: tuple[str, int, list[str], list[int]], minute: int, zone: str
) -> None:
    freq, interval, days, months = parts
    rule = f"FREQ={freq};INTERVAL={interval}"
    rule += f";BYDAY={','.join(days)}" if days else ""
    rule += f";BYMONTH={','.join(map(str, months))}" if months else ""
    begin = datetime.fromtimestamp(NOW, UTC) + timedelta(minutes=minute)
    try:
        made = ordered(str(int(begin.timestamp())), 60.0, rule, zone, NOW)
    except ConfigError:
        assume(False)
    windows = upcoming(made, NOW, CHECKED)
    begins = [at for at, _ in windows]
    assert begins == sorted(begins)
    assert all(later - earlier >= GAP_S for earlier, later in pairwise(begins))
    clock = {datetime.fromtimestamp(at, ZoneInfo(zone)).strftime("%H:%M") for at in begins}
    assert len(clock) == 1
    assert upcoming(made, NOW, 5) == windows[:5]


@given(st.text(max_size=60) | st.text("FREQ=DAILYWKBMOUNTHSTP;,0123456789+-:", max_size=60))
def test_any_text_is_a_rule_or_refused(text: str) -> None:
    try:
        ordered("12:30", 60.0, text, "UTC", time.time())
    except ConfigError:
        return
