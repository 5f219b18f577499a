"""The way of the pings to one peer: sealed UDP while that is answered, QUIC otherwise. No socket, no clock.

QUIC always works: through NAT, relays and firewalls, and with agents that know nothing else. But it acknowledges each
datagram with another packet, and each costs much CPU. So both ends try plain UDP beside it.

- **An answer goes the way of its question.** A send right after something came is an answer. So only the end that asks
  must notice that UDP has failed.
- **The first question without an answer is the last one by UDP.** Each packet acknowledges the last one from the other
  end. If a question is not acknowledged within `ANSWER_S` (or two round trips), the next one goes by QUIC, with a probe
  by UDP beside it. The core pings a quiet peer again after 0.25 s and judges after two such pings: `ANSWER_S` is less.
- **Back to UDP only after an answered probe.** The first probe goes at once: one lost packet is no firewall, and some
  messages get no answer. Pauses between probes double up to `PAUSE_MAX_S`. If the first probe fails `FALLS_FREE` times
  within a minute, the longest pause comes at once.
- **Both ends probe**, from the one port at which they listen. This opens stateful firewalls on both sides, which forget
  a packet without an answer after 30 seconds, so pauses are shorter.
- **The address** is the IP of the selected path of the QUIC connection, which QUIC has validated. The port is that of
  the newest packet from there, and at first that of the offer. WireGuard takes any source. A member could then make us
  send to others in its name.
- **Guests** hang up after four seconds, so connections wait `SETTLE_S` before they exchange keys. Only the end that
  asks begins. Each later connection brings new keys, since the other end may be a new process.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from math import inf
from typing import Protocol

from peerscope.errors import RemoteError
from peerscope.records.identity import PeerId
from peerscope.transport.sealed import (
    COUNTER_BITS_FIRST,
    FORMAT,
    KEY_BYTES,
    KEY_ID_BYTES,
    Offer,
    Opened,
    Opener,
    PacketKind,
    Sealer,
    encode_offer,
)

Address = tuple[str, int]

SETTLE_S = 5.0
PROMPT_S = 0.05
"""A send within this time after a message came is an answer to it."""
ANSWER_S = 0.2
KEEP_S = 5.0
"""Interval between looks after keys and address."""
RENEW_S = 3_600.0
"""Each end replaces its key after this time."""
OVERLAP_S = 60.0
"""The old key is accepted for so long."""
OFFER_PAUSE_S = 2.0
"""Shortest time between two offers that are taken from one peer."""
PATH_S = 60.0
"""Interval between questions to iroh for the path; each takes 12 us."""
PAUSE_FIRST_S, PAUSE_MAX_S = 1.0, 20.0
FALLS_FREE = 3
CALM_S = 60.0


class PingConnection(Protocol):
    """The newest QUIC connection with the peer."""

    opened_at: float

    def send(self, data: bytes) -> None:
        """Queue a frame for the stream."""

    def direct(self) -> tuple[str, float] | None:
        """IP address of the other end and round-trip time in seconds; None while packets go through a relay."""


class PingPath:
    """Keys, address and state of the UDP way to one peer."""

    def __init__(self, me: PeerId, peer: PeerId, port: int, transmit: Callable[[bytes, Address], bool]) -> None:
        """`port`: ours. `transmit`: sends a packet; False if the system refuses."""
        self.peer = peer
        self.openers: list[Opener] = []
        """One for each key of ours, the newest last."""
        self.is_up = False
        """Our packets arrive, and so do those of the other end."""
        self.falls = 0
        """How often UDP was given up after it had worked."""
        self._me = me
        self._port = port
        self._transmit = transmit
        self._sealer = Sealer(secrets.randbits(COUNTER_BITS_FIRST))
        self._is_doubted = False
        """The way was up; it failed, and the first probe is not answered yet."""
        self._mark = self._sealer.counter
        """The way is up as soon as a packet from this one on is acknowledged."""
        self._host: str | None = None
        self._address: Address | None = None
        self._stated_port = 0
        self._looked_at = -inf
        self._answer_s = ANSWER_S
        self._asked: int | None = None
        """Counter of the first question without an acknowledgement."""
        self._asked_at = -inf
        self._came_at = -inf
        self._came_by_udp = False
        self._opened_at = -inf
        """Time of the last packet."""
        self._keep_at = -inf
        self._offered_on: PingConnection | None = None
        self._offered_at = -inf
        self._taken_at = -inf
        """Time of the last offer from the other end."""
        self._probe_at = -inf
        self._probes = 0
        """Probes since the way was up."""
        self._fell_at = -inf
        self._falls_in_a_row = 0
        """Each within a minute of the one before."""

    def send(self, connection: PingConnection, data: bytes, now: float) -> bool:
        """Send by UDP; False if it has to go by QUIC."""
        is_answer = now - self._came_at < PROMPT_S
        if now >= self._keep_at:
            self._keep_up(connection, now, may_begin=not is_answer)
        if not self._sealer.has_key:
            return False
        if is_answer and self._came_by_udp:
            return self._seal(PacketKind.DATA, data)
        if self.is_up and not is_answer:
            if self._asked is None or now - self._asked_at <= self._answer_s:
                counter = self._sealer.counter
                if self._seal(PacketKind.DATA, data):
                    if self._asked is None:
                        self._asked, self._asked_at = counter, now
                    return True
            self._fall(now)
        if not self.is_up and now >= self._probe_at:
            self._probe(connection, now)
        return False

    def came_by_quic(self, now: float) -> None:
        """A datagram of the peer came by QUIC. Without a probe beside it, its packets do not arrive here."""
        self._came_at, self._came_by_udp = now, False
        if self.is_up and now - self._opened_at > self._answer_s:
            self._fall(now)

    def take_offer(self, connection: PingConnection, offer: Offer, now: float) -> None:
        """Use the key of the other end, and answer with ours. Raises `RemoteError` ("ping-offer-too-early")."""
        if now - self._taken_at < OFFER_PAUSE_S and self._offered_on is connection:
            raise RemoteError("ping-offer-too-early", "offers come once an hour")
        self._taken_at = now
        self._sealer.use(offer, self._me, self.peer)
        self._stated_port = offer.port
        if self._offered_on is not connection:
            self._offer(connection, now)
        if not self.is_up:
            self._probe(connection, now)

    def opened(self, connection: PingConnection, opened: Opened, source: Address, now: float) -> bytes | None:
        """React to a packet: the datagram in it, or None."""
        self._opened_at = now
        if opened.is_newest:
            self._seen_at(connection, source, now)
        if self._mark <= opened.heard < self._sealer.counter:
            self._acknowledged(opened.heard)
        if opened.kind is PacketKind.DATA:
            self._came_at, self._came_by_udp = now, True
            return opened.data
        if opened.kind is PacketKind.PROBE and self._sealer.has_key:
            self._seal(PacketKind.ANSWER)
        return None

    @property
    def _heard(self) -> int:
        return next((opener.highest for opener in reversed(self.openers) if opener.highest >= 0), 0)

    def _seal(self, kind: PacketKind, data: bytes = b"") -> bool:
        if self._address is None:
            return False
        return self._transmit(self._sealer.seal(kind, self._heard, data), self._address)

    def _acknowledged(self, heard: int) -> None:
        self.is_up, self._is_doubted, self._probes = True, False, 0
        if self._asked is not None and heard >= self._asked:
            self._asked = None

    def _fall(self, now: float) -> None:
        """A question was not answered: go by QUIC until a probe is."""
        self._is_doubted = self.is_up
        self.is_up, self._asked = False, None
        self._mark = self._sealer.counter
        self._probe_at, self._probes = now, 0

    def _probe(self, connection: PingConnection, now: float) -> None:
        """Ask for an answer by UDP, at the newest port and at that of the offer in turn."""
        if self._is_doubted and self._probes:  # the first probe had its time
            self._is_doubted = False
            self.falls += 1
            self._falls_in_a_row = 1 if now - self._fell_at > CALM_S else self._falls_in_a_row + 1
            self._fell_at = now
        if now - self._looked_at >= PAUSE_FIRST_S:
            self._look(connection, now)
        if self._host is not None and (self._address is None or self._probes % 2):
            self._address = (self._host, self._stated_port)
        self._seal(PacketKind.PROBE)
        is_bad = self._falls_in_a_row > FALLS_FREE and now - self._fell_at <= CALM_S and self._probes
        self._probe_at = now + (PAUSE_MAX_S if is_bad else min(PAUSE_MAX_S, PAUSE_FIRST_S * 2.0**self._probes))
        self._probes = min(self._probes + 1, 16)

    def _keep_up(self, connection: PingConnection, now: float, *, may_begin: bool) -> None:
        """Look after our key and the address."""
        self._keep_at = now + KEEP_S
        if self._offered_on is not connection:
            is_settled = now - connection.opened_at >= SETTLE_S and self._came_at > -inf
            if may_begin and is_settled and self._look(connection, now):
                self._offer(connection, now)
        elif now - self._offered_at >= RENEW_S and self._sealer.has_key:
            self._offer(connection, now)
        if len(self.openers) > 1 and now - self._offered_at >= OVERLAP_S:
            self.openers = self.openers[-1:]
        if self.is_up and now - self._looked_at >= PATH_S and not self._look(connection, now):
            self._fall(now)

    def _offer(self, connection: PingConnection, now: float) -> None:
        offer = Offer(FORMAT, self._port, secrets.token_bytes(KEY_ID_BYTES), secrets.token_bytes(KEY_BYTES))
        self.openers = [*self.openers[-1:], Opener(offer, self.peer, self._me)]
        self._offered_on, self._offered_at = connection, now
        connection.send(encode_offer(offer))

    def _look(self, connection: PingConnection, now: float) -> bool:
        """Ask iroh for the address of the other end. False without a direct one."""
        self._looked_at = now
        found = connection.direct()
        if found is None:
            self._host = self._address = None
            return False
        host, rtt_s = found
        self._answer_s = max(ANSWER_S, 2 * rtt_s)
        if host != self._host:
            self._host, self._address = host, (host, self._stated_port) if self._stated_port else None
        return True

    def _seen_at(self, connection: PingConnection, source: Address, now: float) -> None:
        """A new packet came from this address: answer there, if QUIC knows its host too."""
        if source[0] != self._host and now - self._looked_at >= PAUSE_FIRST_S:
            self._look(connection, now)
        if source[0] == self._host:
            self._address = source
