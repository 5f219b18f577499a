"""The alerts of a simulated network: every running peer has its own engine and board, as in an agent."""

from __future__ import annotations

from collections import Counter

from msgspec import Struct

from peerscope.alerts.alert_list import AlertList
from peerscope.alerts.engine import NOTHING, AlertEngine, Regions
from peerscope.alerts.incidents import Correlation
from peerscope.alerts.model import Alert
from peerscope.alerts.own_signals import own_state
from peerscope.mesh.peer import Peer
from peerscope.records.identity import PeerId
from peerscope.sim.node import Machine
from peerscope.sim.simulator import EPOCH_S, Simulator
from peerscope.sim.truth import Truth
from peerscope.views.links import mesh_links
from peerscope.views.regions import RegionConfig, RegionHealth, region_health
from peerscope.views.snapshot import Snapshot, SnapshotConfig

LOOK_INTERVAL_S = 1.0
PHASES = 97
"""Peers do not all look at one instant."""


class AlertsSeen(Struct, frozen=True):
    """What the boards showed."""

    active: dict[str, int]
    """At the end: alerts that fire, by rule, as most running peers see them."""
    ids: int
    """Different alerts that ever fired on any board."""
    disagreeing: int
    """Running peers that at the end see others than most do."""


class Seat:
    """Engine, board and correlation of one life of one peer."""

    def __init__(self, peer: Peer, life: int) -> None:
        self.life = life
        self.engine = AlertEngine(peer.me, regions=_regions(peer))
        self.alert_list = AlertList()
        self.correlation = Correlation()


class SimulatedAlerts:
    """Drives engine and board of every running peer, once in each virtual second."""

    def __init__(self, sim: Simulator) -> None:
        self.changes: list[tuple[float, PeerId, Alert]] = []
        """Everything that changed on any board: when, whose, what."""
        self._sim = sim
        self._seats: dict[PeerId, Seat] = {}

    def begin(self) -> None:
        """Look at all peers from now on."""
        for peer in sorted(self._sim.nodes):
            self.watch(peer)

    def watch(self, peer: PeerId) -> None:
        """Look at one more peer."""
        at = self._sim.now + LOOK_INTERVAL_S * (self._sim.nodes[peer].index % PHASES) / PHASES
        self._sim.at(at, lambda: self._look(peer))

    def alert_list(self, peer: PeerId) -> AlertList:
        """The board of a running peer."""
        return self._seats[peer].alert_list

    def correlation(self, peer: PeerId) -> Correlation:
        """The incidents of a running peer, brought up to date: nobody computes them who is not asked."""
        seat, snapshot = self._seats[peer], moment_of(self._sim.nodes[peer], self._sim.now, self._sim.epoch_s)
        seat.correlation.update(snapshot, lambda: mesh_links(snapshot), seat.alert_list.alerts())
        return seat.correlation

    def engine(self, peer: PeerId) -> AlertEngine:
        """The engine of a running peer."""
        return self._seats[peer].engine

    def seen(self, truth: Truth) -> AlertsSeen:
        """What boards show now, and ever showed. Peers that are cut off rightly see other alerts: they do not count."""
        seated = (peer.me for peer in self._sim.alive() if peer.me in self._seats)
        shown = Counter(self._active(peer) for peer in seated if not truth.is_cut_off(peer, self._sim.now))
        most, agreeing = max(shown.items(), key=lambda item: (item[1], item[0])) if shown else ((), 0)
        return AlertsSeen(
            active=dict(sorted(Counter(rule for rule, _ in most).items())),
            ids=len({alert.id for _, _, alert in self.changes}),
            disagreeing=shown.total() - agreeing,
        )

    def _active(self, peer: PeerId) -> tuple[tuple[str, str], ...]:
        return tuple(sorted((alert.rule, alert.id) for alert in self.alert_list(peer).alerts(active_only=True)))

    def _look(self, peer: PeerId) -> None:
        node, now = self._sim.nodes[peer], self._sim.now
        self._sim.at(now + LOOK_INTERVAL_S, lambda: self._look(peer))
        if node.peer is None or now < node.paused_until:
            return
        seat = self._seats.get(peer)
        if seat is None or seat.life != node.life:
            seat = self._seats[peer] = Seat(node.peer, node.life)
        snapshot = moment_of(node, now, self._sim.epoch_s)
        news = seat.engine.update(snapshot, own_state(node.peer), NOTHING, now)
        if news is not None:
            self._sim.feed(peer, news)
            snapshot = moment_of(node, now, self._sim.epoch_s)  # what it says has changed the ledger
        if seat.engine.has_looked_around:
            self.changes += [(now, peer, alert) for alert in seat.alert_list.update(snapshot, seat.engine.chosen)]


def moment_of(node: Machine, now: float, epoch_s: float = EPOCH_S) -> Snapshot:
    """What a running peer's views look at."""
    assert node.peer is not None
    return Snapshot(
        node.peer.ledger,
        node.peer_id,
        now,
        SnapshotConfig(
            wall_offset_s=epoch_s + node.skew_s,
            down_after_s=node.config.detector.down_after_s,
            by_prefix=node.config.network.public,
        ),
        node.peer.global_ledger,
    )


def _regions(peer: Peer) -> Regions:
    def regions(snapshot: Snapshot) -> list[RegionHealth]:
        return region_health(snapshot, RegionConfig(), peer.config.links.rings)

    return regions
