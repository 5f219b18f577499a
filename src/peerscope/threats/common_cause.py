"""Whether the traffic of the other peers' nodes rose as well: then it is no attack on one of them.

A release, a popular file or the end of an outage raises the traffic of all nodes at once. Each agent sees only that its
own node has five times its usual traffic. The reports of the others show that theirs have as well. Such a finding
stays, with the severity low, since an attack on the whole network looks the same.

Once a minute the last reported throughput of each node of our kind is kept, and every ten minutes their median, for a
day. That is as long as the past of our own node. So what is usual for the others changes as late as what is usual for
ours. A node has risen if the median of its last two minutes is half of the wanted factor above its usual. At least four
other nodes must be known for ten minutes. More than half of these must have risen, so that fewer liars change nothing.

Nodes whose usual traffic is none, or less than a hundredth of ours, do not count: they rise by any factor with little.
"""

from __future__ import annotations

from collections import deque
from statistics import median, median_low

from msgspec import Struct

from peerscope.records.identity import PeerId
from peerscope.views.links import layer_of
from peerscope.views.snapshot import Snapshot

STEP_S = 60.0
STEPS = 10
"""Minutes of one median."""
KEPT = 144
"""Medians of a day."""
LATELY = 2
OTHERS_MIN = 4
IDLE = 0.01
"""A node with less than this share of our usual traffic does not count."""


class CommonRise(Struct, frozen=True):
    """How many of the other nodes rose too."""

    risen: int
    of: int

    @property
    def is_common(self) -> bool:
        """Most of them did."""
        return self.of >= OTHERS_MIN and 2 * self.risen > self.of


class UsualTraffic:
    """Reported throughput of one node over the last day."""

    def __init__(self) -> None:
        self._minutes: list[float] = []
        self._medians: deque[float] = deque(maxlen=KEPT)
        self._lately: deque[float] = deque(maxlen=LATELY)

    def add(self, bytes_s: float) -> None:
        """Add a minute. The last ones become the past later."""
        if len(self._lately) == LATELY:
            self._minutes.append(self._lately[0])
        self._lately.append(bytes_s)
        if len(self._minutes) == STEPS:
            self._medians.append(median(self._minutes))
            self._minutes.clear()

    @property
    def usual(self) -> float | None:
        """Median of the day; None in the first minutes."""
        return median_low(self._medians) if self._medians else None

    def has_risen(self, times: float) -> bool:
        """Whether the last minutes are above this multiple of the usual."""
        return self.usual is not None and median(self._lately) > times * self.usual


class OthersTraffic:
    """The throughput of all peers' nodes of our kind, by the minute."""

    def __init__(self) -> None:
        self._past: dict[PeerId, UsualTraffic] = {}
        self._me: PeerId | None = None
        self._next_at: float | None = None

    def note(self, snapshot: Snapshot) -> None:
        """Keep what they report, once a minute."""
        if self._next_at is not None and snapshot.now < self._next_at:
            return
        self._next_at, self._me = snapshot.now + STEP_S, snapshot.me
        mine = snapshot.profiles.get(snapshot.me)
        layer = None if mine is None else layer_of(mine)
        known = {peer for peer, other in snapshot.profiles.items() if layer_of(other) == layer}
        self._past = {peer: past for peer, past in self._past.items() if peer in known}
        for peer in known:
            report = snapshot.fresh_report(peer)
            metrics = None if report is None else report.metrics
            if metrics is None or metrics.node is None or metrics.performance.throughput_bytes_s is None:
                continue
            self._past.setdefault(peer, UsualTraffic()).add(float(metrics.performance.throughput_bytes_s))

    def rise(self, times: float) -> CommonRise:
        """How many of the others rose by half of this factor."""
        ours = next((past.usual for peer, past in self._past.items() if peer == self._me), None)
        least = IDLE * (ours or 0.0)
        known = [
            past
            for peer, past in self._past.items()
            if peer != self._me and (usual := past.usual) is not None and usual > 0 and usual >= least
        ]
        return CommonRise(sum(past.has_risen(times / 2) for past in known), len(known))
