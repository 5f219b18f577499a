"""Small .mmdb files for tests, written as MaxMind's format 2.0 says: search tree, data, metadata.

There is a reader among our libraries and no writer; one network and one record need no more than this.
"""

from ipaddress import ip_network
from pathlib import Path
from typing import Any

SEPARATOR = bytes(16)
METADATA_MARK = b"\xab\xcd\xefMaxMind.com"
TEXT, UINT16, UINT32, MAP = 2, 5, 6, 7
UINT64, ARRAY = 9, 11


def write_mmdb(file: Path, network: str, record: dict[str, Any]) -> Path:
    """A file in which the addresses of one IPv4 network have this record, and others none."""
    subnet = ip_network(network)
    size = subnet.prefixlen
    bits = int(subnet.network_address) >> (32 - size)
    nowhere, data = size, size + len(SEPARATOR)  # a pointer beyond the tree leads into the data
    tree = b""
    for depth in range(size):
        onward = depth + 1 if depth + 1 < size else data
        one = bits >> (size - 1 - depth) & 1
        left, right = (nowhere, onward) if one else (onward, nowhere)
        tree += left.to_bytes(3, "big") + right.to_bytes(3, "big")
    metadata = _map(
        {
            "node_count": _number(UINT32, size),
            "record_size": _number(UINT16, 24),
            "ip_version": _number(UINT16, 4),
            "database_type": _plain("Test-Country"),
            "languages": _head(ARRAY, 0),
            "binary_format_major_version": _number(UINT16, 2),
            "binary_format_minor_version": _number(UINT16, 0),
            "build_epoch": _number(UINT64, 1_700_000_000),
            "description": _map({}),
        }
    )
    file.write_bytes(tree + SEPARATOR + _plain(record) + METADATA_MARK + metadata)
    return file


def _plain(value: Any) -> bytes:
    if isinstance(value, dict):
        return _map({key: _plain(inside) for key, inside in value.items()})
    data = value.encode()
    return _head(TEXT, len(data)) + data


def _map(values: dict[str, bytes]) -> bytes:
    return _head(MAP, len(values)) + b"".join(_plain(key) + value for key, value in values.items())


def _number(kind: int, value: int) -> bytes:
    data = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return _head(kind, len(data)) + data


def _head(kind: int, size: int) -> bytes:
    """The control byte; kinds above 7 have a second one. Sizes stay below 29, where one byte is enough."""
    assert size < 29
    return bytes((kind << 5 | size,)) if kind <= 7 else bytes((size, kind - 7))
