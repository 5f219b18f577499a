"""The alerts of one peer: what it states, what the whole network states, and what belongs together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import get_args

from msgspec import Struct
from msgspec.structs import replace

from peerscope.alerts.alert_list import NO_WORDS, AlertList
from peerscope.alerts.correlation import Correlation
from peerscope.alerts.engine import AlertEngine, Findings
from peerscope.alerts.explanations import IncidentKind
from peerscope.alerts.incident import Incident
from peerscope.alerts.incidents import IncidentConfig
from peerscope.alerts.model import Alert, Wording
from peerscope.alerts.notification import NotificationGroup, groups
from peerscope.alerts.own_signals import Own
from peerscope.alerts.planned import planned_peers
from peerscope.alerts.rules import Rule, default_rules
from peerscope.alerts.silences import StandingOrders, mark, mark_incidents, standing
from peerscope.mesh.events import Publish
from peerscope.records.identity import PeerId
from peerscope.views.links import MergedLink
from peerscope.views.regions import RegionHealth, region_members
from peerscope.views.snapshot import Snapshot

UNWELL = ("unhealthy", "unknown", "down")
"""Statuses that make a region critical."""


class AlertChanged(Struct, frozen=True):
    """An alert of the network has begun, ended, or changed its severity; an effect of the core."""

    alert: Alert


class IncidentChanged(Struct, frozen=True):
    """An incident has opened, closed, or changed its extent; an effect of the core."""

    incident: Incident


class AlertMonitor:
    """Engine, alert list and correlation of one peer, with the orders of operators."""

    def __init__(
        self,
        me: PeerId,
        rules: Sequence[Rule] | None = None,
        obeyed: frozenset[PeerId] | None = None,
        incidents: IncidentConfig | None = None,
        detections: Mapping[str, Wording] = NO_WORDS,
    ) -> None:
        """`rules`: the packaged ones unless given. `obeyed`: whose orders count beside ours; None for everybody's.

        `detections`: the words of packaged ones.
        """
        self._me = me
        self._obeyed = obeyed
        self._rules = tuple(default_rules() if rules is None else rules)
        self._orders: tuple[Snapshot, StandingOrders] | None = None
        self.engine = AlertEngine(me, self._rules)
        self.alert_list = AlertList(self._rules, detections)
        self.correlation = Correlation(incidents)

    def use(self, rules: Sequence[Rule]) -> bool:
        """Look at these rules from here on; True if they differ. Alerts under rules that stay go on."""
        if tuple(rules) == self._rules:
            return False
        self._rules = tuple(rules)
        self.alert_list.use(rules)
        self.engine.use(rules)
        return True

    def trusts(self, peer: PeerId) -> bool:
        """Orders and notices of this peer count here."""
        return self._obeyed is None or peer == self._me or peer in self._obeyed

    def orders(self, snapshot: Snapshot) -> StandingOrders:
        """The orders of the network that hold now."""
        if self._orders is None or self._orders[0] is not snapshot:
            self._orders = snapshot, standing(snapshot, self.trusts)
        return self._orders[1]

    def planned(self, snapshot: Snapshot) -> frozenset[PeerId]:
        """Peers whose present downtime an operator ordered in advance."""
        rule = next((rule for rule in self._rules if rule.signal == "peer_down"), None)
        return frozenset() if rule is None else planned_peers(self.orders(snapshot), snapshot, rule)

    def alerts(self, snapshot: Snapshot, *, active_only: bool = False) -> list[Alert]:
        """Alerts of the network, each with the open incident that it belongs to and the orders that fit it."""
        marked = self.correlation.mark(self.alert_list.alerts(active_only=active_only))
        return mark(marked, self.orders(snapshot))

    def incidents(self, snapshot: Snapshot) -> list[Incident]:
        """All incidents, with the orders that fit them."""
        active = self.alerts(snapshot, active_only=True)
        return mark_incidents(self.correlation.incidents, active, self.orders(snapshot))

    def groups(self, snapshot: Snapshot, url: str) -> list[NotificationGroup]:
        """Everything that may be worth a message. `url`: where people see more."""
        alerts, found, orders = self.alerts(snapshot), self.correlation, self.orders(snapshot)
        if url:
            alerts = [replace(alert, url=url.rstrip("/") + alert.url) for alert in alerts]
        return groups(
            alerts,
            found.incidents,
            orders,
            url=url,
            quiet=self.quiet,
            last_incident=found.last_incident,
            unwell=lambda region: _unwell(snapshot, region),
        )

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
    def names(self) -> frozenset[str]:
        """Names of rules, detections and kinds of incidents, as orders give them."""
        return frozenset((*self.alert_list.names, *get_args(IncidentKind)))

    @property
    def quiet(self) -> frozenset[str]:
        """Rules of which nobody is notified."""
        return frozenset(rule.name for rule in self._rules if not rule.notify)


def _unwell(snapshot: Snapshot, region: str) -> frozenset[str]:
    """Peers of a region that make it critical; all of them if it is critical for its links."""
    peers = region_members(snapshot).get(region, ())
    return frozenset(peer.hex() for peer in [one for one in peers if snapshot.statuses[one] in UNWELL] or peers)
