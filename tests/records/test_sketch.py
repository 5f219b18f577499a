"""Sketches: quantiles within one per cent, whatever came in, in whatever order, from however many peers."""

from contextlib import suppress
from math import inf, nan

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.errors import RemoteError
from peerscope.records.sketch import (
    ACCURACY,
    BUCKET_COUNT_MAX,
    GAMMA,
    REGISTERS,
    SPAN_MAX,
    VALUE_MAX,
    VALUE_MIN,
    Sketch,
    SketchBody,
    estimate_distinct,
    merge_registers,
    middle,
    registers,
)
from strategies import damaged

latencies = st.floats(1e-6, 600.0) | st.sampled_from([0.0, 0.001, 0.01, 0.1, 1.0])
# Wider than the span of buckets, so that the lowest collapse.
anything = st.just(0.0) | st.floats(VALUE_MIN, VALUE_MAX) | st.integers(-20, 15).map(lambda power: 10.0**power)
shares = st.floats(0.0, 1.0) | st.sampled_from([0.5, 0.95, 0.99])


def sketch_of(values: list[float]) -> Sketch:
    sketch = Sketch()
    for value in values:
        sketch.add(value)
    return sketch


def encode_sketch(sketch: Sketch) -> bytes:
    return msgspec.msgpack.encode(sketch.to_body())


def decode_sketch(data: bytes) -> Sketch:
    """As `decode_body` does with the sketches in a summary."""
    try:
        body = msgspec.msgpack.decode(data, type=SketchBody)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise RemoteError("malformed-sketch", str(error)) from error
    return Sketch.of(body)


def merged(*sketches: Sketch) -> Sketch:
    result = Sketch()
    for sketch in sketches:
        result.merge(sketch)
    return result


@given(st.lists(latencies, min_size=1, max_size=300), shares)
def test_every_quantile_is_within_one_per_cent(values: list[float], share: float) -> None:
    exact = sorted(values)[int(share * (len(values) - 1))]
    assert sketch_of(values).quantile(share) == pytest.approx(exact, rel=ACCURACY + 1e-9, abs=VALUE_MIN)


@given(st.lists(st.lists(latencies, max_size=60), min_size=2, max_size=5), shares)
def test_a_merged_sketch_is_as_exact_as_one_that_saw_everything(streams: list[list[float]], share: float) -> None:
    values = sorted(value for stream in streams for value in stream)
    found = merged(*(decode_sketch(encode_sketch(sketch_of(stream))) for stream in streams)).quantile(share)
    if not values:
        assert found is None
    else:
        exact = values[int(share * (len(values) - 1))]
        assert found == pytest.approx(exact, rel=ACCURACY + 1e-9, abs=VALUE_MIN)


@given(st.lists(anything), st.lists(anything))
def test_merging_is_the_union_even_where_buckets_collapse(some: list[float], others: list[float]) -> None:
    both = merged(sketch_of(some), sketch_of(others))
    assert both == sketch_of(some + others)
    assert both.count == len(some) + len(others)
    assert both.total == pytest.approx(sum(some + others))


@given(st.lists(anything).map(sketch_of), st.lists(anything).map(sketch_of), st.lists(anything).map(sketch_of))
def test_the_order_of_merging_does_not_matter(a: Sketch, b: Sketch, c: Sketch) -> None:
    assert merged(a, b) == merged(b, a)
    assert merged(merged(a, b), c) == merged(a, merged(b, c))


@given(st.lists(anything))
def test_a_sketch_comes_back_as_it_was(values: list[float]) -> None:
    sketch = sketch_of(values)
    again = decode_sketch(encode_sketch(sketch))
    assert again == sketch
    assert again.total == pytest.approx(sketch.total)
    again.add(1.0)
    sketch.add(1.0)
    assert again == sketch


def test_an_empty_sketch_knows_nothing() -> None:
    sketch = Sketch()
    assert (sketch.count, sketch.quantile(0.5), sketch.least, sketch.most) == (0, None, None, None)
    assert encode_sketch(sketch) == encode_sketch(decode_sketch(encode_sketch(sketch)))


def test_the_number_of_buckets_is_bounded_and_the_high_quantiles_stay_right() -> None:
    values = [VALUE_MIN * GAMMA**step for step in range(2 * SPAN_MAX)]
    sketch = sketch_of(values)
    assert len(sketch.to_body().buckets) == 2 * SPAN_MAX
    assert sketch.quantile(0.75) == pytest.approx(values[int(0.75 * (len(values) - 1))], rel=ACCURACY + 1e-9)


def test_one_value_many_times_is_that_value() -> None:
    sketch = Sketch()
    sketch.add(0.25, times=1000)
    assert (sketch.quantile(0.0), sketch.quantile(0.99), sketch.count, sketch.total) == (0.25, 0.25, 1000, 250.0)


def test_a_typical_route_travels_in_few_bytes() -> None:
    sketch = sketch_of([0.040 + 0.0001 * number for number in range(200)])
    assert len(encode_sketch(sketch)) < 100


def test_a_count_beyond_what_can_be_told_is_told_as_the_most() -> None:
    sketch = Sketch()
    sketch.add(0.1, times=2 * BUCKET_COUNT_MAX)
    assert decode_sketch(encode_sketch(sketch)).count == BUCKET_COUNT_MAX


ONE = SketchBody(0, 0, (1, 3), 3 * middle(1), middle(1), middle(1))


@pytest.mark.parametrize(
    "body",
    [
        SketchBody(0, 0, (1,), 1.0, 1.0, 1.0),  # a bucket without its count
        SketchBody(0, -1000, (1, 1, SPAN_MAX, 1), 1.0, 1e-8, 1.5),  # too far apart
        SketchBody(0, 0, (1, 0), 0.0, 1.0, 1.0),
        SketchBody(0, 0, (0, 1), 1.0, 1.0, 1.0),
        SketchBody(0, 0, (1, BUCKET_COUNT_MAX + 1), 1e12, 1.0, 1.0),
        SketchBody(0, 0, (1, 1) * (SPAN_MAX + 1), 1.0, 1.0, 1.0),
        SketchBody(0, 5000, (1, 1), 1.0, 1.0, 1.0),
        SketchBody(0, 2000, (2**39, 1), 1.0, 1.0, 1.0),  # an index that no value has
        SketchBody(0, 0, (), 1.0, None, None),
        SketchBody(0, 0, (), 0.0, 1.0, 1.0),
        SketchBody(0, 0, (1, 3), 3.0, None, None),
        SketchBody(1, 0, (1, 3), 3 * middle(1), middle(1), middle(1)),  # a zero, and none so small
        SketchBody(1, 0, (), 1.0, 0.0, 1.0),  # something greater than zero, and no bucket
        SketchBody(0, 0, (1, 3), 3 * middle(1), middle(1), middle(9)),
        SketchBody(0, 0, (1, 3), 4 * middle(1), middle(1), middle(1)),
        SketchBody(0, 0, (1, 3), nan, middle(1), middle(1)),
        SketchBody(0, 0, (1, 3), inf, middle(1), middle(1)),
        SketchBody(0, 0, (1, 3), 3 * middle(1), nan, middle(1)),
        SketchBody(0, 0, (1, 3), 3 * middle(1), middle(1), inf),
        SketchBody(0, 0, (1, 3), 3 * middle(1), middle(1), -1.0),
    ],
)
def test_a_sketch_that_cannot_be_is_refused(body: SketchBody) -> None:
    assert Sketch.of(ONE).count == 3
    with pytest.raises(RemoteError, match="malformed-sketch"):
        decode_sketch(msgspec.msgpack.encode(body))


@given(st.binary(max_size=300) | st.lists(latencies, max_size=9).map(sketch_of).map(encode_sketch).flatmap(damaged))
def test_whatever_arrives_is_a_sketch_or_refused_and_can_be_merged(data: bytes) -> None:
    with suppress(RemoteError):
        again = merged(decode_sketch(data), sketch_of([1.0]))
        assert again.quantile(0.5) is not None
        assert decode_sketch(encode_sketch(again)).count == again.count


def ids(start: int, end: int) -> list[bytes]:
    return [number.to_bytes(32, "big") for number in range(start, end)]


def test_an_empty_set_has_nobody() -> None:
    assert estimate_distinct(registers([])) == 0.0


def test_estimates_are_within_three_standard_errors() -> None:
    for count in (1, 10, 100, 1_000, 20_000):
        assert abs(estimate_distinct(registers(ids(0, count))) - count) <= max(1, 0.39 * count)


def test_a_peer_in_two_sets_is_one_peer() -> None:
    one, other = registers(ids(0, 600)), registers(ids(300, 900))
    assert merge_registers([one, other]) == registers(ids(0, 900))


@given(st.binary(min_size=REGISTERS, max_size=REGISTERS))
def test_whatever_registers_a_peer_sends_there_is_an_estimate(sent: bytes) -> None:
    assert estimate_distinct(sent) >= 0
    assert merge_registers([sent, sent]) == sent
