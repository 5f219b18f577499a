"""What each kind of message sets going."""

from __future__ import annotations

from typing import assert_never

from peerscope.errors import RemoteError
from peerscope.mesh.coordinates.vivaldi import Coordinates
from peerscope.mesh.crawling.answers import Introductions
from peerscope.mesh.detection.prober import Watch
from peerscope.mesh.dissemination.scopes import Layers
from peerscope.mesh.events import Hangup, Outbox
from peerscope.mesh.handshake import Sessions
from peerscope.mesh.lookups import Inquiries
from peerscope.mesh.membership.neighbours import Neighbourhood
from peerscope.mesh.messages import (
    Announce,
    Bye,
    Challenge,
    Digest,
    Find,
    Found,
    Hello,
    Inventory,
    Message,
    Moved,
    Neighbors,
    Ping,
    Pong,
    Pull,
    Push,
    Records,
    Vicinity,
)
from peerscope.mesh.receiver import Intake
from peerscope.mesh.record_store import Register
from peerscope.mesh.zoning.lookup_answers import Whereabouts
from peerscope.records.identity import PeerId


class Dispatch:
    """Hands every message to the part of the protocol that it is for."""

    def __init__(
        self,
        watch: Watch,
        register: Register,
        coordinates: Coordinates,
        layers: Layers,
        intake: Intake,
        sessions: Sessions,
        neighbourhood: Neighbourhood,
        introductions: Introductions,
        whereabouts: Whereabouts,
        inquiries: Inquiries,
        out: Outbox,
        *,
        settle_s: float,
    ) -> None:
        """`settle_s`: who said goodbye is not dialled again before."""
        self._watch = watch
        self._register = register
        self._coordinates = coordinates
        self._layers = layers
        self._intake = intake
        self._sessions = sessions
        self._neighbourhood = neighbourhood
        self._introductions = introductions
        self._whereabouts = whereabouts
        self._inquiries = inquiries
        self._out = out
        self._settle_s = settle_s

    def message(self, peer: PeerId, message: Message, now: float) -> None:
        """Act on what a linked peer sent. Raises `RemoteError` for what it should not have sent."""
        link = self._watch.links[peer]
        match message:
            case Ping():
                clock_ms, ahead_ms = self._register.clock_ms(now), self._register.ahead_ms(now)
                place = self._coordinates.current()
                self._out.send(peer, self._watch.pinged(link, message, now, clock_ms, ahead_ms, place))
                rtt_us = None if link.pings else message.rtt_us
                self._coordinates.observed(peer, message.coordinate, None if rtt_us is None else rtt_us / 1e6)
            case Pong():
                is_answer = self._watch.ponged(link, message, now, self._register.wall_ms(now))
                rtt_s = link.rtt.last_s if is_answer else None
                self._coordinates.observed(peer, message.coordinate, rtt_s)
            case Push():
                self._intake.pushed(peer, message, now)
            case Announce():
                self._layers.announced(peer, message.keys, now)
            case Pull():
                self._layers.pulled(peer, message.topics, now)
            case Records():
                self._intake.given(peer, message.items, now)
            case Digest():
                self._layers.compared(peer, message, now)
            case Inventory():
                self._layers.listed(peer, message, now)
            case Hello():
                self._sessions.greeted(peer, message, now)
                self._inquiries.reached(peer, now)
            case Moved(zone):
                self._sessions.moved(peer, zone, now)
            case Challenge():
                self._sessions.challenged(peer, message, now)
            case Neighbors():
                if not link.greeted:
                    self._sessions.admit(peer, message, now)
                try:
                    self._out.send(peer, self._introductions.answer(peer, self._watch.up(), now))
                except RemoteError as error:
                    if not link.greeted:  # a neighbour that asks too often stays one
                        self._sessions.refuse(peer, error.reason, now)
                    raise
            case Vicinity():
                raise RemoteError("unasked", "only a crawler asks for neighbours")
            case Find():
                self._out.send(peer, self._whereabouts.answer(message, now))
            case Found():
                self._inquiries.heard(peer, message, now)
            case Bye():
                if not link.greeted and peer in self._neighbourhood.bootstrap:
                    self._neighbourhood.turned_away[peer] = message.reason
                self._neighbourhood.failed(peer, now)
                self._out.add(Hangup(peer, "said bye"))
                self._sessions.unlink(peer, message.reason, now)
                self._neighbourhood.missing(peer, now, wait_s=self._settle_s)
                self._inquiries.failed(peer, now)
            case _:
                assert_never(message)
