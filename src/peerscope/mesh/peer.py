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

from msgspec.structs import replace

from peerscope.errors import RemoteError
from peerscope.mesh.config import PeerConfig
from peerscope.mesh.coordinates.sampling import Sampling
from peerscope.mesh.coordinates.vivaldi import Coordinates
from peerscope.mesh.crawling.answers import CrawlAnswers
from peerscope.mesh.detection.observers import has_left, is_reporting
from peerscope.mesh.detection.prober import Prober
from peerscope.mesh.dispatch import Dispatch
from peerscope.mesh.dissemination.scopes import Scope, Scopes
from peerscope.mesh.events import (
    Breach,
    Connected,
    Credentials,
    DialFailed,
    Disconnected,
    Effect,
    Event,
    Forgotten,
    Hangup,
    Join,
    KeyShared,
    Leave,
    LookUp,
    Measured,
    Outbox,
    Publish,
    Recall,
    Received,
    WallClock,
)
from peerscope.mesh.handshake import Handshake
from peerscope.mesh.limits.rate_limit import UNGREETED_BYTES_MAX
from peerscope.mesh.limits.reputation import Reputations
from peerscope.mesh.lookups import Lookups
from peerscope.mesh.membership.admission import Admission
from peerscope.mesh.membership.eviction import Eviction
from peerscope.mesh.membership.forgetting import Forgetting
from peerscope.mesh.membership.isolation import Isolation
from peerscope.mesh.membership.members import Membership
from peerscope.mesh.membership.neighbours import Neighbours
from peerscope.mesh.membership.shared_key import SharedKey, drawn
from peerscope.mesh.membership.shared_key_search import SharedKeySearch
from peerscope.mesh.messages import Bye, Challenge, Hello, Neighbors, decode
from peerscope.mesh.publisher import Publisher
from peerscope.mesh.receiver import Receiver
from peerscope.mesh.record_store import RecordStore
from peerscope.mesh.report import Reporter
from peerscope.mesh.revocation import Revocations
from peerscope.mesh.zoning.lookup import LookupAnswer
from peerscope.mesh.zoning.lookup_answers import LookupAnswers
from peerscope.mesh.zoning.own_zone import OwnZone
from peerscope.mesh.zoning.remote_quota import STRANGERS_MAX, RemoteQuota
from peerscope.records.bodies import Body, Kind
from peerscope.records.identity import PeerId, Signer, ref
from peerscope.records.ledger import Ledger
from peerscope.records.record import Inspector, inspect

REVIEW_S = 1.0
EXPIRE_S = 60.0
RETRACT_S = 3 * EXPIRE_S
"""An accusation outlives its forgotten subject by so much: others look at other times who is to be forgotten."""


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
        own_max = config.ledger.origins_max
        self.global_ledger = Ledger(replace(config.ledger, origins_max=2 * (own_max + sum(STRANGERS_MAX.values()))))
        """What crosses the borders of zones: summaries, and what operators ordered, revoked and blocked. Its bound is
        far off: `room` says what is kept."""
        self.admission = Admission(config.network, self.me, rng)
        self.reputations = Reputations(config.limits)
        self.eviction = Eviction(self.ledger, self.me, config.network)
        self.remote_quota = RemoteQuota(self.ledger, self.global_ledger, self.me, config.trusted)
        self.shared_key = SharedKey(drawn(rng))
        """Other processes that sign with our key."""
        self.record_store = RecordStore(
            signer,
            inspector,
            self.ledger,
            self.global_ledger,
            self.refused,
            wall_offset_s,
            self.admission,
            self.eviction,
            self.remote_quota,
            self.shared_key,
            config.limits,
            self._evict,
            self._check_zone,
        )
        self.neighbours = Neighbours(self.me, config.links, rng)
        self.own_zone = OwnZone(
            self.me, config.zones, self.ledger, self.global_ledger, self.neighbours, self._farewell, now
        )
        self.membership = Membership(
            self.me,
            self.ledger,
            self.neighbours,
            config.detector,
            hold_s=config.links.ring_hold_s,
            by_prefix=config.network.public,
            is_member=self.own_zone.is_member,
        )
        self.prober = Prober(self.me, config.detector)
        self.isolation = Isolation(self.ledger, self.neighbours, self.prober)
        self.coordinates = Coordinates(config.coordinates, rng)
        self.sampling = Sampling(self.me, config.coordinates, rng, now)
        near = Scope(self.me, self.ledger, config.gossip, config.sync, rng, self.out, now, world=False)
        far = Scope(self.me, self.global_ledger, config.gossip, config.sync, rng, self.out, now, world=True)
        self.scopes = Scopes(self.me, near, far, self._is_near)
        self.gossip, self.sync = near.gossip, near.sync
        self.reporter = Reporter(config.report, config.health, config.gossip.budget_bytes_s, rng, now)
        self.publisher = Publisher(
            config.gossip,
            self.ledger,
            self.record_store,
            self.neighbours,
            self.membership,
            self.prober,
            self.coordinates,
            self.scopes,
            self.reporter,
            self.isolation,
            self.out,
            now,
        )
        self.handshake = Handshake(
            self.admission,
            self.reputations,
            self.eviction,
            self.ledger,
            self.record_store,
            self.neighbours,
            self.prober,
            self.scopes,
            self.own_zone,
            self.reporter,
            self.out,
            self.publisher.observe,
        )
        self.receiver = Receiver(
            self.record_store,
            self.admission,
            self.prober,
            self.membership,
            self.coordinates,
            self.scopes,
            self.handshake,
            self.publisher,
            self.out,
            self._refuse,
        )
        self.revocation = Revocations(
            self.admission, self.ledger, self.global_ledger, self.record_store, self.handshake, self.publisher
        )
        self.forgetting = Forgetting(self.ledger, self.global_ledger, self.record_store, self.publisher, config.obeyed)
        self.crawl_answers = CrawlAnswers(config.crawl, self.ledger, self.me)
        self.lookup_answers = LookupAnswers(
            self.ledger, self.own_zone, config.detector, now, by_prefix=config.network.public
        )
        self.lookups = Lookups(
            config.ledger,
            inspector,
            self.global_ledger,
            self.own_zone,
            self.admission,
            self.record_store,
            self.prober,
            self.handshake,
            rng,
            self.out,
            self._found_own,
        )
        self.shared_key_search = SharedKeySearch(self.me, self.shared_key, now)
        self.dispatch = Dispatch(
            self.prober,
            self.record_store,
            self.coordinates,
            self.scopes,
            self.receiver,
            self.handshake,
            self.neighbours,
            self.crawl_answers,
            self.lookup_answers,
            self.lookups,
            self.out,
            settle_s=config.links.settle_s,
        )
        self.received: Counter[str] = Counter()
        """Messages heard, by type."""
        self.heard_messages = 0
        self.heard_bytes = 0
        """Everything other peers sent, what was refused included, before the transport's own overhead."""
        self.copies, self.hops = self.receiver.copies, self.receiver.hops
        self._review_at = now + REVIEW_S
        self._expire_at = now + EXPIRE_S
        self._leaving = False

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event in."""
        match event:
            case Received(peer, data):
                self._received(peer, data, now)
            case Connected(peer, dialled):
                self._connected(peer, dialled, now)
            case Disconnected(peer, _):
                self.handshake.disconnected(peer, now)
                self.lookups.failed(peer, now)
            case DialFailed(peer, _):
                self.handshake.unreached(peer, now)
                self.lookups.failed(peer, now)
            case Join(peer, addresses):
                if peer not in self.ledger:
                    self.neighbours.join(peer, addresses, now)
            case Recall(items, zone):
                self.own_zone.resume(zone, now)
                self.receiver.given(None, items, now)
            case Publish(body, urgent):
                self.publisher.publish(self.own_zone.placed(body), now, urgent=urgent)
            case Measured(checks, metrics, node, overlay, relayed):
                self.prober.relayed(relayed)
                self.reporter.measured(checks, now, metrics, node, overlay)
            case WallClock(offset_s):
                self.record_store.set_wall(offset_s)
            case Credentials():
                self.revocation.read(event, now)
            case Breach(peer, reason):
                self._refuse(peer, reason, now)
            case LookUp(number, name):
                self.lookups.ask(number, name, now)
            case Leave():
                self._leave(now)
            case _:
                assert_never(event)
        return self.out.take()

    def tick(self, now: float) -> list[Effect]:
        """Do what is due. Coming late is held against ourselves, not against the neighbours."""
        lag_s = now - self.deadline()
        if self.config.detector.lag_s < lag_s < inf:
            self.prober.lagged(lag_s, now)
        if self._leaving:
            return self.out.take()
        if now >= self.prober.deadline():
            self.handshake.attend(self.coordinates.current(), now)
        for peer in self.neighbours.due(now):
            self.handshake.dial(peer, now)
        host = self.sampling.due(now, self.neighbours.rings, self._is_measured, busy=self.prober.is_lagging(now))
        if host is not None:
            self.handshake.visit(host, now)
        self.scopes.tick(now, self.prober.up)
        if now >= self.lookups.deadline():
            self.lookups.tick(now)
        if now >= self._review_at:
            self._review(now)
        if now >= self.reporter.deadline():
            self.publisher.report(now)
        return self.out.take()

    def deadline(self) -> float:
        """When `tick` wants to be called next."""
        if self._leaving:
            return inf
        return min(
            self.prober.deadline(),
            self.neighbours.deadline(),
            self.scopes.deadline(),
            self.reporter.deadline(),
            self.sampling.deadline(),
            self.lookups.deadline(),
            self._review_at,
        )

    def _connected(self, peer: PeerId, dialled: bool, now: float) -> None:
        if self._leaving:
            self.out.add(Hangup(peer, "leaving"))
            return
        try:
            self.handshake.connected(peer, dialled, now)
        except RemoteError as error:
            self.refused[error.reason] += 1

    def _received(self, peer: PeerId, data: bytes, now: float) -> None:
        self.heard_messages += 1
        self.heard_bytes += len(data)
        try:
            link = self.prober.links.get(peer)
            if link is None:
                raise RemoteError("not-linked", "a message without a connection")
            allowance, share = self.reputations.allowance(peer, now)
            if not allowance.hears(len(data), now, share):
                if link.greeted:  # too loud is not silent
                    self.handshake.heard(peer, now)
                raise RemoteError("flooding", "more than a neighbour may send")
            if not link.greeted and len(data) > UNGREETED_BYTES_MAX:
                raise RemoteError("before-hello", f"{len(data)} bytes from a stranger")
            message = decode(data)
            self.received[type(message).__name__.lower()] += 1
            if not link.greeted and not isinstance(message, Hello | Neighbors | Challenge | Bye):
                raise RemoteError("before-hello", type(message).__name__)
            if link.greeted and not isinstance(message, Hello):  # to a hello the first answer is ours
                self.handshake.heard(peer, now)
            if not allowance.serves(message, now, share):
                raise RemoteError("flooding", f"more than a neighbour may ask for: {type(message).__name__}")
            self.dispatch.message(peer, message, now)
        except RemoteError as error:
            self._refuse(peer, error.reason, now)

    def _refuse(self, peer: PeerId | None, reason: str, now: float) -> None:
        """Count what was refused, and hold it against the neighbour that sent it, if anybody."""
        self.refused[reason] += 1
        if peer is not None and self.reputations.blame(peer, reason, now):
            self.handshake.ban(peer, now)

    def _review(self, now: float) -> None:
        """Once a second: verdicts on the accused, links nobody wants, peers nobody remembers."""
        self._review_at = now + REVIEW_S
        self.membership.review(now)
        self.neighbours.review(set(self.prober.up()), now)
        self.publisher.review(now)
        for peer in self.publisher.survey.to_dial():
            self.handshake.dial(peer, now)
        self._compare_lives(now)
        self.handshake.review(self.config.links.linger_s, now)
        self.isolation.review(now)
        ended = self.revocation.review(now) | dict.fromkeys(self.forgetting.review(now), "forgotten")
        for peer, reason in sorted(ended.items()):
            self._evict(peer, now)
            if reason in ("revoked", "forgotten"):
                self.isolation.forget(peer)
        if now >= self.own_zone.deadline():
            zone = self.own_zone.zone
            for peer in self.own_zone.review(now):
                if has_left(self.ledger, peer) or not is_reporting(self.ledger, peer, now):
                    # Whoever still carries its records must not bring it back.
                    self.ledger.bury(ref(peer), self.ledger.newest(peer), now + self.config.ledger.remember_s)
                self._evict(peer, now)
            if self.own_zone.zone != zone:
                self.handshake.move(self.own_zone.zone)
        self._retract(now)
        if now >= self._expire_at:
            self._expire_at = now + EXPIRE_S
            self.reputations.review(now)
            for peer in self.ledger.expire(now, keep=self.me):
                self._forget(peer, now)
            self.record_store.forget_strangers(self.remote_quota.expire(now))

    def _compare_lives(self, now: float) -> None:
        """Say when another process begins or ceases to sign with our key."""
        own = self.ledger.get(self.me, Kind.PROFILE)
        if self.shared_key.review(now) and own is not None:
            self.publisher.repeat(own, now, urgent=True)
        others = self.shared_key.news(now)
        if others is not None:
            self.out.add(KeyShared(others))
        if now >= self.shared_key_search.ask_at:
            zones = self.own_zone.others(now)
            self.shared_key_search.asked(zones, now)
            if zones:
                self.lookups.ask_own(now)

    def _found_own(self, answer: LookupAnswer, now: float) -> None:
        own = self.ledger.get(self.me, Kind.PROFILE)
        if self.shared_key_search.heard(answer, now) and own is not None:
            self.publisher.repeat(own, now, urgent=True)

    def _farewell(self, zone: str, now: float) -> None:
        """Before we move to another zone: those of the old one are told."""
        self.publisher.move(zone, now)

    def _check_zone(self, origin: PeerId, body: Body, now: float) -> None:
        self.own_zone.check(origin, body, now)

    def _is_near(self, peer: PeerId) -> bool:
        link = self.prober.links.get(peer)
        return link is not None and link.zone == self.own_zone.zone

    def _evict(self, peer: PeerId, now: float) -> None:
        self.ledger.forget(peer)
        self._forget(peer, now)

    def _forget(self, peer: PeerId, now: float) -> None:
        self.membership.forget(peer, now)
        self.record_store.forget(peer)
        link = self.prober.links.get(peer)
        if link is not None:
            self.out.add(Hangup(peer, "forgotten"))
            if link.lost:
                link.forgotten_at = now
            else:
                self.handshake.unlink(peer, "forgotten", now)
        self.out.add(Forgotten(peer))

    def _retract(self, now: float) -> None:
        """Accuse the forgotten no more, when nobody knows them: without accusers they would look alive."""
        for link in self.prober.lost():
            if link.forgotten_at is not None and now - link.forgotten_at >= RETRACT_S:
                self.handshake.unlink(link.peer, "forgotten", now)

    def _is_measured(self, peer: PeerId) -> bool:
        return peer in self.prober.links or self.coordinates.remembers(peer)

    def _leave(self, now: float) -> None:
        self.publisher.goodbye(now)
        for peer in sorted(self.prober.links):
            self.out.send(peer, Bye("leaving"))
            self.out.add(Hangup(peer, "leaving"))
        self._leaving = True
