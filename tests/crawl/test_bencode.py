"""Bencode: what is written is read back, and nothing that comes from outside breaks the reader."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.crawl.bencode import Value, decode, encode
from peerscope.errors import RemoteError

VALUES: st.SearchStrategy[Value] = st.recursive(
    st.integers(-(10**18), 10**18) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.binary(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES.filter(lambda value: depth(value) <= 8))
def test_a_value_is_read_back(value: Value) -> None:
    assert decode(encode(value)) == value


@given(st.binary(max_size=60) | st.text("dlei0123456789:-ab", max_size=60).map(str.encode))
def test_noise_is_refused_or_read_and_never_breaks_the_reader(data: bytes) -> None:
    with suppress(RemoteError):
        decode(data)


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"i1", b"i01e", b"i-0e", b"ie", b"i--1e", b"5:abc", b"-1:", b"01:a", b"i1ei2e", b"d1:ai1e1:ai2ee"),
        *(b"di1ei2ee", b"l" * 5000, b"i" + b"9" * 40 + b"e", b"99999999999999999999:a", "i٣e".encode(), b"i1_0e"),
    ],
)
def test_what_two_readers_could_take_for_different_things_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteError):
        decode(data)


def test_keys_out_of_order_are_read() -> None:
    assert decode(b"d1:bi1e1:ai2ee") == {b"b": 1, b"a": 2}
    assert encode({b"b": 1, b"a": [b"x", -2]}) == b"d1:al1:xi-2ee1:bi1ee"


def depth(value: Value) -> int:
    match value:
        case list():
            return 1 + max(map(depth, value), default=0)
        case dict():
            return 1 + max(map(depth, value.values()), default=0)
        case _:
            return 0
