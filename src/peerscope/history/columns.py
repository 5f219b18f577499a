"""Columns: the values of one series at one time, one float32 per peer.

A peer's place in a column is its slot; NaN where nothing was measured. Columns are stored plain or packed, both exact.
Packing groups the bytes of all values by significance and deflates them (the byte shuffle of Blosc and HDF5).
Neighbouring exponents resemble each other, mantissas do not.
"""

from __future__ import annotations

import sys
import zlib
from array import array
from collections.abc import Callable, Sequence
from itertools import zip_longest

Column = array  # of type code "f"
Fold = Callable[[Sequence[float]], float]
UNKNOWN = float("nan")
WIDTH_BYTES = 4
WINDOW_BITS, MEMORY_LEVEL = -12, 5
"""A deflate state of 30 KB instead of 270: most columns are smaller than that."""


def is_known(value: float) -> bool:
    return value == value  # NaN is not itself; half the time of math.isnan


def known_count(column: Sequence[float]) -> int:
    """How many values are known."""
    return sum(map(is_known, column))


def plain(column: Column[float]) -> bytes:
    """Encode the values, little-endian."""
    if sys.byteorder == "big":
        column = column[:]
        column.byteswap()
    return column.tobytes()


def from_plain(data: bytes | bytearray) -> Column[float]:
    """Decode what `plain` encoded."""
    column = array("f")
    column.frombytes(data)
    if sys.byteorder == "big":
        column.byteswap()
    return column


def packed(column: Column[float]) -> bytes:
    """Encode the values in fewer bytes."""
    data = plain(column)
    deflate = zlib.compressobj(1, zlib.DEFLATED, WINDOW_BITS, MEMORY_LEVEL)
    return deflate.compress(b"".join(data[byte::WIDTH_BYTES] for byte in range(WIDTH_BYTES))) + deflate.flush()


def from_packed(data: bytes) -> Column[float]:
    """Decode what `packed` encoded. Raises `zlib.error` for anything else."""
    shuffled = zlib.decompress(data, WINDOW_BITS)
    values = bytearray(len(shuffled))
    length = len(shuffled) // WIDTH_BYTES
    for byte in range(WIDTH_BYTES):
        values[byte::WIDTH_BYTES] = shuffled[byte * length : (byte + 1) * length]
    return from_plain(values)


def rounded(column: Column[float]) -> Column[float]:
    """Round to 16 of 24 significant bits (0.001 %): a mean needs no more, and packs a third smaller.

    All values are one large integer: half a unit is added to each, and its last byte cleared. No sum carries into the
    next value: only a negative NaN would, and ours is positive.
    """
    size = len(column)
    half = int.from_bytes(b"\x80\0\0\0" * size, "little")
    mask = int.from_bytes(b"\0\xff\xff\xff" * size, "little")
    values = (int.from_bytes(plain(column), "little") + half) & mask
    return from_plain(values.to_bytes(size * WIDTH_BYTES, "little"))


def folded(columns: Sequence[Column[float]], fold: Fold) -> Column[float]:
    """Fold columns of several times into one. Shorter columns lack the peers that came later."""
    return array("f", map(fold, zip_longest(*columns, fillvalue=UNKNOWN)))


def mean(values: Sequence[float]) -> float:
    """The mean of the known values."""
    total = sum(values)
    if is_known(total):
        return total / len(values)
    known = [value for value in values if is_known(value)]
    return sum(known) / len(known) if known else UNKNOWN


def peak(values: Sequence[float]) -> float:
    """The greatest of the known values."""
    if is_known(sum(values)):
        return max(values)
    return max((value for value in values if is_known(value)), default=UNKNOWN)
