"""What the live feed tells: one moment of the network, short enough for a thousand peers.

A page that follows needs of each peer what tables and the map show; checks, metrics and links of one peer it asks the
API for. Ends of links go by the first 16 hexadecimal digits of their ids, times and ratios are rounded to what can be
seen, and what has its usual value is left out. So a thousand peers with four thousand links take about 600 KB, of which
a delta repeats only what is different.
"""

from __future__ import annotations

from collections import Counter
from statistics import median
from typing import Any

from msgspec import Struct

from peerscope.agent.network_view import NetworkView, SelfView
from peerscope.records.identity import PeerId
from peerscope.views.health import NetworkHealth, network_health
from peerscope.views.links import MergedLink
from peerscope.views.regions import RegionHealth, region_health
from peerscope.views.snapshot import Snapshot
from peerscope.views.topology import Topology
from peerscope.views.trends import Trends
from peerscope.web.alert_content import FeedAlert, Trouble, active, trouble

END_HEX = 16
"""Digits of an id that name an end of a link, as the records themselves do."""
REGIONS_S = 2.0
"""Regions and trends cost most: they are looked at no more often than this while every status stays the same. Their
counts never contradict those of the header."""


class FeedPeer(Struct, frozen=True, gc=False, omit_defaults=True):
    """One peer, as far as everybody sees it at once."""

    peer_id: str
    status: str
    verdict: str
    version: str = ""
    region: str | None = None
    region_source: str | None = None
    node: str | None = None
    address: str | None = None
    """The first of them."""
    rtt_s: float | None = None
    """Median over its links, as it measured them."""
    links: int = 0
    heard_at: float | None = None
    """When its last report was issued, Unix seconds by our clock."""
    started_at: float | None = None
    """By our clock; None of a peer that is gone, or has no fresh report."""
    accused_by: int = 0
    observers: int = 0
    gone_since: float | None = None
    """When a peer that is gone was last heard, or said goodbye."""


class FeedLink(Struct, frozen=True, gc=False, omit_defaults=True):
    """One link, both ends merged."""

    source: str
    """Of a peer the first 16 digits of its id, else the name of one that nobody monitors."""
    target: str
    layer: str
    rtt_s: float | None = None
    loss_ratio: float | None = None
    estimated: bool = False


class Hollow(Struct, frozen=True, gc=False):
    """One that is only known as somebody's neighbour: no agent runs there."""

    name: str
    layer: str


class Map(Struct, frozen=True):
    """What the shape of the network says beside its links. Ends are named as those of links are."""

    hollow: tuple[Hollow, ...]
    articulation_peers: tuple[str, ...]
    """The mesh splits if one of these fails."""
    partitions: tuple[tuple[str, ...], ...]
    """Peers lost together."""


class FeedRegion(Struct, frozen=True, gc=False):
    """One region's health; what links it to others, a page knows from the links."""

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


class Picture(Struct, frozen=True):
    """All that pages have been told."""

    me: SelfView
    health: NetworkHealth
    verdicts: dict[str, int]
    peers: dict[str, FeedPeer]
    links: dict[tuple[str, str, str], FeedLink]
    map: Map
    regions: tuple[FeedRegion, ...]
    trends: Trends
    alerts: dict[str, FeedAlert]
    trouble: Trouble


class Painter:
    """Pictures of one outlook, each worked out from the last one where nothing changed."""

    def __init__(self, view: NetworkView) -> None:
        self._outlook = view
        self._topology: Topology | None = None
        self._links: dict[tuple[str, str, str], FeedLink] = {}
        self._map = Map((), (), ())
        self._slow: tuple[tuple[FeedRegion, ...], Trends] | None = None
        self._slow_at = 0.0
        self._slow_of: dict[PeerId, str] = {}

    def look(self) -> Picture:
        """The network now."""
        view, snapshot = self._outlook, self._outlook.snapshot()
        topology, links, config = view.topology(), view.mesh_links(), view.config
        if topology is not self._topology:
            self._follow(topology)
        is_old = not 0 <= snapshot.now - self._slow_at < REGIONS_S
        if self._slow is None or is_old or self._slow_of != snapshot.statuses:
            self._slow_at, self._slow_of = snapshot.now, snapshot.statuses
            regions = region_health(snapshot, config.regions, config.links.rings, links)
            self._slow = tuple(map(_region, regions)), view.core.news.day.trends(snapshot.wall)
        alerts = view.alerts(active_only=True)
        return Picture(
            me=view.self_view(),
            health=network_health(snapshot, config.links.rings, links),
            verdicts=dict(Counter(snapshot.verdict(peer).value for peer in snapshot.peers)),
            peers={peer.hex(): _peer(snapshot, peer) for peer in snapshot.peers},
            links=self._links,
            map=self._map,
            regions=self._slow[0],
            trends=self._slow[1],
            alerts=active(alerts),
            trouble=trouble(alerts, view.incidents(), view.orders().silences),
        )

    def _follow(self, topology: Topology) -> None:
        links = {}
        for link in topology.links:
            told = _short(link)
            links[told.source, told.target, told.layer] = told
        self._links = links
        self._map = Map(
            hollow=tuple(Hollow(peer.peer_id, peer.layer) for peer in topology.peers if not peer.monitored),
            articulation_peers=tuple(_end(peer) for peer in topology.articulation_peers),
            partitions=tuple(tuple(_end(peer) for peer in group) for group in topology.partitions),
        )
        self._topology = topology


def snapshot(picture: Picture) -> dict[str, Any]:
    """Everything."""
    return {
        **_always(picture),
        **_sometimes(picture),
        "peers": list(picture.peers.values()),
        "links": list(picture.links.values()),
        "alerts": list(picture.alerts.values()),
    }


def delta(before: Picture, now: Picture) -> dict[str, Any]:
    """What is different; of what changes rarely nothing at all where nothing did."""
    was = _sometimes(before)
    return {
        **_always(now),
        **{name: value for name, value in _sometimes(now).items() if value != was[name]},
        "peers": [peer for key, peer in now.peers.items() if before.peers.get(key) != peer],
        "gone": [key for key in before.peers if key not in now.peers],
        "alerts": [alert for key, alert in now.alerts.items() if before.alerts.get(key) != alert],
        "alerts_gone": [key for key in before.alerts if key not in now.alerts],
        "links": _news(before, now),
        "links_gone": [key for key in before.links if key not in now.links] if before.links is not now.links else [],
    }


def _news(before: Picture, now: Picture) -> list[FeedLink]:
    if before.links is now.links:
        return []
    return [link for key, link in now.links.items() if before.links.get(key) != link]


def _always(picture: Picture) -> dict[str, Any]:
    return {"self": picture.me, "health": picture.health, "verdicts": picture.verdicts}


def _sometimes(picture: Picture) -> dict[str, Any]:
    return {"map": picture.map, "regions": picture.regions, "trends": picture.trends, "trouble": picture.trouble}


def _peer(snapshot: Snapshot, peer: PeerId) -> FeedPeer:
    profile, weighed, place = snapshot.profiles[peer], snapshot.evidence[peer], snapshot.places[peer]
    links, age_s = snapshot.living_links(peer), snapshot.age_s(peer)
    uptime_s, gone_age_s = snapshot.uptime_s(peer), snapshot.gone_age_s(peer)
    rtts = [link.rtt_us for link in links if link.rtt_us is not None]
    return FeedPeer(
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
        heard_at=None if age_s is None else round(snapshot.wall - age_s, 1),
        started_at=None if uptime_s is None else round(snapshot.wall - uptime_s),
        accused_by=len(weighed.accusations),
        observers=len(weighed.observers),
        gone_since=None if gone_age_s is None else round(snapshot.wall - gone_age_s, 1),
    )


def _short(link: MergedLink) -> FeedLink:
    return FeedLink(
        _end(link.source),
        _end(link.target),
        link.layer,
        _seen(link.rtt_s),
        None if link.loss_ratio is None else round(link.loss_ratio, 3),
        link.estimated,
    )


def _region(health: RegionHealth) -> FeedRegion:
    return FeedRegion(**{name: getattr(health, name) for name in FeedRegion.__struct_fields__})


def _end(name: str) -> str:
    """Names of unmonitored nodes ("layer:name") stay whole."""
    return name if ":" in name else name[:END_HEX]


def _seen(seconds: float | None) -> float | None:
    """Two digits: what changes less cannot be seen, and would be told again and again."""
    return None if seconds is None else float(f"{seconds:.2g}")
