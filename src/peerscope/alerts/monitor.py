"""The alerts of one peer: what it states, what the whole network states, and what belongs together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from peerscope.alerts.alert_list import AlertList
from peerscope.alerts.correlation import Correlation
from peerscope.alerts.engine import AlertEngine, Findings
from peerscope.alerts.incidents import Incident
from peerscope.alerts.model import Alert
from peerscope.alerts.own import Own
from peerscope.alerts.rules import Rule, default_rules
from peerscope.mesh.events import Publish
from peerscope.records.identity import PeerId
from peerscope.views.links import MergedLink
from peerscope.views.regions import RegionHealth
from peerscope.views.snapshot import Snapshot


class AlertChanged(Struct, frozen=True):
    """An alert of the network has begun, ended, or changed its severity; an effect of the core."""

    alert: Alert


class IncidentChanged(Struct, frozen=True):
    """An incident has opened, closed, or changed its extent; an effect of the core."""

    incident: Incident


class AlertMonitor:
    """Engine, alert list and correlation of one peer."""

    def __init__(self, me: PeerId, rules: Sequence[Rule] | None = None) -> None:
        """`rules`: the packaged ones unless given."""
        self._rules = tuple(default_rules() if rules is None else rules)
        self.engine = AlertEngine(me, self._rules)
        self.alert_list = AlertList(self._rules)
        self.correlation = Correlation()

    def use(self, rules: Sequence[Rule]) -> bool:
        """Look at these rules from here on; True if they differ. Alerts under rules that stay go on."""
        if tuple(rules) == self._rules:
            return False
        self._rules = tuple(rules)
        self.alert_list.use(rules)
        self.engine.use(rules)
        return True

    def alerts(self, *, active_only: bool = False) -> list[Alert]:
        """Alerts of the network, each with the open incident that it belongs to."""
        return self.correlation.mark(self.alert_list.alerts(active_only=active_only))

    def state(
        self, snapshot: Snapshot, own: Own, findings: Findings, regions: Sequence[RegionHealth]
    ) -> Publish | None:
        """Look at the rules; the record to publish, where there is news."""
        return self.engine.update(snapshot, own, findings, snapshot.now, regions)

    def list_changes(self, snapshot: Snapshot) -> list[Alert]:
        """Look at what all peers state; what has changed in the list."""
        if not self.engine.has_looked_around:
            return []
        return self.alert_list.update(snapshot, self.engine.chosen)

    def correlate(self, snapshot: Snapshot, links: Iterable[MergedLink]) -> list[Incident]:
        """Look at what alerts have in common; which incidents have changed."""
        return self.correlation.update(snapshot, links, self.alert_list.alerts())

    @property
    def quiet(self) -> frozenset[str]:
        """Rules of which nobody is notified."""
        return frozenset(rule.name for rule in self._rules if not rule.notify)
