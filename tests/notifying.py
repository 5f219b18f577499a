"""A simulated network whose peers raise alerts, and some of which tell people, as agents do."""

from collections.abc import Callable, Sequence

from msgspec.structs import replace
from peerscope.sim.alerts_seen import AlertHistory

from peerscope.alerts.grouping import groups
from peerscope.alerts.notification_log import ESCALATION, NOTIFIER, heard_notices, roster
from peerscope.alerts.notifier import Notification, Notifier, NotifierConfig
from peerscope.alerts.silences import mark, standing
from peerscope.mesh.events import Publish
from peerscope.records.identity import PeerId
from peerscope.sim.node import Machine
from peerscope.sim.simulator import Simulator

LOOK_S = 1.0


class Desk:
    """The notifier of one life of one peer."""

    def __init__(self, node: Machine, now: float) -> None:
        self.life = node.life
        self.notifier = Notifier(node.peer_id, NotifierConfig(), now)


class SimulatedNotifiers:
    """Drives the notifier of every peer that has channels, once in each virtual second."""

    def __init__(self, sim: Simulator, alerts: AlertHistory, peers: Sequence[PeerId]) -> None:
        self.sent: list[tuple[float, PeerId, Notification]] = []
        """Messages that reached people."""
        self.delivery_s: Callable[[PeerId], float] = lambda peer: 0.2
        """How long channels take."""
        self._sim = sim
        self._alerts = alerts
        self._desks: dict[PeerId, Desk] = {}
        for index, peer in enumerate(peers):
            sim.at(sim.now + 0.5 + index / len(peers), lambda peer=peer: self._look(peer))  # type: ignore[misc]

    def told(self, rule: str, what: str = "firing") -> list[tuple[float, PeerId]]:
        """When and by whom alerts of this rule were told."""
        return [(at, peer) for at, peer, m in self.sent if m.what == what and m.group.alerts[0].rule == rule]

    def claimed(self, key: str) -> list[PeerId]:
        """Who is telling this group at this moment."""
        return [
            peer
            for peer, desk in sorted(self._desks.items())
            if any(one.key.startswith(key) and not one.delivered for one in desk.notifier.notices)
        ]

    def _look(self, peer: PeerId) -> None:
        node, now = self._sim.nodes[peer], self._sim.now
        self._sim.at(now + LOOK_S, lambda: self._look(peer))
        if node.peer is None or now < node.paused_until:
            return
        desk = self._desks.get(peer)
        if desk is None or desk.life != node.life:
            desk = self._desks[peer] = Desk(node, now)
            profile = node.peer.ledger.profile(peer)
            assert profile is not None
            self._sim.feed(peer, Publish(replace(profile, roles=(NOTIFIER, ESCALATION)), urgent=True))
        snapshot = self._sim.snapshot(peer)
        orders, found = standing(snapshot), self._alerts.correlation(peer)
        shown = groups(
            mark(self._alerts.alert_list(peer).alerts(), orders), found.incidents, orders, told_as=found.told_as
        )
        messages = desk.notifier.update(shown, heard_notices(snapshot), roster(snapshot), now, snapshot.wall)
        self._publish(peer, desk)
        for message in messages:
            self._sim.at(now + self.delivery_s(peer), lambda m=message: self._deliver(peer, desk, m))  # type: ignore[misc]

    def _deliver(self, peer: PeerId, desk: Desk, message: Notification) -> None:
        node = self._sim.nodes[peer]
        if node.peer is not None and node.life == desk.life:
            self.sent.append((self._sim.now, peer, message))
            desk.notifier.delivered(message)
            self._publish(peer, desk)

    def _publish(self, peer: PeerId, desk: Desk) -> None:
        engine = self._alerts.engine(peer)
        engine.notices = list(desk.notifier.notices)
        news = engine.record(self._sim.now)
        if news is not None:
            self._sim.feed(peer, news)
