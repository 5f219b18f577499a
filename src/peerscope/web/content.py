"""Content of the live feed: the state of the network, short enough for a thousand peers.

The feed holds what tables and the map show of each peer. A page gets checks, metrics and links of one peer from the
API. Ends of links are the first 16 hexadecimal digits of their ids. Times and ratios are rounded to visible digits, and
fields with their default are left out. A thousand peers with four thousand links take about 700 KB. A delta holds only
the fields that differ: an eighth of that when all peers report.
"""

from __future__ import annotations

from collections import Counter
from math import floor
from statistics import median
from typing import Any

from msgspec import Struct

from peerscope.agent.network_view import NetworkView, SelfView
from peerscope.records.identity import PeerId
from peerscope.views.health import NetworkHealth, network_health
from peerscope.views.links import Confirmation, MergedLink
from peerscope.views.regions import RegionHealth, region_health
from peerscope.views.snapshot import Snapshot
from peerscope.views.topology import Topology
from peerscope.views.trends import Trends
from peerscope.web.alert_content import AlertOverview, FeedAlert, active, alert_overview
from peerscope.web.feed_changes import Numbers, Row, table_changes

END_HEX = 16
"""Digits of an id that name an end of a link, as in records."""
REGIONS_S = 2.0
"""Regions and trends are the most expensive parts. They are computed this often, and when a status changes, so that
their counts always agree with the header."""


class FeedPeer(Row, frozen=True, gc=False, omit_defaults=True):
    """One peer as tables and the map show it."""

    peer_id: str
    status: str
    verdict: str
    version: str = ""
    region: str | None = None
    region_source: str | None = None
    node: str | None = None
    address: str | None = None
    """Its first address."""
    rtt_s: float | None = None
    """Median over its links, measured by the peer itself."""
    links: int = 0
    heard_at: int | None = None
    """When its last report was issued, Unix seconds by our clock. Readers see ages in seconds."""
    started_at: float | None = None
    """Unix seconds by our clock; None for a peer that is gone or has no fresh report."""
    accused_by: int = 0
    observers: int = 0
    gone_since: float | None = None
    """Unix seconds of the last record or the leave message of a peer that is gone."""


class FeedLink(Row, frozen=True, gc=False, omit_defaults=True):
    """One link, merged from both ends."""

    source: str
    """The first 16 digits of a peer's id, or the name of an unmonitored node."""
    target: str
    layer: str
    rtt_s: float | None = None
    loss_ratio: float | None = None
    estimated: bool = False
    confirmed: Confirmation | None = None
    """For a link between nodes: which ends confirm it."""


class UnmonitoredNode(Struct, frozen=True, gc=False):
    """A node known only as a neighbour of others: it runs no agent."""

    name: str
    layer: str
    claimed_by: tuple[str, ...] = ()
    """Peers that all name this node as theirs."""


class Map(Struct, frozen=True):
    """The shape of the network beside its links. Names are as in `FeedLink`."""

    hollow: tuple[UnmonitoredNode, ...]
    articulation_peers: tuple[str, ...]
    """Peers whose failure splits the mesh."""
    partitions: tuple[tuple[str, ...], ...]
    """Groups of peers that were lost together."""


class FeedRegion(Struct, frozen=True, gc=False):
    """One region's health without its links."""

    region: str
    source: str
    status: str
    total_peers: int
    healthy_peers: int
    degraded_peers: int
    unhealthy_peers: int
    unknown_peers: int
    down_peers: int
    connectivity: float | None
    rtt_s: float | None
    reached_regions: int
    other_regions: int


class FeedState(Struct, frozen=True):
    """Everything that the feed sends."""

    me: SelfView
    health: NetworkHealth
    verdicts: dict[str, int]
    peers: dict[str, FeedPeer]
    links: dict[tuple[str, str, str], FeedLink]
    map: Map
    regions: tuple[FeedRegion, ...]
    trends: Trends
    alerts: dict[str, FeedAlert]
    trouble: AlertOverview


class FeedBuilder:
    """Builds the states of one network view, reusing parts that did not change."""

    def __init__(self, view: NetworkView) -> None:
        self._view = view
        self._topology: Topology | None = None
        self._links: dict[tuple[str, str, str], FeedLink] = {}
        self._peer_numbers: Numbers[PeerId] = Numbers()
        self._link_numbers: Numbers[tuple[str, str, str]] = Numbers()
        self._alert_numbers: Numbers[str] = Numbers()
        self._map = Map((), (), ())
        self._slow: tuple[tuple[FeedRegion, ...], Trends] | None = None
        self._slow_at = 0.0
        self._slow_of: dict[PeerId, str] = {}

    def build(self) -> FeedState:
        """The state of the network now."""
        view, snapshot = self._view, self._view.snapshot()
        topology, links, config = view.topology(), view.mesh_links(), view.config
        if topology is not self._topology:
            self._update_map(topology)
        is_old = not 0 <= snapshot.now - self._slow_at < REGIONS_S
        if self._slow is None or is_old or self._slow_of != snapshot.statuses:
            self._slow_at, self._slow_of = snapshot.now, snapshot.statuses
            regions = region_health(snapshot, config.regions, config.links.rings, links)
            self._slow = tuple(map(_region, regions)), view.core.news.day.trends(snapshot.wall)
        alerts = view.alerts(active_only=True)
        peers = {peer.hex(): _peer(snapshot, peer, self._peer_numbers.of(peer)) for peer in snapshot.peers}
        self._peer_numbers.keep(snapshot.profiles)
        return FeedState(
            me=view.self_view(),
            health=network_health(snapshot, config.links.rings, links),
            verdicts=dict(Counter(snapshot.verdict(peer).value for peer in snapshot.peers)),
            peers=peers,
            links=self._links,
            map=self._map,
            regions=self._slow[0],
            trends=self._slow[1],
            alerts=active(alerts, self._alert_numbers),
            trouble=alert_overview(alerts, view.incidents(), view.orders()),
        )

    def _update_map(self, topology: Topology) -> None:
        links = {}
        for link in topology.links:
            key = (_end(link.source), _end(link.target), link.layer)
            links[key] = _short(link, key, self._link_numbers.of(key))
        self._link_numbers.keep(links.keys())
        self._links = links
        self._map = Map(
            hollow=tuple(
                UnmonitoredNode(peer.peer_id, peer.layer, peer.claimed_by)
                for peer in topology.peers
                if not peer.monitored
            ),
            articulation_peers=tuple(_end(peer) for peer in topology.articulation_peers),
            partitions=tuple(tuple(_end(peer) for peer in group) for group in topology.partitions),
        )
        self._topology = topology


def snapshot(state: FeedState) -> dict[str, Any]:
    """The data of a snapshot message."""
    return {
        **_every_time(state),
        **_when_changed(state),
        "peers": list(state.peers.values()),
        "links": list(state.links.values()),
        "alerts": list(state.alerts.values()),
    }


def delta(before: FeedState, now: FeedState) -> dict[str, Any]:
    """The data of a delta message: what changed."""
    was = _when_changed(before)
    tables = {
        "peers": table_changes(before.peers, now.peers),
        "links": table_changes(before.links, now.links),
        "alerts": table_changes(before.alerts, now.alerts),
    }
    return {
        **_every_time(now),
        **{name: value for name, value in _when_changed(now).items() if value != was[name]},
        **{name: changes for name, changes in tables.items() if changes is not None},
    }


def _every_time(state: FeedState) -> dict[str, Any]:
    return {"self": state.me, "health": state.health, "verdicts": state.verdicts}


def _when_changed(state: FeedState) -> dict[str, Any]:
    return {"map": state.map, "regions": state.regions, "trends": state.trends, "trouble": state.trouble}


def _peer(snapshot: Snapshot, peer: PeerId, number: int) -> FeedPeer:
    profile, weighed, place = snapshot.profiles[peer], snapshot.evidence[peer], snapshot.places[peer]
    links, age_s = snapshot.living_links(peer), snapshot.age_s(peer)
    uptime_s, gone_age_s = snapshot.uptime_s(peer), snapshot.gone_age_s(peer)
    rtts = [link.rtt_us for link in links if link.rtt_us is not None]
    return FeedPeer(
        n=number,
        peer_id=peer.hex(),
        status=snapshot.statuses[peer],
        verdict=weighed.verdict.value,
        version=profile.version,
        region=place.region,
        region_source=place.source,
        node=profile.node,
        address=profile.addresses[0] if profile.addresses else None,
        rtt_s=_seen(median(rtts) / 1e6) if rtts else None,
        links=len(links),
        heard_at=None if age_s is None else floor(snapshot.wall - age_s),
        started_at=None if uptime_s is None else round(snapshot.wall - uptime_s),
        accused_by=len(weighed.accusations),
        observers=len(weighed.observers),
        gone_since=None if gone_age_s is None else round(snapshot.wall - gone_age_s, 1),
    )


def _short(link: MergedLink, key: tuple[str, str, str], number: int) -> FeedLink:
    return FeedLink(
        number,
        *key,
        _seen(link.rtt_s),
        None if link.loss_ratio is None else round(link.loss_ratio, 3),
        link.estimated,
        link.confirmed,
    )


def _region(health: RegionHealth) -> FeedRegion:
    shared = {name: getattr(health, name) for name in FeedRegion.__struct_fields__}
    return FeedRegion(**(shared | {"rtt_s": _seen(health.rtt_s)}))


def _end(name: str) -> str:
    """Shorten an id; the name of an unmonitored node ("layer:name") stays whole."""
    return name if ":" in name else name[:END_HEX]


def _seen(seconds: float | None) -> float | None:
    """Round to two digits, so that invisible changes make no delta."""
    return None if seconds is None else float(f"{seconds:.2g}")
