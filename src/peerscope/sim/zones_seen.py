"""Zones of a simulated network: what everybody sees of them, compared with what is."""

from __future__ import annotations

from collections import Counter
from math import ceil, inf
from statistics import fmean
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from peerscope.alerts.aggregators import aggregators
from peerscope.core import Core
from peerscope.mesh.peer import Peer
from peerscope.records.identity import PeerId
from peerscope.records.summary import Summary
from peerscope.sim.simulator import Simulator
from peerscope.sim.truth import Truth
from peerscope.zones.speaker import SummaryPublisher

LOOK_INTERVAL_S = 2.0
"""Between two looks at what peers see of the whole."""
NEWCOMER_S = 30.0
"""A process that starts while we watch is not asked for so long: it has to find its zone first."""
LOOKED_AT = 64
"""Peers whose view of the network is compared, spread over all."""
INFLATED = 3
"""A lying aggregator says that its zone has so many times its members."""


class ZoneOutcome(Struct, frozen=True):
    """All zones, as peers saw them."""

    count: int
    """Zones that running peers belong to at the end."""
    largest: int
    """Members of the largest."""
    living: int
    """Peers that run at the end."""
    seen: dict[str, float]
    """Living peers that those asked saw in the whole network at the end: least, mean and most."""
    error_ratio: float
    """Error of the peer that was furthest off at the end."""
    error_ratio_max: float
    """The same at the worst moment since the network had settled."""
    exact_ratio: float
    """Share of those asked who saw exactly all at the end."""
    exact_s: float | None
    """From the last step until everybody asked saw exactly all, for good; null if somebody did not at the end."""
    age_p99_s: float | None
    """Age of summaries of other zones, in all looks since the network had settled."""
    named: int
    """Honest aggregators that somebody named at the end as contradicting the others."""
    unnamed: int
    """Peers asked at the end that did not name every aggregator that lies."""


class ZonesSeen(Struct, frozen=True):
    """All zones, as one peer sees them."""

    living: int
    ages_s: list[float]
    """Ages of the summaries of other zones."""
    named: set[PeerId]
    """Aggregators that contradict the others for long."""


class ZoneWatch:
    """Lets aggregators publish summaries, and looks at what becomes of it."""

    def __init__(self, sim: Simulator, truth: Truth) -> None:
        self.liars: set[PeerId] = set()
        """Aggregators that inflate their zones."""
        self._sim = sim
        self._truth = truth
        self._watched_since = inf
        self._ages_s: list[float] = []
        self._error_ratio_max = 0.0
        self._wrong_at = -inf
        sim.run_parts("summaries")

    def inflate(self, peer: PeerId) -> None:
        """From now on this aggregator says that its zone has more members."""
        self.liars.add(peer)
        core = self._sim.core_of(peer)
        core.summaries = Inflating(core.peer.config.zones.summary_interval_s)

    def watch(self) -> None:
        """Count from now on how far off peers are."""
        self._watched_since = min(self._watched_since, self._sim.now)
        self._look()
        self._sim.at(self._sim.now + LOOK_INTERVAL_S, self.watch)

    def acting(self, zone: str) -> tuple[PeerId, ...]:
        """The aggregators of a zone by rank, as one of its honest members sees them."""
        sim = self._sim
        members = [peer for peer in sim.alive() if peer.own_zone.zone == zone and peer.me not in self._truth.byzantine]
        return aggregators(sim.snapshot(members[0].me), zone).acting if members else ()

    def outcome(self, last_s: float) -> ZoneOutcome:
        """The zones as peers saw them. `last_s`: when the last step was over."""
        seen, living = self._look()
        members = Counter(peer.own_zone.zone for peer in self._sim.alive())
        counts = [one.living for one in seen]
        off = [abs(count - living) for count in counts]
        named = set[PeerId]().union(*(one.named for one in seen))
        ages = sorted(self._ages_s)
        return ZoneOutcome(
            count=len(members),
            largest=max(members.values(), default=0),
            living=living,
            seen={"least": min(counts), "mean": round(fmean(counts), 1), "most": max(counts)},
            error_ratio=max(off) / living,
            error_ratio_max=self._error_ratio_max,
            exact_ratio=off.count(0) / len(off),
            exact_s=None if any(off) else max(0.0, self._wrong_at - last_s),
            age_p99_s=ages[max(0, ceil(0.99 * len(ages)) - 1)] if ages else None,
            named=len(named - self.liars),
            unnamed=sum(not self.liars <= one.named for one in seen),
        )

    def _look(self) -> tuple[list[ZonesSeen], int]:
        """All zones as some honest peers see them, and how many peers run. Newcomers count, and are not asked."""
        alive, now = self._sim.alive(), self._sim.now
        honest = [peer for peer in alive if peer.me not in self._truth.byzantine]
        asked = [peer for peer in honest if not self._is_newcomer(peer, now)] or honest
        seen = [whole(self._sim.core_of(peer.me), now) for peer in asked[:: max(1, len(asked) // LOOKED_AT)]]
        off = max(abs(one.living - len(alive)) for one in seen)
        self._error_ratio_max = max(self._error_ratio_max, off / len(alive))
        if off:
            self._wrong_at = now
        self._ages_s += [age_s for one in seen for age_s in one.ages_s]
        return seen, len(alive)

    def _is_newcomer(self, peer: Peer, now: float) -> bool:
        started_at = self._sim.nodes[peer.me].started_at
        return self._watched_since < started_at and now < started_at + NEWCOMER_S


class Inflating(SummaryPublisher):
    """An aggregator that wants its zone to count for more."""

    def update(self, *seen: Any) -> Summary | None:
        said = super().update(*seen)
        if said is None:
            return None
        more = (INFLATED - 1) * said.members
        return replace(said, members=said.members + more, healthy=said.healthy + more)


def whole(core: Core, now: float) -> ZonesSeen:
    """The whole network, as one virtual peer sees it."""
    snapshot = core.snapshot(now)
    living = sum(snapshot.statuses[member] not in ("down", "left") for member in snapshot.peers)
    ages_s: list[float] = []
    named: set[PeerId] = set()
    for zone in core.sight.zones(now):
        named.update(zone.disagreeing)
        if zone.zone != snapshot.zone:
            living += zone.summary.members - zone.summary.down
            ages_s.append(now - zone.heard_at)
    return ZonesSeen(living, ages_s, named)
