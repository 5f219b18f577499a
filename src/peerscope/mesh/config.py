"""Everything the core of one peer can be told."""

from __future__ import annotations

from msgspec import Struct

from peerscope.mesh.admission import NetworkConfig
from peerscope.mesh.checks import HealthConfig
from peerscope.mesh.coordinates import CoordinateConfig
from peerscope.mesh.detector import DetectorConfig
from peerscope.mesh.gossip import GossipConfig
from peerscope.mesh.limits import LimitConfig
from peerscope.mesh.neighbourhood import NeighbourhoodConfig
from peerscope.mesh.reporter import ReportConfig
from peerscope.mesh.sync import SyncConfig
from peerscope.mesh.vicinity import CrawlConfig
from peerscope.mesh.zones import ZoneConfig
from peerscope.records.identity import PeerId
from peerscope.records.ledger import LedgerConfig


class PeerConfig(Struct, frozen=True, kw_only=True):
    """One section for each part of the protocol."""

    network: NetworkConfig = NetworkConfig()
    ledger: LedgerConfig = LedgerConfig()
    links: NeighbourhoodConfig = NeighbourhoodConfig()
    detector: DetectorConfig = DetectorConfig()
    gossip: GossipConfig = GossipConfig()
    sync: SyncConfig = SyncConfig()
    report: ReportConfig = ReportConfig()
    health: HealthConfig = HealthConfig()
    crawl: CrawlConfig = CrawlConfig()
    coordinates: CoordinateConfig = CoordinateConfig()
    limits: LimitConfig = LimitConfig()
    zones: ZoneConfig = ZoneConfig()
    trusted: frozenset[PeerId] = frozenset()
    """Whose orders and block lists are kept, however many strangers there are."""
    obeyed: frozenset[PeerId] | None = None
    """Whose orders to forget a peer count besides our own; None for those of every member."""
