"""A simulated network some of whose peers have channels, and what these channels took."""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from peerscope.alerts.heartbeat import Beat, Heartbeat, HeartbeatConfig
from peerscope.alerts.messages import Answered, Notify
from peerscope.alerts.notification import Notification
from peerscope.alerts.notification_log import ESCALATION, HEARTBEAT, NOTIFIER
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


class SimulatedHeartbeats:
    """A URL outside, which some of the peers know, and the heartbeats that it got."""

    def __init__(self, sim: Simulator, peers: Sequence[PeerId], config: HeartbeatConfig) -> None:
        self.beats: list[tuple[float, PeerId, Beat]] = []
        self._sim = sim
        self._config = config
        sim.on_effect.append(self._note)
        for peer in peers:
            self.set_up(peer)

    def set_up(self, peer: PeerId, roles: tuple[str, ...] = (NOTIFIER, HEARTBEAT)) -> None:
        """Configure a peer that just started."""
        sim, core = self._sim, self._sim.core_of(peer)
        core.run(sim.core_config.parts | {"messages"}, sim.now)
        core.messages.heartbeat = Heartbeat(peer, self._config, sim.now)
        profile = core.peer.ledger.profile(peer)
        assert profile is not None
        sim.feed(peer, Publish(replace(profile, roles=roles), urgent=True))

    def since(self, at: float) -> list[tuple[float, PeerId, str]]:
        """When who sent which signal."""
        return [(when, peer, beat.signal) for when, peer, beat in self.beats if when >= at]

    def sender(self) -> PeerId:
        """The only peer whose turn it is."""
        running = [peer for peer in sorted(self._sim.nodes) if self._sim.nodes[peer].core is not None]
        (sender,) = [peer for peer in running if self._sim.core_of(peer).messages.heartbeat.is_sender]
        return sender

    def _note(self, peer: PeerId, effect: Effect, now: float) -> None:
        if isinstance(effect, Beat):
            self.beats.append((now, peer, effect))
