"""The network as one peer sees it: its ledgers at one moment, links, zones and regions, kept while nothing changes."""

from __future__ import annotations

from peerscope.mesh.peer import Peer
from peerscope.views.links import MergedLink
from peerscope.views.places import ClusterConfig
from peerscope.views.regions import RegionConfig, RegionHealth, region_health
from peerscope.views.snapshot import Snapshot
from peerscope.views.topology import Topology, TopologyCache
from peerscope.zones.overview import Contradictions, Zone, zones
from peerscope.zones.whole import whole_regions

SNAPSHOT_S = 0.1
"""All who look within this time see the same snapshot, while nothing changes."""


class Sight:
    """The sight of one peer. `now` is monotonic seconds."""

    def __init__(self, peer: Peer, regions: RegionConfig, wall_offset_s: float) -> None:
        """`wall_offset_s`: Unix minus monotonic seconds."""
        self.peer = peer
        self.wall_offset_s = wall_offset_s
        self._regions = regions
        self._maps = TopologyCache()
        self._contradictions = Contradictions()
        self._snapshot: Snapshot | None = None
        self._revision = (-1, -1)

    @property
    def clusters(self) -> ClusterConfig:
        """How peers without a region are grouped."""
        return self._regions.cluster

    def set_wall(self, offset_s: float) -> None:
        """The wall clock was read."""
        self.wall_offset_s, self._snapshot = offset_s, None

    def snapshot(self, now: float) -> Snapshot:
        """The ledgers now; the same object for callers within a tenth of a second, while nothing changes."""
        last, revision = self._snapshot, (self.peer.ledger.revision, self.peer.global_ledger.revision)
        if last is None or revision != self._revision or not 0 <= now - last.now <= SNAPSHOT_S:
            self._revision = revision
            last = self._snapshot = Snapshot.of(self, now)
        return last

    def topology(self, now: float) -> Topology:
        """The map: peers, links on every layer, and where the network would come apart."""
        return self._maps.at(self.snapshot(now))

    def links(self, now: float) -> tuple[MergedLink, ...]:
        """Links on every layer; the same object as before where nothing changed."""
        return self._maps.links.at(self.snapshot(now))

    def mesh_links(self, now: float) -> list[MergedLink]:
        """Links between agents, both ends merged."""
        return self._maps.links.mesh(self.snapshot(now))

    def zones(self, now: float) -> list[Zone]:
        """All zones, with the aggregators that have contradicted the others for long."""
        return self._contradictions.lasting(zones(self.peer.global_ledger, now), now)

    def beyond(self, now: float) -> list[Zone]:
        """Zones that are not ours."""
        ours = self.snapshot(now).zone
        return [zone for zone in self.zones(now) if zone.zone != ours]

    def regions(self, now: float) -> list[RegionHealth]:
        """Every region of the network."""
        snapshot, config = self.snapshot(now), self._regions
        own = region_health(snapshot, config, self.peer.config.links.rings, self.mesh_links(now))
        beyond = self.beyond(now)
        return whole_regions(own, [zone.summary for zone in beyond], config, snapshot.wall) if beyond else own
