"""Sketches that merge: DDSketch for quantiles, HyperLogLog for how many different peers there are.

A DDSketch answers every quantile within one per cent, also after merging (Masson, Rim, Lee: "DDSketch", VLDB 2019,
sections 2.1 to 2.3). A value falls into bucket `ceil(log(value) / log(GAMMA))`. All values of a bucket are within
`ACCURACY` of its middle, and so is any quantile from the counts. Sketches merge by adding counts: the result equals one
sketch of both streams.

Buckets span at most `SPAN_MAX` indices below the highest, and lower values fall into the lowest of them (section 2.4).
The limit is on the span, not on the number of buckets, so the order of merging does not matter. The span covers 780
million to one: latencies from a microsecond to ten minutes do not collapse.

Sketches of others arrive by gossip, so `Sketch.of` checks every number.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from math import ceil, inf, isfinite, log
from typing import Annotated

from msgspec import Meta, Struct

from peerscope.errors import RemoteError

ACCURACY = 0.01
"""Greatest relative error of a quantile."""
GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
SPAN_MAX = 1024
VALUE_MIN, VALUE_MAX = 1e-9, 1e15
"""Smaller values count as zero, and greater ones as this."""
INDEX_MAX = 2048
"""Beyond every index that a value can have."""
BUCKET_COUNT_MAX = 2**40
_LOG_GAMMA = log(GAMMA)
_SLACK = 1e-6
"""How far sums of rounded numbers may be off."""

Number = Annotated[float, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1, le=BUCKET_COUNT_MAX)]


class SketchBody(Struct, frozen=True, array_like=True, gc=False):
    """A sketch on the wire. `Sketch.of` checks that its fields agree."""

    zeros: Annotated[int, Meta(ge=0, le=BUCKET_COUNT_MAX)] = 0
    before: Annotated[int, Meta(ge=-INDEX_MAX, le=INDEX_MAX)] = 0
    """The index where the first step begins."""
    buckets: Annotated[tuple[Positive, ...], Meta(max_length=2 * SPAN_MAX)] = ()
    """Steps from one bucket in use to the next, each followed by that bucket's count."""
    total: Number = 0.0
    """Sum of all values."""
    least: Number | None = None
    most: Number | None = None
    """Exact; None in an empty sketch."""


class Sketch:
    """Counts of values of 0 and more, by their logarithm."""

    __slots__ = ("_counts", "_lowest", "_highest", "count", "least", "most", "total", "zeros")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._lowest = -INDEX_MAX
        """Nothing is counted below this index."""
        self._highest = -INDEX_MAX
        self.zeros = 0
        self.count = 0
        self.total = 0.0
        """Sum of all values."""
        self.least: float | None = None
        self.most: float | None = None

    def __eq__(self, other: object) -> bool:
        """Equal counts: totals are floating sums, whose last digits depend on the order."""
        return isinstance(other, Sketch) and self._essence() == other._essence()

    __hash__ = None  # type: ignore[assignment]

    def add(self, value: float, times: int = 1) -> None:
        """Count one value, so many times."""
        assert 0 <= value < inf, value
        value = min(value, VALUE_MAX)
        self.count += times
        self.total += value * times
        self.least = value if self.least is None else min(self.least, value)
        self.most = value if self.most is None else max(self.most, value)
        if value < VALUE_MIN:
            self.zeros += times
        else:
            self._count(index(value), times)

    def merge(self, other: Sketch) -> None:
        """Add all values of the other one."""
        if other.least is None or other.most is None:
            return
        self.count += other.count
        self.total += other.total
        self.least = other.least if self.least is None else min(self.least, other.least)
        self.most = other.most if self.most is None else max(self.most, other.most)
        self.zeros += other.zeros
        for at, times in other._counts.items():
            self._count(at, times)

    def quantile(self, share: float) -> float | None:
        """The value that `share` (0..1) of all values do not exceed: number floor(share * (n - 1)) of n in order, from
        0. Within `ACCURACY` of the true one, unless the lowest buckets have collapsed; None without values."""
        assert 0 <= share <= 1, share
        if self.least is None or self.most is None:
            return None
        rank, seen = int(share * (self.count - 1)), self.zeros
        if rank < seen:
            return self.least
        for at in sorted(self._counts):
            seen += self._counts[at]
            if rank < seen:
                return min(max(middle(at), self.least), self.most)
        return self.most

    def to_body(self) -> SketchBody:
        """The sketch for the wire."""
        used = sorted(self._counts)
        before = used[0] - 1 if used else 0
        steps = zip(used, [before, *used], strict=False)
        counts = [min(self._counts[at], BUCKET_COUNT_MAX) for at in used]
        zeros = min(self.zeros, BUCKET_COUNT_MAX)
        buckets = [number for (at, last), times in zip(steps, counts, strict=True) for number in (at - last, times)]
        total, count = self.total, zeros + sum(counts)
        if count != self.count:  # the wire has a limit
            total = total / self.count * count
        return SketchBody(zeros, before, tuple(buckets), total, self.least, self.most)

    @classmethod
    def of(cls, body: SketchBody) -> Sketch:
        """Read the sketch of a peer. Raises `RemoteError` ("malformed-sketch") if no values can give it."""
        sketch = cls()
        steps, counts = body.buckets[::2], body.buckets[1::2]
        if len(steps) != len(counts) or sum(steps) - (steps[0] if steps else 0) >= SPAN_MAX:
            raise RemoteError("malformed-sketch", "buckets without counts, or too far apart")
        at = body.before
        for step, times in zip(steps, counts, strict=True):
            at += step
            sketch._counts[at] = times
        used = list(sketch._counts)
        sketch.zeros, sketch.count = body.zeros, body.zeros + sum(counts)
        sketch.total, sketch.least, sketch.most = body.total, body.least, body.most
        if used:
            sketch._highest, sketch._lowest = used[-1], max(used[-1] - SPAN_MAX + 1, -INDEX_MAX)
        sketch._check(used)
        return sketch

    def _check(self, used: list[int]) -> None:
        """Raise unless counts, extremes and sum agree."""
        if self.least is None or self.most is None or not self.count:
            if (self.count, self.total, self.least, self.most) != (0, 0.0, None, None):
                raise RemoteError("malformed-sketch", "extremes and no values, or values and no extremes")
            return
        if not (isfinite(self.total) and self.least <= self.most <= VALUE_MAX):
            raise RemoteError("malformed-sketch", f"from {self.least} to {self.most}, in all {self.total}")
        if (self.zeros > 0) != (self.least < VALUE_MIN) or bool(used) != (self.most >= VALUE_MIN):
            raise RemoteError("malformed-sketch", "zeros and extremes do not match")
        if used and (used[-1] != index(self.most) or (not self.zeros and index(self.least) > used[0])):
            raise RemoteError("malformed-sketch", "buckets and extremes do not match")
        low, high = self.count * self.least * (1 - _SLACK), self.count * self.most * (1 + _SLACK)
        if not low <= self.total <= high:
            raise RemoteError("malformed-sketch", f"{self.count} values add up to {self.total}")

    def _count(self, at: int, times: int) -> None:
        if at > self._highest:
            self._highest = at
            if at - SPAN_MAX + 1 > self._lowest:
                self._lowest = at - SPAN_MAX + 1
                self._collapse()
        at = max(at, self._lowest)
        self._counts[at] = self._counts.get(at, 0) + times

    def _collapse(self) -> None:
        low = [at for at in self._counts if at < self._lowest]
        if low:
            times = sum(self._counts.pop(at) for at in low)
            self._counts[self._lowest] = self._counts.get(self._lowest, 0) + times

    def _essence(self) -> tuple[object, ...]:
        return self._counts, self.zeros, self.count, self.least, self.most


def index(value: float) -> int:
    """The bucket of a value from `VALUE_MIN` to `VALUE_MAX`."""
    return ceil(log(value) / _LOG_GAMMA)


def middle(at: int) -> float:
    """The value that is equally far from both ends of a bucket, in proportion."""
    return float(2 * GAMMA**at / (GAMMA + 1))


# HyperLogLog (Flajolet et al. 2007): how many different peers there are. Registers keep the greatest number of leading
# zeros among the hashes that fall to each. The standard error is 1.04 / sqrt(64) = 13 %, so it only checks the exact
# counts in summaries. A union is the greater of each pair. If two zones count one peer, the estimate of the union is
# below the sum.

REGISTERS = 64
RANK_MAX = 59
"""All of the 58 bits that are left of a hash are zero, and one more."""
_ALPHA = 0.709
"""The bias correction for 64 registers (figure 3 of the paper)."""

Registers = Annotated[bytes, Meta(min_length=REGISTERS, max_length=REGISTERS)]


def registers(members: Iterable[bytes]) -> bytes:
    """Registers of a set of ids."""
    found = bytearray(REGISTERS)
    for member in members:
        hashed = int.from_bytes(blake2b(member, digest_size=8, person=b"peerscope hll").digest(), "big")
        at, rest = hashed >> 58, hashed & ((1 << 58) - 1)
        found[at] = max(found[at], 59 - rest.bit_length())
    return bytes(found)


def merge_registers(sketches: Iterable[bytes]) -> bytes:
    """Registers of the union."""
    found = bytes(REGISTERS)
    for sketch in sketches:
        found = bytes(map(max, found, sketch))
    return found


def estimate_distinct(sketch: bytes) -> float:
    """Estimate the number of different ids. A rank that no hash can have counts as the greatest."""
    ranks = [min(rank, RANK_MAX) for rank in sketch]
    raw = _ALPHA * REGISTERS**2 / sum(2.0**-rank for rank in ranks)
    empty = ranks.count(0)
    return REGISTERS * log(REGISTERS / empty) if raw <= 2.5 * REGISTERS and empty else raw
