"""Alerts of one agent: looks at the rules once a second, says what it stands for, tells what changes anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from peerscope.agent.event_log import EventLog
from peerscope.agent.traffic import Traffic
from peerscope.alerts.alert_list import AlertList
from peerscope.alerts.engine import AlertEngine, Findings
from peerscope.alerts.expiry import Expiry
from peerscope.alerts.incidents import Correlation
from peerscope.alerts.model import Alert
from peerscope.alerts.notification_log import SentNotice
from peerscope.alerts.own_signals import Own, own_state
from peerscope.alerts.rules import Rule
from peerscope.history.recorder import Recorder
from peerscope.host.clock import monotonic
from peerscope.host.duty_cycle import DutyCycle
from peerscope.host.failures import FailureLog
from peerscope.transport.driver import Driver
from peerscope.views.links import MergedLink
from peerscope.views.snapshot import Snapshot

LOOK_INTERVAL_S = 1.0
ROUTES_S = 10.0
"""Routes are folded when somebody asks, and keep an hour: no need to ask more often."""
ROUTE_MESSAGES_MIN = 20
"""Of fewer messages the slowest in twenty says nothing."""
CORRELATION_SHARE = 0.2
"""Share of a core that correlation may take: thousands of alerts that change every second take a second each time."""

Detect = Callable[[Snapshot], Findings]


class Alerting:
    """Engine and board of one agent."""

    def __init__(
        self,
        rules: Sequence[Rule],
        snapshot: Callable[[], Snapshot],
        links: Callable[[], Iterable[MergedLink]],
        event_log: EventLog,
        failure_log: FailureLog | None = None,
    ) -> None:
        """`moment`, `links`: how to look at the network now. `chronicle`: has looked at the regions, and takes
        events. `looks`: counts those that fail."""
        self.alert_list = AlertList(rules)
        self.correlation = Correlation()
        """What alerts have in common."""
        self.engine: AlertEngine | None = None
        """From `run` on."""
        self.detections: list[Detect] = []
        """Whoever finds more than the rules see; asked at every look."""
        self.files: Callable[[], tuple[Expiry, ...]] = tuple
        """Files of this agent that have an end."""
        self.export_trouble: Callable[[], str | None] = lambda: None
        """Why the receiver of remote write does not take samples, while that is so."""
        self._rules = rules
        self._snapshot = snapshot
        self._links = links
        self._event_log = event_log
        self._failure_log = failure_log or FailureLog()
        self._driver: Driver | None = None
        self._routes: tuple[tuple[str, float], ...] = ()
        self._routes_at = 0.0
        self._correlating = DutyCycle(CORRELATION_SHARE)
        self._correlate_at = 0.0

    @property
    def is_acting(self) -> bool:
        """This peer is one of the aggregators."""
        return self.engine is not None and self.engine.is_acting

    def alerts(self, *, active_only: bool = False) -> list[Alert]:
        """Alerts of the network, each with the open incident that it belongs to."""
        return self.correlation.mark(self.alert_list.alerts(active_only=active_only))

    async def run(self, driver: Driver, traffic: Traffic, recorder: Recorder | None) -> None:
        """Look until cancelled. Whatever other peers say, nothing here ends the agent."""
        self._driver = driver
        self.engine = AlertEngine(driver.peer.me, self._rules, regions=lambda _: self._event_log.regions)
        pace = DutyCycle()
        while True:
            await asyncio.sleep(pace.wait_s(LOOK_INTERVAL_S))
            with self._failure_log.at("the look at alert rules"), pace.looking():
                self._look(self._own(driver, traffic, recorder))

    def use(self, rules: Sequence[Rule]) -> bool:
        """Look at these rules from here on; whether they differ. Alerts under rules that stay go on."""
        if tuple(rules) == tuple(self._rules):
            return False
        self._rules = rules
        self.alert_list.use(rules)
        if self.engine is not None:
            self.engine.use(rules)
        return True

    def publish_notices(self, notices: Iterable[SentNotice]) -> None:
        """Say at once which messages to people this peer has sent."""
        if self.engine is not None and self._driver is not None:
            self.engine.notices = list(notices)
            said = self.engine.record(monotonic())
            if said is not None:
                self._driver.feed(said)

    def _look(self, own: Own) -> None:
        assert self.engine is not None
        assert self._driver is not None
        snapshot = self._snapshot()
        found = [detect(snapshot) for detect in self.detections]
        findings = Findings(
            tuple(reading for one in found for reading in one.own),
            tuple(reading for one in found for reading in one.network),
        )
        said = self.engine.update(snapshot, own, findings, snapshot.now)
        if said is not None:
            self._driver.feed(said)
        changed = self.alert_list.update(snapshot, self.engine.chosen) if self.engine.has_looked_around else ()
        self._correlate(snapshot)
        known = {alert.id: alert.incident for alert in self.correlation.mark(changed)}
        for alert in changed:
            self._event_log.tell(
                "alert",
                id=alert.id,
                type=alert.type,
                rule=alert.rule,
                severity=alert.severity,
                state=alert.state,
                title=alert.title,
                description=alert.description,
                peer_id=alert.peer_id,
                region=alert.region,
                started_at=alert.started_at,
                resolved_at=alert.resolved_at,
                flapping=alert.flapping,
                incident=known[alert.id],
            )

    def _correlate(self, snapshot: Snapshot) -> None:
        if monotonic() < self._correlate_at:
            return
        with self._correlating.looking():
            changed = self.correlation.update(snapshot, self._links, self.alert_list.alerts())
        self._correlate_at = monotonic() + self._correlating.wait_s(0.0)
        for incident in changed:
            self._event_log.tell(
                "incident",
                id=incident.id,
                kind=incident.kind,
                severity=incident.severity,
                state=incident.state,
                title=incident.title,
                description=incident.description,
                peers=len(incident.peers),
                root=incident.root,
                confidence=incident.confidence,
                started_at=incident.started_at,
                ended_at=incident.ended_at,
            )

    def _own(self, driver: Driver, traffic: Traffic, recorder: Recorder | None) -> Own:
        now = monotonic()
        if now >= self._routes_at + ROUTES_S:
            self._routes_at = now
            self._routes = tuple(
                (route.route, route.p95_s)
                for route in traffic.routes("region")
                if route.p95_s is not None and route.measured >= ROUTE_MESSAGES_MIN
            )
        trouble = recorder.trouble if recorder else None
        return own_state(
            driver.peer,
            routes=self._routes,
            trouble=trouble,
            files=self.files(),
            export_trouble=self.export_trouble(),
        )
