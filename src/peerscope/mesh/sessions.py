"""From a connection to a link that is up, and back: greeting, admission, and what each change sets in motion."""

from __future__ import annotations

from collections.abc import Callable

from peerscope.errors import RemoteError
from peerscope.mesh.admission import NetworkConfig, admit, prove
from peerscope.mesh.events import Dial, Hangup, LinkChanged, Outbox
from peerscope.mesh.gossip import Gossip
from peerscope.mesh.messages import WIRE_VERSION, Bye, Hello
from peerscope.mesh.neighbourhood import Neighbourhood
from peerscope.mesh.register import Register
from peerscope.mesh.reporter import Reporter
from peerscope.mesh.sync import Sync
from peerscope.mesh.watch import Watch
from peerscope.records.bodies import LINKS_MAX
from peerscope.records.identity import PeerId
from peerscope.records.ledger import Ledger

CONNECTIONS_MAX = 4 * LINKS_MAX
HELLO_TIMEOUT_S = 5.0
VISIT_S = 4.0
"""A guest leaves after this time: four or five pings."""
CROWD = LINKS_MAX
CROWD_LINGER_S = 3.0


class Sessions:
    """Connections of one peer, who has greeted on them, and who has no business here any more."""

    def __init__(
        self,
        network: NetworkConfig,
        ledger: Ledger,
        register: Register,
        neighbourhood: Neighbourhood,
        watch: Watch,
        gossip: Gossip,
        sync: Sync,
        reporter: Reporter,
        out: Outbox,
        observe: Callable[[float], None],
    ) -> None:
        """`observe`: called with the time whenever somebody we missed is missed no more."""
        self._network = network
        self._ledger = ledger
        self._register = register
        self._neighbourhood = neighbourhood
        self._watch = watch
        self._gossip = gossip
        self._sync = sync
        self._reporter = reporter
        self._out = out
        self._observe = observe
        self._visiting: set[PeerId] = set()
        """Peers whose guests we are, or dial to be."""

    def connected(self, peer: PeerId, dialled: bool, now: float) -> None:
        """A new connection; the end that dialled speaks first. Raises `RemoteError` when there are too many."""
        if peer not in self._watch.links and len(self._watch.links) >= CONNECTIONS_MAX:
            self._out.add(Hangup(peer, "too many links"))
            raise RemoteError("too-many-links", f"{len(self._watch.links)} links stand")
        self._watch.open(peer, now)
        self._sync.closed(peer)  # it may be another life of the same peer
        if dialled:
            self._greet(peer, now, reply=False, visit=peer in self._visiting)

    def disconnected(self, peer: PeerId, now: float) -> None:
        """The last connection is gone: the watch says when the silence counts; try to reach it meanwhile."""
        link = self._watch.links.get(peer)
        if link is None:
            return
        link.connected = False
        self._visiting.discard(peer)
        if link.greeted and not link.visit:
            self._neighbourhood.missing(peer, now)
        else:
            self._watch.close(peer)
            self._neighbourhood.failed(peer, now)

    def visit(self, peer: PeerId) -> None:
        """Connect to a member that is no neighbour, for a few pings."""
        self._visiting.add(peer)
        self._dial(peer)

    def unreached(self, peer: PeerId, now: float) -> None:
        """A dial came to nothing."""
        self._visiting.discard(peer)
        self._neighbourhood.failed(peer, now)

    def dial(self, peer: PeerId, now: float) -> None:
        """Try to link with a peer: connect, or turn the visit that goes on into a link."""
        link = self._watch.links.get(peer)
        self._visiting.discard(peer)
        if link is not None and link.visit and link.connected:
            self._greet(peer, now, reply=False)
            return
        if link is not None and link.is_up and link.connected:
            self._neighbourhood.linked(peer)
            return
        self._dial(peer)

    def _dial(self, peer: PeerId) -> None:
        profile = self._ledger.profile(peer)
        addresses = profile.addresses if profile else self._neighbourhood.bootstrap.get(peer, ())
        self._out.add(Dial(peer, addresses))

    def greeted(self, peer: PeerId, hello: Hello, now: float) -> None:
        """The peer said hello: the link is up, if it may be. Raises `RemoteError` if not."""
        link = self._watch.links[peer]
        try:
            admit(hello, peer, self._register.me, self._network)
        except RemoteError as error:
            self.refuse(peer, error.reason, now)
            raise
        is_news = not link.greeted or link.visit
        link.visit = is_news and hello.visit and peer not in self._neighbourhood.wanted
        # A guest pings: our first ping could overtake the answer on which it waits.
        link.pings = peer in self._visiting if link.visit else self._register.me < peer
        if not hello.reply:
            self._greet(peer, now, reply=True, visit=link.visit)
        self._watch.greeted(link, hello.clock_ms, now)
        self.heard(peer, now)
        if link.visit:
            return
        self._neighbourhood.linked(peer)
        self._gossip.opened(peer)
        if is_news:
            self.changed(peer, True, "connected", now)
        if self._register.me < peer:
            self._sync.start(peer, now)

    def heard(self, peer: PeerId, now: float) -> None:
        """Anything came from a greeted peer; if it was lost, it is back."""
        if not self._watch.heard(self._watch.links[peer], now):
            return
        self._reporter.link_regained(now)
        self._gossip.opened(peer)
        self._neighbourhood.linked(peer)
        self.changed(peer, True, "heard again", now)
        self._observe(now)
        if self._register.me < peer:
            self._sync.start(peer, now)

    def refuse(self, peer: PeerId, reason: str, now: float) -> None:
        """Turn away who may not be answered."""
        self._neighbourhood.failed(peer, now)
        self.hang_up(peer, reason, now)

    def hang_up(self, peer: PeerId, reason: str, now: float) -> None:
        """Close a link on purpose, and say so."""
        self._out.send(peer, Bye(reason))
        self._out.add(Hangup(peer, reason))
        self.unlink(peer, reason, now)

    def unlink(self, peer: PeerId, reason: str, now: float) -> None:
        """The link is no more, and that is no failure."""
        link = self._watch.close(peer)
        self._visiting.discard(peer)
        self._gossip.closed(peer)
        self._sync.closed(peer)
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
        wanted, rings, links = self._neighbourhood.wanted, self._neighbourhood.rings, self._watch.links
        # Whom everybody joins through makes room soon: a joiner needs one sync, and then its own neighbours.
        idle_s = linger_s if len(links) < CROWD else CROWD_LINGER_S
        for peer in sorted(links):
            link = links[peer]
            age_s = now - link.opened_at
            if not link.greeted and age_s > HELLO_TIMEOUT_S:
                self._watch.close(peer)
                self._neighbourhood.failed(peer, now)
                self._out.add(Hangup(peer, "no hello"))
            elif link.lost and peer not in self._ledger and link.quiet_s(now) > linger_s:
                self.unlink(peer, "never told who it is", now)
            elif link.visit and age_s > (VISIT_S if peer in self._visiting else linger_s):
                self.hang_up(peer, "the visit is over", now)
            elif link.is_up and peer not in wanted and peer in rings and age_s > idle_s:
                self.hang_up(peer, "not a neighbour", now)

    def _greet(self, peer: PeerId, now: float, *, reply: bool, visit: bool = False) -> None:
        proof, clock_ms = prove(self._network, self._register.me, peer), self._register.clock_ms(now)
        self._out.send(peer, Hello(WIRE_VERSION, WIRE_VERSION, self._network.name, proof, clock_ms, reply, visit))
