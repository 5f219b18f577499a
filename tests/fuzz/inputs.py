"""What fuzz targets are fed: right inputs, inputs that went slightly wrong, and noise."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random

from hypothesis import strategies as st

BYTES_MAX = 8192
CORPUS = Path(__file__).parent / "corpus"
TOKENS = (
    b"",
    b"\0",
    b"\xff",
    b"\n",
    b"\r\n",
    b'"',
    b"\\",
    b"{",
    b"[" * 300,
    b"}",
    b":",
    b",",
    b"e999",
    b"-",
    b"NaN",
    b"1e400",
)
TOKENS += (
    b"9" * 20,
    b"null",
    b"true",
    b"\xed\xa0\x80",
    "‮🎉".encode(),
    b"\xc1",
    b"\xdd\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"%00",
)
"""Bytes that parsers stumble over: ends of text, deep nesting, large numbers, halves of characters, long lengths."""


@cache
def corpus(target: str) -> tuple[bytes, ...]:
    """The inputs of one target that are kept, by name: typical ones, and each that once broke something."""
    return tuple(file.read_bytes() for file in sorted((CORPUS / target).iterdir()))


def mutate(rng: Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """The bytes after a few small accidents; `others`: what parts of them may come from."""
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(data))
        end = rng.randint(at, min(len(data), at + 40))
        match rng.randrange(8):
            case 0 | 1 if at < len(data):
                data = data[:at] + bytes((data[at] ^ 1 << rng.randrange(8),)) + data[at + 1 :]
            case 2:
                data = data[:at]
            case 3:
                data = data[:at] + data[end:]
            case 4:
                data = data[:end] + data[at:end] * rng.randint(1, 8) + data[end:]
            case 5:
                data = data[:at] + rng.choice(TOKENS) + data[at:]
            case 6:
                data = data[:at] + rng.randbytes(end - at) + data[end:]
            case 7 if others:
                other = rng.choice(others)
                data = data[:at] + other[rng.randint(0, len(other)) :]
    return data[:BYTES_MAX]


def inputs(target: str, valid: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """For Hypothesis; `valid`: what the target should understand."""
    kept = corpus(target)
    seeds = st.integers(0, 2**32).map(Random)
    return st.one_of(
        valid,
        st.builds(mutate, seeds, valid, st.just(kept)),
        st.builds(mutate, seeds, st.sampled_from(kept), st.just(kept)),
        st.binary(max_size=300),
    )
