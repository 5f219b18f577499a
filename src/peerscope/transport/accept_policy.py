"""Decides which peers may begin a handshake, which costs us some milliseconds and the other end one packet.

- An agent on loopback accepts only connections from loopback: iroh also binds a random port of every address.
- Each address prefix may begin a limited number of handshakes a second.
- While several are in progress, strangers must first prove that they receive packets at their address (QUIC's Retry,
  RFC 9000, section 8.1.2). That takes them a round trip and us no memory, and stops forged addresses.
- When all places are taken, a new handshake replaces the oldest if that had its time: an honest one is over by then.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum

from peerscope.host.addresses import is_loopback, split_address
from peerscope.mesh.detection.observers import prefix
from peerscope.mesh.limits.rate_limit import TokenBucket

HANDSHAKES_MAX = 64
CROWD = 16
"""From so many handshakes in progress on, strangers must prove their address."""
IDENTITY_TIMEOUT_S = 2.0
"""Seconds that a handshake keeps its place while others wait."""
PREFIXES_MAX = 1_024
PER_PREFIX_S, PER_PREFIX_BURST = 20.0, 512.0
"""Handshakes that one prefix may begin: a machine may start hundreds of agents at once."""


class Decision(Enum):
    """The answer to an incoming connection."""

    COME_IN = "come in"
    PROVE_ADDRESS = "prove address"
    REFUSE = "refuse"


class AcceptPolicy:
    """Decides about each incoming connection, before any cryptography."""

    def __init__(self, *, local_only: bool) -> None:
        """`local_only`: take connections from this machine only."""
        self._local_only = local_only
        self._under_way: OrderedDict[int, float] = OrderedDict()
        """When each handshake began, oldest first."""
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()
        self._number = 0

    def __len__(self) -> int:
        return len(self._under_way)

    def ask(self, address: str | None, now: float, *, is_proved: bool) -> Decision:
        """Decide about a connection. `address`: "host:port"; None for a connection over a relay."""
        if address is not None:
            if self._local_only and not is_loopback(split_address(address, "address")[0].removeprefix("::ffff:")):
                return Decision.REFUSE
            if len(self._under_way) >= CROWD and not is_proved:
                return Decision.PROVE_ADDRESS
            if not self._bucket(prefix(address) or address, now).take(1.0, now):
                return Decision.REFUSE
        if len(self._under_way) >= HANDSHAKES_MAX and self.late(now) is None:
            return Decision.REFUSE
        return Decision.COME_IN

    def began(self, now: float) -> int:
        """Note that a handshake begins. Returns its number."""
        self._number += 1
        self._under_way[self._number] = now
        return self._number

    def ended(self, number: int) -> None:
        """Note that a handshake is over."""
        self._under_way.pop(number, None)

    def late(self, now: float) -> int | None:
        """The handshake to cancel while all places are taken; None if it still has time."""
        if len(self._under_way) < HANDSHAKES_MAX:
            return None
        number, began_at = next(iter(self._under_way.items()))
        return number if now - began_at > IDENTITY_TIMEOUT_S else None

    def _bucket(self, name: str, now: float) -> TokenBucket:
        bucket = self._buckets.pop(name, None) or TokenBucket(PER_PREFIX_S, PER_PREFIX_BURST, now)
        self._buckets[name] = bucket
        if len(self._buckets) > PREFIXES_MAX:
            self._buckets.popitem(last=False)
        return bucket
