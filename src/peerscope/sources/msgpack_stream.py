"""Where a MessagePack value ends, in a stream without lengths around its values.

The values of a stream follow each other, and msgspec decodes one whole value only. So the end of each value is sought
first. The search goes on where it stopped when more bytes arrive, so a large answer in many parts costs no more.
"""

from __future__ import annotations

import struct

_LENGTHS = {1: struct.Struct(">B"), 2: struct.Struct(">H"), 4: struct.Struct(">I")}
_FIXED = {0xCA: 4, 0xCB: 8} | {0xCC + n: 2**n for n in range(4)} | {0xD0 + n: 2**n for n in range(4)}
"""Bytes of numbers after their first byte."""
_FIXED |= {0xC0: 0, 0xC2: 0, 0xC3: 0} | {0xD4 + n: 1 + 2**n for n in range(5)}
_BYTES = {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0), 0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0)}
"""Texts and bytes: the size of their length, and the bytes that it does not count."""
_BYTES |= {0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1)}
_ITEMS = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}
"""Lists and maps: the size of their length, and the values for each item."""


class ValueEnd:
    """Seeks the end of the value at the start of growing bytes."""

    def __init__(self) -> None:
        self._at = 0
        self._missing = 1
        """Values that must still come."""

    def find(self, data: bytes | bytearray) -> int | None:
        """The end; None if more bytes must come first. Call it with the same bytes and more, until it gives an end.

        Raises ValueError if a byte begins no value.
        """
        while self._missing:
            if self._at >= len(data):
                return None
            step = _token(data, self._at)
            if step is None:
                return None
            self._at += step[0]
            self._missing += step[1] - 1
        return self._at if self._at <= len(data) else None


def _token(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """The bytes of a value without the values inside, and how many these are; None if its length is not there yet."""
    kind = data[at]
    if kind <= 0x7F or kind >= 0xE0:
        return 1, 0
    if kind <= 0x8F:
        return 1, 2 * (kind & 0x0F)
    if kind <= 0x9F:
        return 1, kind & 0x0F
    if kind <= 0xBF:
        return 1 + (kind & 0x1F), 0
    if kind in _FIXED:
        return 1 + _FIXED[kind], 0
    size, extra = _BYTES.get(kind) or _ITEMS.get(kind) or (0, 0)
    if not size:
        raise ValueError(f"no value begins with the byte {kind:#x}")
    if at + 1 + size > len(data):
        return None
    (length,) = _LENGTHS[size].unpack_from(data, at + 1)
    return (1 + size, length * extra) if kind in _ITEMS else (1 + size + length + extra, 0)
