"""Measures that a node names itself: any sixteen travel, and a hostile report of them is refused as a whole."""

from collections.abc import Sequence
from math import inf, nan
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import astuple

from peerscope.errors import RemoteError
from peerscope.mesh.report import fitting
from peerscope.records.bodies import BODY_BYTES_MAX, Check, Kind, LinkReading, Report, decode_body, encode_body
from peerscope.records.measures import COUNT_MAX, MEASURES_MAX, Measure, Metrics, ReportedNode, quantised_measures

names = st.from_regex(r"[a-z][a-z0-9_]{0,47}", fullmatch=True)
amounts = (
    st.none() | st.integers(-COUNT_MAX, COUNT_MAX) | st.floats(-1e300, 1e300, allow_nan=False, allow_infinity=False)
)
measures = st.builds(Measure, names, amounts, st.from_regex(r"[a-z0-9_/]{0,16}", fullmatch=True), st.booleans())
sixteen = st.lists(measures, max_size=MEASURES_MAX, unique_by=lambda one: one.name)


def report(*some: Measure, links: int = 0) -> Report:
    readings = tuple(LinkReading(bytes((number,)) * 8, 1_000_000 + number, 10) for number in range(links))
    return Report(15_000, (Check(0),) * 6, readings, metrics=Metrics(node=ReportedNode(measures=tuple(some))))


def sent(*rows: Sequence[Any]) -> bytes:
    """A report with these measures, whether valid or not."""
    fields = msgspec.to_builtins(report())
    fields[6][1][9] = [list(row) for row in rows]
    return msgspec.msgpack.encode(fields)


@given(sixteen)
def test_any_sixteen_measures_come_back_as_they_went(some: list[Measure]) -> None:
    told = report(*quantised_measures(some))
    assert decode_body(Kind.REPORT, encode_body(told)) == told
    assert len(encode_body(told)) < BODY_BYTES_MAX


@given(sixteen)
def test_whole_numbers_are_exact_and_others_keep_six_digits(some: list[Measure]) -> None:
    for one, kept in zip(sorted(some, key=lambda one: one.name), quantised_measures(some), strict=True):
        assert (kept.name, kept.unit, kept.is_counter) == (one.name, one.unit, one.is_counter)
        if one.is_counter and (one.value or 0) < 0:
            assert kept.value is None, "no program counts down"
        elif isinstance(one.value, int) or one.value is None:
            assert kept.value == one.value
        else:
            assert kept.value == pytest.approx(one.value, rel=5e-6)
    assert quantised_measures(quantised_measures(some)) == quantised_measures(some)


def test_a_source_that_gives_a_name_twice_or_too_many_is_cut_before_it_is_signed() -> None:
    twice = quantised_measures([Measure("peers", 1), Measure("peers", 2)])
    assert twice == (Measure("peers", 2),)
    many = quantised_measures(Measure(f"m{number:02}", number) for number in range(40))
    assert [one.name for one in many] == [f"m{number:02}" for number in range(MEASURES_MAX)]


@pytest.mark.parametrize(
    "rows",
    [
        [("peers", 1), ("peers", 2)],  # two values of one name
        [("peers", 1, "peers"), ("peers", 1, "")],
        [(f"m{number}", 1) for number in range(17)],
        [("peers", nan)],
        [("peers", inf)],
        [("peers", -inf)],
        [("peers", 1e308)],
        [("peers", 2**63)],
        [("peers", "1")],
        [("peers", True)],
        [("peers", [1])],
        [("", 1)],
        [("Peers", 1)],
        [("peers ", 1)],
        [("peers\n", 1)],
        [('peers{x="y"}', 1)],
        [("__name__", 1)],
        [("p" * 49, 1)],
        [("peers", 1, "a" * 17)],
        [("peers", 1, 'b"} 1\n')],
        [("peers", 1, "blocks\n")],
        [("peers",)],
        [("peers", -1, "", True)],
        [("peers", -0.1, "", True)],
    ],
)
def test_a_hostile_report_is_refused_as_a_whole(rows: list[tuple[Any, ...]]) -> None:
    with pytest.raises(RemoteError, match="malformed-body"):
        decode_body(Kind.REPORT, sent(*rows))


@given(st.lists(st.tuples(names, amounts), max_size=20))
def test_a_decoded_report_never_holds_one_name_twice_nor_seventeen(rows: list[tuple[str, Any]]) -> None:
    try:
        body = decode_body(Kind.REPORT, sent(*rows))
    except RemoteError:
        assert len(rows) > MEASURES_MAX or len({name for name, _ in rows}) < len(rows)
        return
    assert isinstance(body, Report)
    assert body.metrics is not None
    assert [astuple(one)[:2] for one in body.metrics.measures] == rows


def test_a_report_that_is_too_long_loses_measures_before_any_link() -> None:
    most = tuple(Measure(f"m{number:02}" + "x" * 45, 1.5e300, "u" * 16) for number in range(MEASURES_MAX))
    whole = report(*most, links=64)
    assert fitting(whole) == whole, "a report of sane size is not cut"
    long = Report(
        15_000,
        tuple(Check(1, 10_000, "é" * 160) for _ in range(6)),
        whole.links,
        metrics=whole.metrics,
        answers=(),
        refuted=tuple(bytes((number,)) * 8 for number in range(32)),
    )
    assert len(encode_body(long)) > BODY_BYTES_MAX
    cut = fitting(long)
    assert len(encode_body(cut)) <= BODY_BYTES_MAX
    assert cut.metrics is not None
    assert len(cut.metrics.measures) < MEASURES_MAX
    assert len(cut.links) == 64
    assert cut.checks == long.checks
