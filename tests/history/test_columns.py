"""Columns: what goes in comes out, means are means of what is known, and rounding loses as little as it says."""

import math
import struct
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.history.columns import folded, from_packed, from_plain, mean, packed, peak, plain, rounded

floats = st.one_of(st.floats(width=32, allow_infinity=False), st.just(math.nan), st.sampled_from((0.0, 1.0, 8.0)))
columns = st.lists(floats, max_size=300).map(lambda values: array("f", values))
measured = st.lists(st.floats(1e-9, 2.0**53), max_size=50).map(lambda values: array("f", values))
moments = st.lists(st.lists(st.one_of(st.floats(0, 1e6), st.just(math.nan)), max_size=5), min_size=1, max_size=8)


@given(columns)
def test_what_goes_in_comes_out_bit_by_bit(column: "array[float]") -> None:
    assert from_plain(plain(column)).tobytes() == column.tobytes()
    assert from_packed(packed(column)).tobytes() == column.tobytes()


def test_the_bytes_are_little_endian_floats() -> None:
    assert plain(array("f", [1.5, 2.5])) == struct.pack("<2f", 1.5, 2.5)


def test_what_hardly_differs_packs_well() -> None:
    assert len(packed(array("f", [8.0] * 1000))) < 100
    assert len(packed(array("f", [math.nan] * 1000))) < 100


@given(measured)
def test_rounding_keeps_sixteen_significant_bits(column: "array[float]") -> None:
    for value, kept in zip(column, rounded(column), strict=True):
        assert abs(kept - value) <= value * 2.0**-16
        assert struct.pack("<f", kept)[0] == 0


def test_rounding_keeps_small_whole_numbers_and_what_is_unknown() -> None:
    known = array("f", [0, 1, 8, 255, 65_535])
    assert rounded(known) == known
    assert all(math.isnan(value) for value in rounded(array("f", [math.nan] * 3)))


@given(moments)
def test_a_fold_takes_each_place_by_itself(values: list[list[float]]) -> None:
    made = folded([array("f", column) for column in values], mean)
    assert len(made) == max(map(len, values))
    for place, value in enumerate(made):
        known = [column[place] for column in values if place < len(column) and not math.isnan(column[place])]
        if known:
            assert value == pytest.approx(sum(known) / len(known), rel=1e-5, abs=1e-5)
        else:
            assert math.isnan(value)


@given(st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(math.nan)), min_size=1, max_size=20))
def test_a_peak_is_the_greatest_that_is_known_wherever_gaps_are(values: list[float]) -> None:
    known = [value for value in values if not math.isnan(value)]
    found = peak(values)
    assert found == max(known) if known else math.isnan(found)
