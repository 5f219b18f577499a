"""A table is read whole, with few questions, and a node that invents entries is asked so many and no more."""

from random import Random

import pytest

from peerscope.crawl.tables import TableReading

BITS = 160


def closest(table: set[int], target: int, count: int) -> list[int]:
    return sorted(table, key=lambda one: one ^ target)[:count]


def read(
    table: set[int], *, count: int = 8, depth_max: int = BITS, questions_max: int = 10_000
) -> tuple[set[int], int]:
    """The entries that a reading finds, and its number of questions."""
    rng, found, asked = Random(7), set[int](), 0
    reading = TableReading(bits=BITS, closest=count, questions_max=10_000, depth_max=BITS)
    while (question := reading.next()) is not None:
        asked += 1
        depth, prefix = question
        target = prefix << (BITS - depth) | rng.getrandbits(BITS) >> depth
        shown = closest(table, target, count)
        found.update(shown)
        reading.answered(depth, target, shown)
    return found, asked


@pytest.mark.parametrize("entries", [0, 1, 7, 8, 9, 50, 300])
@pytest.mark.parametrize("count", [8, 20])
def test_a_table_is_read_whole(entries: int, count: int) -> None:
    rng = Random(entries)
    table = {rng.getrandbits(BITS) for _ in range(entries)}
    found, asked = read(table, count=count)
    assert found == table
    assert asked <= 3 + 4 * entries / count


def test_a_table_of_entries_with_a_long_common_prefix_is_read_whole() -> None:
    rng = Random(1)
    near = {(0b1011 << 156) | rng.getrandbits(20) for _ in range(40)}
    assert read(near | {1, 2})[0] == near | {1, 2}


def test_entries_beyond_the_bits_that_can_be_chosen_make_the_reading_incomplete() -> None:
    reading = TableReading(bits=BITS, closest=2, questions_max=50, depth_max=3)
    assert reading.next() == (0, 0)
    reading.answered(0, 0, [1, 2])
    while (question := reading.next()) is not None:
        reading.answered(question[0], question[1] << (BITS - question[0]), [])
    assert reading.is_cut


def test_a_node_that_invents_entries_is_asked_until_the_bound() -> None:
    rng = Random(3)
    reading = TableReading(bits=BITS, closest=8, questions_max=30, depth_max=BITS)
    asked = 0
    while (question := reading.next()) is not None:
        asked += 1
        depth, prefix = question
        target = prefix << (BITS - depth)
        reading.answered(depth, target, [target | rng.getrandbits(BITS) >> depth for _ in range(8)])
    assert (asked, reading.is_cut) == (30, True)


def test_short_answers_from_a_few_buckets_do_not_end_the_reading() -> None:
    """Some programs answer from the bucket of the target alone, though they have more."""
    table = {bucket << (BITS - 3) | number for bucket in range(8) for number in range(5)}
    found, reading = set[int](), TableReading(bits=BITS, closest=8, questions_max=100, depth_max=BITS)
    while (question := reading.next()) is not None:
        target = question[1] << (BITS - question[0])
        shown = [one for one in table if one >> (BITS - 3) == target >> (BITS - 3)]
        found.update(shown)
        reading.answered(question[0], target, shown)
    assert found == table
