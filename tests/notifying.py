"""A simulated network some of whose peers have channels, and what these channels took."""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from peerscope.alerts.messages import Answered, Notify
from peerscope.alerts.notification import Notification
from peerscope.alerts.notification_log import ESCALATION, NOTIFIER
from peerscope.core import Effect
from peerscope.mesh.events import Publish
from peerscope.records.identity import PeerId
from peerscope.sim.simulator import Simulator


class SimulatedChannels:
    """Channels that deliver every message, at some of the peers."""

    def __init__(self, sim: Simulator, peers: Sequence[PeerId]) -> None:
        self.sent: list[tuple[float, PeerId, Notification]] = []
        """Messages that reached people."""
        self.delivery_s: Callable[[PeerId], float] = lambda peer: 0.2
        """How long channels take."""
        self._sim = sim
        self._peers = peers
        sim.on_effect.append(self._note)
        for peer in peers:
            core = sim.core_of(peer)
            core.run(sim.core_config.parts | {"messages"}, sim.now)
            profile = core.peer.ledger.profile(peer)
            assert profile is not None
            sim.feed(peer, Publish(replace(profile, roles=(NOTIFIER, ESCALATION)), urgent=True))

    def told(self, rule: str, what: str = "firing") -> list[tuple[float, PeerId]]:
        """When and by whom alerts of this rule were told."""
        return [(at, peer) for at, peer, m in self.sent if m.what == what and m.group.alerts[0].rule == rule]

    def claimed(self, key: str) -> list[PeerId]:
        """Peers that are sending this group at this moment."""
        running = [peer for peer in sorted(self._peers) if self._sim.nodes[peer].core is not None]
        return [
            peer
            for peer in running
            for one in self._sim.core_of(peer).messages.notifier.notices
            if one.key.startswith(key) and not one.delivered
        ]

    def _note(self, peer: PeerId, effect: Effect, now: float) -> None:
        if isinstance(effect, Notify):
            life, message = self._sim.nodes[peer].life, effect.message
            self._sim.at(now + self.delivery_s(peer), lambda: self._deliver(peer, life, message))

    def _deliver(self, peer: PeerId, life: int, message: Notification) -> None:
        node = self._sim.nodes[peer]
        if node.core is not None and node.life == life:
            self.sent.append((self._sim.now, peer, message))
            self._sim.feed(peer, Answered(message, True))
