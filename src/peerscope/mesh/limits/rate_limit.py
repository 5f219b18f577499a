"""Rate limits of one neighbour: token buckets, far above the needs of honest peers.

docs/reference/limits.md has the measurements: the most that one neighbour sent another in the simulator, with up to 600
peers without limits. A bucket holds a first sync of the largest ledger, and fills at ten times the rate of the worst
minute.
"""

from __future__ import annotations

from math import isfinite

from msgspec import Struct

from peerscope.errors import ConfigError
from peerscope.mesh.messages import Digest, Find, Hello, Message, Neighbors, Ping, Pong, Pull
from peerscope.records.identity import PeerId

TOPICS_PER_REQUEST = 32
"""A pull counts once, and once more for so many topics."""
HELLO_REQUESTS = 4
"""A hello counts like so many requests, since it starts much work."""
FIND_REQUESTS = 4
"""A `Find` counts like so many requests, since it searches the whole ledger."""
UNGREETED_BYTES_MAX = 1024
"""Longest message before the hello of a peer. A hello with a certificate has 400 bytes."""


class LimitConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of one neighbour. Messages beyond them are dropped, and count against it."""

    messages_per_s: float = 100.0
    messages_burst: float = 4_000.0
    """Messages that a quiet neighbour saves up. A first sync with 10,000 peers takes about 600."""
    bytes_per_s: float = 200_000.0
    bytes_burst: float = 32_000_000.0
    """The same sync in bytes: 10,000 peers with three records of 600 bytes, and half as much again."""
    requests_per_s: float = 20.0
    """Messages that make us send: hellos, pulls, comparisons and questions of crawlers."""
    requests_burst: float = 2_000.0
    """Pulls of 30,000 records, twice."""
    pings_per_s: float = 20.0
    """A neighbour in doubt probes four times a second, and answers as often."""
    pings_burst: float = 400.0
    """Pings that may have queued while one of us was paused for a minute."""
    records_per_s: float = 5.0
    """New records of one origin, through any neighbour. Beyond it, the newest one comes with a later announcement or
    comparison."""
    records_burst: float = 200.0

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if not isfinite(value) or value < 1:
                raise ConfigError(f"limits.{name} is {value}; must be 1 or more")


class TokenBucket:
    """A token bucket: it fills at a rate, up to its size."""

    __slots__ = ("_at", "_burst", "_held", "_rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._held = burst
        self._at = now

    def take(self, cost: float, now: float, share: float = 1.0) -> bool:
        """Take `cost`, if the bucket holds it. `share`: of the usual rate, for throttled neighbours."""
        self._fill(now, share)
        if cost > self._held:
            return False
        self._held -= cost
        return True

    def wait_s(self, cost: float, now: float) -> float:
        """Take `cost` in any case: seconds to wait until the bucket would have held it."""
        self._fill(now, 1.0)
        self._held -= cost
        return max(0.0, -self._held / self._rate)

    def is_full(self, now: float) -> bool:
        return self._held + (now - self._at) * self._rate >= self._burst

    def _fill(self, now: float, share: float) -> None:
        self._held = min(self._burst, self._held + max(0.0, now - self._at) * self._rate * share)
        self._at = max(self._at, now)


class Allowance:
    """The buckets of one neighbour. They outlive its connections."""

    __slots__ = ("_bytes", "_messages", "_pings", "_requests")

    def __init__(self, config: LimitConfig, now: float) -> None:
        self._messages = TokenBucket(config.messages_per_s, config.messages_burst, now)
        self._bytes = TokenBucket(config.bytes_per_s, config.bytes_burst, now)
        self._requests = TokenBucket(config.requests_per_s, config.requests_burst, now)
        self._pings = TokenBucket(config.pings_per_s, config.pings_burst, now)

    def hears(self, size: int, now: float, share: float) -> bool:
        """A message of this size is within the limits."""
        return self._messages.take(1.0, now, share) and self._bytes.take(size, now, share)

    def serves(self, message: Message, now: float, share: float) -> bool:
        """The request in a message is within the limits."""
        match message:
            case Ping() | Pong():
                return self._pings.take(1.0, now, share)
            case Find():
                return self._requests.take(FIND_REQUESTS, now, share)
            case Hello():
                return self._requests.take(HELLO_REQUESTS, now, share)
            case Pull(topics):
                return self._requests.take(1.0 + len(topics) / TOPICS_PER_REQUEST, now, share)
            case Digest() | Neighbors():
                return self._requests.take(1.0, now, share)
            case _:
                return True

    def is_full(self, now: float) -> bool:
        return all(bucket.is_full(now) for bucket in (self._messages, self._bytes, self._requests, self._pings))


class OriginLimits:
    """Rate limits of new records by origin. Only signed records count, so no peer uses up the limit of another."""

    def __init__(self, config: LimitConfig) -> None:
        self._config = config
        self._buckets: dict[PeerId, TokenBucket] = {}

    def allows(self, origin: PeerId, now: float) -> bool:
        """Count one record; False beyond the limit."""
        bucket = self._buckets.get(origin)
        if bucket is None:
            bucket = self._buckets[origin] = TokenBucket(self._config.records_per_s, self._config.records_burst, now)
        return bucket.take(1.0, now)

    def forget(self, origin: PeerId) -> None:
        """The origin is not in any ledger."""
        self._buckets.pop(origin, None)
