"""The two tables inside one peer: internal events to the parts that react, and messages to the parts that handle them.

A case calls the parts in order. The events of a reaction are routed before those that wait, so everything that one
cause brings about is done before the next cause.
"""

from __future__ import annotations

from typing import assert_never

from peerscope.errors import RemoteError
from peerscope.mesh import internal_events as e
from peerscope.mesh import messages as m
from peerscope.mesh.detection.link import Link
from peerscope.mesh.events import Forgotten
from peerscope.mesh.parts import Parts
from peerscope.records.bodies import WORLD, Kind, Profile, Report
from peerscope.records.identity import PeerId


class Router:
    """Routes internal events of one peer."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._out = parts.state.out

    def run(self, now: float) -> None:
        """Route events until none is left."""
        waiting = self._out.take_internal()
        while waiting:
            event = waiting.pop(0)
            self._route(event, now)
            if news := self._out.take_internal():
                waiting = news + waiting

    def _route(self, event: e.InternalEvent, now: float) -> None:
        p = self._parts
        match event:
            # Records
            case e.RecordStored(entry):
                p.scopes.arrived(entry)
                p.revocation.stored(entry, now)
                if entry.record.kind not in WORLD:
                    p.membership.stored(entry, now)
                    if isinstance(entry.body, Report):
                        p.coordinates.reported(entry.record.peer_id, entry.body.coordinate)
                    p.handshake.stored(entry)
                    p.publisher.stored(entry, now)
            case e.RecordToForward():
                p.scopes.forward(event, now)
            case e.OwnPublished():
                p.scopes.published(event, now)
            case e.OriginBack():
                p.scopes.demand(event)
            case e.OwnRecordReceived(record, body, clock_ms):
                if isinstance(body, Profile):
                    p.state.shared_key.met(record, body, clock_ms, now)
                p.publisher.superseded(record.kind, now)
            case e.OwnKeyFound(answer):
                own = p.state.ledger.get(p.state.me, Kind.PROFILE)
                if p.state.shared_key.looked_up(answer, now) and own is not None:
                    p.publisher.repeat(own, now, urgent=True)
            case e.Superseded(kind):
                p.publisher.superseded(kind, now)
            case e.Restate(body, urgent):
                p.publisher.publish(body, now, urgent=urgent)
            case e.Repeat(entry, urgent):
                p.publisher.repeat(entry, now, urgent=urgent)
            case e.Accused(observer, version):
                p.publisher.accused(observer, version, now)
            # Links
            case e.LinkUp(peer, zone):
                p.neighbours.linked(peer)
                p.scopes.opened(peer)
                p.own_zone.met(zone)
                p.publisher.link_up(event, now)
            case e.LinkReady(peer):
                p.scopes.compare(peer, now)
            case e.LinkLost(peer):
                p.scopes.silent(peer)
                p.publisher.reporter.links_changed(now)
                p.neighbours.missing(peer, now)
            case e.LinkDoubted(peer, is_wide):
                p.doubts.raised(peer, p.publisher.hops() if is_wide else 0, now)
            case e.Doubted(peer):
                p.prober.doubted(peer, now)
            case e.LinkClosed(peer, was_up):
                p.scopes.closed(peer)
                p.doubts.closed(peer)
                if was_up:
                    p.publisher.reporter.links_changed(now)
            case e.ConnectionReplaced(peer):
                p.scopes.forget(peer)
            case e.SilencesChanged():
                p.publisher.observe(now)
            case e.Greeted(peer):
                p.lookups.reached(peer, now)
            case e.ConnectionOver(peer):
                p.lookups.failed(peer, now)
            case e.NeighbourMoved(peer, zone):
                p.scopes.opened(peer)
                p.own_zone.met(zone)
                p.scopes.compare(peer, now)
            # Dialling
            case e.Unreached(peer):
                p.neighbours.failed(peer, now)
            case e.Missing(peer, said_bye):
                p.neighbours.missing(peer, now, said_bye=said_bye)
            case e.NeighbourBanned(peer):
                p.neighbours.ban(peer)
            case e.BootstrapAdded(peer, addresses):
                p.neighbours.join(peer, addresses, now)
            case e.BootstrapDropped(peer):
                p.neighbours.drop_bootstrap(peer)
            case e.ConnectAsGuest(peer, addresses):
                p.handshake.connect_as_guest(peer, now, addresses)
            case e.GuestDone(peer):
                p.handshake.end_guest_connection(peer)
            # Members and zones
            case e.MemberPlaced(peer, alive):
                p.neighbours.place(peer, alive=alive, now=now)
            case e.MemberGone(peer):
                p.neighbours.forget(peer, now)
            case e.Evicted(peer, is_loss):
                p.receiver.forget(peer)
                p.scopes.forget_origin(peer)
                p.membership.forget(peer)
                p.handshake.forget(peer, now)
                if not is_loss:
                    p.isolation.forget(peer)
                self._out.add(Forgotten(peer))
            case e.RecordsDropped(peer):
                p.receiver.forget_strangers((peer,))
            case e.CertificateRenewed():
                p.handshake.renew(now)
            case e.ZoneLeft(zone):
                p.publisher.move(zone, now)
            case e.ZoneRings(zone, members):
                p.neighbours.move(zone, members, now)
            case e.ZoneEntered(zone):
                p.handshake.zone_entered(zone)
                p.scopes.zone_entered()
            case e.BridgesWanted(peers):
                p.neighbours.bridge(dict(peers), now)
            case _:
                assert_never(event)


class Dispatch:
    """Hands every message to its part."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def message(self, peer: PeerId, message: m.Message, now: float) -> None:
        """Handle a message of a linked peer. Raises `RemoteError` if it breaks the protocol."""
        p = self._parts
        link = p.state.links[peer]
        match message:
            case m.Ping():
                if message.answered is not None and message.answered == link.ponged:
                    p.scopes.load_arrived(peer)
                p.scopes.carried(peer, message.load, now)
                p.prober.pinged(link, message, now, p.coordinates.current(), p.scopes.load)
                rtt_us = None if link.pings else message.rtt_us
                p.coordinates.observed(peer, message.coordinate, None if rtt_us is None else rtt_us / 1e6)
            case m.Pong():
                p.scopes.carried(peer, message.load, now)
                is_answer = p.prober.ponged(link, message, now)
                if is_answer:
                    p.scopes.load_arrived(peer)
                p.coordinates.observed(peer, message.coordinate, link.rtt.last_s if is_answer else None)
            case m.Doubt():
                p.doubts.heard(peer, message, p.publisher.hops(), now)
            case m.Push():
                p.receiver.pushed(peer, message, now)
            case m.Announce():
                p.scopes.announced(peer, message.keys, now)
            case m.Pull():
                p.scopes.pulled(peer, message.topics, now)
            case m.Digest():
                p.scopes.compared(peer, message, now)
            case m.Inventory():
                p.scopes.listed(peer, message, now)
            case m.Hello():
                p.handshake.greeted(peer, message, now)
            case m.Moved(zone):
                p.handshake.moved(peer, zone)
            case m.Challenge():
                p.handshake.challenged(peer, message, now)
            case m.Neighbors():
                self._introduce(link, message, now)
            case m.Vicinity():
                raise RemoteError("unasked", "only a crawler asks for neighbours")
            case m.Find():
                p.state.out.send(peer, p.lookup_answers.answer(message, now))
            case m.Found():
                p.lookups.heard(peer, message, now)
            case m.Bye(reason):
                p.neighbours.refused(peer, link.greeted, reason)
                p.handshake.said_bye(peer, reason)
            case m.Records():
                raise AssertionError("`Peer` handles each record by itself")
            case _:
                assert_never(message)

    def _introduce(self, link: Link, question: m.Neighbors, now: float) -> None:
        """Answer a crawler, or a neighbour, that asks for our neighbours."""
        p = self._parts
        if not link.greeted:
            p.handshake.admit(link.peer, question, now)
        try:
            p.state.out.send(link.peer, p.crawl_answers.answer(link.peer, p.state.links.up(), now))
        except RemoteError as error:
            if not link.greeted:  # a neighbour stays linked
                p.handshake.refuse(link.peer, error.reason)
            raise
