"""What each kind of message sets going."""

from __future__ import annotations

from typing import assert_never

from peerscope.errors import RemoteError
from peerscope.mesh.coordinates.vivaldi import Coordinates
from peerscope.mesh.crawling.answers import CrawlAnswers
from peerscope.mesh.detection.prober import Prober
from peerscope.mesh.dissemination.scopes import Scopes
from peerscope.mesh.events import Hangup, Outbox
from peerscope.mesh.handshake import Handshake
from peerscope.mesh.lookups import Lookups
from peerscope.mesh.membership.neighbours import Neighbours
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
from peerscope.mesh.receiver import Receiver
from peerscope.mesh.record_store import RecordStore
from peerscope.mesh.zoning.lookup_answers import LookupAnswers
from peerscope.records.identity import PeerId


class Dispatch:
    """Hands every message to the part of the protocol that it is for."""

    def __init__(
        self,
        prober: Prober,
        record_store: RecordStore,
        coordinates: Coordinates,
        scopes: Scopes,
        receiver: Receiver,
        handshake: Handshake,
        neighbours: Neighbours,
        crawl_answers: CrawlAnswers,
        lookup_answers: LookupAnswers,
        lookups: Lookups,
        out: Outbox,
        *,
        settle_s: float,
    ) -> None:
        """`settle_s`: who said goodbye is not dialled again before."""
        self._prober = prober
        self._record_store = record_store
        self._coordinates = coordinates
        self._scopes = scopes
        self._receiver = receiver
        self._handshake = handshake
        self._neighbours = neighbours
        self._crawl_answers = crawl_answers
        self._lookup_answers = lookup_answers
        self._lookups = lookups
        self._out = out
        self._settle_s = settle_s

    def message(self, peer: PeerId, message: Message, now: float) -> None:
        """Act on what a linked peer sent. Raises `RemoteError` for what it should not have sent."""
        link = self._prober.links[peer]
        match message:
            case Ping():
                clock_ms, ahead_ms = self._record_store.clock_ms(now), self._record_store.ahead_ms(now)
                place = self._coordinates.current()
                self._out.send(peer, self._prober.pinged(link, message, now, clock_ms, ahead_ms, place))
                rtt_us = None if link.pings else message.rtt_us
                self._coordinates.observed(peer, message.coordinate, None if rtt_us is None else rtt_us / 1e6)
            case Pong():
                is_answer = self._prober.ponged(link, message, now, self._record_store.wall_ms(now))
                rtt_s = link.rtt.last_s if is_answer else None
                self._coordinates.observed(peer, message.coordinate, rtt_s)
            case Push():
                self._receiver.pushed(peer, message, now)
            case Announce():
                self._scopes.announced(peer, message.keys, now)
            case Pull():
                self._scopes.pulled(peer, message.topics, now)
            case Records():
                self._receiver.given(peer, message.items, now)
            case Digest():
                self._scopes.compared(peer, message, now)
            case Inventory():
                self._scopes.listed(peer, message, now)
            case Hello():
                self._handshake.greeted(peer, message, now)
                self._lookups.reached(peer, now)
            case Moved(zone):
                self._handshake.moved(peer, zone, now)
            case Challenge():
                self._handshake.challenged(peer, message, now)
            case Neighbors():
                if not link.greeted:
                    self._handshake.admit(peer, message, now)
                try:
                    self._out.send(peer, self._crawl_answers.answer(peer, self._prober.up(), now))
                except RemoteError as error:
                    if not link.greeted:  # a neighbour that asks too often stays one
                        self._handshake.refuse(peer, error.reason, now)
                    raise
            case Vicinity():
                raise RemoteError("unasked", "only a crawler asks for neighbours")
            case Find():
                self._out.send(peer, self._lookup_answers.answer(message, now))
            case Found():
                self._lookups.heard(peer, message, now)
            case Bye():
                if not link.greeted and peer in self._neighbours.bootstrap:
                    self._neighbours.turned_away[peer] = message.reason
                self._neighbours.failed(peer, now)
                self._out.add(Hangup(peer, "said bye"))
                self._handshake.unlink(peer, message.reason, now)
                self._neighbours.missing(peer, now, wait_s=self._settle_s)
                self._lookups.failed(peer, now)
            case _:
                assert_never(message)
