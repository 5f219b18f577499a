"""Counters that restart or run over never give a negative increase, nor one that nobody counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.records.measures import MARGIN, increases

counters = st.lists(st.tuples(*[st.none() | st.integers(0, 2**64 - 1)] * 2), min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("before", "now", "grown"),
    [
        ((5, 7), (8, 7), (3, 0)),
        ((None, 7), (8, 9), (None, 2)),
        ((5, 7), (None, 9), (None, 2)),
        ((5, 7), (1, 0), (None, None)),  # a restart
        ((5, 1), (1, 30), (None, None)),  # a restart, after which one counted fast
        ((2**32 - 10, 7), (5, 9), (15, 2)),  # ran over
        ((2**64 - 1, 7), (0, 7), (1, 0)),
        ((2**32 - 10, 7), (5, 3), (None, None)),  # a restart: both went down
        ((2**32 - 10,), (2**31,), (None,)),
        ((2**31,), (5,), (None,)),
    ],
)
def test_increases_of_counters_that_may_be_narrow(
    before: tuple[int | None, ...], now: tuple[int | None, ...], grown: tuple[int | None, ...]
) -> None:
    assert increases(before, now, run_over=True) == grown


def test_wide_counters_only_restart() -> None:
    assert increases((2**32 - 10,), (5,)) == (None,)


@given(counters, st.booleans())
def test_an_increase_is_never_negative_nor_more_than_was_counted(
    pairs: list[tuple[int | None, int | None]], run_over: bool
) -> None:
    before, now = zip(*pairs, strict=True)
    for old, new, grown in zip(before, now, increases(before, now, run_over=run_over), strict=True):
        if grown is not None:
            assert grown >= 0
            assert grown == new - old or grown <= 2 * (2**64 // MARGIN)
            assert (old + grown) % 2**32 == new % 2**32
