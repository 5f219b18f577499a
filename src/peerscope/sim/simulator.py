"""Real `Peer`s on a virtual network: a heap of deliveries, an imaginary clock, one seed.

Messages cross as encoded bytes, so every run tests the codec too. Datagrams are lost, streams are reliable and in
order but wait for retransmissions. A crashed peer is simply silent, as a killed process is. The order of everything
follows from the seed.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from hashlib import blake2b
from itertools import count
from math import inf
from random import Random

from peerscope.mesh.checks import judge
from peerscope.mesh.events import (
    Connected,
    Dial,
    DialFailed,
    Disconnected,
    Effect,
    Event,
    Hangup,
    Join,
    Lane,
    Leave,
    Measured,
    Publish,
    Received,
    Send,
)
from peerscope.mesh.evidence import Evidence, weigh
from peerscope.mesh.peer import Peer, PeerConfig
from peerscope.records.bodies import Profile
from peerscope.records.identity import Identity, PeerId

EPOCH_S = 1_700_000_000.0
"""Wall clock of every peer at virtual time 0, before skew."""
DIAL_TIMEOUT_S = 5.0
RETRANSMIT_S = 0.2

Latency = Callable[[str, str, Random], float]
"""One-way seconds from one region to another, drawn for one message."""


class Node:
    """One virtual peer: the process (which may crash) and the machine it runs on (which stays)."""

    def __init__(self, identity: Identity, region: str, config: PeerConfig) -> None:
        self.identity = identity
        self.region = region
        self.config = config
        self.peer: Peer | None = None
        self.life = 0
        """Counts starts; what was on its way to an earlier life does not arrive."""
        self.paused_until = -inf
        self.tick_at = inf
        self.skew_s = 0.0

    @property
    def peer_id(self) -> PeerId:
        return self.identity.peer_id


class Simulator:
    """A network of virtual peers."""

    def __init__(
        self,
        *,
        seed: int = 0,
        config: PeerConfig | None = None,
        latency: Latency | None = None,
        loss_ratio: float = 0.0,
    ) -> None:
        self.rng = Random(seed)
        self.now = 0.0
        self.config = config or PeerConfig()
        self.loss_ratio = loss_ratio
        self.nodes: dict[PeerId, Node] = {}
        self.events = 0
        self.on_effect: Callable[[PeerId, Effect, float], None] | None = None
        self._latency = latency or near
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._connections: dict[tuple[PeerId, PeerId], int] = {}
        self._stream_free_at: dict[tuple[PeerId, PeerId], float] = {}
        self._cuts: list[tuple[frozenset[PeerId], frozenset[PeerId]]] = []

    # -- what a scenario can do ------------------------------------------------------------------

    def add(self, region: str = "local", *, config: PeerConfig | None = None, skew_s: float = 0.0) -> PeerId:
        """A machine with its own key; start it with `start`."""
        identity = Identity(blake2b(self.rng.randbytes(32), digest_size=32).digest())
        node = Node(identity, region, config or self.config)
        node.skew_s = skew_s
        self.nodes[identity.peer_id] = node
        return identity.peer_id

    def start(self, peer: PeerId, *bootstrap: PeerId) -> None:
        """Start (again) the process of one peer, joining through the given ones."""
        node = self.nodes[peer]
        node.life += 1
        wall_offset_s = EPOCH_S + node.skew_s
        rng = Random(self.rng.getrandbits(64))
        node.peer = Peer(node.identity, node.config, rng, self.now, wall_offset_s=wall_offset_s)
        node.tick_at = inf
        started_at_ms = round((self.now + wall_offset_s) * 1000)
        address = (f"10.0.0.1:{list(self.nodes).index(peer)}",)
        self.feed(peer, Publish(Profile(address, node.region, "sim", started_at_ms)))
        self.feed(peer, Measured(tuple(judge(0.1, self.config.health.cpu, "") for _ in range(4))))
        for other in bootstrap:
            self.feed(peer, Join(other, ("bootstrap",)))

    def crash(self, peer: PeerId) -> None:
        """As by `kill -9`: silence, and nothing else."""
        node = self.nodes[peer]
        node.peer, node.life = None, node.life + 1
        for pair in [pair for pair in self._connections if peer in pair]:
            life = self._connections.pop(pair)
            other = pair[0] if pair[1] == peer else pair[1]
            self.at(self.now + 34.0, lambda o=other, g=life: self._idle_out(o, peer, g))  # type: ignore[misc]

    def leave(self, peer: PeerId) -> None:
        """Say goodbye and stop."""
        self.feed(peer, Leave())
        self.nodes[peer].peer = None

    def pause(self, peer: PeerId, seconds: float) -> None:
        """As by SIGSTOP: nothing is handled until it goes on; what arrives waits."""
        node = self.nodes[peer]
        node.paused_until = self.now + seconds
        self.at(node.paused_until, lambda: self._tick(node, node.life))

    def cut(self, one: set[PeerId], other: set[PeerId]) -> None:
        """Nothing crosses between these groups any more."""
        self._cuts.append((frozenset(one), frozenset(other)))

    def heal(self) -> None:
        """Everything crosses again."""
        self._cuts.clear()

    def feed(self, peer: PeerId, event: Event) -> None:
        """Hand an event to a peer now."""
        node = self.nodes[peer]
        if node.peer is None:
            return
        if self.now < node.paused_until:
            life = node.life
            self.at(node.paused_until, lambda: self._hand(node, life, event))
            return
        self.events += 1
        self._carry_out(node, node.peer.handle(event, self.now))
        self._schedule(node)

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Do something at a virtual time."""
        heapq.heappush(self._heap, (when, next(self._order), action))

    def run_until(self, end: float) -> None:
        """Let virtual time pass."""
        while self._heap and self._heap[0][0] <= end:
            self.now, _, action = heapq.heappop(self._heap)
            action()
        self.now = end

    # -- what a checker can see ------------------------------------------------------------------

    def alive(self) -> list[Peer]:
        """The running peers, in a fixed order."""
        return [node.peer for _, node in sorted(self.nodes.items()) if node.peer is not None]

    def evidence(self, observer: PeerId, subject: PeerId) -> Evidence:
        """What one running peer's ledger says of another."""
        peer = self.nodes[observer].peer
        assert peer is not None
        return weigh(peer.ledger, subject, self.now, down_after_s=peer.config.detector.down_after_s)

    # -- the network -----------------------------------------------------------------------------

    def _hand(self, node: Node, life: int, event: Event) -> None:
        if node.life == life:
            self.feed(node.peer_id, event)

    def _tick(self, node: Node, life: int) -> None:
        if node.peer is None or node.life != life:
            return
        if self.now < node.paused_until:
            self.at(node.paused_until, lambda: self._tick(node, life))
            return
        node.tick_at = inf
        if node.peer.deadline() <= self.now:
            self.events += 1
            self._carry_out(node, node.peer.tick(self.now))
        self._schedule(node)

    def _schedule(self, node: Node) -> None:
        if node.peer is None:
            return
        deadline = max(node.peer.deadline(), self.now)
        if deadline < node.tick_at:
            node.tick_at = deadline
            life = node.life
            self.at(deadline, lambda: self._tick(node, life) if node.tick_at == deadline else None)

    def _carry_out(self, node: Node, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(to, data, lane):
                    self._send(node, to, data, lane)
                case Dial(peer, _):
                    self._dial(node, peer)
                case Hangup(peer, reason):
                    self._hang_up(node.peer_id, peer, reason)
                case _:
                    pass
            if self.on_effect is not None:
                self.on_effect(node.peer_id, effect, self.now)

    def _send(self, node: Node, to: PeerId, data: bytes, lane: Lane) -> None:
        sender, target = node.peer_id, self.nodes.get(to)
        if target is None or pair(sender, to) not in self._connections or self._is_cut(sender, to):
            return
        delay_s = self._latency(node.region, target.region, self.rng)
        if lane is Lane.DATAGRAM:
            if self.rng.random() < self.loss_ratio:
                return
            arrives = self.now + delay_s
        else:
            timeout_s = RETRANSMIT_S
            while self.rng.random() < self.loss_ratio:
                delay_s, timeout_s = delay_s + timeout_s, timeout_s * 2
            arrives = max(self.now + delay_s, self._stream_free_at.get((sender, to), 0.0))
            self._stream_free_at[sender, to] = arrives
        life = target.life
        self.at(arrives, lambda: self._hand(target, life, Received(sender, data)))

    def _dial(self, node: Node, to: PeerId) -> None:
        target = self.nodes.get(to)
        life = node.life
        refused = target is None or target.peer is None or self._is_cut(node.peer_id, to)
        if target is None or refused or self.now < target.paused_until:
            gave_up = DialFailed(to, "no answer")
            self.at(self.now + DIAL_TIMEOUT_S, lambda: self._hand(node, life, gave_up))
            return
        round_trip_s = 2 * self._latency(node.region, target.region, self.rng)
        theirs = target.life
        self.at(self.now + 1.5 * round_trip_s, lambda: self._connect(node, life, target, theirs))

    def _connect(self, node: Node, life: int, target: Node, theirs: int) -> None:
        if node.life != life or target.life != theirs or node.peer is None or target.peer is None:
            self._hand(node, life, DialFailed(target.peer_id, "gone"))
            return
        self._connections[pair(node.peer_id, target.peer_id)] = next(self._order)
        self.feed(target.peer_id, Connected(node.peer_id, False))
        self.feed(node.peer_id, Connected(target.peer_id, True))

    def _hang_up(self, one: PeerId, other: PeerId, reason: str) -> None:
        if self._connections.pop(pair(one, other), None) is None:
            return
        target = self.nodes[other]
        free_at = self._stream_free_at.get((one, other), 0.0)  # what was sent before arrives before
        arrives = max(self.now + self._latency("", "", self.rng), free_at)
        life = target.life
        self.at(arrives, lambda: self._hand(target, life, Disconnected(one, reason)))

    def _idle_out(self, peer: PeerId, gone: PeerId, generation: int) -> None:
        if pair(peer, gone) not in self._connections:
            self.feed(peer, Disconnected(gone, "idle"))

    def _is_cut(self, one: PeerId, other: PeerId) -> bool:
        return any((one in a and other in b) or (one in b and other in a) for a, b in self._cuts)


def near(one: str, other: str, rng: Random) -> float:
    """5 ms inside a region, 20 to 80 ms between regions."""
    return rng.uniform(0.004, 0.006) if one == other else rng.uniform(0.02, 0.08)


def pair(one: PeerId, other: PeerId) -> tuple[PeerId, PeerId]:
    """A connection's name, whichever end asks."""
    return (one, other) if one < other else (other, one)
