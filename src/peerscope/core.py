"""One peer and everything that it works out about its network, without I/O: events and the time in, effects out.

`Core` composes the protocol (`mesh/peer.py`) with alerts, threats, zone summaries, messages and news for watchers. An
agent and each machine of a simulation drive one `Core`, and nothing else. Three tables show how the parts go together:

    TAKEN       event that is not for the protocol -> the part that takes it in
    REACTIONS   effect of the protocol -> parts that take it in, in order
    LOOKS       everything periodic: name, parts that need it, interval, what to do

Rules of this file:
1. `now` is monotonic time of this process. Wall time enters only through `WallClock`.
2. A look that fails becomes a `LookFailed` effect. It ends nothing: its next turn comes as usual.
3. A look that took long waits longer: none takes more than its share of a core. The stopwatch comes from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Any, Literal

from msgspec import Struct

from peerscope.alerts.aggregators import aggregators
from peerscope.alerts.incidents import IncidentConfig
from peerscope.alerts.messages import Answered, Messages, Said
from peerscope.alerts.monitor import AlertChanged, AlertMonitor, IncidentChanged
from peerscope.alerts.notifier import NotifierState
from peerscope.alerts.notifier_config import NotifierConfig
from peerscope.alerts.own_signals import OwnFacts, own_state
from peerscope.alerts.rules import Rule
from peerscope.mesh import events as mesh
from peerscope.mesh.events import Forgotten, Leave, Publish, Stored, WallClock
from peerscope.mesh.grid import GRID_S
from peerscope.mesh.peer import Peer
from peerscope.threats.monitor import (
    BlockListEnded,
    FindingsChanged,
    NodeActivity,
    NodeConnection,
    NodeLookup,
    ThreatMonitor,
)
from peerscope.threats.signatures import Signatures, packaged_wordings
from peerscope.threats.threats import ThreatConfig
from peerscope.views.changes import RegionChange, VerdictChange
from peerscope.views.news import News, PeerForgotten, StatusChanged
from peerscope.views.regions import RegionConfig, RegionHealth
from peerscope.views.snapshot import Snapshot
from peerscope.views.trends import MINUTE_S
from peerscope.zones.sight import Sight
from peerscope.zones.speaker import SummaryPublisher

TOGETHER_S = 0.02
"""Evidence that arrives within this time is judged together."""
SHARE = 0.1
"""Part of a core that one look may take."""
CORRELATION_SHARE = 0.2
"""Thousands of alerts that change every second take a second each time."""
TURN = "the turn of the protocol"
REACTION = "the note of an event"
VERDICTS = "the verdicts on peers"

Part = Literal["news", "alerts", "threats", "summaries", "messages"]
EVERYTHING: frozenset[Part] = frozenset(("news", "alerts", "threats", "summaries", "messages"))


class CoreConfig(Struct, frozen=True, kw_only=True):
    """Which parts run beside the protocol, and how. A simulation does not pay for those that it leaves out."""

    parts: frozenset[Part] = frozenset()
    rules: tuple[Rule, ...] | None = None
    """Alert rules; None for the packaged ones."""
    incidents: IncidentConfig = IncidentConfig()
    regions: RegionConfig = RegionConfig()
    threats: ThreatConfig = ThreatConfig()
    signatures: Signatures = Signatures({})
    notifier: NotifierConfig = NotifierConfig()
    url: str = ""
    """Where people reach a dashboard; messages link to it."""


class LookFailed(Struct, frozen=True):
    """A look, or what takes an event in, raised an exception: a bug, since nothing that peers send may."""

    name: str
    error: Exception


Event = mesh.Event | OwnFacts | NodeActivity | NodeConnection | NodeLookup | NotifierState | Answered
Seen = VerdictChange | StatusChanged | RegionChange | PeerForgotten
Effect = mesh.Effect | AlertChanged | IncidentChanged | FindingsChanged | BlockListEnded | Seen | Said | LookFailed


class Look(Struct, frozen=True):
    """Something periodic."""

    name: str
    parts: tuple[Part, ...]
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
        self.sight = Sight(peer, config.regions, wall_offset_s)
        known = packaged_wordings()
        self.alerts = AlertMonitor(peer.me, config.rules, peer.config.obeyed, config.incidents, known)
        self.threats = ThreatMonitor(config.threats, config.signatures, peer.me, now)
        self.summaries = SummaryPublisher(peer.config.zones.summary_interval_s)
        self.messages = Messages(peer.me, config.notifier, now)
        self.news = News(config.regions.hold_s)
        self.regions: list[RegionHealth] = []
        """Every region, a few seconds ago."""
        self.facts = OwnFacts()
        self._stopwatch = stopwatch
        self._correlate_at = -inf
        self._out: list[Effect] = []
        self._parts: frozenset[Part] = frozenset()
        self._looks: list[Look] = []
        self._due: dict[str, float] = {}
        self._look_at = inf
        self._reactions: dict[type, tuple[Reaction, ...]] = {}
        self.run(config.parts, now)

    def run(self, parts: frozenset[Part], now: float) -> None:
        """Run these parts from here on."""
        self._parts = parts
        self._looks = [look for look in LOOKS if parts.intersection(look.parts)]
        first = self.peer.grid.after(now)
        self._due = {look.name: self._due.get(look.name, first) for look in self._looks}
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
        if take is not None:
            return take(self, event, now)
        if not self._reactions:
            return self.peer.handle(event, now)  # type: ignore[arg-type]
        self.news.verdict_log.beat(now + self.sight.wall_offset_s)
        return self._react(self.peer.handle(event, now), now)  # type: ignore[arg-type]

    def tick(self, now: float) -> Sequence[Effect]:
        """Do what is due: first the protocol, then looks."""
        if self._reactions:
            self.news.verdict_log.beat(now + self.sight.wall_offset_s)
        if now < self._look_at:
            effects = self.peer.tick(now)
            return self._react(effects, now) if self._reactions else effects
        if now >= self.peer.deadline():
            try:
                self._out += self._react(self.peer.tick(now), now)
            except Exception as error:  # looks go on whatever the protocol met
                self._out.append(LookFailed(TURN, error))
        for look in self._looks:
            if now >= self._due[look.name]:
                self._look(look, now)
        self._look_at = min(self._due.values(), default=inf)
        return self._take_out()

    def deadline(self) -> float:
        """When `tick` wants to be called next."""
        at = self.peer.deadline()
        return at if at < self._look_at else self._look_at

    def snapshot(self, now: float) -> Snapshot:
        """The ledgers now; the same object for callers within a tenth of a second, while nothing changes."""
        return self.sight.snapshot(now)

    # -- looks -----------------------------------------------------------------------------------

    def _look(self, look: Look, now: float) -> None:
        began, wait_s = self._stopwatch(), None
        try:
            wait_s = look.run(self, now)
        except Exception as error:
            self._out.append(LookFailed(look.name, error))
        took_s = self._stopwatch() - began
        wait_s = max(look.interval_s if wait_s is None else wait_s, took_s / SHARE)
        self._due[look.name] = max(self.peer.grid.near(now + wait_s), now + GRID_S)

    def _look_at_verdicts(self, now: float) -> float | None:
        snapshot = self.snapshot(now)
        self._out += self.news.verdicts(snapshot)
        self.news.verdict_log.observe(snapshot, self.alerts.planned(snapshot))
        return inf if self.news.is_calm else None

    def _look_at_statuses(self, now: float) -> None:
        changed = self.news.statuses(self.snapshot(now))
        self._out += changed
        if self.news.verdict_log.needs_time:
            self.news.verdict_log.observe(self.snapshot(now), self.alerts.planned(self.snapshot(now)))
        if changed:  # a peer that is found down has lost its links with that
            self.news.links.observe(self.sight.links(now), self.snapshot(now).wall)

    def _look_at_regions(self, now: float) -> None:
        is_watched = "news" in self._parts
        if is_watched or self.alerts.engine.is_acting:
            self.regions = self.sight.regions(now)
        if is_watched:
            self._out += self.news.statuses(self.snapshot(now), is_again=True)
            self.news.verdict_log.observe(self.snapshot(now), self.alerts.planned(self.snapshot(now)))
            self._out += self.news.regions(self.regions, now)
            self.news.links.observe(self.sight.links(now), self.snapshot(now).wall)

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
        began, links = self._stopwatch(), self.sight.mesh_links(now) if alerts else ()
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
            said = self.summaries.update(self.snapshot(now), self.sight.mesh_links(now), active, rings)
            self._publish(None if said is None else Publish(said), now)

    def _look_at_other_zones(self, now: float) -> None:
        self.sight.zones(now)  # so that a contradiction is timed even if nobody watches

    def _look_at_minute(self, now: float) -> float:
        wall = now + self.sight.wall_offset_s
        if self.news.is_new_minute(wall):
            self.news.count_minute(self.snapshot(now), self.sight.mesh_links(now))
        return MINUTE_S - wall % MINUTE_S

    def _look_at_messages(self, now: float) -> float:
        snapshot, alerts, url = self.snapshot(now), self.alerts, self.config.url
        orders, shown = alerts.orders(snapshot), alerts.groups(snapshot, url)
        said = self.messages.look(snapshot, shown, orders, alerts.quiet, alerts.trusts)
        self._publish_notices(now)
        is_joining = bool(self.peer.neighbours.bootstrap) and not self.peer.links.up()
        self._out += [*said, *self.messages.heartbeat.look(snapshot, shown, alerts.trusts, is_joining=is_joining)]
        return self.messages.wait_s(now)

    # -- inside ----------------------------------------------------------------------------------

    def _take_out(self) -> Sequence[Effect]:
        effects, self._out = self._out, []
        return effects

    def _publish_notices(self, now: float) -> None:
        """Publish which messages this peer has sent, before the next one leaves."""
        changed = self.messages.changes()
        if changed:
            self.alerts.engine.notices = list(self.messages.notifier.notices)
            self._publish(self.alerts.engine.record(now), now)
            self._out += changed

    def _publish(self, event: Publish | None, now: float) -> None:
        if event is not None:
            self._out += self._react(self.peer.handle(event, now), now)

    def _react(self, effects: Sequence[mesh.Effect], now: float) -> Sequence[Effect]:
        """Hand effects of the protocol to the parts that react; the effects, with those of the parts."""
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

    def _take_notices(self, event: NotifierState, now: float) -> Sequence[Effect]:
        self.messages.recall(event, now)
        return ()

    def _take_answer(self, event: Answered, now: float) -> Sequence[Effect]:
        self.messages.answered(event, now)
        self._out.append(event)
        self._publish_notices(now)
        return self._take_out()

    def _take_clock(self, event: WallClock, now: float) -> Sequence[Effect]:
        self.sight.set_wall(event.offset_s)
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
    NotifierState: Core._take_notices,
    Answered: Core._take_answer,
    WallClock: Core._take_clock,
    Leave: Core._take_leave,
}
"""Events that parts take in. Every other one is for the protocol alone."""
Reaction = Callable[[Core, Any, float], Iterable[Effect]]
REACTIONS: dict[type, tuple[Reaction, ...]] = {
    Stored: (Core._stored,),
    Forgotten: (Core._forgotten,),
}
"""Effects of the protocol that parts take in as well. Every effect also goes to the outside."""

LOOKS = (
    Look(VERDICTS, ("news",), 0.25, Core._look_at_verdicts),
    Look("the review of peers", ("news",), 1.0, Core._look_at_statuses),
    Look("the look at regions", ("news", "alerts"), 5.0, Core._look_at_regions),
    Look("the look for threats", ("threats",), 5.0, Core._look_for_threats),
    Look("the look at alert rules", ("alerts",), 1.0, Core._look_at_rules),
    Look("the look at our zone", ("summaries",), 1.0, Core._look_at_own_zone),
    Look("the look at other zones", ("summaries",), 5.0, Core._look_at_other_zones),
    Look("the look at messages to people", ("messages",), 1.0, Core._look_at_messages),
    Look("the count of the minute", ("news",), MINUTE_S, Core._look_at_minute),
)
"""Everything periodic, in the order of one turn: what a look finds is there for those below it."""
