"""Zones in a simulated network: aggregators speak, and what everybody sees is compared with what is."""

from __future__ import annotations

from collections import Counter
from math import ceil
from statistics import fmean

from msgspec import Struct

from peerscope.alerts.model import Alert
from peerscope.mesh.events import Publish
from peerscope.mesh.peer import Peer
from peerscope.records.identity import PeerId
from peerscope.sim.simulator import EPOCH_S, Simulator
from peerscope.sim.truth import Truth
from peerscope.views.links import Link, mesh_links
from peerscope.views.moment import Moment
from peerscope.views.peers import status
from peerscope.zones.overview import zones
from peerscope.zones.speaker import Speaker

EVERY_S = 1.0
LOOKED_AT = 64
"""Peers whose view of the network is compared, spread over all."""


class ZoneOutcome(Struct, frozen=True):
    """What peers knew of all zones at the end."""

    count: int
    """Zones that running peers belong to."""
    largest: int
    """Members of the largest."""
    living: int
    """Peers that run."""
    seen: dict[str, float]
    """Living peers that those asked saw in the whole network: least, mean and most."""
    error_ratio: float
    """Of the one who was furthest off."""
    exact_ratio: float
    """Share of those asked who saw exactly all."""
    age_p99_s: float | None
    """Age of summaries of other zones."""
    named: int
    """Aggregators that somebody named as contradicting the others."""


class Zoning:
    """Lets virtual aggregators speak as real agents do."""

    def __init__(self, sim: Simulator, truth: Truth) -> None:
        self._sim = sim
        self._truth = truth
        self._speakers: dict[PeerId, Speaker] = {}

    def begin(self) -> None:
        """From now on."""
        self._turn()

    def _turn(self) -> None:
        sim = self._sim
        for peer in sim.alive():
            if sim.now < sim.nodes[peer.me].paused_until:
                continue
            speaker = self._speakers.get(peer.me)
            if speaker is None:
                speaker = self._speakers[peer.me] = Speaker(sim.config.zones.summary_interval_s)
            profile = peer.ledger.profile(peer.me)
            addresses = profile.addresses if profile else ()
            said = speaker.update(peer, lambda peer=peer: self._look(peer), addresses, sim.now)  # type: ignore[misc]
            if said is not None:
                sim.feed(peer.me, Publish(said))
        sim.at(sim.now + EVERY_S, self._turn)

    def _look(self, peer: Peer) -> tuple[Moment, list[Link], tuple[Alert, ...]]:
        moment = moment_of(peer, self._sim.now)
        return moment, mesh_links(moment), ()

    def outcome(self) -> ZoneOutcome:
        """What is seen now."""
        sim = self._sim
        running = [peer for peer in sim.alive() if peer.me not in self._truth.byzantine]
        members = Counter(peer.borders.zone for peer in running)
        seen: list[int] = []
        ages: list[float] = []
        named: set[PeerId] = set()
        for peer in running[:: max(1, len(running) // LOOKED_AT)]:
            moment = moment_of(peer, sim.now)
            living = sum(status(moment, member) not in ("down", "left") for member in moment.peers)
            for zone in zones(peer.abroad, sim.now):
                if zone.zone != peer.borders.zone:
                    living += zone.summary.members - zone.summary.down
                    ages.append(sim.now - zone.heard_at)
                named.update(zone.disagreeing)
            seen.append(living)
        ages.sort()
        off = [abs(count - len(running)) for count in seen]
        return ZoneOutcome(
            count=len(members),
            largest=max(members.values(), default=0),
            living=len(running),
            seen={"least": min(seen), "mean": round(fmean(seen), 1), "most": max(seen)},
            error_ratio=max(off) / len(running),
            exact_ratio=off.count(0) / len(off),
            age_p99_s=ages[max(0, ceil(0.99 * len(ages)) - 1)] if ages else None,
            named=len(named),
        )


def moment_of(peer: Peer, now: float) -> Moment:
    """What one virtual peer sees."""
    down_after_s, by_prefix = peer.config.detector.down_after_s, peer.config.network.public
    return Moment(
        peer.ledger,
        peer.me,
        now,
        wall_offset_s=EPOCH_S,
        down_after_s=down_after_s,
        by_prefix=by_prefix,
        abroad=peer.abroad,
    )
