"""One peer of the network, without its sockets: events and the time in, effects out.

`Peer` gives events and deadlines to the parts (`parts.py`), which report to each other through one table (`routes.py`).
The driver of a real network, or the simulator, carries the effects out.

Rules of this file:
1. `now` is this process's monotonic time. Wall time enters only through `WallClock`: it dates our records and stamps
   our pushes, and decides nothing.
2. No message of a peer raises an error. A breach of the protocol is counted under `refused` and dropped.
3. Randomness comes from the given generator, and only over sorted sequences: a seed is a history.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import inf
from random import Random
from typing import assert_never

from peerscope.errors import RemoteError
from peerscope.mesh import events
from peerscope.mesh.config import PeerConfig
from peerscope.mesh.internal_events import Evicted
from peerscope.mesh.limits.rate_limit import UNGREETED_BYTES_MAX
from peerscope.mesh.messages import Aged, Bye, Challenge, Hello, Message, Neighbors, Ping, Pong, Records, decode
from peerscope.mesh.parts import Parts, new_state
from peerscope.mesh.peer_state import Clocks
from peerscope.mesh.report import Situation
from peerscope.mesh.routes import Dispatch, Router
from peerscope.records.bodies import Kind
from peerscope.records.identity import PeerId, Signer
from peerscope.records.record import Inspector, inspect

REVIEW_S = 1.0
EXPIRE_S = 60.0


class Peer:
    """The protocol of one peer. Call `tick` at `deadline` or earlier, and after any `handle`."""

    def __init__(
        self,
        signer: Signer,
        config: PeerConfig,
        rng: Random,
        clocks: Clocks,
        inspector: Inspector = inspect,
    ) -> None:
        """`clocks`: read at the start."""
        now = clocks.now
        state = new_state(signer, config, rng, clocks)
        self.me = state.me
        self.config = config
        self.parts = parts = Parts(state, config, rng, now, inspector)
        self.out, self.refused = state.out, state.refused
        self.ledger, self.global_ledger = state.ledger, state.global_ledger
        self.admission, self.reputations, self.shared_key = state.admission, state.reputations, state.shared_key
        self.links, self.grid = state.links, state.grid
        self.neighbours, self.own_zone, self.membership = parts.neighbours, parts.own_zone, parts.membership
        self.coordinates, self.reporter = parts.coordinates, parts.publisher.reporter
        self.copies, self.hops = parts.receiver.copies, parts.receiver.hops
        self.received: Counter[str] = Counter()
        self.heard_messages = 0
        self.heard_bytes = 0
        """Received bytes, refused ones too, without the overhead of the transport."""
        self._state = state
        self._routes = Router(parts)
        self._dispatch = Dispatch(parts)
        self._review_at = state.grid.near(now + REVIEW_S)
        self._expire_at = now + EXPIRE_S
        self._leaving = False
        self._deadline: float | None = None
        """Known until the next event or tick: callers ask several times."""

    def handle(self, event: events.Event, now: float) -> list[events.Effect]:
        p, self._deadline = self.parts, None
        match event:
            case events.Received(peer, data):
                self._received(peer, data, now)
            case events.Connected(peer, dialled):
                self._connected(peer, dialled, now)
            case events.Disconnected(peer, _):
                p.handshake.disconnected(peer, now)
            case events.DialFailed(peer, _):
                p.handshake.unreached(peer)
            case events.Join(peer, addresses):
                if peer not in self.ledger:
                    p.neighbours.join(peer, addresses, now)
            case events.Recall(items, zone):
                p.own_zone.resume(zone, now)
                self._routes.run(now)
                self._given(None, items, now)
            case events.Publish(body, urgent):
                p.publisher.publish(p.own_zone.placed(body), now, urgent=urgent)
            case events.Measured(checks, metrics, node, overlay, relayed):
                self.links.relayed(relayed)
                self.reporter.measured(checks, now, metrics, node, overlay)
            case events.WallClock(offset_s):
                self._state.clock.set_wall(offset_s)
            case events.Credentials():
                p.revocation.read(event, now)
            case events.Breach(peer, reason):
                self._refuse(peer, reason, now)
            case events.Tried():
                p.dial_back.tried(event, now)
            case events.LookUp(number, name):
                p.lookups.ask(number, name, now)
            case events.Leave(planned):
                p.publisher.goodbye(now, planned)
                p.handshake.leave()
                self._leaving = True
            case _:
                assert_never(event)
        self._routes.run(now)
        return self.out.take()

    def tick(self, now: float) -> list[events.Effect]:
        """Do the work that is due. A late call counts against ourselves, not against the neighbours."""
        p, route = self.parts, self._routes.run
        lag_s, self._deadline = now - self.deadline(), None
        if self.config.detector.lag_s < lag_s < inf:
            self._state.local_health.lagged(lag_s, now)
        if self._leaving:
            return self.out.take()
        if now >= p.prober.deadline():
            p.prober.tick(p.coordinates.current(), p.scopes.load, now)
            route(now)
        for peer in p.neighbours.due(now):
            p.handshake.dial(peer, now)
            route(now)
        if now >= p.sampling.deadline():
            host = p.sampling.due(
                now, p.neighbours.rings, self._is_measured, busy=self._state.local_health.is_lagging(now)
            )
            if host is not None:
                p.handshake.connect_as_guest(host, now)
        p.scopes.tick(now)
        p.doubts.tick(now)
        if now >= p.lookups.deadline():
            p.lookups.tick(now)
            route(now)
        if now >= self._review_at:
            self._review(now)
        if now >= self.reporter.deadline():
            isolation = p.isolation
            situation = Situation(p.membership.down, p.coordinates.current(), isolation.lost, isolation.refusal)
            p.publisher.report(situation, p.dial_back.readings(now), now)
            route(now)
        return self.out.take()

    def deadline(self) -> float:
        if self._deadline is None:
            self._deadline = inf if self._leaving else self._next()
        return self._deadline

    def _next(self) -> float:
        p = self.parts
        return min(
            p.prober.deadline(),
            p.neighbours.deadline(),
            p.scopes.deadline(),
            p.doubts.deadline(),
            self.reporter.deadline(),
            p.sampling.deadline(),
            p.lookups.deadline(),
            self._review_at,
        )

    def _connected(self, peer: PeerId, dialled: bool, now: float) -> None:
        if self._leaving:
            self.out.add(events.Hangup(peer, "leaving"))
            return
        try:
            self.parts.handshake.make_room(peer, now)
        except RemoteError as error:
            self.refused[error.reason] += 1
        else:
            self._routes.run(now)
            self.parts.handshake.connected(peer, dialled, now)

    def _received(self, peer: PeerId, data: bytes, now: float) -> None:
        """Pass one message through limits and decoder to its part."""
        self.heard_messages += 1
        self.heard_bytes += len(data)
        try:
            message = self._decoded(peer, data, now)
            if isinstance(message, Records):
                self._given(peer, message.items, now)
            else:
                self._dispatch.message(peer, message, now)
                if isinstance(message, Ping | Pong) and message.load is not None:
                    self._routes.run(now)
                    self._given(peer, message.load.records, now)
        except RemoteError as error:
            self._routes.run(now)
            self._refuse(peer, error.reason, now)

    def _decoded(self, peer: PeerId, data: bytes, now: float) -> Message:
        """The message, if the peer may send it now. Raises `RemoteError` otherwise."""
        link = self.links.get(peer)
        if link is None:
            raise RemoteError("not-linked", "a message without a connection")
        allowance, share = self.reputations.allowance(peer, now)
        if not allowance.hears(len(data), now, share):
            if link.greeted:  # a flood is no silence
                self.parts.handshake.heard(link, now)
            raise RemoteError("flooding", "more than a neighbour may send")
        if not link.greeted and len(data) > UNGREETED_BYTES_MAX:
            raise RemoteError("before-hello", f"{len(data)} bytes from a stranger")
        message = decode(data)
        self.received[type(message).__name__.lower()] += 1
        if not link.greeted and not isinstance(message, Hello | Neighbors | Challenge | Bye):
            raise RemoteError("before-hello", type(message).__name__)
        if link.greeted and not isinstance(message, Hello):  # after a hello we answer first
            self.parts.handshake.heard(link, now)
            self._routes.run(now)
        if not allowance.serves(message, now, share):
            raise RemoteError("flooding", f"more than a neighbour may ask for: {type(message).__name__}")
        return message

    def _given(self, source: PeerId | None, items: Iterable[Aged], now: float) -> None:
        """Handle records that we pulled or stored, each by itself."""
        remember_ms = self.config.ledger.remember_s * 1000
        for item in sorted(items, key=lambda item: item.age_ms > remember_ms):  # these count if a later one does
            if source is not None and source not in self.links:
                return  # banned for one of them
            try:
                self.parts.receiver.given(source, item, now)
                self._routes.run(now)
            except RemoteError as error:  # the others may be valid
                self._routes.run(now)
                self._refuse(source, error.reason, now)

    def _refuse(self, peer: PeerId | None, reason: str, now: float) -> None:
        """Count a refusal, and blame the neighbour that caused it."""
        self.refused[reason] += 1
        if peer is not None and self.reputations.blame(peer, reason, now):
            self.parts.handshake.ban(peer)
            self._routes.run(now)

    def _review(self, now: float) -> None:
        """Once a second: review verdicts, links and memberships."""
        p, route = self.parts, self._routes.run
        self._review_at = self._state.grid.near(now + REVIEW_S)
        p.membership.review(now)
        route(now)
        p.neighbours.review(set(self.links.up()), now)
        p.publisher.review(now)
        route(now)
        for peer in p.publisher.orphans.to_dial():
            p.handshake.dial(peer, now)
            route(now)
        self._review_key(now)
        route(now)
        for peer in p.neighbours.wanted.intersection(self.links.up()):
            p.receiver.eviction.met(peer)
        for peer, reason in p.handshake.to_close(now):
            p.handshake.close(peer, reason)
            route(now)
        p.isolation.review(now)
        route(now)
        p.dial_back.review(now)
        ended = p.revocation.review(now) | dict.fromkeys(p.forgetting.review(now), "forgotten")
        route(now)
        for peer, reason in sorted(ended.items()):
            self.out.emit(Evicted(peer, is_loss=reason not in ("revoked", "forgotten")))
            route(now)
        if now >= p.own_zone.deadline():
            p.own_zone.review(now)
            route(now)
        for peer in p.handshake.to_retract(now):
            p.handshake.unlink(peer, "forgotten")
            route(now)
        if now >= self._expire_at:
            self._expire_at = now + EXPIRE_S
            self.reputations.review(now)
            p.doubts.expire(now)
            p.receiver.expire(now)
            route(now)

    def _review_key(self, now: float) -> None:
        """Publish and show changes of the processes with our key, and look for them in other zones."""
        p = self.parts
        own = self.ledger.get(self.me, Kind.PROFILE)
        if self.shared_key.review(now) and own is not None:
            p.publisher.repeat(own, now, urgent=True)
        others = self.shared_key.news(now)
        if others is not None:
            self.out.add(events.KeyShared(others))
        if now >= self.shared_key.lookup_at:
            zones = p.own_zone.others(now)
            self.shared_key.lookup_began(zones, now)
            if zones:
                p.lookups.ask_own(now)

    def _is_measured(self, peer: PeerId) -> bool:
        return peer in self.links or self.coordinates.remembers(peer)
