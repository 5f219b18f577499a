"""Bencode (BEP 3) for packets of the BitTorrent DHT, with bounds: nothing in it grows beyond the packet itself.

Decoding is as tolerant as the network needs: keys need not be in order. It refuses what two readers could take for
different things: repeated keys, numbers with leading zeros, and bytes after the end.
"""

from __future__ import annotations

from peerscope.errors import RemoteError

DEPTH_MAX = 8
"""An answer has lists within dictionaries within a dictionary; BEP 5 needs three levels."""
DIGITS_MAX = 20

Value = int | bytes | list["Value"] | dict[bytes, "Value"]


def encode(value: Value) -> bytes:
    """The one encoding of a value: keys in order."""
    match value:
        case int():
            return b"i%de" % value
        case bytes():
            return b"%d:%s" % (len(value), value)
        case list():
            return b"l" + b"".join(map(encode, value)) + b"e"
        case dict():
            return b"d" + b"".join(encode(key) + encode(value[key]) for key in sorted(value)) + b"e"


def decode(data: bytes) -> Value:
    """The value in a packet. Raises `RemoteError`."""
    value, end = _value(data, 0, DEPTH_MAX)
    if end != len(data):
        raise RemoteError("bad-bencode", f"{len(data) - end} bytes after the end")
    return value


def _value(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    match data[at : at + 1]:
        case b"i":
            return _number(data, at + 1, b"e")
        case b"l" | b"d" if depth == 0:
            raise RemoteError("bad-bencode", f"deeper than {DEPTH_MAX} levels")
        case b"l":
            return _list(data, at + 1, depth - 1)
        case b"d":
            return _dictionary(data, at + 1, depth - 1)
        case _:
            return _string(data, at)


def _number(data: bytes, at: int, end: bytes) -> tuple[int, int]:
    stop = data.find(end, at, at + DIGITS_MAX + 2)
    digits = data[at:stop] if stop > at else b""
    magnitude = digits.removeprefix(b"-") if end == b"e" else digits
    if not magnitude or magnitude.strip(b"0123456789") or (magnitude[:1] == b"0" and digits != b"0"):
        raise RemoteError("bad-bencode", f"no number at byte {at}")
    return int(digits), stop + 1


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    length, start = _number(data, at, b":")
    if start + length > len(data):
        raise RemoteError("bad-bencode", f"a string at byte {at} ends after the packet")
    return data[start : start + length], start + length


def _list(data: bytes, at: int, depth: int) -> tuple[list[Value], int]:
    values: list[Value] = []
    while data[at : at + 1] != b"e":
        value, at = _value(data, at, depth)
        values.append(value)
    return values, at + 1


def _dictionary(data: bytes, at: int, depth: int) -> tuple[dict[bytes, Value], int]:
    values: dict[bytes, Value] = {}
    while data[at : at + 1] != b"e":
        key, at = _string(data, at)
        if key in values:
            raise RemoteError("bad-bencode", f"the key {key[:16]!r} twice")
        values[key], at = _value(data, at, depth)
    return values, at + 1
