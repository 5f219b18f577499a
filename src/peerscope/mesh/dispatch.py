"""What each kind of message sets going."""

from __future__ import annotations

from typing import assert_never

from peerscope.errors import RemoteError
from peerscope.mesh.detection.link import Link
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
from peerscope.mesh.parts import Parts
from peerscope.records.identity import PeerId


class Dispatch:
    """Hands every message to the part of the protocol that it is for."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def message(self, peer: PeerId, message: Message, now: float) -> None:
        """Act on what a linked peer sent. Raises `RemoteError` for what it should not have sent."""
        p = self._parts
        link = p.state.links[peer]
        match message:
            case Ping():
                p.prober.pinged(link, message, now, p.coordinates.current())
                rtt_us = None if link.pings else message.rtt_us
                p.coordinates.observed(peer, message.coordinate, None if rtt_us is None else rtt_us / 1e6)
            case Pong():
                is_answer = p.prober.ponged(link, message, now)
                p.coordinates.observed(peer, message.coordinate, link.rtt.last_s if is_answer else None)
            case Push():
                p.receiver.pushed(peer, message, now)
            case Announce():
                p.scopes.announced(peer, message.keys, now)
            case Pull():
                p.scopes.pulled(peer, message.topics, now)
            case Digest():
                p.scopes.compared(peer, message, now)
            case Inventory():
                p.scopes.listed(peer, message, now)
            case Hello():
                p.handshake.greeted(peer, message, now)
            case Moved(zone):
                p.handshake.moved(peer, zone)
            case Challenge():
                p.handshake.challenged(peer, message, now)
            case Neighbors():
                self._introduce(link, message, now)
            case Vicinity():
                raise RemoteError("unasked", "only a crawler asks for neighbours")
            case Find():
                p.state.out.send(peer, p.lookup_answers.answer(message, now))
            case Found():
                p.lookups.heard(peer, message, now)
            case Bye(reason):
                p.neighbours.refused(peer, link.greeted, reason)
                p.handshake.said_bye(peer, reason)
            case Records():
                raise AssertionError("each record of these is taken in by itself")
            case _:
                assert_never(message)

    def _introduce(self, link: Link, question: Neighbors, now: float) -> None:
        """A crawler, or a neighbour, asks for our neighbours."""
        p = self._parts
        if not link.greeted:
            p.handshake.admit(link.peer, question, now)
        try:
            p.state.out.send(link.peer, p.crawl_answers.answer(link.peer, p.state.links.up(), now))
        except RemoteError as error:
            if not link.greeted:  # a neighbour that asks too often stays one
                p.handshake.refuse(link.peer, error.reason)
            raise
