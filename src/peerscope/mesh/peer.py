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
from peerscope.mesh.coordinates.sampling import Visits
from peerscope.mesh.coordinates.vivaldi import Coordinates
from peerscope.mesh.crawling.answers import Introductions
from peerscope.mesh.detection.observers import has_left, is_reporting
from peerscope.mesh.detection.prober import Watch
from peerscope.mesh.dispatch import Dispatch
from peerscope.mesh.dissemination.scopes import Layer, Layers
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
    Inquire,
    Join,
    KeyShared,
    Leave,
    Measured,
    Outbox,
    Publish,
    Recall,
    Received,
    WallClock,
)
from peerscope.mesh.handshake import Sessions
from peerscope.mesh.limits.rate_limit import UNGREETED_BYTES_MAX
from peerscope.mesh.limits.reputation import Conducts
from peerscope.mesh.lookups import Inquiries
from peerscope.mesh.membership.admission import Admission
from peerscope.mesh.membership.eviction import Crowds
from peerscope.mesh.membership.forgetting import Forgetting
from peerscope.mesh.membership.isolation import Company
from peerscope.mesh.membership.members import Membership
from peerscope.mesh.membership.neighbours import Neighbourhood
from peerscope.mesh.membership.shared_key import Lives, drawn
from peerscope.mesh.membership.shared_key_search import Lookout
from peerscope.mesh.messages import Bye, Challenge, Hello, Neighbors, decode
from peerscope.mesh.publisher import Voice
from peerscope.mesh.receiver import Intake
from peerscope.mesh.record_store import Register
from peerscope.mesh.report import Reporter
from peerscope.mesh.revocation import Warrants
from peerscope.mesh.zoning.lookup import Answer
from peerscope.mesh.zoning.lookup_answers import Whereabouts
from peerscope.mesh.zoning.own_zone import Borders
from peerscope.mesh.zoning.remote_quota import STRANGERS_MAX, Room
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
        self.abroad = Ledger(replace(config.ledger, origins_max=2 * (own_max + sum(STRANGERS_MAX.values()))))
        """What crosses the borders of zones: summaries, and what operators ordered, revoked and blocked. Its bound is
        far off: `room` says what is kept."""
        self.admission = Admission(config.network, self.me, rng)
        self.conducts = Conducts(config.limits)
        self.crowds = Crowds(self.ledger, self.me, config.network)
        self.room = Room(self.ledger, self.abroad, self.me, config.trusted)
        self.lives = Lives(drawn(rng))
        """Other processes that sign with our key."""
        self.register = Register(
            signer,
            inspector,
            self.ledger,
            self.abroad,
            self.refused,
            wall_offset_s,
            self.admission,
            self.crowds,
            self.room,
            self.lives,
            config.limits,
            self._evict,
            self._check_zone,
        )
        self.neighbourhood = Neighbourhood(self.me, config.links, rng)
        self.borders = Borders(self.me, config.zones, self.ledger, self.abroad, self.neighbourhood, self._farewell, now)
        self.membership = Membership(
            self.me,
            self.ledger,
            self.neighbourhood,
            config.detector,
            hold_s=config.links.ring_hold_s,
            by_prefix=config.network.public,
            is_member=self.borders.is_member,
        )
        self.watch = Watch(self.me, config.detector)
        self.company = Company(self.ledger, self.neighbourhood, self.watch)
        self.coordinates = Coordinates(config.coordinates, rng)
        self.visits = Visits(self.me, config.coordinates, rng, now)
        near = Layer(self.me, self.ledger, config.gossip, config.sync, rng, self.out, now, world=False)
        far = Layer(self.me, self.abroad, config.gossip, config.sync, rng, self.out, now, world=True)
        self.layers = Layers(self.me, near, far, self._is_near)
        self.gossip, self.sync = near.gossip, near.sync
        self.reporter = Reporter(config.report, config.health, config.gossip.budget_bytes_s, rng, now)
        self.voice = Voice(
            config.gossip,
            self.ledger,
            self.register,
            self.neighbourhood,
            self.membership,
            self.watch,
            self.coordinates,
            self.layers,
            self.reporter,
            self.company,
            self.out,
            now,
        )
        self.sessions = Sessions(
            self.admission,
            self.conducts,
            self.crowds,
            self.ledger,
            self.register,
            self.neighbourhood,
            self.watch,
            self.layers,
            self.borders,
            self.reporter,
            self.out,
            self.voice.observe,
        )
        self.intake = Intake(
            self.register,
            self.admission,
            self.watch,
            self.membership,
            self.coordinates,
            self.layers,
            self.sessions,
            self.voice,
            self.out,
            self._refuse,
        )
        self.warrants = Warrants(self.admission, self.ledger, self.abroad, self.register, self.sessions, self.voice)
        self.forgetting = Forgetting(self.ledger, self.abroad, self.register, self.voice, config.obeyed)
        self.introductions = Introductions(config.crawl, self.ledger, self.me)
        self.whereabouts = Whereabouts(self.ledger, self.borders, config.detector, now, by_prefix=config.network.public)
        self.inquiries = Inquiries(
            config.ledger,
            inspector,
            self.abroad,
            self.borders,
            self.admission,
            self.register,
            self.watch,
            self.sessions,
            rng,
            self.out,
            self._found_own,
        )
        self.lookout = Lookout(self.me, self.lives, now)
        self.dispatch = Dispatch(
            self.watch,
            self.register,
            self.coordinates,
            self.layers,
            self.intake,
            self.sessions,
            self.neighbourhood,
            self.introductions,
            self.whereabouts,
            self.inquiries,
            self.out,
            settle_s=config.links.settle_s,
        )
        self.received: Counter[str] = Counter()
        """Messages heard, by type."""
        self.heard_messages = 0
        self.heard_bytes = 0
        """Everything other peers sent, what was refused included, before the transport's own overhead."""
        self.copies, self.hops = self.intake.copies, self.intake.hops
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
                self.sessions.disconnected(peer, now)
                self.inquiries.failed(peer, now)
            case DialFailed(peer, _):
                self.sessions.unreached(peer, now)
                self.inquiries.failed(peer, now)
            case Join(peer, addresses):
                if peer not in self.ledger:
                    self.neighbourhood.join(peer, addresses, now)
            case Recall(items, zone):
                self.borders.resume(zone, now)
                self.intake.given(None, items, now)
            case Publish(body, urgent):
                self.voice.publish(self.borders.placed(body), now, urgent=urgent)
            case Measured(checks, metrics, node, overlay, relayed):
                self.watch.relayed(relayed)
                self.reporter.measured(checks, now, metrics, node, overlay)
            case WallClock(offset_s):
                self.register.set_wall(offset_s)
            case Credentials():
                self.warrants.read(event, now)
            case Breach(peer, reason):
                self._refuse(peer, reason, now)
            case Inquire(number, name):
                self.inquiries.ask(number, name, now)
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
        if now >= self.watch.deadline():
            self.sessions.attend(self.coordinates.current(), now)
        for peer in self.neighbourhood.due(now):
            self.sessions.dial(peer, now)
        host = self.visits.due(now, self.neighbourhood.rings, self._is_measured, busy=self.watch.is_lagging(now))
        if host is not None:
            self.sessions.visit(host, now)
        self.layers.tick(now, self.watch.up)
        if now >= self.inquiries.deadline():
            self.inquiries.tick(now)
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
            self.layers.deadline(),
            self.reporter.deadline(),
            self.visits.deadline(),
            self.inquiries.deadline(),
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
            allowance, share = self.conducts.allowance(peer, now)
            if not allowance.hears(len(data), now, share):
                if link.greeted:  # too loud is not silent
                    self.sessions.heard(peer, now)
                raise RemoteError("flooding", "more than a neighbour may send")
            if not link.greeted and len(data) > UNGREETED_BYTES_MAX:
                raise RemoteError("before-hello", f"{len(data)} bytes from a stranger")
            message = decode(data)
            self.received[type(message).__name__.lower()] += 1
            if not link.greeted and not isinstance(message, Hello | Neighbors | Challenge | Bye):
                raise RemoteError("before-hello", type(message).__name__)
            if link.greeted and not isinstance(message, Hello):  # to a hello the first answer is ours
                self.sessions.heard(peer, now)
            if not allowance.serves(message, now, share):
                raise RemoteError("flooding", f"more than a neighbour may ask for: {type(message).__name__}")
            self.dispatch.message(peer, message, now)
        except RemoteError as error:
            self._refuse(peer, error.reason, now)

    def _refuse(self, peer: PeerId | None, reason: str, now: float) -> None:
        """Count what was refused, and hold it against the neighbour that sent it, if anybody."""
        self.refused[reason] += 1
        if peer is not None and self.conducts.blame(peer, reason, now):
            self.sessions.ban(peer, now)

    def _review(self, now: float) -> None:
        """Once a second: verdicts on the accused, links nobody wants, peers nobody remembers."""
        self._review_at = now + REVIEW_S
        self.membership.review(now)
        self.neighbourhood.review(set(self.watch.up()), now)
        self.voice.review(now)
        for peer in self.voice.survey.to_dial():
            self.sessions.dial(peer, now)
        self._compare_lives(now)
        self.sessions.review(self.config.links.linger_s, now)
        self.company.review(now)
        ended = self.warrants.review(now) | dict.fromkeys(self.forgetting.review(now), "forgotten")
        for peer, reason in sorted(ended.items()):
            self._evict(peer, now)
            if reason in ("revoked", "forgotten"):
                self.company.forget(peer)
        if now >= self.borders.deadline():
            zone = self.borders.zone
            for peer in self.borders.review(now):
                if has_left(self.ledger, peer) or not is_reporting(self.ledger, peer, now):
                    # Whoever still carries its records must not bring it back.
                    self.ledger.bury(ref(peer), self.ledger.newest(peer), now + self.config.ledger.remember_s)
                self._evict(peer, now)
            if self.borders.zone != zone:
                self.sessions.move(self.borders.zone)
        self._retract(now)
        if now >= self._expire_at:
            self._expire_at = now + EXPIRE_S
            self.conducts.review(now)
            for peer in self.ledger.expire(now, keep=self.me):
                self._forget(peer, now)
            self.register.forget_strangers(self.room.expire(now))

    def _compare_lives(self, now: float) -> None:
        """Say when another process begins or ceases to sign with our key."""
        own = self.ledger.get(self.me, Kind.PROFILE)
        if self.lives.review(now) and own is not None:
            self.voice.repeat(own, now, urgent=True)
        others = self.lives.news(now)
        if others is not None:
            self.out.add(KeyShared(others))
        if now >= self.lookout.ask_at:
            zones = self.borders.others(now)
            self.lookout.asked(zones, now)
            if zones:
                self.inquiries.ask_own(now)

    def _found_own(self, answer: Answer, now: float) -> None:
        own = self.ledger.get(self.me, Kind.PROFILE)
        if self.lookout.heard(answer, now) and own is not None:
            self.voice.repeat(own, now, urgent=True)

    def _farewell(self, zone: str, now: float) -> None:
        """Before we move to another zone: those of the old one are told."""
        self.voice.move(zone, now)

    def _check_zone(self, origin: PeerId, body: Body, now: float) -> None:
        self.borders.check(origin, body, now)

    def _is_near(self, peer: PeerId) -> bool:
        link = self.watch.links.get(peer)
        return link is not None and link.zone == self.borders.zone

    def _evict(self, peer: PeerId, now: float) -> None:
        self.ledger.forget(peer)
        self._forget(peer, now)

    def _forget(self, peer: PeerId, now: float) -> None:
        self.membership.forget(peer, now)
        self.register.forget(peer)
        link = self.watch.links.get(peer)
        if link is not None:
            self.out.add(Hangup(peer, "forgotten"))
            if link.lost:
                link.forgotten_at = now
            else:
                self.sessions.unlink(peer, "forgotten", now)
        self.out.add(Forgotten(peer))

    def _retract(self, now: float) -> None:
        """Accuse the forgotten no more, when nobody knows them: without accusers they would look alive."""
        for link in self.watch.lost():
            if link.forgotten_at is not None and now - link.forgotten_at >= RETRACT_S:
                self.sessions.unlink(link.peer, "forgotten", now)

    def _is_measured(self, peer: PeerId) -> bool:
        return peer in self.watch.links or self.coordinates.remembers(peer)

    def _leave(self, now: float) -> None:
        self.voice.goodbye(now)
        for peer in sorted(self.watch.links):
            self.out.send(peer, Bye("leaving"))
            self.out.add(Hangup(peer, "leaving"))
        self._leaving = True
