"""How far the clock of any peer is ahead of ours, along the links of the mesh.

Pings measure the offset of two neighbours' clocks, and each end reports it. Offsets add up along a path, as in NTP
(RFC 5905), so this agent also knows the clocks of peers that it never pings.

- **Error.** Half the round trip of each link, since a ping does not show how much of it each way took. Errors add up
  along a path: the *bound*. Nearly always the two ways take nearly the same time. Then estimates over paths that share
  no peer agree far better than the bound, and their spread is the *likely* error.
- **Liars.** An offset counts only if both ends report the same one. A liar can still show a different clock to each
  neighbour, with matching reports, and so shift every path through it. So an estimate needs paths that share no peer,
  and more than half of them must agree. One path proves nothing.
- **Shared errors.** All paths to a peer use its access line. If that is slower one way, the clock seems off by half the
  difference on all of them. Only the bound covers that.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from math import inf
from statistics import median_low

from msgspec import Struct

from peerscope.records.bodies import SKEW_PARTS, Kind
from peerscope.records.identity import PeerRef, ref
from peerscope.views.snapshot import Snapshot

PATHS_MAX = 7
"""Paths to compare; each costs a walk over at most a few peers."""
PATHS_MIN = 2
"""The word of one path is not believed."""
SPREAD = 2.0
"""Likely error, in widths of the agreeing estimates. Measured: with links uneven by up to 10 %, 85 % lie within it."""
DRIFT = 50e-6
"""Seconds per second by which a clock without NTP drifts: crystals are within 50 parts in a million."""
ROUNDING_S = 1e-3 + 1 / SKEW_PARTS
"""Clocks in pings are whole milliseconds, offsets in reports ten-thousandths of a second."""


class ClockOffset(Struct, frozen=True, gc=False):
    """The clock of one peer."""

    ahead_s: float
    """Seconds that it is ahead of ours."""
    error_s: float
    """Likely error: twice the width within which more than half of the paths agree."""
    bound_s: float
    """Greatest possible error without liars."""
    paths: int
    """Paths that agree and share no peer."""

    @property
    def error_s_max(self) -> float:
        """Greatest possible error, even if liars are on half of the paths. Each peer can lie about its own clock."""
        return self.bound_s + self.error_s / 2


class _Edge(Struct, frozen=True, gc=False):
    ahead_s: float
    error_s: float


class MeshClocks:
    """Offsets of all clocks at one moment, by what peers report."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._me = ref(snapshot.me)
        self.contradicted = 0
        """Links whose ends report different offsets, so that neither counts."""
        self._edges: dict[PeerRef, dict[PeerRef, _Edge]] = {}
        self._link(snapshot)
        self._known: dict[PeerRef, tuple[float, float, PeerRef]] = {}
        """Offset, bound and the peer before it, on the path with the least bound."""
        self._walk()

    def of(self, peer: PeerRef) -> ClockOffset | None:
        """The clock of a peer; None if too few paths lead to it, or they do not agree."""
        if peer == self._me:
            return ClockOffset(0.0, 0.0, 0.0, 0)
        found = list(self._estimates(peer))
        if len(found) < PATHS_MIN:
            return None
        most = len(found) // 2 + 1
        found.sort(key=lambda edge: edge.ahead_s)
        agreeing = min(
            (found[first : first + most] for first in range(len(found) - most + 1)),
            key=lambda some: some[-1].ahead_s - some[0].ahead_s,
        )
        width_s = agreeing[-1].ahead_s - agreeing[0].ahead_s
        bound_s = max(edge.error_s for edge in agreeing)
        if width_s > 2 * bound_s:
            return None
        middle_s = median_low(edge.ahead_s for edge in agreeing)
        return ClockOffset(middle_s, SPREAD * width_s + ROUNDING_S, bound_s, len(agreeing))

    def _link(self, snapshot: Snapshot) -> None:
        """Keep the links whose ends agree, with the mean of the two offsets."""
        said: dict[tuple[PeerRef, PeerRef], _Edge] = {}
        for peer, report in snapshot.living_reports.items():
            entry = snapshot.ledger.get(peer, Kind.REPORT) if report is not None else None
            if report is None or entry is None:
                continue
            drift_s = ROUNDING_S + DRIFT * max(0.0, snapshot.now - entry.heard_at)
            here = ref(peer)
            for link in report.links:
                if link.ahead_s is not None and link.rtt_us is not None:
                    said[here, PeerRef(link.peer)] = _Edge(link.ahead_s, link.rtt_us / 2e6 + drift_s)
        for (here, there), ours in said.items():
            theirs = said.get((there, here)) if here < there else None
            if theirs is None:
                continue
            error_s = max(ours.error_s, theirs.error_s)
            if abs(ours.ahead_s + theirs.ahead_s) > error_s:
                self.contradicted += 1
                continue
            ahead_s = (ours.ahead_s - theirs.ahead_s) / 2
            self._edges.setdefault(here, {})[there] = _Edge(ahead_s, error_s)
            self._edges.setdefault(there, {})[here] = _Edge(-ahead_s, error_s)

    def _walk(self) -> None:
        """Find the path with the least bound to each peer (Dijkstra 1959)."""
        waiting = [(0.0, self._me, 0.0, self._me)]
        while waiting:
            bound_s, peer, ahead_s, before = heappop(waiting)
            if peer in self._known:
                continue
            self._known[peer] = ahead_s, bound_s, before
            for other, edge in self._edges.get(peer, {}).items():
                if other not in self._known:
                    heappush(waiting, (bound_s + edge.error_s, other, ahead_s + edge.ahead_s, peer))

    def _estimates(self, peer: PeerRef) -> Iterator[_Edge]:
        """Estimates over paths that share no peer but the two ends, those with the least bound first."""
        ways: list[tuple[float, PeerRef, float]] = []
        for last, edge in self._edges.get(peer, {}).items():
            ahead_s, bound_s, _ = self._known.get(last, (0.0, inf, last))
            if bound_s < inf:  # the edge seen from the other end: the offset back
                ways.append((bound_s + edge.error_s, last, ahead_s - edge.ahead_s))
        used: set[PeerRef] = {peer}
        count = 0
        for error_s, last, ahead_s in sorted(ways):
            path = self._path(last)
            if used.isdisjoint(path):
                used.update(path)
                count += 1
                yield _Edge(ahead_s, error_s)
                if count == PATHS_MAX:
                    return

    def _path(self, peer: PeerRef) -> list[PeerRef]:
        """The peers from here to this one, without us."""
        path = []
        while peer != self._me:
            path.append(peer)
            peer = self._known[peer][2]
        return path
