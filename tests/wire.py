"""Real peers on plain wires: what one sends, the other handles at once, as bytes. No loss, no latency, no sockets."""

from collections import deque
from random import Random
from typing import TypeVar

from peerscope.mesh.config import PeerConfig
from peerscope.mesh.detection.verdicts import Evidence, weigh
from peerscope.mesh.events import (
    Connected,
    Dial,
    DialFailed,
    Disconnected,
    Effect,
    Event,
    Hangup,
    Join,
    Measured,
    Publish,
    Received,
    Send,
)
from peerscope.mesh.membership.admission import Admission
from peerscope.mesh.messages import WIRE_VERSION, Challenge, Hello, Message, decode, encode
from peerscope.mesh.peer import Peer
from peerscope.mesh.peer_state import Clocks
from peerscope.records.bodies import Body, Check, Profile, Status
from peerscope.records.identity import Identity, PeerId
from peerscope.records.record import Record, sign
from strategies import IDENTITIES

WALL_S = 1_700_000_000.0
"""Unix seconds at time 0, unless a test says otherwise."""
GOOD = (Check(Status.HEALTHY, 1000),) * 4
TURNS_MAX = 100_000

M = TypeVar("M", bound=Message)


class Wire:
    """Some peers, and everything they asked for."""

    def __init__(self) -> None:
        self.now = 0.0
        self.peers: dict[PeerId, Peer] = {}
        self.log: list[tuple[PeerId, Effect]] = []
        self._connections: set[frozenset[PeerId]] = set()

    def start(self, number: int, *joins: Peer, wall_s: float = WALL_S, config: PeerConfig | None = None) -> Peer:
        """Start the peer with the so-manieth key; it publishes a profile, was measured, and joins through others."""
        peer = Peer(IDENTITIES[number], config or PeerConfig(), Random(number), Clocks(self.now, wall_s))
        self.peers[peer.me] = peer
        self.feed(peer, Publish(profile(f"10.0.0.{number}:1")))
        self.feed(peer, Measured(GOOD))
        for other in joins:
            self.feed(peer, Join(other.me, ("bootstrap:1",)))
        return peer

    def kill(self, peer: Peer) -> None:
        """Silence, and nothing else."""
        del self.peers[peer.me]
        self._connections = {pair for pair in self._connections if peer.me not in pair}

    def feed(self, peer: Peer, event: Event) -> list[Effect]:
        """Hand a peer an event, as a driver does; the effects of that turn. What follows from them happens too."""
        effects = peer.handle(event, self.now) + peer.tick(self.now)
        self.transfer(peer, effects)
        return effects

    def run_until(self, end: float) -> None:
        """Let time pass: every peer gets its turn at its deadline."""
        for _ in range(TURNS_MAX):
            peer = min(self.peers.values(), key=lambda one: (one.deadline(), one.me))
            if peer.deadline() > end:
                self.now = end
                return
            self.now = max(self.now, peer.deadline())
            self.transfer(peer, peer.tick(self.now))
        raise AssertionError(f"the peers never come to rest, at {self.now}")

    def transfer(self, source: Peer, effects: list[Effect]) -> None:
        """Carry effects out, and those that follow, until nobody has anything to say."""
        queue = deque((source, effect) for effect in effects)
        for _ in range(TURNS_MAX):
            if not queue:
                return
            source, effect = queue.popleft()
            self.log.append((source.me, effect))
            for peer, event in self._follows(source, effect):
                answers = peer.handle(event, self.now) + peer.tick(self.now)
                queue.extend((peer, answer) for answer in answers)
        raise AssertionError(f"the peers never come to rest, at {self.now}")

    def effects(self, peer: Peer, kind: type) -> list:
        """What one peer asked for, of one kind."""
        return [effect for source, effect in self.log if source == peer.me and isinstance(effect, kind)]

    def evidence(self, observer: Peer, subject: Peer) -> Evidence:
        return weigh(observer.ledger, subject.me, self.now, down_after_s=4.0)

    def _follows(self, source: Peer, effect: Effect) -> list[tuple[Peer, Event]]:
        match effect:
            case Send(to, data) if frozenset((source.me, to)) in self._connections:
                return [(self.peers[to], Received(source.me, data))]
            case Dial(to, _) if to in self.peers:
                self._connections.add(frozenset((source.me, to)))
                return [(self.peers[to], Connected(source.me, False)), (source, Connected(to, True))]
            case Dial(to, _):
                return [(source, DialFailed(to, "no answer"))]
            case Hangup(to, reason) if frozenset((source.me, to)) in self._connections:
                self._connections.discard(frozenset((source.me, to)))
                return [(self.peers[to], Disconnected(source.me, reason))]
        return []


def profile(address: str = "10.0.0.1:1", *, left: bool = False) -> Profile:
    return Profile((address,), "eu", "1.0", 1_700_000_000_000, left)


def alone(number: int = 0, config: PeerConfig | None = None, *, seed: int = 0) -> Peer:
    """A peer that has published and measured, and knows nobody."""
    peer = Peer(IDENTITIES[number], config or PeerConfig(), Random(seed), Clocks(0.0, WALL_S))
    peer.handle(Publish(profile()), 0.0)
    peer.handle(Measured(GOOD), 0.0)
    peer.tick(0.0)
    return peer


def link(
    peer: Peer, other: Identity, now: float = 0.0, *, clock_ms: int | None = None, ticks: bool = True
) -> list[Effect]:
    """The other end dials the peer and says hello, by hand."""
    network = peer.config.network
    clock_ms = round((WALL_S + now) * 1000) if clock_ms is None else clock_ms
    effects = peer.handle(Connected(other.peer_id, False), now)
    proof = b""
    for challenge in said(effects, Challenge, other.peer_id):
        proof = Admission(network, other.peer_id, Random(0)).prove(peer.me, challenge.nonce)
    effects += hear(peer, other, Hello(WIRE_VERSION, WIRE_VERSION, network.name, proof, clock_ms), now)
    return effects + (peer.tick(now) if ticks else [])


def hear(peer: Peer, source: Identity, message: Message, now: float) -> list[Effect]:
    """One message arrives."""
    return peer.handle(Received(source.peer_id, encode(message)), now)


def record_of(signer: Identity, body: Body, *, at_s: float = 0.0) -> Record:
    """A true record, issued so many seconds after time 0 by a right clock."""
    wall_ms = round((WALL_S + at_s) * 1000)
    return sign(signer, body, version=wall_ms, wall_ms=wall_ms)


def said(effects: list[Effect], kind: type[M], to: PeerId | None = None) -> list[M]:
    """The messages of one type among the effects, to anybody or to one peer."""
    sends = [effect for effect in effects if isinstance(effect, Send) and to in (None, effect.to)]
    return [message for send in sends if isinstance(message := decode(send.data), kind)]
