"""HyperLogLog: how many different peers, told in little room, whoever counts one twice.

64 registers keep the greatest number of leading zeros seen among the hashes that fall to each (Flajolet et al. 2007).
The standard error is 1.04 / sqrt(64) = 13 %: it is a check, not the count, which summaries state exactly. Two sketches
merge by the greater of each pair, so that peers stated by two zones show: the merged estimate stays below the sum.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from math import log
from typing import Annotated

from msgspec import Meta

REGISTERS = 64
RANK_MAX = 59
"""Of the 58 bits that are left of a hash, all zero, and one."""
_ALPHA = 0.709
"""The bias correction for 64 registers (figure 3 of the paper)."""

Registers = Annotated[bytes, Meta(min_length=REGISTERS, max_length=REGISTERS)]


def registers(members: Iterable[bytes]) -> bytes:
    """The sketch of a set of ids."""
    found = bytearray(REGISTERS)
    for member in members:
        hashed = int.from_bytes(blake2b(member, digest_size=8, person=b"peerscope hll").digest(), "big")
        at, rest = hashed >> 58, hashed & ((1 << 58) - 1)
        found[at] = max(found[at], 59 - rest.bit_length())
    return bytes(found)


def merged(sketches: Iterable[bytes]) -> bytes:
    """The sketch of the union."""
    found = bytes(REGISTERS)
    for sketch in sketches:
        found = bytes(map(max, found, sketch))
    return found


def estimate(sketch: bytes) -> float:
    """About how many different ids; a rank that no hash can have counts as the greatest."""
    ranks = [min(rank, RANK_MAX) for rank in sketch]
    raw = _ALPHA * REGISTERS**2 / sum(2.0**-rank for rank in ranks)
    empty = ranks.count(0)
    return REGISTERS * log(REGISTERS / empty) if raw <= 2.5 * REGISTERS and empty else raw
