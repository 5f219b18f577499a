"""Buckets: what one neighbour may send, and how soon it may again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.errors import ConfigError
from peerscope.mesh.limits.rate_limit import Allowance, LimitConfig, TokenBucket
from peerscope.mesh.messages import Digest, Hello, Message, Neighbors, Ping, Pull, Topic

SMALL = LimitConfig(
    messages_per_s=2, messages_burst=10, bytes_per_s=100, bytes_burst=1000, requests_per_s=1, requests_burst=8,
    pings_per_s=1, pings_burst=3,
)  # fmt: skip


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 20)), max_size=100))
def test_over_any_time_nobody_gets_more_than_rate_and_burst_allow(takes: list[tuple[float, float]]) -> None:
    bucket, now, got = TokenBucket(3.0, 20.0, 0.0), 0.0, 0.0
    for pause_s, cost in takes:
        now += pause_s
        got += cost if bucket.take(cost, now) else 0.0
        assert got <= 20.0 + 3.0 * now + 1e-6


def test_a_clock_that_stands_or_goes_back_gives_nothing() -> None:
    bucket = TokenBucket(1.0, 5.0, 100.0)
    assert [bucket.take(1.0, at) for at in (100.0, 50.0, 100.0, 0.0, 100.0, 100.0)] == [True] * 5 + [False]


def test_a_share_fills_slower() -> None:
    whole, quarter = TokenBucket(4.0, 4.0, 0.0), TokenBucket(4.0, 4.0, 0.0)
    whole.take(4.0, 0.0)
    quarter.take(4.0, 0.0, 0.25)
    assert whole.take(4.0, 1.0)
    assert not quarter.take(1.1, 1.0, 0.25)
    assert quarter.take(1.0, 1.0, 0.25)


def test_who_takes_in_any_case_is_told_how_long_to_wait() -> None:
    bucket = TokenBucket(10.0, 2.0, 0.0)
    assert [round(bucket.wait_s(1.0, 0.0), 3) for _ in range(4)] == [0.0, 0.0, 0.1, 0.2]
    assert bucket.wait_s(1.0, 1.0) == 0.0


def test_messages_and_bytes_are_limited_each() -> None:
    many = Allowance(SMALL, 0.0)
    assert sum(many.hears(1, 0.0, 1.0) for _ in range(100)) == 10
    assert many.hears(1, 0.5, 1.0)
    long = Allowance(SMALL, 0.0)
    assert sum(long.hears(400, 0.0, 1.0) for _ in range(100)) == 2


@pytest.mark.parametrize(
    ("message", "served"),
    [
        (Ping(1, 1), 3),
        (Hello(1, 1, "n", b"", 1), 2),
        (Digest(0, bytes(8)), 8),
        (Neighbors(1, 1, "n", b""), 8),
        (Pull((Topic(bytes(8), 0),) * 96), 2),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_makes_us_work_is_limited_by_how_much(message: Message, served: int) -> None:
    allowance = Allowance(SMALL, 0.0)
    assert sum(allowance.serves(message, 0.0, 1.0) for _ in range(100)) == served


def test_an_allowance_is_as_new_once_it_has_filled() -> None:
    allowance = Allowance(SMALL, 0.0)
    assert allowance.is_full(0.0)
    allowance.hears(1000, 0.0, 1.0)
    assert not allowance.is_full(9.0)
    assert allowance.is_full(10.0)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_senseless_limit_is_refused(value: float) -> None:
    with pytest.raises(ConfigError, match=r"limits\.bytes_per_s is"):
        LimitConfig(bytes_per_s=value)
