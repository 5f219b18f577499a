"""The network as one peer sees it: the views over its ledger, for routes, feed and page.

The API, the feed and the page know only this. A running agent is one (`agent/monitor.py`), a peer of a virtual
network another (`sim/show.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from math import inf
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from peerscope.agent.event_log import EventLog, Listener
from peerscope.agent.lookups import LookupRequests
from peerscope.agent.traffic import Traffic
from peerscope.alerts.aggregators import aggregators
from peerscope.alerts.alert_views import describe_now, is_clearing
from peerscope.alerts.expiry import Expiry
from peerscope.alerts.incident import Incident
from peerscope.alerts.model import Alert
from peerscope.alerts.rules import Rule
from peerscope.alerts.silences import StandingAcknowledgement, StandingForget, StandingOrders, StandingSilence
from peerscope.config import Config
from peerscope.core import Core
from peerscope.export.config import RemoteWriteView
from peerscope.history.recorder import Recorder
from peerscope.host.failures import FailureLog
from peerscope.mesh.limits.reputation import Reputation
from peerscope.mesh.membership.shared_key import Sharer
from peerscope.mesh.peer import Peer
from peerscope.notify.schedule import SilenceTimes
from peerscope.notify.settings import HeartbeatView
from peerscope.records.identity import PeerId, PeerRef
from peerscope.sources.node import Node
from peerscope.sources.telemetry import Telemetry
from peerscope.threats.anomalies import AnomalyRates, rates
from peerscope.threats.findings import Finding
from peerscope.transport.relay import DISABLED, PingState, RelayState
from peerscope.views.aggregates import NetworkMetrics
from peerscope.views.health import NetworkHealth, network_health
from peerscope.views.latency import LatencyMatrix, latency_matrix
from peerscope.views.links import MergedLink
from peerscope.views.peers import PeerView, peer_view, peer_views
from peerscope.views.regions import RegionHealth
from peerscope.views.snapshot import Snapshot
from peerscope.views.timeline import Change, Replay, replay
from peerscope.views.topology import Topology
from peerscope.zones.overview import Zone
from peerscope.zones.summary import summary
from peerscope.zones.whole import ZoneView, own_zone_view, whole_health, whole_metrics, zone_views

ABSENCE_S_MAX = 30 * 86_400.0
"""Longest planned absence with an end."""
REGIONS_S = 2.0
LATENCY_S = 3.0
"""The latency matrix is the most expensive view, and it moves slowly: all who ask within this time get the same."""


class SimulationView(Struct, frozen=True):
    """That nothing of this is real, and how it goes."""

    scenario: str
    summary: str
    seed: int
    speed: float
    """Virtual seconds in a second, as wanted."""
    pace: float | None
    """As reached over the last seconds: a large network is slower than wished; null at the very beginning."""
    virtual_s: float
    """Since the network was started."""
    next_step: str | None
    """The next fault, and its virtual time; null after the last."""
    next_step_s: float | None


class SelfView(Struct, frozen=True):
    """This peer."""

    peer_id: str
    short_id: str
    ticket: str
    """Other peers join with it; empty in a simulation."""
    network: str
    region: str | None
    region_source: str | None
    version: str
    uptime_s: float
    node: str | None
    http: str | None
    addresses: tuple[str, ...]
    refused: dict[str, int]
    """Messages and records of other peers that this one refused, by reason."""
    simulation: SimulationView | None = None
    """null for a real network."""
    relay: RelayState = RelayState(DISABLED, None, 0)
    keeps_history: bool = True
    """`GET /api/v1/history` has something to read from."""
    shared_key: tuple[Sharer, ...] = ()
    """Other agents that run with this peer's key: a copy of its state directory, most likely."""
    remote_write: RemoteWriteView | None = None
    """null where `export.remote_write.url` is not set."""
    heartbeat: HeartbeatView | None = None
    """null where `notify.heartbeat` is not set, or no channel."""
    pings: PingState = PingState(None, 0)


class HasEnding(Protocol):
    """A file of the operator's that is good until some time."""

    @property
    def ending(self) -> Expiry | None: ...


class NetworkView(ABC):
    """Views of one peer, and the parts of it that routes ask."""

    config: Config
    http: str | None
    """URL of the dashboard, once the web server has one."""
    tls: HasEnding | None = None
    """The dashboard proves its name with it, once the web server has it."""
    event_log: EventLog
    """Events as they happen."""
    traffic: Traffic
    """Messages and bytes, by route and by second."""
    node: Node
    """The P2P program beside this peer, where one is attached."""
    lookups: LookupRequests
    """Questions to other zones."""
    recorder: Recorder | None
    """Measurements over time; None where no history is kept."""

    def __init__(self) -> None:
        self.failure_log = FailureLog()
        """Looks of this agent that failed."""
        self._latency: LatencyMatrix | None = None
        self._latency_at = 0.0
        self._latency_of: frozenset[PeerRef] = frozenset()
        self._regions: list[RegionHealth] = []
        self._regions_at = -inf
        self._regions_of: dict[PeerId, str] = {}

    @property
    @abstractmethod
    def core(self) -> Core:
        """The core, to look at."""

    @property
    def peer(self) -> Peer:
        """The protocol, to look at."""
        return self.core.peer

    @abstractmethod
    def clock(self) -> tuple[float, float]:
        """Monotonic seconds now, and what turns them into Unix seconds."""

    @abstractmethod
    def self_view(self) -> SelfView:
        """This peer."""

    @property
    def simulation(self) -> SimulationView | None:
        """None for a real network."""
        return None

    @property
    def telemetry(self) -> Telemetry:
        """A node in this very process reports here."""
        return self.node.telemetry

    def listen(self, listener: Listener) -> None:
        """Call with every event: {"event": "link" | "verdict" | "status" | ..., "at": ...}."""
        self.event_log.listen(listener)

    def snapshot(self) -> Snapshot:
        """The ledger now; the same one for callers within a tenth of a second, while nothing changes."""
        return self.core.snapshot(self.clock()[0])

    def network_health(self) -> NetworkHealth:
        """Counts, latency and connectivity of the whole network."""
        links = self.mesh_links()
        own = network_health(self.snapshot(), self.config.links.rings, links)
        measured = (link.measured_s for link in links if link.measured_s is not None)
        return whole_health(own, [zone.summary for zone in self.beyond()], measured)

    def zones(self) -> list[ZoneView]:
        """All zones: ours as we see it, the others as their aggregators agree."""
        snapshot = self.snapshot()
        health = network_health(snapshot, self.config.links.rings, self.mesh_links())
        severities = (alert.severity for alert in self.alerts(active_only=True))
        own = own_zone_view(snapshot.zone, health, severities, aggregators(snapshot).acting)
        return zone_views(own, self.beyond(), snapshot.now)

    def beyond(self) -> list[Zone]:
        """Zones that are not ours."""
        return self.core.sight.beyond(self.clock()[0])

    def topology(self) -> Topology:
        """The map: peers, links on every layer, and where the network would come apart."""
        return self.core.sight.topology(self.clock()[0])

    def mesh_links(self) -> list[MergedLink]:
        """Links between agents, both ends merged."""
        return self.core.sight.mesh_links(self.clock()[0])

    def links(self) -> tuple[MergedLink, ...]:
        """Links on every layer; the same object as before where nothing changed."""
        return self.core.sight.links(self.clock()[0])

    def peers(self) -> list[PeerView]:
        """All known peers."""
        return peer_views(self.snapshot())

    def peer_view(self, peer: PeerId) -> PeerView:
        """One known peer."""
        return peer_view(self.snapshot(), peer)

    def history(self, peer: PeerId) -> tuple[Change, ...]:
        """The last hour's statuses of one peer."""
        return self.core.news.timeline.of(peer)

    def replay(self, since: float) -> Replay:
        """Statuses and links since that Unix second, one hour ago at the most."""
        news = self.core.news
        return replay(news.timeline, news.links, since, self.snapshot().wall)

    def region_health(self) -> list[RegionHealth]:
        """Every region of the network."""
        return self.core.sight.regions(self.clock()[0])

    def latency(self) -> LatencyMatrix:
        """Round trips region by region, at most three seconds old, and never those of a peer that is gone."""
        snapshot = self.snapshot()
        is_old = not 0 <= snapshot.now - self._latency_at < LATENCY_S
        if self._latency is None or is_old or snapshot.gone != self._latency_of:
            self._latency, self._latency_at = latency_matrix(snapshot, self.mesh_links()), snapshot.now
            self._latency_of = snapshot.gone
        return self._latency

    def network_metrics(self) -> NetworkMetrics:
        """Measurements of our zone in the last five minutes, and trends; those of all zones now."""
        found, beyond = self.core.news.metrics(self.snapshot()), [zone.summary for zone in self.beyond()]
        if not beyond:
            return found
        own = summary(
            self.snapshot(),
            self.mesh_links(),
            (),
            zone=found.zone,
            aggregators=(),
            addresses=(),
            interval_s=self.config.zones.summary_interval_s,
            rings=self.config.links.rings,
        )
        return replace(found, whole=whole_metrics(own, beyond))

    def conduct(self) -> list[Reputation]:
        """Neighbours that misbehaved lately, the worst first."""
        return self.peer.reputations.all(self.clock()[0])

    def alerts(self, *, active_only: bool = False) -> list[Alert]:
        """Alerts of the whole network, those that fire first, as it is now; resolved ones of the last day."""
        stated = self.stated_alerts(active_only=active_only)
        return describe_now(stated, self.snapshot(), self.alert_rules(), self.regions_lately)

    def regions_lately(self) -> list[RegionHealth]:
        """Every region, at most two seconds old, and never older than the last change of a peer's status."""
        snapshot = self.snapshot()
        is_old = not 0 <= snapshot.now - self._regions_at < REGIONS_S
        if is_old or snapshot.statuses != self._regions_of:
            self._regions, self._regions_at, self._regions_of = self.region_health(), snapshot.now, snapshot.statuses
        return self._regions

    def alert_rules(self) -> Mapping[str, Rule]:
        """The rules that this peer follows, by name."""
        return self.core.alerts.alert_list.rules

    def stated_alerts(self, *, active_only: bool = False) -> list[Alert]:
        """The same, in the words of those who state them."""
        return self.core.alerts.alerts(self.snapshot(), active_only=active_only)

    def incidents(self) -> list[Incident]:
        """Incidents of the last day, the open ones first."""
        known = {alert.id: alert for alert in self.alerts(active_only=True)}
        found = self.core.alerts.incidents(self.snapshot())
        return [replace(one, clearing=is_clearing(one, known)) for one in found]

    def orders(self) -> StandingOrders:
        """Silences and acknowledgements that hold now, in the whole network."""
        return self.core.alerts.orders(self.snapshot())

    @abstractmethod
    def silence(
        self, matchers: Iterable[str], for_s: float, author: str, reason: str, when: SilenceTimes | None = None
    ) -> StandingSilence:
        """Hold back messages about alerts that all matchers ("rule=cpu-*") fit. Raises `ConfigError`.

        `when`: in advance, once or again and again; None for at once.
        """

    @abstractmethod
    def lift(self, silence: str) -> bool:
        """End a silence, wherever it was ordered. False if none of this id holds."""

    @abstractmethod
    def acknowledge(self, key: str, author: str, reason: str = "") -> StandingAcknowledgement:
        """Somebody looks after this alert or incident: it is not repeated. Raises `ConfigError`."""

    @abstractmethod
    def forget(self, peer: PeerId, author: str, reason: str = "", *, force: bool = False) -> StandingForget:
        """Have the whole network forget a known peer until it speaks again; one that is alive only by `force`.

        Raises `ConfigError`.
        """

    @abstractmethod
    def remember(self, peer: PeerId) -> bool:
        """Take back that a peer is forgotten, wherever it was ordered. False if it is not forgotten."""

    @abstractmethod
    def leave(self, reason: str, for_s: float | None = None) -> None:
        """Leave for planned work, in a moment. `for_s`: the peer is back within so long. Raises `ConfigError`."""

    def threats(self) -> list[Finding]:
        """Threats to any peer of the network, the gravest first."""
        alerts = self.core.alerts.alert_list.alerts(active_only=True)
        return self.core.threats.known(alerts)

    def anomaly_rates(self) -> AnomalyRates:
        """How much of what peers measure is unlike their past, as they say."""
        return rates(self.snapshot())
