"""All settings of the protocol of one peer."""

from __future__ import annotations

from msgspec import Struct

from peerscope.mesh.coordinates.vivaldi import CoordinateConfig
from peerscope.mesh.crawling.answers import CrawlConfig
from peerscope.mesh.detection.checks import HealthConfig
from peerscope.mesh.detection.detector import DetectorConfig
from peerscope.mesh.dissemination.anti_entropy import SyncConfig
from peerscope.mesh.dissemination.gossip import GossipConfig
from peerscope.mesh.limits.rate_limit import LimitConfig
from peerscope.mesh.membership.admission import NetworkConfig
from peerscope.mesh.membership.neighbours import NeighbourConfig
from peerscope.mesh.report import ReportConfig
from peerscope.mesh.zoning.names import ZoneConfig
from peerscope.records.identity import PeerId
from peerscope.records.ledger import LedgerConfig


class PeerConfig(Struct, frozen=True, kw_only=True):
    """The sections, one for each part of the protocol."""

    network: NetworkConfig = NetworkConfig()
    ledger: LedgerConfig = LedgerConfig()
    links: NeighbourConfig = NeighbourConfig()
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
    """The peer keeps the orders and block lists of these, however many strangers there are."""
    obeyed: frozenset[PeerId] | None = None
    """Besides our own, orders of these to forget a peer count; None for those of every member."""
