"""MessagePack as older Go programs write it: one value after another, texts and bytes alike as "raw".

msgspec decodes whole messages with valid UTF-8 only. This reader takes the first value from the start of some bytes,
so that a stream can be read without lengths around its values. Everything raw becomes `bytes`.
"""

from __future__ import annotations

import struct
from typing import Any

DEPTH_MAX = 16
ITEMS_MAX = 1_000_000
_NUMBERS = {
    0xCA: ">f",
    0xCB: ">d",
    0xCC: ">B",
    0xCD: ">H",
    0xCE: ">I",
    0xCF: ">Q",
    0xD0: ">b",
    0xD1: ">h",
    0xD2: ">i",
    0xD3: ">q",
}
_RAW_LENGTHS = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I", 0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}
_LIST_LENGTHS = {0xDC: ">H", 0xDD: ">I"}
_MAP_LENGTHS = {0xDE: ">H", 0xDF: ">I"}


class IncompleteError(Exception):
    """The value does not end within these bytes."""


def unpacked(data: bytes | bytearray, at: int = 0) -> tuple[Any, int]:
    """The value that begins here, and where it ends. Raises `IncompleteError`, or ValueError if it is none."""
    return _value(data, at, 0)


def _value(data: bytes | bytearray, at: int, depth: int) -> tuple[Any, int]:
    if depth > DEPTH_MAX:
        raise ValueError("nested too deeply")
    if at >= len(data):
        raise IncompleteError
    kind, at = data[at], at + 1
    if kind <= 0x7F:
        return kind, at
    if kind >= 0xE0:
        return kind - 0x100, at
    if kind <= 0x8F:
        return _map(data, at, kind & 0x0F, depth)
    if kind <= 0x9F:
        return _list(data, at, kind & 0x0F, depth)
    if kind <= 0xBF:
        return _raw(data, at, kind & 0x1F)
    if kind in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[kind], at
    if kind in _NUMBERS:
        return _number(data, at, _NUMBERS[kind])
    for lengths, read in ((_RAW_LENGTHS, _raw), (_LIST_LENGTHS, None), (_MAP_LENGTHS, None)):
        if kind in lengths:
            length, at = _number(data, at, lengths[kind])
            if read is not None:
                return read(data, at, length)
            return (_list if lengths is _LIST_LENGTHS else _map)(data, at, length, depth)
    raise ValueError(f"no value begins with the byte {kind:#x}")


def _number(data: bytes | bytearray, at: int, form: str) -> tuple[Any, int]:
    end = at + struct.calcsize(form)
    if end > len(data):
        raise IncompleteError
    return struct.unpack_from(form, data, at)[0], end


def _raw(data: bytes | bytearray, at: int, length: int) -> tuple[bytes, int]:
    if at + length > len(data):
        raise IncompleteError
    return bytes(data[at : at + length]), at + length


def _list(data: bytes | bytearray, at: int, length: int, depth: int) -> tuple[list[Any], int]:
    if length > ITEMS_MAX:
        raise ValueError(f"a list of {length} items")
    found = []
    for _ in range(length):
        item, at = _value(data, at, depth + 1)
        found.append(item)
    return found, at


def _map(data: bytes | bytearray, at: int, length: int, depth: int) -> tuple[dict[Any, Any], int]:
    if length > ITEMS_MAX:
        raise ValueError(f"a map of {length} items")
    found = {}
    for _ in range(length):
        key, at = _value(data, at, depth + 1)
        if not isinstance(key, bytes):
            raise ValueError("a key that is no text")
        found[key.decode("utf-8", "replace")], at = _value(data, at, depth + 1)
    return found, at
