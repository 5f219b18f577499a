"""From a connection to a link that is up, and back: greeting, admission, and what each change sets in motion."""

from __future__ import annotations

from collections.abc import Callable

from peerscope.errors import RemoteError
from peerscope.mesh.detection.link import Link
from peerscope.mesh.detection.prober import Prober
from peerscope.mesh.dissemination.scopes import Scopes
from peerscope.mesh.events import Dial, Hangup, LinkChanged, Outbox
from peerscope.mesh.limits.reputation import Reputations
from peerscope.mesh.membership.admission import Admission
from peerscope.mesh.membership.eviction import Eviction
from peerscope.mesh.membership.neighbours import Neighbours
from peerscope.mesh.messages import Bye, Challenge, Hello, Moved, Neighbors, common_wire
from peerscope.mesh.record_store import RecordStore
from peerscope.mesh.report import Reporter
from peerscope.mesh.zoning.own_zone import OwnZone
from peerscope.records.bodies import LINKS_MAX, Coordinate
from peerscope.records.identity import PeerId
from peerscope.records.ledger import Ledger

CONNECTIONS_MAX = 4 * LINKS_MAX
HELLO_TIMEOUT_S = 15.0
"""Whoever everybody joins through at once has seconds of work before it can greet."""
VISIT_S = 4.0
"""A guest leaves after this time: four or five pings."""
CROWD = LINKS_MAX
CROWD_LINGER_S = 3.0


class Handshake:
    """Connections of one peer, who has greeted on them, and who has no business here any more."""

    def __init__(
        self,
        admission: Admission,
        reputations: Reputations,
        eviction: Eviction,
        ledger: Ledger,
        record_store: RecordStore,
        neighbours: Neighbours,
        prober: Prober,
        scopes: Scopes,
        own_zone: OwnZone,
        reporter: Reporter,
        out: Outbox,
        observe: Callable[[float], None],
    ) -> None:
        """`observe`: called with the time whenever somebody we missed is missed no more."""
        self._admission = admission
        self._reputations = reputations
        self._eviction = eviction
        self._ledger = ledger
        self._record_store = record_store
        self._neighbours = neighbours
        self._prober = prober
        self._scopes = scopes
        self._own_zone = own_zone
        self._reporter = reporter
        self._out = out
        self._observe = observe
        self._visiting: set[PeerId] = set()
        """Peers whose guests we are, or dial to be."""

    def connected(self, peer: PeerId, dialled: bool, now: float) -> None:
        """A new connection. The end that dialled says hello first, in a network with a secret after a challenge.

        Raises `RemoteError` ("banned", "too-many-links") where it must go at once.
        """
        if self._reputations.is_banned(peer, now):
            self._out.add(Hangup(peer, "banned"))
            raise RemoteError("banned", "its ban is not over")
        if peer not in self._prober.links:
            self._make_room(peer, now)
        link = self._prober.open(peer, now)
        self._scopes.forget(peer)  # it may be another life of the same peer
        if not self._admission.asks_secret:
            if dialled:
                self._greet(peer, now, reply=False, visit=peer in self._visiting)
        elif dialled:
            link.awaits_challenge = True
        else:
            link.nonces.append(self._admission.nonce())
            self._out.send(peer, Challenge(link.nonces[-1]))

    def challenged(self, peer: PeerId, challenge: Challenge, now: float) -> None:
        """The end that we dialled wants proof: greet it. Raises `RemoteError` if we did not dial, or proved already."""
        link = self._prober.links[peer]
        if not link.awaits_challenge:
            raise RemoteError("unasked", "a challenge without a dial")
        link.awaits_challenge = False
        self._greet(peer, now, reply=False, visit=peer in self._visiting, nonce=challenge.nonce)

    def disconnected(self, peer: PeerId, now: float) -> None:
        """The last connection is gone: the watch says when the silence counts; try to reach it meanwhile."""
        link = self._prober.links.get(peer)
        if link is None:
            return
        link.connected = False
        self._visiting.discard(peer)
        if link.greeted and not link.visit:
            self._neighbours.missing(peer, now)
        else:
            self._prober.close(peer)
            self._neighbours.failed(peer, now)

    def visit(self, peer: PeerId, now: float, addresses: tuple[str, ...] = ()) -> None:
        """Connect to a member that is no neighbour, for a few pings or one question. `addresses`: of one whose profile
        we lack."""
        if not self._reputations.is_banned(peer, now):
            self._visiting.add(peer)
            self._dial(peer, addresses)

    def unreached(self, peer: PeerId, now: float) -> None:
        """A dial came to nothing."""
        self._visiting.discard(peer)
        self._neighbours.failed(peer, now)

    def dial(self, peer: PeerId, now: float) -> None:
        """Try to link with a peer: connect, or turn the visit that goes on into a link."""
        link = self._prober.links.get(peer)
        self._visiting.discard(peer)
        if self._reputations.is_banned(peer, now):
            self._neighbours.failed(peer, now)
            return
        if link is not None and link.visit and link.connected and not self._admission.asks_secret:
            self._greet(peer, now, reply=False)
            return
        if link is not None and link.is_up and link.connected:
            self._neighbours.linked(peer)
            return
        self._dial(peer, afresh=link is not None and link.lost)

    def _dial(self, peer: PeerId, told: tuple[str, ...] = (), *, afresh: bool = False) -> None:
        profile = self._ledger.profile(peer)
        told = told or self._neighbours.bridges.get(peer) or self._neighbours.bootstrap.get(peer, ())
        addresses = profile.reached_at if profile else told
        self._out.add(Dial(peer, addresses, afresh))

    def greeted(self, peer: PeerId, hello: Hello, now: float) -> None:
        """The peer said hello: the link is up, if it may be. Raises `RemoteError` if not."""
        self.admit(peer, hello, now)
        link = self._prober.links[peer]
        link.certificate, link.zone = hello.certificate, hello.zone
        link.wire = common_wire(hello, self._admission.wire)
        is_news = not link.greeted or link.visit
        link.visit = is_news and hello.visit and peer not in self._neighbours.wanted
        # A guest pings: our first ping could overtake the answer on which it waits.
        link.pings = peer in self._visiting if link.visit else self._record_store.me < peer
        if not hello.reply:
            self._greet(peer, now, reply=True, visit=link.visit, nonce=hello.nonce)
        self._prober.greeted(link, hello.clock_ms, now)
        self.heard(peer, now)
        if link.visit:
            return
        self._neighbours.linked(peer)
        self._scopes.opened(peer)
        self._own_zone.met(link.zone)
        if is_news:
            self.changed(peer, True, "connected", now)
        self._scopes.compare(peer, now)

    def admit(self, peer: PeerId, question: Hello | Neighbors, now: float) -> None:
        """The peer may be answered; if not, it is told why, hung up on, and `RemoteError` is raised."""
        nonces = self._prober.links[peer].nonces
        try:
            proved = self._admission.admit(question, peer, nonces, self._record_store.wall_ms(now))
        except RemoteError as error:
            if error.reason == "certificate-expired" and question.certificate is not None:
                self._admission.lapsed.note(question.certificate, self._record_store.wall_ms(now))
            self.refuse(peer, error.reason, now)
            raise
        if proved:
            nonces.remove(proved)

    def ban(self, peer: PeerId, now: float) -> None:
        """Hang up on a peer that misbehaved."""
        self._neighbours.failed(peer, now)
        if peer in self._neighbours.rings:
            self._neighbours.shunned.add(peer)
        if peer in self._prober.links:
            self.hang_up(peer, "banned", now)

    def renew(self, now: float) -> None:
        """Our certificate is another one: show it to all neighbours."""
        for peer in self._prober.up():
            if self._admission.asks_secret:
                self._dial(peer)  # a proof needs a connection of its own
            else:
                self._greet(peer, now, reply=False)

    def heard(self, peer: PeerId, now: float) -> None:
        """Anything came from a greeted peer; if it was lost, it is back."""
        if not self._prober.heard(self._prober.links[peer], now):
            return
        self._reporter.link_regained(now)
        self._scopes.opened(peer)
        self._neighbours.linked(peer)
        self.changed(peer, True, "heard again", now)
        self._observe(now)
        self._scopes.compare(peer, now)

    def moved(self, peer: PeerId, zone: str, now: float) -> None:
        """A neighbour belongs to another zone now."""
        link = self._prober.links[peer]
        if link.visit:
            return
        link.zone = zone
        self._scopes.opened(peer)
        self._own_zone.met(zone)
        self._scopes.compare(peer, now)

    def move(self, zone: str) -> None:
        """We do."""
        for peer in self._prober.up():
            self._out.send(peer, Moved(zone))
            self._scopes.opened(peer)

    def attend(self, place: Coordinate | None, now: float) -> None:
        """Send the pings that are due, and notice who has fallen silent. `place`: our coordinate."""
        clock_ms, ahead_ms = self._record_store.clock_ms(now), self._record_store.ahead_ms(now)
        pings, lost = self._prober.due(now, clock_ms, ahead_ms, place)
        for peer, ping in pings:
            if self._prober.links[peer].connected:
                self._out.send(peer, ping)
        for link in lost:
            self._scopes.silent(link.peer)
            self.changed(link.peer, False, f"silent for {link.quiet_s(now):.1f} s", now)
            self._neighbours.missing(link.peer, now)
        if lost:
            self._observe(now)

    def refuse(self, peer: PeerId, reason: str, now: float) -> None:
        """Turn away who may not be answered."""
        self._neighbours.failed(peer, now)
        self.hang_up(peer, reason, now)

    def hang_up(self, peer: PeerId, reason: str, now: float) -> None:
        """Close a link on purpose, and say so."""
        self._out.send(peer, Bye(reason))
        self._out.add(Hangup(peer, reason))
        self.unlink(peer, reason, now)

    def unlink(self, peer: PeerId, reason: str, now: float) -> None:
        """The link is no more, and that is no failure."""
        link = self._prober.close(peer)
        self._visiting.discard(peer)
        self._scopes.closed(peer)
        if link is not None and link.lost:
            self._observe(now)
        elif link is not None and link.greeted and not link.visit:
            self.changed(peer, False, reason, now)

    def changed(self, peer: PeerId, up: bool, reason: str, now: float) -> None:
        """Tell that a link came up or was lost."""
        self._out.add(LinkChanged(peer, up, reason))
        self._reporter.links_changed(now)

    def review(self, linger_s: float, now: float) -> None:
        """Close what never greeted, never told who it is, or is nobody's neighbour."""
        links = self._prober.links
        hello_s = HELLO_TIMEOUT_S * self._prober.patience(now)
        # Whom everybody joins through makes room soon: a joiner needs one sync, and then its own neighbours.
        idle_s = linger_s if len(links) < CROWD else CROWD_LINGER_S
        for peer in sorted(links):
            link = links[peer]
            age_s = now - link.opened_at
            outlawed = self._outlawed(peer, link, now)
            if link.is_up and peer in self._neighbours.wanted:
                self._eviction.met(peer)
            if not link.greeted and age_s > hello_s:
                self._prober.close(peer)
                self._neighbours.failed(peer, now)
                self._out.add(Hangup(peer, "no hello"))
            elif outlawed is not None:
                self.hang_up(peer, outlawed, now)
            elif link.lost and peer not in self._ledger and link.quiet_s(now) > linger_s:
                self.unlink(peer, "never told who it is", now)
            elif link.visit and age_s > (VISIT_S if peer in self._visiting else linger_s):
                self.hang_up(peer, "the visit is over", now)
            elif link.is_up and age_s > idle_s and self._is_idle(link, now):
                self.hang_up(peer, "not a neighbour", now)

    def _is_idle(self, link: Link, now: float) -> bool:
        """Nobody's neighbour; or of another zone, and neither end has reason to cross the border."""
        wanted, rings, bridges = self._neighbours.wanted, self._neighbours.rings, self._neighbours.bridges
        if link.zone == self._own_zone.zone or not self._own_zone.is_settled(now):
            return link.peer not in wanted and link.peer in rings
        return not bridges

    def _outlawed(self, peer: PeerId, link: Link, now: float) -> str | None:
        """Why a peer that was admitted would not be any more: its certificate expired, or was revoked."""
        if not link.greeted:
            return None
        try:
            self._admission.check(peer, link.certificate, self._record_store.wall_ms(now), is_known=True)
        except RemoteError as error:
            return error.reason
        return None

    def _make_room(self, peer: PeerId, now: float) -> None:
        """Whoever says nothing gives way to a new connection; to a neighbour on our rings also whoever is none.

        The oldest goes first: an honest peer says hello within a round trip. Raises `RemoteError` ("too-many-links").
        """
        links, wanted = self._prober.links, self._neighbours.wanted
        if len(links) < CONNECTIONS_MAX:
            return
        idle = [link for link in links.values() if not link.greeted]
        if not idle and peer in wanted:
            idle = [link for link in links.values() if link.peer not in wanted and not link.lost]
        if not idle:
            self._out.add(Hangup(peer, "too many links"))
            raise RemoteError("too-many-links", f"{len(links)} links stand")
        oldest = min(idle, key=lambda link: (link.opened_at, link.peer)).peer
        self._neighbours.failed(oldest, now)
        self.hang_up(oldest, "too many links", now)

    def _greet(self, peer: PeerId, now: float, *, reply: bool, visit: bool = False, nonce: bytes = b"") -> None:
        """Say hello. `nonce`: what the peer gave us to prove the secret over."""
        ours = b"" if reply else self._admission.nonce()
        if ours:
            self._prober.links[peer].nonces.append(ours)
        hello = Hello(
            *self._admission.wire,
            self._admission.config.name,
            self._admission.prove(peer, nonce),
            self._record_store.clock_ms(now),
            reply,
            visit,
            ours,
            self._admission.certificate,
            self._own_zone.zone,
        )
        self._out.send(peer, hello)
