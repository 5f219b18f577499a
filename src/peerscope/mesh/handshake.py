"""From a connection to a link that is up, and back: hellos, admission, and the end of useless connections."""

from __future__ import annotations

from peerscope.errors import RemoteError
from peerscope.mesh import internal_events as e
from peerscope.mesh.detection.link import Link
from peerscope.mesh.events import Dial, Hangup, LinkChanged
from peerscope.mesh.messages import Bye, Challenge, Hello, Moved, Neighbors, common_wire
from peerscope.mesh.peer_state import PeerState
from peerscope.records.bodies import LINKS_MAX, Profile
from peerscope.records.identity import PeerId
from peerscope.records.ledger import Entry

CONNECTIONS_MAX = 4 * LINKS_MAX
HELLO_TIMEOUT_S = 15.0
"""A bootstrap peer of many joiners at once has seconds of work before it can send a hello."""
VISIT_S = 4.0
"""A guest hangs up after this time: four or five pings."""
RETRACT_S = 180.0
"""An accusation outlives its forgotten subject for so long, since peers forget at different times."""
CROWD = LINKS_MAX
CROWD_LINGER_S = 3.0


class Handshake:
    """The connections of one peer, and the hellos on them."""

    def __init__(self, state: PeerState, linger_s: float) -> None:
        """`linger_s`: close a link after this time, if neither end wants it."""
        self._state = state
        self._links = state.links
        self._out = state.out
        self._linger_s = linger_s
        self._guest_at: set[PeerId] = set()
        """Peers that we sample or ask as a guest."""

    def make_room(self, peer: PeerId, now: float) -> None:
        """Close the oldest connection without a hello, if there are too many for a new one.

        A neighbour on our rings may also replace one that is none. Raises `RemoteError` ("banned", "too-many-links") if
        the new connection must be closed at once.
        """
        if self._state.reputations.is_banned(peer, now):
            self._out.add(Hangup(peer, "banned"))
            raise RemoteError("banned", "its ban is not over")
        wanted = self._state.neighbours.wanted
        if peer in self._links or len(self._links) < CONNECTIONS_MAX:
            return
        idle = [link for link in self._links.values() if not link.greeted]
        if not idle and peer in wanted:
            idle = [link for link in self._links.values() if link.peer not in wanted and not link.lost]
        if not idle:
            self._out.add(Hangup(peer, "too many links"))
            raise RemoteError("too-many-links", f"{len(self._links)} links stand")
        self.refuse(min(idle, key=lambda link: (link.opened_at, link.peer)).peer, "too many links")

    def connected(self, peer: PeerId, dialled: bool, now: float) -> None:
        """A new connection. The end that dialled sends the first hello, with a network secret after a challenge."""
        link = self._links.open(peer, now)
        self._out.emit(e.ConnectionReplaced(peer))
        admission = self._state.admission
        if not admission.asks_secret:
            if dialled:
                self._greet(peer, now, reply=False, visit=peer in self._guest_at)
        elif dialled:
            link.awaits_challenge = True
        else:
            link.nonces.append(admission.nonce())
            self._out.send(peer, Challenge(link.nonces[-1]))

    def challenged(self, peer: PeerId, challenge: Challenge, now: float) -> None:
        """The other end asks for a proof: send the hello. Raises `RemoteError` unless we dialled and wait for it."""
        link = self._links[peer]
        if not link.awaits_challenge:
            raise RemoteError("unasked", "a challenge without a dial")
        link.awaits_challenge = False
        self._greet(peer, now, reply=False, visit=peer in self._guest_at, nonce=challenge.nonce)

    def disconnected(self, peer: PeerId, now: float) -> None:
        """The last connection is gone: dial again, and ask, until the prober finds the link lost."""
        link = self._links.get(peer)
        if link is not None:
            link.connected = False
            self._guest_at.discard(peer)
            if link.greeted and not link.visit:
                self._links.ask(link, now)
                self._out.emit(e.Missing(peer))
            else:
                self._links.pop(peer, None)
                self._out.emit(e.Unreached(peer))
        self._out.emit(e.ConnectionOver(peer))

    def connect_as_guest(self, peer: PeerId, now: float, addresses: tuple[str, ...] = ()) -> None:
        """Connect as a guest, for a few pings or one question. `addresses`: of a peer without a known profile."""
        if not self._state.reputations.is_banned(peer, now):
            self._guest_at.add(peer)
            self._dial(peer, addresses)

    def unreached(self, peer: PeerId) -> None:
        self._guest_at.discard(peer)
        self._out.emit(e.Unreached(peer))
        self._out.emit(e.ConnectionOver(peer))

    def dial(self, peer: PeerId, now: float) -> None:
        """Link with a peer: connect, or turn our guest connection into a link."""
        link = self._links.get(peer)
        self._guest_at.discard(peer)
        if self._state.reputations.is_banned(peer, now):
            self._out.emit(e.Unreached(peer))
        elif link is not None and link.visit and link.connected and not self._state.admission.asks_secret:
            self._greet(peer, now, reply=False)
        elif link is not None and link.is_up and link.connected:
            self._out.emit(e.LinkUp(peer, link.zone, is_news=False))
        else:
            self._dial(peer, afresh=link is not None and link.lost)

    def greeted(self, peer: PeerId, hello: Hello, now: float) -> None:
        """The peer sent its hello: the link is up. Raises `RemoteError` if it is not admitted."""
        self.admit(peer, hello, now)
        link = self._links[peer]
        link.certificate, link.zone = hello.certificate, hello.zone
        link.wire = common_wire(hello, self._state.admission.wire)
        is_news = not link.greeted or link.visit
        link.visit = is_news and hello.visit and peer not in self._state.neighbours.wanted
        # The guest pings: our first ping could overtake our hello.
        link.pings = peer in self._guest_at if link.visit else self._state.me < peer
        if not hello.reply:
            self._greet(peer, now, reply=True, visit=link.visit, nonce=hello.nonce)
        self._links.greeted(link, hello.clock_ms, now)
        self.heard(link, now)
        if not link.visit:
            if is_news:
                self._out.add(LinkChanged(peer, True, "connected"))
            self._out.emit(e.LinkUp(peer, link.zone, is_news))
            self._out.emit(e.LinkReady(peer))
        self._out.emit(e.Greeted(peer))

    def admit(self, peer: PeerId, question: Hello | Neighbors, now: float) -> None:
        """Check the proof of a peer. Sends the reason, hangs up and raises `RemoteError` if it is not admitted."""
        admission, wall_ms = self._state.admission, self._state.clock.wall_ms(now)
        nonces = self._links[peer].nonces
        try:
            proved = admission.admit(question, peer, nonces, wall_ms)
        except RemoteError as error:
            if error.reason == "certificate-expired" and question.certificate is not None:
                admission.lapsed.note(question.certificate, wall_ms)
            self.refuse(peer, error.reason)
            raise
        if proved:
            nonces.remove(proved)

    def ban(self, peer: PeerId) -> None:
        self._out.emit(e.Unreached(peer))
        if peer in self._state.neighbours.rings:
            self._out.emit(e.NeighbourBanned(peer))
        if peer in self._links:
            self.hang_up(peer, "banned")

    def renew(self, now: float) -> None:
        """Show our new certificate to all neighbours."""
        for peer in self._links.up():
            if self._state.admission.asks_secret:
                self._dial(peer)  # a proof needs a new connection
            else:
                self._greet(peer, now, reply=False)

    def heard(self, link: Link, now: float) -> None:
        """A message came from a greeted peer; a lost link is up again."""
        if self._links.heard(link, now):
            self._out.add(LinkChanged(link.peer, True, "heard again"))
            self._out.emit(e.LinkUp(link.peer, link.zone, is_news=True, is_regained=True))
            self._out.emit(e.SilencesChanged())
            self._out.emit(e.LinkReady(link.peer))

    def moved(self, peer: PeerId, zone: str) -> None:
        """A neighbour moved to another zone."""
        link = self._links[peer]
        if not link.visit:
            link.zone = zone
            self._out.emit(e.NeighbourMoved(peer, zone))

    def zone_entered(self, zone: str) -> None:
        """We moved to another zone: send that to all neighbours."""
        moved = Moved(zone)
        for peer in self._links.up():
            self._out.send(peer, moved)

    def stored(self, entry: Entry) -> None:
        """A new record: close the link with a peer that left."""
        peer, body = entry.record.peer_id, entry.body
        if isinstance(body, Profile) and body.left and peer in self._links:
            self._out.add(Hangup(peer, "it left"))
            self.unlink(peer, "it left")

    def forget(self, peer: PeerId, now: float) -> None:
        """Close the link with a forgotten peer. A lost one stays accused for a while."""
        link = self._links.get(peer)
        if link is not None:
            self._out.add(Hangup(peer, "forgotten"))
            if link.lost:
                link.forgotten_at = now
            else:
                self.unlink(peer, "forgotten")

    def end_guest_connection(self, peer: PeerId) -> None:
        """End our guest connection, unless it became a link."""
        link = self._links.get(peer)
        if link is not None and link.visit:
            self.hang_up(peer, "thanks")

    def said_bye(self, peer: PeerId, reason: str) -> None:
        """A neighbour closes the link."""
        self._out.emit(e.Unreached(peer))
        self._out.add(Hangup(peer, "said bye"))
        self.unlink(peer, reason)
        self._out.emit(e.Missing(peer, said_bye=True))
        self._out.emit(e.ConnectionOver(peer))

    def leave(self) -> None:
        """Send a goodbye on every connection, and close it."""
        for peer in sorted(self._links):
            self._out.send(peer, Bye("leaving"))
            self._out.add(Hangup(peer, "leaving"))

    def refuse(self, peer: PeerId, reason: str) -> None:
        """Refuse a peer that is not admitted."""
        self._out.emit(e.Unreached(peer))
        self.hang_up(peer, reason)

    def hang_up(self, peer: PeerId, reason: str) -> None:
        """Close a link on purpose, with a reason."""
        self._out.send(peer, Bye(reason))
        self._out.add(Hangup(peer, reason))
        self.unlink(peer, reason)

    def unlink(self, peer: PeerId, reason: str) -> None:
        """Remove a link, without a failure."""
        link = self._links.pop(peer, None)
        self._guest_at.discard(peer)
        was_up = link is not None and link.greeted and not link.lost and not link.visit
        if was_up:
            self._out.add(LinkChanged(peer, False, reason))
        self._out.emit(e.LinkClosed(peer, was_up))
        if link is not None and link.lost:
            self._out.emit(e.SilencesChanged())

    def to_close(self, now: float) -> list[tuple[PeerId, str]]:
        """Links to `close`, each with the reason."""
        hello_s = HELLO_TIMEOUT_S * self._state.local_health.lag_factor(now)
        # A crowded bootstrap peer closes links soon: a joiner needs one comparison, and then its own neighbours.
        idle_s = self._linger_s if len(self._links) < CROWD else CROWD_LINGER_S
        found = []
        for peer in sorted(self._links):
            link = self._links[peer]
            age_s = now - link.opened_at
            refusal = self._refusal(peer, link, now)
            if not link.greeted and age_s > hello_s:
                found.append((peer, "no hello"))
            elif refusal is not None:
                found.append((peer, refusal))
            elif link.lost and peer not in self._state.ledger and link.quiet_s(now) > self._linger_s:
                found.append((peer, "no profile"))
            elif link.visit and age_s > (VISIT_S if peer in self._guest_at else self._linger_s):
                found.append((peer, "the visit is over"))
            elif link.is_up and age_s > idle_s and self._is_idle(link, now):
                found.append((peer, "not a neighbour"))
        return found

    def close(self, peer: PeerId, reason: str) -> None:
        """Close a link of `to_close`."""
        if reason == "no hello":
            self._links.pop(peer, None)
            self._out.emit(e.Unreached(peer))
            self._out.add(Hangup(peer, reason))
        elif reason == "no profile":
            self.unlink(peer, reason)
        else:
            self.hang_up(peer, reason)

    def to_retract(self, now: float) -> list[PeerId]:
        """Forgotten peers that no peer remembers, so that nobody has to accuse them."""
        forgotten = [link for link in self._links.lost() if link.forgotten_at is not None]
        return [link.peer for link in forgotten if now - (link.forgotten_at or 0.0) >= RETRACT_S]

    def _is_idle(self, link: Link, now: float) -> bool:
        """Neither end wants the link: no ring neighbours, or of two zones without a bridge."""
        neighbours, zone = self._state.neighbours, self._state.own_zone
        if link.zone == zone.zone or not zone.is_settled(now):
            return link.peer not in neighbours.wanted and link.peer in neighbours.rings
        return not neighbours.bridges

    def _refusal(self, peer: PeerId, link: Link, now: float) -> str | None:
        """The reason to refuse a peer that was admitted: its certificate expired, or was revoked."""
        if not link.greeted:
            return None
        try:
            self._state.admission.check(peer, link.certificate, self._state.clock.wall_ms(now), is_known=True)
        except RemoteError as error:
            return error.reason
        return None

    def _dial(self, peer: PeerId, given: tuple[str, ...] = (), *, afresh: bool = False) -> None:
        profile, neighbours = self._state.ledger.profile(peer), self._state.neighbours
        given = given or neighbours.bridges.get(peer) or neighbours.bootstrap.get(peer, ())
        self._out.add(Dial(peer, profile.reached_at if profile else given, afresh))

    def _greet(self, peer: PeerId, now: float, *, reply: bool, visit: bool = False, nonce: bytes = b"") -> None:
        """Send our hello. `nonce`: of the peer, for our proof of the secret."""
        admission = self._state.admission
        ours = b"" if reply else admission.nonce()
        if ours:
            self._links[peer].nonces.append(ours)
        hello = Hello(
            *admission.wire,
            admission.config.name,
            admission.prove(peer, nonce),
            self._state.clock.clock_ms(now),
            reply,
            visit,
            ours,
            admission.certificate,
            self._state.own_zone.zone,
        )
        self._out.send(peer, hello)
