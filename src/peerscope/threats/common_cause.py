"""Whether the traffic of the other peers' nodes rose as well: then it is no attack on one of them.

A release, a popular file or the end of an outage raises the traffic of all nodes at once. Each agent sees only that its
own node has five times its usual traffic. The reports of the others show that theirs have as well. Such a finding
stays, with the severity low, since an attack on the whole network looks the same.

Once a minute the last reported throughput of each node of our kind is kept, for an hour. A node has risen if the median
of its last two minutes is half of the wanted factor above the median of those before. At least four other nodes must be
known for ten minutes. More than half of these must have risen, so that fewer liars change nothing.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from statistics import median

from msgspec import Struct

from peerscope.records.identity import PeerId
from peerscope.views.links import layer_of
from peerscope.views.snapshot import Snapshot

STEP_S = 60.0
KEPT = 60
LATELY = 2
PAST_MIN = 10
OTHERS_MIN = 4


class CommonRise(Struct, frozen=True):
    """How many of the other nodes rose too."""

    risen: int
    of: int

    @property
    def is_common(self) -> bool:
        """Most of them did."""
        return self.of >= OTHERS_MIN and 2 * self.risen > self.of


class OthersTraffic:
    """The throughput of the other peers' nodes, by the minute."""

    def __init__(self) -> None:
        self._past: dict[PeerId, deque[float]] = {}
        self._next_at: float | None = None

    def note(self, snapshot: Snapshot) -> None:
        """Keep what they report, once a minute."""
        if self._next_at is not None and snapshot.now < self._next_at:
            return
        self._next_at = snapshot.now + STEP_S
        mine = snapshot.profiles.get(snapshot.me)
        layer = None if mine is None else layer_of(mine)
        known = {peer for peer, other in snapshot.profiles.items() if peer != snapshot.me and layer_of(other) == layer}
        self._past = {peer: past for peer, past in self._past.items() if peer in known}
        for peer in known:
            report = snapshot.fresh_report(peer)
            metrics = None if report is None else report.metrics
            if metrics is None or metrics.node is None or metrics.performance.throughput_bytes_s is None:
                continue
            self._past.setdefault(peer, deque(maxlen=KEPT)).append(float(metrics.performance.throughput_bytes_s))

    def rise(self, times: float) -> CommonRise:
        """How many rose by half of this factor."""
        known = [past for past in self._past.values() if len(past) >= PAST_MIN + LATELY]
        return CommonRise(sum(_has_risen(past, times / 2) for past in known), len(known))


def _has_risen(past: deque[float], times: float) -> bool:
    before = median(islice(past, len(past) - LATELY))
    return median(islice(past, len(past) - LATELY, None)) > times * before
