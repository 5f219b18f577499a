"""How much one neighbour may send: token buckets, far above what honest peers need.

Measured in the simulator, with unlimited peers, the most that one neighbour sent another (storm-start, kill-many,
lossy, churn and partition, up to 600 peers): see docs/reference/limits.md. A bucket holds what a first sync of the
largest ledger needs, and fills at ten times the rate of the worst minute.
"""

from __future__ import annotations

from math import isfinite

from msgspec import Struct

from peerscope.errors import ConfigError
from peerscope.mesh.messages import Digest, Find, Hello, Message, Neighbors, Ping, Pong, Pull
from peerscope.records.identity import PeerId

TOPICS_PER_REQUEST = 32
"""A pull counts once, and once more for so many topics: each asks for a record."""
HELLO_REQUESTS = 4
"""A hello sets much in motion: it counts like so many requests."""
FIND_REQUESTS = 4
"""It makes us look at everybody we know."""
UNGREETED_BYTES_MAX = 1024
"""Longest message of somebody who is not admitted yet: a hello with a certificate has 400 bytes."""


class LimitConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one neighbour may send. What goes beyond is dropped and counts against it."""

    messages_per_s: float = 100.0
    messages_burst: float = 4_000.0
    """Messages saved up while it is quiet: a first sync with 10,000 peers takes about 600; when a tenth of 300 peers
    dies, one neighbour has 90 to tell."""
    bytes_per_s: float = 200_000.0
    bytes_burst: float = 32_000_000.0
    """The same sync in bytes: 10,000 peers with three records of 600 bytes, and half as much again."""
    requests_per_s: float = 20.0
    """Hellos, pulls, comparisons and questions of crawlers: what makes us send."""
    requests_burst: float = 2_000.0
    """Pulls of 30,000 records, twice."""
    pings_per_s: float = 20.0
    """A neighbour in doubt probes four times a second, and answers as often."""
    pings_burst: float = 400.0
    """What may have waited while one of us was paused for a minute."""
    records_per_s: float = 5.0
    """New records of one origin, whoever brings them: each is passed on through the whole network. Beyond it the newest
    one comes with a later announcement or sync."""
    records_burst: float = 200.0

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if not isfinite(value) or value < 1:
                raise ConfigError(f"limits.{name} is {value}; must be 1 or more")


class TokenBucket:
    """Fills at a rate up to its size; whoever takes more than it holds gets nothing."""

    __slots__ = ("_at", "_burst", "_held", "_rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._held = burst
        self._at = now

    def take(self, cost: float, now: float, share: float = 1.0) -> bool:
        """Take so much, if it is there. `share`: of the usual rate, for somebody who is throttled."""
        self._fill(now, share)
        if cost > self._held:
            return False
        self._held -= cost
        return True

    def wait_s(self, cost: float, now: float) -> float:
        """Take so much in any case; how long to wait until it would have been there."""
        self._fill(now, 1.0)
        self._held -= cost
        return max(0.0, -self._held / self._rate)

    def is_full(self, now: float) -> bool:
        """Nothing was taken lately."""
        return self._held + (now - self._at) * self._rate >= self._burst

    def _fill(self, now: float, share: float) -> None:
        self._held = min(self._burst, self._held + max(0.0, now - self._at) * self._rate * share)
        self._at = max(self._at, now)


class Allowance:
    """What one neighbour has left. It outlives connections, so that a new one brings nothing new."""

    __slots__ = ("_bytes", "_messages", "_pings", "_requests")

    def __init__(self, config: LimitConfig, now: float) -> None:
        self._messages = TokenBucket(config.messages_per_s, config.messages_burst, now)
        self._bytes = TokenBucket(config.bytes_per_s, config.bytes_burst, now)
        self._requests = TokenBucket(config.requests_per_s, config.requests_burst, now)
        self._pings = TokenBucket(config.pings_per_s, config.pings_burst, now)

    def hears(self, size: int, now: float, share: float) -> bool:
        """A message of this size may be looked at."""
        return self._messages.take(1.0, now, share) and self._bytes.take(size, now, share)

    def serves(self, message: Message, now: float, share: float) -> bool:
        """What it asks for may be done."""
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
        """As if nothing had ever been sent."""
        return all(bucket.is_full(now) for bucket in (self._messages, self._bytes, self._requests, self._pings))


class Origins:
    """How often each origin may have news. Only what it signed itself counts, so that nobody uses it up for another."""

    def __init__(self, config: LimitConfig) -> None:
        self._config = config
        self._buckets: dict[PeerId, TokenBucket] = {}

    def may_speak(self, origin: PeerId, now: float) -> bool:
        """Take one record of it in."""
        bucket = self._buckets.get(origin)
        if bucket is None:
            bucket = self._buckets[origin] = TokenBucket(self._config.records_per_s, self._config.records_burst, now)
        return bucket.take(1.0, now)

    def forget(self, origin: PeerId) -> None:
        """It is in the ledger no more."""
        self._buckets.pop(origin, None)
