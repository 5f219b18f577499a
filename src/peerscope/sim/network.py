"""The virtual network: how long a message takes, and whether it arrives at all, once, or twice."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from msgspec import Struct

from peerscope.mesh.events import Lane
from peerscope.records.identity import PeerId
from peerscope.sim.node import Machine

RETRANSMIT_S = 0.2
REORDER_S = 0.1

Latency = Callable[[Machine, Machine, Random], float]
"""One-way seconds from one machine to another, drawn for one message."""


class NetworkFaults(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Faults that datagrams suffer; streams turn each loss into a retransmission."""

    loss: float = 0.0
    """Share of packets that are lost, each way."""
    duplicate: float = 0.0
    """Share of datagrams that arrive twice."""
    reorder: float = 0.0
    """Share of datagrams held up for up to a tenth of a second."""


class VirtualNetwork:
    """Latency, loss and cuts between virtual machines."""

    def __init__(self, latency: Latency, faults: NetworkFaults, rng: Random) -> None:
        self.faults = faults
        self._latency = latency
        self._rng = rng
        self._cuts: list[tuple[frozenset[PeerId], frozenset[PeerId], bool]] = []
        self._stream_free_at: dict[tuple[PeerId, PeerId], float] = {}
        self._lossy: dict[tuple[PeerId, PeerId], float] = {}

    def cut(self, one: frozenset[PeerId], other: frozenset[PeerId], *, both_ways: bool = True) -> None:
        """Nothing goes from `one` to `other` any more, nor back if `both_ways`."""
        self._cuts.append((one, other, both_ways))

    def heal(self) -> None:
        """Everything crosses again."""
        self._cuts.clear()
        self._lossy.clear()

    def degrade(self, sender: PeerId, receiver: PeerId, loss: float) -> None:
        """One direction of one link loses this share of its packets."""
        self._lossy[sender, receiver] = loss

    def is_cut(self, sender: PeerId, receiver: PeerId) -> bool:
        """Does nothing cross from one to the other?"""
        return any(
            (sender in one and receiver in other) or (both_ways and sender in other and receiver in one)
            for one, other, both_ways in self._cuts
        )

    def delay_s(self, one: Machine, other: Machine) -> float:
        """One-way seconds between two machines, drawn now."""
        return self._latency(one, other, self._rng)

    def arrivals(self, sender: PeerId, to: PeerId, lane: Lane, sent_at: float, delay_s: float) -> list[float]:
        """When a message arrives: never, once, or twice."""
        if self._cuts and self.is_cut(sender, to):
            return []
        loss = self.faults.loss
        if self._lossy:
            loss = max(loss, self._lossy.get((sender, to), 0.0))
        if lane is Lane.STREAM:
            return [self._streamed(sender, to, sent_at + delay_s, loss)]
        if loss and self._rng.random() < loss:
            return []
        arrives = sent_at + delay_s
        if self.faults.reorder and self._rng.random() < self.faults.reorder:
            arrives += self._rng.uniform(0.0, REORDER_S)
        if self.faults.duplicate and self._rng.random() < self.faults.duplicate:
            return [arrives, arrives + self._rng.uniform(0.0, REORDER_S)]
        return [arrives]

    def drained_at(self, sender: PeerId, to: PeerId) -> float:
        """When everything sent on the stream so far has arrived."""
        return self._stream_free_at.get((sender, to), 0.0)

    def forget(self, sender: PeerId, to: PeerId) -> None:
        """The stream is gone."""
        self._stream_free_at.pop((sender, to), None)

    def _streamed(self, sender: PeerId, to: PeerId, arrives: float, loss: float) -> float:
        """In order, and once more after each loss, with a timer that doubles."""
        timeout_s = RETRANSMIT_S
        while loss and timeout_s < 60.0 and self._rng.random() < loss:
            arrives, timeout_s = arrives + timeout_s, timeout_s * 2
        arrives = max(arrives, self._stream_free_at.get((sender, to), 0.0))
        self._stream_free_at[sender, to] = arrives
        return arrives


def near(one: Machine, other: Machine, rng: Random) -> float:
    """One way 5 ms inside a region, 10 to 40 ms between regions: links of 20 to 80 ms."""
    return rng.uniform(0.004, 0.006) if one.region == other.region else rng.uniform(0.01, 0.04)


def fixed(rtt_s: float) -> Latency:
    """The same round trip between all."""
    return lambda one, other, rng: rtt_s / 2
