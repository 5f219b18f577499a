"""Real `Peer`s on a virtual network: a heap of deliveries, an imaginary clock, one seed.

Messages cross as encoded, signed bytes, so every run tests the codec too. Datagrams are lost, streams are reliable and
in order but wait for retransmissions. A crashed peer is simply silent, as a killed process is. The order of everything
follows from the seed; `digest` names the history.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from itertools import count
from math import inf
from random import Random
from typing import cast

from msgspec.structs import replace

from peerscope.core import Core, CoreConfig, Effect, Event, Part
from peerscope.mesh import events as mesh
from peerscope.mesh.config import PeerConfig
from peerscope.mesh.crawling.crawler import Crawler, CrawlerIdentity
from peerscope.mesh.crawling.traversal import WalkConfig
from peerscope.mesh.detection.verdicts import Assessment, Evidence
from peerscope.mesh.dial_back import may_try
from peerscope.mesh.events import (
    Connected,
    Dial,
    DialFailed,
    Disconnected,
    Hangup,
    Join,
    Lane,
    Leave,
    Publish,
    Recall,
    Received,
    Send,
    Tried,
    TryNode,
    WallClock,
)
from peerscope.mesh.peer import Peer
from peerscope.mesh.peer_state import Clocks
from peerscope.records.bodies import DialOutcome, PlannedAbsence
from peerscope.records.identity import PeerId, verify_ed25519
from peerscope.records.ledger import Ledger
from peerscope.sim.measured import measured
from peerscope.sim.network import Latency, NetworkFaults, VirtualNetwork, near
from peerscope.sim.node import Machine, address_of, make_signer, profile_of, shared_inspector, verify_cheap
from peerscope.views.snapshot import Snapshot

EPOCH_S = 1_700_000_000.0
"""Wall clock of every peer at virtual time 0, where nobody says otherwise."""
DIAL_TIMEOUT_S = 5.0
IDLE_TIMEOUT_S = 34.0
"""iroh notices a dead remote this late."""
_STAMP = struct.Struct(">dI")


class Simulator:
    """A network of virtual peers."""

    def __init__(
        self,
        *,
        seed: int = 0,
        config: PeerConfig | None = None,
        latency: Latency = near,
        loss_ratio: float = 0.0,
        faults: NetworkFaults | None = None,
        signed: bool = True,
        epoch_s: float = EPOCH_S,
        core: CoreConfig | None = None,
    ) -> None:
        """`epoch_s`: wall clock of every peer at virtual time 0, before skew. `core`: what runs beside the protocol."""
        self.rng = Random(seed)
        self.now = 0.0
        self.config = config or PeerConfig()
        self.core_config = core or CoreConfig()
        self.network = VirtualNetwork(
            latency, faults or NetworkFaults(loss=loss_ratio), Random(self.rng.getrandbits(64))
        )
        self.nodes: dict[PeerId, Machine] = {}
        self.events = 0
        self.running = 0
        """Peers whose process runs."""
        self.on_event: Callable[[PeerId, Event], None] | None = None
        self.on_effect: list[Callable[[PeerId, Effect, float], None]] = []
        """Called with every effect of every machine."""
        self.is_signed = signed
        """With real keys."""
        self.epoch_s = epoch_s
        self._inspector = shared_inspector(verify_ed25519 if signed else verify_cheap)
        self._heap: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self._order = count()
        self._history = blake2b(digest_size=16)
        self._assessments: dict[PeerId, tuple[tuple[Ledger, int, float], Assessment]] = {}
        """The last of each observer: its ledger then, that ledger's revision, and the time."""
        self._connections: dict[tuple[PeerId, PeerId], int] = {}
        """By the machines at both ends; grows with every new one."""
        self._copies: dict[PeerId, list[PeerId]] = {}
        """Machines that run with the key of another one, by its id."""

    # -- what a scenario can do ------------------------------------------------------------------

    def add(
        self,
        region: str = "local",
        *,
        config: PeerConfig | None = None,
        skew_s: float = 0.0,
        address: str | None = None,
        secret: bytes | None = None,
        version: str = "sim",
    ) -> PeerId:
        """A machine with its own key, or a chosen one; start it with `start`. `address`: where it says it is."""
        signer = make_signer(secret or self.rng.randbytes(32), signed=self.is_signed)
        node = Machine(signer, len(self.nodes), region, config or self.config, skew_s, version)
        node.address = address
        self.nodes[node.peer_id] = node
        return node.peer_id

    def clone(self, peer: PeerId, region: str, *, skew_s: float = 0.0) -> PeerId:
        """A copy of a machine, key included, at an address of its own; its name, by which to `start` it."""
        original = self.nodes[peer]
        copies = self._copies.setdefault(peer, [])
        node = Machine(original.signer, len(self.nodes), region, original.config, skew_s, original.version)
        name = blake2b(peer, digest_size=32, salt=len(copies).to_bytes(8, "big"), person=b"copy").digest()
        node.machine = PeerId(name)
        copies.append(node.machine)
        self.nodes[node.machine] = node
        return node.machine

    def start(self, peer: PeerId, *bootstrap: PeerId, zone: str = "") -> None:
        """Start (again) the process of one peer, joining through the given ones. `zone`: where it was before."""
        node = self.nodes[peer]
        self.running += node.peer is None
        node.life += 1
        node.started_at = self.now
        rng, offset_s = Random(self.rng.getrandbits(64)), self.epoch_s + node.skew_s
        process = Peer(node.signer, node.config, rng, Clocks(self.now, offset_s), inspector=self._inspector)
        node.core = Core(self.core_config, process, self.now, offset_s)
        node.tick_at = inf
        started_at_ms = max(0, round((self.now + offset_s) * 1000))
        if zone:
            self.feed(peer, Recall((), zone))
        self.feed(peer, Publish(replace(profile_of(node), addresses=(address_of(node),), started_at_ms=started_at_ms)))
        self.measure(peer)
        for other in bootstrap:
            self.feed(peer, Join(other, ("bootstrap",)))

    def measure(
        self,
        peer: PeerId,
        cpu_ratio: float | None = None,
        *,
        memory_ratio: float | None = None,
        error_ratio: float | None = None,
    ) -> None:
        """A machine is measured: a typical one, or one so busy, so full, or with so many failing messages."""
        node = self.nodes[peer]
        self.feed(peer, measured(node, self.config.health, cpu_ratio, memory_ratio, error_ratio))

    def crash(self, peer: PeerId) -> None:
        """As by `kill -9`: silence, and nothing else."""
        node = self.nodes[peer]
        self.running -= node.peer is not None
        node.core, node.life = None, node.life + 1
        for name in [name for name in self._connections if peer in name]:
            del self._connections[name]
            other = name[0] if name[1] == peer else name[1]
            self._later(self.now + IDLE_TIMEOUT_S, self._idle_out, other, node.peer_id)

    def leave(self, peer: PeerId, planned: PlannedAbsence | None = None) -> None:
        """Say goodbye and stop; `planned`: announce the absence."""
        self.feed(peer, Leave(planned))
        self.nodes[peer].core = None
        self.running -= 1

    def crawl(self, region: str, starts: Iterable[PeerId], config: WalkConfig) -> Crawler:
        """A machine that maps the network from these peers on, beginning now."""
        node = self.nodes[self.add(region)]
        places = dict.fromkeys(starts, ("ticket",))
        identity = CrawlerIdentity(node.peer_id, self.config.network)
        node.crawler = Crawler(identity, places, config, self.now, inspector=self._inspector)
        self._carry_out(node, node.crawler.tick(self.now))
        self._schedule(node)
        return node.crawler

    def pause(self, peer: PeerId, seconds: float) -> None:
        """As by SIGSTOP: nothing is handled until it goes on; what arrives waits."""
        node = self.nodes[peer]
        node.paused_until = self.now + seconds
        self._later(node.paused_until, self._tick, node, node.life, None)

    def step_clock(self, peer: PeerId, by_s: float) -> None:
        """The wall clock of one machine jumps."""
        node = self.nodes[peer]
        node.skew_s += by_s
        self.feed(peer, WallClock(self.epoch_s + node.skew_s))

    def cut(self, one: set[PeerId], other: set[PeerId], *, both_ways: bool = True) -> None:
        """Nothing goes from one group to the other any more, nor back if `both_ways`."""
        self.network.cut(frozenset(one), frozenset(other), both_ways=both_ways)
        across = [name for name in self._connections if {*name} & one and {*name} & other]
        self._later(self.now + IDLE_TIMEOUT_S, self._break, across)

    def heal(self) -> None:
        """Everything crosses again."""
        self.network.heal()

    def feed(self, peer: PeerId, event: Event) -> None:
        """Hand an event to a peer now."""
        node = self.nodes[peer]
        self._hand(node, node.life, event)

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Do something at a virtual time."""
        self._later(when, action)

    def run_until(self, end: float) -> None:
        """Let virtual time pass."""
        heap = self._heap
        while heap and heap[0][0] <= end:
            self.now, _, action, arguments = heapq.heappop(heap)
            action(*arguments)
        self.now = end

    def run_parts(self, *parts: Part) -> None:
        """Run these parts of the core, too, on every machine from here on."""
        self.core_config = replace(self.core_config, parts=self.core_config.parts | set(parts))
        for node in self.nodes.values():
            if node.core is not None:
                node.core.run(self.core_config.parts, self.now)
                self._schedule(node)

    # -- what a checker can see ------------------------------------------------------------------

    def alive(self) -> list[Peer]:
        """The running peers, in a fixed order."""
        return [node.peer for _, node in sorted(self.nodes.items()) if node.peer is not None]

    def snapshot(self, peer: PeerId) -> Snapshot:
        """The snapshot that a running peer's views look at now."""
        return self.core_of(peer).snapshot(self.now)

    def core_of(self, peer: PeerId) -> Core:
        """The core of a machine that runs."""
        core = self.nodes[peer].core
        assert core is not None
        return core

    def evidence(self, observer: PeerId, subject: PeerId) -> Evidence:
        """The evidence about one peer in the ledger of another, which runs."""
        peer = self.nodes[observer].peer
        assert peer is not None
        key = (peer.ledger, peer.ledger.revision, self.now)
        last = self._assessments.get(observer)
        if last is None or last[0] != key:
            made = Assessment(peer.ledger, self.now, down_after_s=peer.config.detector.down_after_s)
            last = self._assessments[observer] = (key, made)
        return last[1].weigh(subject)

    def digest(self) -> str:
        """Names the history so far: every event, its time, its bytes and whom it met."""
        return self._history.hexdigest()

    # -- machines and their network --------------------------------------------------------------

    def _later(self, when: float, action: Callable[..., None], *arguments: object) -> None:
        heapq.heappush(self._heap, (when, next(self._order), action, arguments))

    def _hand(self, node: Machine, life: int, event: Event) -> None:
        process = node.process
        if node.life != life or process is None:
            return
        if self.now < node.paused_until:
            self._later(node.paused_until, self._hand, node, life, event)
            return
        self.events += 1
        self._history.update(_STAMP.pack(self.now, node.index))
        self._history.update(event.data if isinstance(event, Received) else type(event).__name__.encode())
        if self.on_event is not None:
            self.on_event(node.machine, event)
        self._carry_out(node, process.handle(event, self.now))
        self._schedule(node)

    def _tick(self, node: Machine, life: int, due_at: float | None) -> None:
        process = node.process
        if process is None or node.life != life or (due_at is not None and node.tick_at != due_at):
            return
        if self.now < node.paused_until:
            self._later(node.paused_until, self._tick, node, life, due_at)
            return
        node.tick_at = inf
        if process.deadline() <= self.now:
            self.events += 1
            self._history.update(_STAMP.pack(self.now, node.index))
            self._carry_out(node, process.tick(self.now))
        self._schedule(node)

    def _schedule(self, node: Machine) -> None:
        process = node.process
        if process is None:
            return
        deadline = max(process.deadline(), self.now)
        if deadline < node.tick_at:
            node.tick_at = deadline
            self._later(deadline, self._tick, node, node.life, deadline)

    def _carry_out(self, node: Machine, effects: Sequence[Effect]) -> None:
        if node.corruption is not None and node.peer is not None:
            effects = node.corruption(node.peer, cast("list[mesh.Effect]", [*effects]), self.now)
        watching = self.on_effect
        for effect in effects:
            match effect:
                case Send(to, data, lane):
                    self._send(node, to, data, lane)
                case Dial(peer, addresses):
                    self._dial(node, peer, addresses)
                case Hangup(peer, reason):
                    self._hang_up(node, peer, reason)
                case TryNode(peer, addresses):
                    self._try_node(node, peer, addresses)
                case _:
                    pass
            for watch in watching:
                watch(node.machine, effect, self.now)

    def _send(self, node: Machine, to: PeerId, data: bytes, lane: Lane) -> None:
        linked = self._linked(node, to)
        if not linked:
            return
        target = self.nodes[linked[-1]]
        delay_s = self.network.delay_s(node, target)
        for arrives in self.network.arrivals(node.machine, target.machine, lane, self.now, delay_s):
            self._later(arrives, self._hand, target, target.life, Received(node.peer_id, data))

    def _dial(self, node: Machine, to: PeerId, addresses: tuple[str, ...]) -> None:
        machine, life = self._at(to, addresses), node.life
        target = self.nodes.get(machine)
        blocked = self.network.is_cut(node.machine, machine) or self.network.is_cut(machine, node.machine)
        if target is None or target.process is None or blocked or self.now < target.paused_until:
            self._later(self.now + DIAL_TIMEOUT_S, self._hand, node, life, DialFailed(to, "no answer"))
            return
        round_trip_s = 2 * self.network.delay_s(node, target)
        self._later(self.now + 1.5 * round_trip_s, self._connect, node, life, target, target.life)

    def _try_node(self, node: Machine, subject: PeerId, addresses: tuple[str, ...]) -> None:
        """Connect to a node by TCP, as the shell of an agent does."""
        linked = self._linked(node, subject)
        target = self.nodes[linked[-1]] if linked else None
        reached_at = None if target is None else address_of(target).rpartition(":")[0]
        outcomes, took_s = [], 0.0
        for address in addresses:
            outcome = DialOutcome.REACHED
            if target is None or not may_try(address, reached_at):
                outcome = DialOutcome.ELSEWHERE
            elif (
                self.network.is_cut(node.machine, target.machine)
                or self.network.is_cut(target.machine, node.machine)
                or node.region in target.closed_to
            ):
                outcome, took_s = DialOutcome.SILENT, took_s + DIAL_TIMEOUT_S
            else:
                took_s += 2 * self.network.delay_s(node, target)
                if not target.node_listens or address != target.node_address:
                    outcome = DialOutcome.REFUSED
            outcomes.append(outcome)
        self._later(self.now + took_s, self._hand, node, node.life, Tried(subject, addresses, tuple(outcomes)))

    def _connect(self, node: Machine, life: int, target: Machine, theirs: int) -> None:
        if node.life != life or target.life != theirs or node.process is None or target.process is None:
            self._hand(node, life, DialFailed(target.peer_id, "gone"))
            return
        self._connections[pair(node.machine, target.machine)] = next(self._order)
        self._hand(target, theirs, Connected(node.peer_id, False))
        self._hand(node, life, Connected(target.peer_id, True))

    def _hang_up(self, node: Machine, other: PeerId, reason: str) -> None:
        for machine in self._linked(node, other):
            del self._connections[pair(node.machine, machine)]
            target = self.nodes[machine]
            delay_s = self.network.delay_s(node, target)
            drained_at = self.network.drained_at(node.machine, machine)  # after what was sent before
            self.network.forget(node.machine, machine)
            self.network.forget(machine, node.machine)
            arrives = max(self.now + delay_s, drained_at)
            self._later(arrives, self._part, target, target.life, node.peer_id, reason)

    def _part(self, node: Machine, life: int, other: PeerId, reason: str) -> None:
        """A connection is gone; a copy of the other machine may still hold one."""
        if other not in self._copies or not self._linked(node, other):
            self._hand(node, life, Disconnected(other, reason))

    def _linked(self, node: Machine, to: PeerId) -> list[PeerId]:
        """Machines with this id that a machine is connected with, the newest connection last: that is written to."""
        machines = [to, *self._copies[to]] if to in self._copies else [to]
        linked = [one for one in machines if pair(node.machine, one) in self._connections]
        return sorted(linked, key=lambda one: self._connections[pair(node.machine, one)])

    def _at(self, to: PeerId, addresses: tuple[str, ...]) -> PeerId:
        """The machine with this id that answers at one of these addresses."""
        copies = (one for one in self._copies.get(to, ()) if address_of(self.nodes[one]) in addresses)
        return next(copies, to)

    def _break(self, connections: list[tuple[PeerId, PeerId]]) -> None:
        """Those that are still cut have been silent for longer than the transport bears."""
        for one, other in connections:
            if (one, other) in self._connections and self.network.is_cut(one, other):
                del self._connections[one, other]
                for here, there in ((self.nodes[one], self.nodes[other]), (self.nodes[other], self.nodes[one])):
                    self._part(here, here.life, there.peer_id, "idle")

    def _idle_out(self, peer: PeerId, gone: PeerId) -> None:
        node = self.nodes[peer]
        if not self._linked(node, gone):
            self._hand(node, node.life, Disconnected(gone, "idle"))


def pair(one: PeerId, other: PeerId) -> tuple[PeerId, PeerId]:
    """A connection's name, whichever end asks."""
    return (one, other) if one < other else (other, one)
