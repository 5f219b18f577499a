"""DHT keys whose nearest nodes are too near: an attacker placed ids around them.

The size of the network determines how many of the 20 nodes nearest to a key share so many leading bits with it. The
Kullback-Leibler divergence from this expectation shows ids that were ground to lie near the key. The method is that of
Sridhar et al. (2023, "Content Censorship in the InterPlanetary File System"), with their limit of 0.94. The size is the
median over lookups of all keys, so a few attacked keys do not move it.

The divergence alone would accuse one honest key in a hundred. So the nearness must also be unlikely by chance, over all
keys.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from math import inf, log
from statistics import median

from msgspec import Struct

from peerscope.threats.chance import belief, discoveries, poisson_tail
from peerscope.threats.findings import Finding, finding
from peerscope.threats.signatures import Signature

KEYS_MAX = 128
LOOK_INTERVAL_S = 60.0
"""Time between tests of all keys, which cost some milliseconds."""
NEAREST = 20
NEAREST_MIN = 10
BITS_MIN = 64
BITS_MAX = 512


class Looked(Struct, frozen=True):
    """The last lookup of one key."""

    at: float
    shared: tuple[int, ...]
    """Leading bits that each of the nearest nodes shares with the key."""
    size: float
    """Size of the network, estimated from the distance of the farthest of them."""


class Keys:
    """The latest lookups with the nodes that they found."""

    def __init__(self) -> None:
        self._looked: OrderedDict[str, Looked] = OrderedDict()
        self._found: list[Finding] = []
        self._look_at = -inf

    def note(self, key: str, closest: Sequence[str], now: float) -> None:
        """Add the ids that a lookup found nearest to a key. Ids of another length are ignored."""
        bits = len(key) * 4
        place = _number(key)
        if place is None or not BITS_MIN <= bits <= BITS_MAX:
            return
        others = {number for name in closest if len(name) == len(key) and (number := _number(name)) is not None}
        distances = sorted(place ^ other for other in others if other != place)[:NEAREST]
        if len(distances) < NEAREST_MIN:
            return
        shared = tuple(bits - distance.bit_length() for distance in distances)
        # The n-th of N nodes is at about n / N of the whole distance; n - 1 makes the estimate unbiased.
        size = (len(distances) - 1) * 2.0**bits / distances[-1]
        self._looked[key] = Looked(now, shared, size)
        self._looked.move_to_end(key)
        while len(self._looked) > KEYS_MAX:
            self._looked.popitem(last=False)

    def find(self, signature: Signature, now: float) -> list[Finding]:
        """Findings about surrounded keys, computed once a minute."""
        if now >= self._look_at:
            self._look_at = now + LOOK_INTERVAL_S
            self._found = self._look(signature, now)
        return self._found

    def _look(self, signature: Signature, now: float) -> list[Finding]:
        while self._looked and now - next(iter(self._looked.values())).at > signature.window_s:
            self._looked.popitem(last=False)
        if len(self._looked) <= signature.samples_min:
            return []
        size = median(looked.size for looked in self._looked.values())
        looked = list(self._looked.items())
        shares = discoveries([crowding(one.shared, size) for _, one in looked])
        found = []
        for (key, one), share in zip(looked, shares, strict=True):
            if share > signature.false_discovery:
                continue
            apart = divergence(one.shared, size)
            reached = signature.grade(apart)
            if reached is None:
                continue
            evidence = (
                ("key", key),
                ("divergence", f"{apart:.2f}"),
                ("limit", f"{reached[1]:.2f}"),
                ("nearest", len(one.shared)),
                ("network_size", f"{size:.0f}"),
                ("false_discovery", f"{share:.1e}"),
            )
            found.append(
                finding(
                    signature,
                    key[:16],
                    severity=reached[0],
                    confidence=belief(share),
                    text=f"the {len(one.shared)} nodes nearest to key {key[:16]} diverge by {apart:.2f} from chance",
                    evidence=evidence,
                )
            )
        return found


def divergence(shared: Sequence[int], size: float) -> float:
    """Kullback-Leibler divergence in nats of shared leading bits from the expectation for this network size."""
    counts, total = Counter(shared), len(shared)
    expected = [_expected(bits, total, size) for bits in range(max(shared) + 1)]
    return sum(count / total * log(count / total / max(expected[bits], 1e-9)) for bits, count in sorted(counts.items()))


def crowding(shared: Sequence[int], size: float) -> float:
    """The chance that so many nodes are so near, over all distances."""
    ordered = sorted(shared, reverse=True)
    chances = [poisson_tail(rank, size / 2.0**bits) for rank, bits in enumerate(ordered, 1)]
    return min(1.0, min(chances) * len(chances))


def _expected(bits: int, total: int, size: float) -> float:
    """Expected share of the nearest `total` nodes with exactly this many leading bits of the key."""
    return (_within(bits, total, size) - _within(bits + 1, total, size)) / total


def _within(bits: int, total: int, size: float) -> float:
    """Expected number of the nearest with at least this many bits: a Poisson number, capped at `total`."""
    mean = size / 2.0**bits
    return sum(poisson_tail(rank, mean) for rank in range(1, total + 1))


def _number(text: str) -> int | None:
    try:
        return int(text, 16) if text.isascii() and text.isalnum() else None
    except ValueError:
        return None
