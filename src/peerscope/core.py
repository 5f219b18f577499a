"""One peer and everything that it works out about its network, without I/O: events and the time in, effects out.

`Core` composes the protocol (`mesh/peer.py`) with alerts, threats, zone summaries and the news for those who watch. An
agent and each machine of a simulation drive one `Core`, and nothing else. Two tables show how the parts go together:

    REACTIONS   effect of the protocol -> parts that take it in, in order
    LOOKS       everything periodic: name, parts that need it, interval, what to do

Rules of this file:
1. `now` is monotonic time of this process. Wall time enters only through `WallClock`.
2. A look that fails becomes a `LookFailed` effect. It ends nothing: its next turn comes as usual.
3. A look that took long waits longer: none takes more than its share of a core. The stopwatch comes from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from math import inf
from typing import Any, Literal, cast

from msgspec import Struct

from peerscope.alerts.aggregators import aggregators
from peerscope.alerts.incidents import Incident
from peerscope.alerts.model import Alert
from peerscope.alerts.monitor import AlertChanged, AlertMonitor, IncidentChanged
from peerscope.alerts.own import OwnFacts, own_state
from peerscope.alerts.rules import Rule
from peerscope.alerts.silences import StandingOrders, mark, mark_incidents, standing
from peerscope.mesh import events as mesh
from peerscope.mesh.events import Forgotten, Leave, Publish, Stored, WallClock
from peerscope.mesh.peer import Peer
from peerscope.records.identity import PeerId
from peerscope.threats.findings import Finding
from peerscope.threats.monitor import (
    BlockListEnded,
    FindingsChanged,
    NodeActivity,
    NodeConnection,
    NodeLookup,
    ThreatMonitor,
)
from peerscope.threats.signatures import Signatures
from peerscope.threats.threats import ThreatConfig
from peerscope.views.changes import VerdictChange
from peerscope.views.links import MergedLink
from peerscope.views.news import News, PeerForgotten, StatusChanged
from peerscope.views.places import ClusterConfig
from peerscope.views.region_changes import RegionChange
from peerscope.views.regions import RegionConfig, RegionHealth, region_health
from peerscope.views.snapshot import Snapshot
from peerscope.views.topology import TopologyCache
from peerscope.views.trends import MINUTE_S
from peerscope.zones.overview import Contradictions, Zone, zones
from peerscope.zones.speaker import SummaryPublisher
from peerscope.zones.whole import whole_regions

SNAPSHOT_S = 0.1
"""All who look within this time see the same snapshot, while nothing changes."""
TOGETHER_S = 0.02
"""Evidence that arrives within this time is judged together."""
FIRST_S = 0.25
"""All looks begin within this time, at moments that differ by look and by peer."""
SHARE = 0.1
"""Part of a core that one look may take."""
CORRELATION_SHARE = 0.2
"""Thousands of alerts that change every second take a second each time."""
REACTION = "the note of an event"
VERDICTS = "the verdicts on peers"

Part = Literal["news", "alerts", "threats", "summaries"]
EVERYTHING: frozenset[Part] = frozenset(("news", "alerts", "threats", "summaries"))


class CoreConfig(Struct, frozen=True, kw_only=True):
    """Which parts run beside the protocol, and how. A simulation does not pay for those that it leaves out."""

    parts: frozenset[Part] = frozenset()
    rules: tuple[Rule, ...] | None = None
    """Alert rules; None for the packaged ones."""
    regions: RegionConfig = RegionConfig()
    threats: ThreatConfig = ThreatConfig()
    signatures: Signatures = Signatures({})


class LookFailed(Struct, frozen=True):
    """A look, or what takes an event in, raised an exception: a bug, since nothing that peers send may."""

    name: str
    error: Exception


Event = mesh.Event | OwnFacts | NodeActivity | NodeConnection | NodeLookup
News_ = VerdictChange | StatusChanged | RegionChange | PeerForgotten
Effect = mesh.Effect | AlertChanged | IncidentChanged | FindingsChanged | BlockListEnded | News_ | LookFailed


class Look(Struct, frozen=True):
    """Something periodic."""

    name: str
    parts: frozenset[Part]
    """Parts that need it: it runs where one of them does."""
    interval_s: float
    run: Callable[[Core, float], float | None]
    """Returns seconds until the next time where these are not `interval_s`."""


class Core:
    """Call `tick` at `deadline` or earlier, and after any `handle`."""

    def __init__(
        self,
        config: CoreConfig,
        peer: Peer,
        now: float,
        wall_offset_s: float,
        stopwatch: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`wall_offset_s`: Unix minus monotonic seconds. `stopwatch`: seconds that do not go back."""
        self.config = config
        self.peer = peer
        self.wall_offset_s = wall_offset_s
        self.alerts = AlertMonitor(peer.me, config.rules)
        self.threats = ThreatMonitor(config.threats, config.signatures, peer.me, now)
        self.summaries = SummaryPublisher(peer.config.zones.summary_interval_s)
        self.news = News(config.regions.hold_s)
        self.survey = TopologyCache()
        self.regions: list[RegionHealth] = []
        """Every region, a few seconds ago."""
        self.facts = OwnFacts()
        self._contradictions = Contradictions()
        self._stopwatch = stopwatch
        self._correlate_at = -inf
        self._snapshot: Snapshot | None = None
        self._revision = (-1, -1)
        self._orders: tuple[Snapshot, StandingOrders] | None = None
        self._out: list[Effect] = []
        self._parts: frozenset[Part] = frozenset()
        self._looks: list[Look] = []
        self._due: dict[str, float] = {}
        self._look_at = inf
        self._reactions: dict[type, tuple[Reaction, ...]] = {}
        self.run(config.parts, now)

    @property
    def clusters(self) -> ClusterConfig:
        """How peers without a region are grouped."""
        return self.config.regions.cluster

    def run(self, parts: frozenset[Part], now: float) -> None:
        """Run these parts from here on."""
        self._parts = parts
        self._looks = [look for look in LOOKS if look.parts & parts]
        first = {look.name: now + FIRST_S * _phase(self.peer.me, look) for look in self._looks}
        self._due = {name: self._due.get(name, at) for name, at in first.items()}
        self._look_at = min(self._due.values(), default=inf)
        self._reactions = REACTIONS if "news" in parts else {}

    def watch(self, news: News, now: float) -> None:
        """Go on with this news: somebody looks through this peer from here on."""
        self.news = news
        self.run(self._parts | {"news"}, now)

    # -- the whole border ------------------------------------------------------------------------

    def handle(self, event: Event, now: float) -> Sequence[Effect]:
        """Take one event in."""
        take = TAKEN.get(type(event))
        if take is None:
            return self._react(self.peer.handle(cast("mesh.Event", event), now), now)
        return take(self, event, now)

    def tick(self, now: float) -> Sequence[Effect]:
        """Do what is due: first the protocol, then looks."""
        if now < self._look_at:
            return self._react(self.peer.tick(now), now)
        self._out += self._react(self.peer.tick(now), now) if now >= self.peer.deadline() else []
        for look in self._looks:
            if now >= self._due[look.name]:
                self._look(look, now)
        self._look_at = min(self._due.values(), default=inf)
        effects, self._out = self._out, []
        return effects

    def deadline(self) -> float:
        """When `tick` wants to be called next."""
        return min(self.peer.deadline(), self._look_at)

    # -- what this peer sees ---------------------------------------------------------------------

    def snapshot(self, now: float) -> Snapshot:
        """The ledgers now; the same object for callers within a tenth of a second, while nothing changes."""
        last, revision = self._snapshot, (self.peer.ledger.revision, self.peer.global_ledger.revision)
        if last is None or revision != self._revision or not 0 <= now - last.now <= SNAPSHOT_S:
            self._revision = revision
            last = self._snapshot = Snapshot.of(self, now)
        return last

    def links(self, now: float) -> tuple[MergedLink, ...]:
        """Links on every layer; the same object as before where nothing changed."""
        return self.survey.links.at(self.snapshot(now))

    def mesh_links(self, now: float) -> list[MergedLink]:
        """Links between agents, both ends merged."""
        return self.survey.links.mesh(self.snapshot(now))

    def zones(self, now: float) -> list[Zone]:
        """All zones, with the aggregators that have contradicted the others for long."""
        return self._contradictions.lasting(zones(self.peer.global_ledger, now), now)

    def beyond(self, now: float) -> list[Zone]:
        """Zones that are not ours."""
        ours = self.snapshot(now).zone
        return [zone for zone in self.zones(now) if zone.zone != ours]

    def region_health(self, now: float) -> list[RegionHealth]:
        """Every region of the network."""
        snapshot, config = self.snapshot(now), self.config.regions
        own = region_health(snapshot, config, self.peer.config.links.rings, self.mesh_links(now))
        beyond = self.beyond(now)
        return whole_regions(own, [zone.summary for zone in beyond], config, snapshot.wall) if beyond else own

    def orders(self, now: float) -> StandingOrders:
        """The orders of the network that hold now."""
        snapshot = self.snapshot(now)
        if self._orders is None or self._orders[0] is not snapshot:
            self._orders = snapshot, standing(snapshot, self.trusts)
        return self._orders[1]

    def trusts(self, peer: PeerId) -> bool:
        """Orders and notices of this peer count here."""
        obeyed = self.peer.config.obeyed
        return obeyed is None or peer == self.peer.me or peer in obeyed

    def marked_alerts(self, now: float, *, active_only: bool = False) -> list[Alert]:
        """All alerts, each with its incident and the orders that fit it."""
        return mark(self.alerts.alerts(active_only=active_only), self.orders(now))

    def marked_incidents(self, now: float) -> list[Incident]:
        """All incidents with the orders that fit them."""
        active = self.marked_alerts(now, active_only=True)
        return mark_incidents(self.alerts.correlation.incidents, active, self.orders(now))

    def findings(self) -> list[Finding]:
        """Threats found here, and those that other peers state by their alerts, the gravest first."""
        return self.threats.known(self.alerts.alert_list.alerts(active_only=True))

    # -- looks -----------------------------------------------------------------------------------

    def _look(self, look: Look, now: float) -> None:
        began, wait_s = self._stopwatch(), None
        try:
            wait_s = look.run(self, now)
        except Exception as error:
            self._out.append(LookFailed(look.name, error))
        took_s = self._stopwatch() - began
        self._due[look.name] = now + max(look.interval_s if wait_s is None else wait_s, took_s / SHARE)

    def _look_at_verdicts(self, now: float) -> float | None:
        self._out += self.news.verdicts(self.snapshot(now))
        return inf if self.news.is_calm else None

    def _look_at_statuses(self, now: float) -> None:
        changed = self.news.statuses(self.snapshot(now))
        self._out += changed
        if changed:  # a peer that is found down has lost its links with that
            self.news.links.observe(self.links(now), self.snapshot(now).wall)

    def _look_at_regions(self, now: float) -> None:
        is_watched = "news" in self._parts
        if is_watched or self.alerts.engine.is_acting:
            self.regions = self.region_health(now)
        if is_watched:
            self._out += self.news.statuses(self.snapshot(now), is_again=True)
            self._out += self.news.regions(self.regions, now)
            self.news.links.observe(self.links(now), self.snapshot(now).wall)

    def _look_at_rules(self, now: float) -> None:
        own = own_state(self.peer, self.facts)
        self._publish(self.alerts.state(self.snapshot(now), own, self.threats.for_rules(), self.regions), now)
        changed = self.alerts.list_changes(self.snapshot(now))
        self._correlate(now)
        self._out += [AlertChanged(alert) for alert in self.alerts.correlation.mark(changed)]

    def _correlate(self, now: float) -> None:
        alerts = self.alerts.alert_list.alerts()
        if now < self._correlate_at or not self.alerts.correlation.is_due(alerts, now):
            return
        began, links = self._stopwatch(), self.mesh_links(now) if alerts else ()
        self._out += [IncidentChanged(one) for one in self.alerts.correlate(self.snapshot(now), links)]
        self._correlate_at = now + (self._stopwatch() - began) / CORRELATION_SHARE

    def _look_for_threats(self, now: float) -> float:
        snapshot, engine = self.snapshot(now), self.alerts.engine
        acts = engine.is_acting if "alerts" in self._parts else self.peer.me in aggregators(snapshot).acting
        if self.config.threats.enabled:
            self._out += self.threats.ended_lists(snapshot)
            if self.threats.look(snapshot, self.peer, is_aggregator=acts):
                self._out.append(FindingsChanged(self.threats.findings))
        return self.config.threats.interval_s

    def _look_at_own_zone(self, now: float) -> None:
        if self.summaries.is_due(self.peer, now):
            active, rings = self.alerts.alert_list.alerts(active_only=True), self.peer.config.links.rings
            said = self.summaries.update(self.snapshot(now), self.mesh_links(now), active, rings)
            self._publish(None if said is None else Publish(said), now)

    def _look_at_other_zones(self, now: float) -> None:
        self.zones(now)  # so that a contradiction is timed even if nobody watches

    def _look_at_minute(self, now: float) -> float:
        wall = now + self.wall_offset_s
        if self.news.is_new_minute(wall):
            self.news.count_minute(self.snapshot(now), self.mesh_links(now))
        return MINUTE_S - wall % MINUTE_S

    # -- inside ----------------------------------------------------------------------------------

    def _publish(self, event: Publish | None, now: float) -> None:
        if event is not None:
            self._out += self._react(self.peer.handle(event, now), now)

    def _react(self, effects: Sequence[mesh.Effect], now: float) -> Sequence[Effect]:
        """Hand effects of the protocol to the parts that react; the effects, with those of the parts."""
        if not self._reactions:
            return effects
        found: list[Effect] = [*effects]
        for effect in effects:
            for reaction in self._reactions.get(type(effect), ()):
                try:
                    found += reaction(self, effect, now)
                except Exception as error:
                    found.append(LookFailed(REACTION, error))
        return found

    def _take_facts(self, event: OwnFacts, now: float) -> Sequence[Effect]:
        self.facts = event
        return ()

    def _take_node(self, event: NodeActivity | NodeConnection | NodeLookup, now: float) -> Sequence[Effect]:
        self.threats.take(event, now)
        return ()

    def _take_clock(self, event: WallClock, now: float) -> Sequence[Effect]:
        self.wall_offset_s, self._snapshot = event.offset_s, None
        return self.peer.handle(event, now)

    def _take_leave(self, event: Leave, now: float) -> Sequence[Effect]:
        self.run(frozenset(), now)
        return self.peer.handle(event, now)

    def _stored(self, effect: Stored, now: float) -> Iterable[Effect]:
        if self.news.stored(effect.entry):
            self._due[VERDICTS] = min(self._due[VERDICTS], now + TOGETHER_S)
            self._look_at = min(self._look_at, self._due[VERDICTS])
        return ()

    def _forgotten(self, effect: Forgotten, now: float) -> Iterable[Effect]:
        return self.news.forgotten(effect.peer)


TAKEN: dict[type, Callable[[Core, Any, float], Sequence[Effect]]] = {
    OwnFacts: Core._take_facts,
    NodeActivity: Core._take_node,
    NodeConnection: Core._take_node,
    NodeLookup: Core._take_node,
    WallClock: Core._take_clock,
    Leave: Core._take_leave,
}
"""Events that parts take in. Every other one is for the protocol alone."""
Reaction = Callable[[Core, Any, float], Iterable[Effect]]
REACTIONS: dict[type, tuple[Reaction, ...]] = {
    Stored: (Core._stored,),
    Forgotten: (Core._forgotten,),
}
"""What the parts take in of what the protocol does. Everything else goes straight to the outside."""


def _needs(*parts: Part) -> frozenset[Part]:
    return frozenset(parts)


LOOKS = (
    Look(VERDICTS, _needs("news"), 0.25, Core._look_at_verdicts),
    Look("the review of peers", _needs("news"), 1.0, Core._look_at_statuses),
    Look("the look at regions", _needs("news", "alerts"), 5.0, Core._look_at_regions),
    Look("the look for threats", _needs("threats"), 5.0, Core._look_for_threats),
    Look("the look at alert rules", _needs("alerts"), 1.0, Core._look_at_rules),
    Look("the look at our zone", _needs("summaries"), 1.0, Core._look_at_own_zone),
    Look("the look at other zones", _needs("summaries"), 5.0, Core._look_at_other_zones),
    Look("the count of the minute", _needs("news"), MINUTE_S, Core._look_at_minute),
)
"""Everything periodic, in the order of one turn: what a look finds is there for those below it."""


def _phase(me: PeerId, look: Look) -> float:
    """Between 0 and 1, alike in every run: peers of a network do not all look at one instant."""
    return int.from_bytes(blake2b(me + look.name.encode(), digest_size=4).digest()) / 2**32
