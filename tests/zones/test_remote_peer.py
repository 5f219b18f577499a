"""Verdicts on a peer of another zone: the aggregator in the middle counts, who is far from it is named."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgers import Book
from peerscope.mesh.messages import Opinion
from peerscope.records.identity import PeerId
from peerscope.zones.remote_peer import judged

BOOK = Book()
Said = tuple[str | None, ...]


def opinions(said: Said) -> dict[PeerId, Opinion | None]:
    return {BOOK[number]: None if word is None else Opinion(word, 1, 8) for number, word in enumerate(said)}


def verdict(said: Said) -> tuple[str, set[str | None]]:
    """The verdict, and what those said who are named."""
    found = judged(opinions(said))
    return found.verdict, {said[number] for number in range(len(said)) if BOOK[number] in found.disagreeing}


@pytest.mark.parametrize(
    ("said", "expected", "named"),
    [
        (("alive", "alive", "alive"), "alive", set()),
        (("alive", "alive", "down"), "alive", {"down"}),
        (("down", "down", "alive"), "down", {"alive"}),
        (("alive", "suspect", "down"), "suspect", set()),  # a failure that is just being noticed
        (("alive", "alive", "suspect"), "alive", set()),
        (("alive", "suspect"), "suspect", set()),
        (("alive", "down"), "unknown", set()),
        (("down",), "down", set()),
        ((None, "alive", "alive"), "alive", {None}),
        ((None, None, "alive"), "alive", set()),
        ((None, None, None), "unknown", set()),
        ((), "unknown", set()),
        (("alive", "alive", "a word of a later version"), "alive", set()),
    ],
)
def test_the_middle_counts_and_the_far_are_named(said: Said, expected: str, named: set[str | None]) -> None:
    for order in permutations(said):
        assert verdict(order) == (expected, named)


@given(st.sampled_from(["alive", "suspect", "down"]), st.none() | st.text(max_size=8), st.integers(0, 2))
def test_one_of_three_changes_nothing_whatever_it_says(truth: str, lie: str | None, place: int) -> None:
    said: list[str | None] = [truth] * 3
    said[place] = lie
    assert verdict(tuple(said))[0] == truth
