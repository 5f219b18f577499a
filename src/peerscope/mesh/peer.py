"""One peer of the network, without its sockets: events and the time in, effects out.

`Peer` composes the ledger, the rings, the watch over links, gossip and sync. It decides everything; the driver of a
real network and the simulator carry its effects out and feed it what happens.

Rules of this file:
1. `now` is this process's monotonic time. Wall time enters only through `WallClock`; it dates our records and stamps
   our pushes, and decides nothing.
2. Whatever a peer sends, nothing is raised: what breaks the protocol is counted under `refused` and dropped.
3. Randomness comes from the given generator, and only over sorted sequences: a seed is a history.
"""

from __future__ import annotations

from collections import Counter
from math import inf
from random import Random
from typing import assert_never

from msgspec import Struct

from peerscope.errors import RemoteError
from peerscope.mesh.admission import NetworkConfig
from peerscope.mesh.checks import HealthConfig
from peerscope.mesh.coordinates import CoordinateConfig, Coordinates
from peerscope.mesh.detector import DetectorConfig
from peerscope.mesh.events import (
    Connected,
    Delivered,
    DialFailed,
    Disconnected,
    Effect,
    Event,
    Forgotten,
    Hangup,
    Join,
    Leave,
    Measured,
    Outbox,
    Publish,
    Recall,
    Received,
    Stored,
    WallClock,
)
from peerscope.mesh.gossip import Gossip, GossipConfig
from peerscope.mesh.membership import Membership
from peerscope.mesh.messages import (
    Aged,
    Announce,
    Bye,
    Digest,
    Hello,
    Inventory,
    Message,
    Neighbors,
    Ping,
    Pong,
    Pull,
    Push,
    Records,
    Vicinity,
    decode,
)
from peerscope.mesh.neighbourhood import Neighbourhood, NeighbourhoodConfig
from peerscope.mesh.register import Register
from peerscope.mesh.reporter import ReportConfig, Reporter
from peerscope.mesh.sessions import Sessions
from peerscope.mesh.sync import Sync, SyncConfig
from peerscope.mesh.transit import whole_path, with_last_hop
from peerscope.mesh.vicinity import CrawlConfig, Introductions
from peerscope.mesh.visits import Visits
from peerscope.mesh.voice import Voice
from peerscope.mesh.watch import Watch
from peerscope.records.bodies import (
    Observations,
    Profile,
    Report,
)
from peerscope.records.identity import PeerId, Signer, ref
from peerscope.records.ledger import Entry, Ledger, LedgerConfig
from peerscope.records.record import Inspector, Record, inspect

REVIEW_S = 1.0


class PeerConfig(Struct, frozen=True, kw_only=True):
    """Everything the core can be told."""

    network: NetworkConfig = NetworkConfig()
    ledger: LedgerConfig = LedgerConfig()
    links: NeighbourhoodConfig = NeighbourhoodConfig()
    detector: DetectorConfig = DetectorConfig()
    gossip: GossipConfig = GossipConfig()
    sync: SyncConfig = SyncConfig()
    report: ReportConfig = ReportConfig()
    health: HealthConfig = HealthConfig()
    crawl: CrawlConfig = CrawlConfig()
    coordinates: CoordinateConfig = CoordinateConfig()


class Peer:
    """The protocol of one peer. Call `tick` at `deadline` or earlier, and after any `handle`."""

    def __init__(
        self,
        signer: Signer,
        config: PeerConfig,
        rng: Random,
        now: float,
        *,
        wall_offset_s: float,
        inspector: Inspector = inspect,
    ) -> None:
        self.me = signer.peer_id
        self.config = config
        self.out = Outbox()
        self.refused: Counter[str] = Counter()
        """Messages and records of other peers that were refused, by reason."""
        self.ledger = Ledger(config.ledger)
        self.register = Register(signer, inspector, self.ledger, self.refused, wall_offset_s)
        self.neighbourhood = Neighbourhood(self.me, config.links, rng)
        self.membership = Membership(
            self.ledger,
            self.neighbourhood,
            config.detector,
            hold_s=config.links.ring_hold_s,
            by_prefix=config.network.public,
        )
        self.watch = Watch(self.me, config.detector)
        self.coordinates = Coordinates(config.coordinates, rng)
        self.visits = Visits(self.me, config.coordinates, rng, now)
        self.gossip = Gossip(self.me, self.ledger, config.gossip, rng, self.out)
        self.sync = Sync(self.ledger, self.gossip, config.sync, rng, self.out, now)
        self.reporter = Reporter(config.report, config.health, config.gossip.budget_bytes_s, rng, now)
        self.voice = Voice(
            config.gossip,
            self.ledger,
            self.register,
            self.neighbourhood,
            self.membership,
            self.watch,
            self.coordinates,
            self.gossip,
            self.reporter,
            self.out,
            now,
        )
        self.sessions = Sessions(
            config.network,
            self.ledger,
            self.register,
            self.neighbourhood,
            self.watch,
            self.gossip,
            self.sync,
            self.reporter,
            self.out,
            self.voice.observe,
        )
        self.introductions = Introductions(config.network, config.crawl, self.ledger, self.me)
        self.received: Counter[str] = Counter()
        """Messages heard, by type."""
        self.heard_messages = 0
        self.heard_bytes = 0
        """Everything other peers sent, what was refused included, before the transport's own overhead."""
        self.copies: Counter[str] = Counter()
        """Record bodies received, pushed and announced, and how many of them were news."""
        self.hops: Counter[int] = Counter()
        """Hops that urgent news took to us."""
        self._review_at = now + REVIEW_S
        self._expire_at = now + 60.0
        self._leaving = False

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event in."""
        match event:
            case Received(peer, data):
                self._received(peer, data, now)
            case Connected(peer, dialled):
                self._connected(peer, dialled, now)
            case Disconnected(peer, _):
                self.sessions.disconnected(peer, now)
            case DialFailed(peer, _):
                self.sessions.unreached(peer, now)
            case Join(peer, addresses):
                if peer not in self.ledger:
                    self.neighbourhood.join(peer, addresses, now)
            case Recall(items):
                for item in items:
                    self._offered(None, item, now)
            case Publish(body, urgent):
                self.voice.publish(body, now, urgent=urgent)
            case Measured(checks, metrics, node, overlay):
                self.reporter.measured(checks, now, metrics, node, overlay)
            case WallClock(offset_s):
                self.register.set_wall(offset_s)
            case Leave():
                self._leave(now)
            case _:
                assert_never(event)
        return self.out.take()

    def tick(self, now: float) -> list[Effect]:
        """Do what is due. Coming late is held against ourselves, not against the neighbours."""
        lag_s = now - self.deadline()
        if self.config.detector.lag_s < lag_s < inf:
            self.watch.lagged(lag_s, now)
        if self._leaving:
            return self.out.take()
        self._watch(now)
        for peer in self.neighbourhood.due(now):
            self.sessions.dial(peer, now)
        host = self.visits.due(now, self.neighbourhood.rings, self._is_measured, busy=self.watch.is_lagging(now))
        if host is not None:
            self.sessions.visit(host)
        self.gossip.tick(now)
        self.sync.tick(now, self.watch.up())
        if now >= self._review_at:
            self._review(now)
        if now >= self.reporter.deadline():
            self.voice.report(now)
        return self.out.take()

    def deadline(self) -> float:
        """When `tick` wants to be called next."""
        if self._leaving:
            return inf
        return min(
            self.watch.deadline(),
            self.neighbourhood.deadline(),
            self.gossip.deadline(),
            self.sync.deadline(),
            self.reporter.deadline(),
            self.visits.deadline(),
            self._review_at,
        )

    def _connected(self, peer: PeerId, dialled: bool, now: float) -> None:
        if self._leaving:
            self.out.add(Hangup(peer, "leaving"))
            return
        try:
            self.sessions.connected(peer, dialled, now)
        except RemoteError as error:
            self.refused[error.reason] += 1

    def _received(self, peer: PeerId, data: bytes, now: float) -> None:
        self.heard_messages += 1
        self.heard_bytes += len(data)
        try:
            link = self.watch.links.get(peer)
            if link is None:
                raise RemoteError("not-linked", "a message without a connection")
            message = decode(data)
            self.received[type(message).__name__.lower()] += 1
            if not link.greeted and not isinstance(message, Hello | Neighbors | Bye):
                raise RemoteError("before-hello", type(message).__name__)
            if link.greeted and not isinstance(message, Hello):  # to a hello the first answer is ours
                self.sessions.heard(peer, now)
            self._dispatch(peer, message, now)
        except RemoteError as error:
            self.refused[error.reason] += 1

    def _dispatch(self, peer: PeerId, message: Message, now: float) -> None:
        link = self.watch.links[peer]
        match message:
            case Ping():
                clock_ms, ahead_ms = self.register.clock_ms(now), self.register.ahead_ms(now)
                place = self.coordinates.current()
                self.out.send(peer, self.watch.pinged(link, message, now, clock_ms, ahead_ms, place))
                rtt_us = None if link.pings else message.rtt_us
                self.coordinates.observed(peer, message.coordinate, None if rtt_us is None else rtt_us / 1e6)
            case Pong():
                is_answer = self.watch.ponged(link, message, now, self.register.wall_ms(now))
                rtt_s = link.rtt.last_s if is_answer else None
                self.coordinates.observed(peer, message.coordinate, rtt_s)
            case Push():
                self._pushed(peer, message, now)
            case Announce():
                self.gossip.announced(peer, message.keys, now)
            case Pull():
                self.gossip.pulled(peer, message.topics, now)
            case Records():
                for item in message.items:
                    self._offered(peer, item, now)
            case Digest():
                self.sync.compared(peer, message, now)
            case Inventory():
                self.sync.listed(peer, message, now)
            case Hello():
                self.sessions.greeted(peer, message, now)
            case Neighbors():
                try:
                    self.out.send(peer, self.introductions.answer(peer, message, self.watch.up(), now))
                except RemoteError as error:
                    if not link.greeted:  # a neighbour that asks too often stays one
                        self.sessions.refuse(peer, error.reason, now)
                    raise
            case Vicinity():
                raise RemoteError("unasked", "only a crawler asks for neighbours")
            case Bye():
                self.neighbourhood.failed(peer, now)
                self.out.add(Hangup(peer, "said bye"))
                self.sessions.unlink(peer, message.reason, now)
                self.neighbourhood.missing(peer, now, wait_s=self.config.links.settle_s)
            case _:
                assert_never(message)

    def _pushed(self, source: PeerId, push: Push, now: float) -> None:
        entry = self._accept(push.record, push.age_ms, now)
        self.copies["pushed"] += 1
        if entry is not None:
            self.copies["pushed news"] += 1
            self.hops[len(push.path)] += 1
            sent_us = self.register.wall_us(now)
            hops_us = with_last_hop(push, sent_us, self.watch.ahead_s(source))
            path = whole_path(push, source, self.me)
            if path:
                self.out.add(Delivered(path, hops_us))
            self.gossip.push(
                entry, now, hops=push.ttl - 1, path=push.path, source=source, hops_us=hops_us, sent_us=sent_us
            )

    def _offered(self, source: PeerId | None, item: Aged, now: float) -> None:
        try:
            entry = self._accept(item.record, item.age_ms, now)
        except RemoteError as error:  # the others in the message may be good
            self.refused[error.reason] += 1
        else:
            self.copies["announced"] += 1
            if entry is not None:
                self.copies["announced news"] += 1
                self.gossip.spread(entry, now, source=source)

    def _accept(self, record: Record, age_ms: int, now: float) -> Entry | None:
        """The entry if the record is news and true; None if it is known. Raises `RemoteError` otherwise."""
        if record.peer_id == self.me:
            if self.register.is_behind(record, now):
                self.voice.outrun(record.kind, now)
            return None
        entry = self.register.accept(record, age_ms, now)
        if entry is not None:
            self.gossip.arrived(entry)
            self.out.add(Stored(entry))
            self._stored(entry, now)
        return entry

    def _stored(self, entry: Entry, now: float) -> None:
        peer, body = entry.record.peer_id, entry.body
        self.membership.stored(entry, now)
        if isinstance(body, Report):
            self.coordinates.told(peer, body.coordinate)
        if isinstance(body, Profile) and body.left and peer in self.watch.links:
            self.out.add(Hangup(peer, "it left"))
            self.sessions.unlink(peer, "it left", now)
        elif isinstance(body, Observations) and any(o.subject == ref(self.me) for o in body.lost):
            self.voice.refute(now)

    def _watch(self, now: float) -> None:
        if now < self.watch.deadline():
            return
        clock_ms, ahead_ms = self.register.clock_ms(now), self.register.ahead_ms(now)
        pings, lost = self.watch.due(now, clock_ms, ahead_ms, self.coordinates.current())
        for peer, ping in pings:
            if self.watch.links[peer].connected:
                self.out.send(peer, ping)
        for link in lost:
            self.gossip.closed(link.peer)
            self.sessions.changed(link.peer, False, f"silent for {link.quiet_s(now):.1f} s", now)
            self.neighbourhood.missing(link.peer, now)
        if lost:
            self.voice.observe(now)

    def _review(self, now: float) -> None:
        """Once a second: verdicts on the accused, links nobody wants, peers nobody remembers."""
        self._review_at = now + REVIEW_S
        self.membership.review(now)
        self.neighbourhood.review(set(self.watch.up()), now)
        self.voice.review(now)
        self.sessions.review(self.config.links.linger_s, now)
        if now >= self._expire_at:
            self._expire_at = now + 60.0
            for peer in self.ledger.expire(now, keep=self.me):
                self._forget(peer, now)

    def _forget(self, peer: PeerId, now: float) -> None:
        self.membership.forget(peer, now)
        if peer in self.watch.links:
            self.out.add(Hangup(peer, "forgotten"))
            self.sessions.unlink(peer, "forgotten", now)
        self.out.add(Forgotten(peer))

    def _is_measured(self, peer: PeerId) -> bool:
        return peer in self.watch.links or self.coordinates.remembers(peer)

    def _leave(self, now: float) -> None:
        self.voice.goodbye(now)
        for peer in sorted(self.watch.links):
            self.out.send(peer, Bye("leaving"))
            self.out.add(Hangup(peer, "leaving"))
        self._leaving = True
