"""Traces: the way of one message, from the hops that this agent knows.

Our own gossip carries its hops along. A node beside us reports its own hops. If its messages carry their history, as
W3C Trace Context does, it also reports those at the peers before it. Times of another peer are by that peer's clock.
The caller corrects them with `local_time`; without a known clock the time is unknown. A time between two clocks is
also unknown if it is shorter than the likely error of those clocks.

A message that a peer received, and neither passed on nor delivered within `expiry_s`, is undelivered. The fate of a
message that left for another peer is unknown without further reports. That holds for nearly all messages of a node.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from itertools import pairwise
from typing import Annotated, Literal

from msgspec import Meta, Struct

from peerscope.records.identity import PeerRef
from peerscope.records.texts import OverlayId

TRACES_MAX = 4096
HOPS_MAX = 32
EXPIRY_S = 60.0
UNIX_S_MAX = 2**43

HopKind = Literal["sent", "received", "forwarded", "delivered"]
Fate = Literal["delivered", "undelivered", "unknown"]
Layer = Literal["mesh", "node"]
"""Our own gossip, or messages of the node beside us."""

Stop = PeerRef | str | None
"""A peer of this network, the name of another one among its neighbours, or None if unknown."""
Path = tuple[Stop, ...]


class HopEvent(Struct, frozen=True, tag="hop", tag_field="type"):
    """A node's report of one message at one peer. Reports of earlier hops come before those of later ones."""

    message_id: Annotated[str, Meta(min_length=1, max_length=128)]
    hop: HopKind
    at: Annotated[float, Meta(ge=0, le=UNIX_S_MAX)]
    """Unix seconds by the clock of that peer."""
    peer: OverlayId | None = None
    """A peer id, or a node's name in its own network; by default the node itself."""


class Trace(Struct, frozen=True):
    """The known way of one message."""

    layer: Layer
    path: Path
    hops_s: tuple[float | None, ...]
    """From each stop of the path to the next, with the wait there; None if unknown."""
    latency_s: float | None
    """From sent to delivered."""
    fate: Fate
    error_s: float | None = None
    """Likely error of `latency_s`; None if it is unknown, or if this agent's own pings know all its clocks."""
    bound_s: float | None = None
    """Greatest error of `latency_s`, even if one other peer lies about clocks; None as above."""


class _Hop(Struct, frozen=True, gc=False):
    kind: HopKind
    stop: Stop
    at: float | None
    error_s: float = 0.0
    bound_s: float = 0.0


class _Open:
    __slots__ = ("hops", "is_ended", "opened_at")

    def __init__(self, now: float) -> None:
        self.opened_at = now
        self.hops: list[_Hop] = []
        self.is_ended = False


class Traces:
    """Follows messages of the node beside us. All times of hops are by our own clock."""

    def __init__(self, most: int = TRACES_MAX, expiry_s: float = EXPIRY_S) -> None:
        self._most = most
        self._expiry_s = expiry_s
        self._open: OrderedDict[str, _Open] = OrderedDict()
        """Oldest first. An ended trace stays until it expires, so that late hops do not begin a new one."""
        self.counters: Counter[str] = Counter()
        """Traces by fate, and those that others crowded out; hops that were clamped, repeated, late or too many."""

    def __len__(self) -> int:
        return sum(not trace.is_ended for trace in self._open.values())

    def add(
        self,
        message_id: str,
        kind: HopKind,
        stop: Stop,
        at: float | None,
        now: float,
        *,
        error_s: float = 0.0,
        bound_s: float = 0.0,
    ) -> list[Trace]:
        """Add one hop, and return the traces that it or time has ended.

        `at`: Unix seconds by our own clock, None where unknown; `now`: monotonic; `error_s` and `bound_s`: likely and
        greatest error of `at`.
        """
        ended = self.expire(now)
        trace = self._open.get(message_id)
        if trace is None:
            if len(self._open) >= self._most:
                self.counters["crowded-out"] += 1
                ended += self._end(self._open.popitem(last=False)[1])
            trace = self._open[message_id] = _Open(now)
        if trace.is_ended:
            self.counters["late"] += 1
        elif any((hop.kind, hop.stop) == (kind, stop) for hop in trace.hops):
            self.counters["repeated"] += 1
        elif len(trace.hops) >= HOPS_MAX and kind != "delivered":
            self.counters["too-many"] += 1
        else:
            trace.hops.append(_Hop(kind, stop, self._clamped(trace.hops, at), error_s, bound_s))
            if kind == "delivered":
                ended += self._end(trace)
        return ended

    def expire(self, now: float) -> list[Trace]:
        """Return the traces that time has ended."""
        ended: list[Trace] = []
        while self._open:
            oldest = next(iter(self._open.values()))
            if now - oldest.opened_at < self._expiry_s:
                break
            self._open.popitem(last=False)
            ended += self._end(oldest)
        return ended

    def _clamped(self, hops: list[_Hop], at: float | None) -> float | None:
        """Correct small errors of clocks: no hop is earlier than the one before it."""
        latest = max((hop.at for hop in hops if hop.at is not None), default=None)
        if at is None or latest is None or at >= latest:
            return at
        self.counters["clamped"] += 1
        return latest

    def _end(self, trace: _Open) -> list[Trace]:
        if trace.is_ended:
            return []
        trace.is_ended = True
        found = _traced(trace.hops)
        self.counters[found.fate] += 1
        return [found]


def local_time(at: float, ahead_s: float | None) -> float | None:
    """Convert a time by a clock that is `ahead_s` ahead of ours; None if that is unknown."""
    return None if ahead_s is None else at - ahead_s


def _traced(hops: list[_Hop]) -> Trace:
    first, last = hops[0], hops[-1]
    unknown = _Hop("sent", None, None)
    stops: list[Stop] = [] if first.kind == "sent" else [None]
    times: list[_Hop] = [] if first.kind == "sent" else [unknown]
    for hop in hops:
        if not stops or hop.stop != stops[-1]:
            stops.append(hop.stop)
            times.append(hop)
    times[-1] = last  # the wait before the delivery counts as well
    hops_s = tuple(_between(before, after) for before, after in pairwise(times))
    if last.kind == "delivered":
        latency_s = _between(first if first.kind == "sent" else unknown, last)
        error_s = None if latency_s is None else (first.error_s + last.error_s) or None
        bound_s = None if latency_s is None else (first.bound_s + last.bound_s) or None
        return Trace("node", tuple(stops), hops_s, latency_s, "delivered", error_s, bound_s)
    return Trace("node", tuple(stops), hops_s, None, "undelivered" if last.kind == "received" else "unknown")


def _between(before: _Hop, after: _Hop) -> float | None:
    if before.at is None or after.at is None:
        return None
    took_s = max(0.0, after.at - before.at)
    is_lost = before.stop != after.stop and before.error_s + after.error_s > took_s
    return None if is_lost else took_s
