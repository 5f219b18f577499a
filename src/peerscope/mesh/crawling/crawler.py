"""Maps a peerscope network without joining it: a `Walk` whose questions are messages.

Like a `Peer` it takes events and the time, and returns effects, so the real network and the simulator drive the same
code. It dials with a key of its own, asks `Neighbors`, takes one `Vicinity`, and hangs up. It checks the signature of
every profile before it believes anything in it. That two peers are linked stays the claim of one of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from msgspec import Struct

from peerscope.errors import RemoteError
from peerscope.mesh import events
from peerscope.mesh.crawling.answers import TOO_OFTEN
from peerscope.mesh.crawling.traversal import Walk, WalkConfig
from peerscope.mesh.membership.admission import Admission, NetworkConfig
from peerscope.mesh.messages import Bye, Challenge, Neighbors, Vicinity, decode
from peerscope.records.bodies import Profile
from peerscope.records.certificates import Certificate
from peerscope.records.identity import PeerId
from peerscope.records.record import Inspector, Record, inspect


class CrawlSighting(Struct, frozen=True):
    """Facts from the profile of a found peer."""

    addresses: tuple[str, ...] = ()
    region: str | None = None
    agent: str | None = None
    """Version of its software."""
    version: int = 0
    """Version of the profile; a newer one replaces it."""
    keys: int | None = None
    """Keys that a DHT node stores, where the network says so."""


class CrawlerIdentity(Struct, frozen=True):
    """How a crawler introduces itself."""

    peer_id: PeerId
    """Id of a key made for this one walk, or of a member."""
    network: NetworkConfig
    certificate: Certificate | None = None
    """Shown where the network asks for one."""


class Crawler:
    """Walks over a network. Call `tick` at `deadline` or earlier, until `is_done`."""

    def __init__(
        self,
        identity: CrawlerIdentity,
        starts: Mapping[PeerId, tuple[str, ...]],
        config: WalkConfig,
        now: float,
        *,
        inspector: Inspector = inspect,
    ) -> None:
        """`starts`: peers of tickets, with their addresses."""
        self.walk = Walk(starts, config, now)
        self.sightings = {peer: CrawlSighting(addresses) for peer, addresses in starts.items()}
        self.forged = 0
        """Profiles without a valid signature of their origin."""
        self.left_out = 0
        """Neighbours that answers left out."""
        self._admission = Admission(identity.network, identity.peer_id, Random(0))
        self._admission.certificate = identity.certificate
        self._inspect = inspector
        self._connected: set[PeerId] = set()
        self._out = events.Outbox()

    def handle(self, event: events.Event, now: float) -> list[events.Effect]:
        match event:
            case events.Connected(peer, dialled):
                self._connected.add(peer)
                if dialled and not self._admission.asks_secret:
                    self._ask(peer)
            case events.DialFailed(peer, reason):
                self.walk.failed(peer, f"no connection: {reason}", now)
            case events.Disconnected(peer, _):
                self._connected.discard(peer)
                self.walk.failed(peer, "hung up without an answer", now)
            case events.Received(peer, data):
                if self.walk.is_asking(peer):
                    self._received(peer, data, now)
            case _:
                pass  # for members only
        return self.tick(now)

    def tick(self, now: float) -> list[events.Effect]:
        """Ask the next peers, and hang up on those that have answered."""
        for peer in self.walk.next(now):
            self._out.add(events.Dial(peer, self.sightings[peer].addresses))
        done = sorted(peer for peer in self._connected if not self.walk.is_asking(peer))
        for peer in done:
            self._connected.remove(peer)
            self._out.add(events.Hangup(peer, "thanks"))
        return self._out.take()

    def deadline(self) -> float:
        return self.walk.deadline()

    def is_done(self, now: float) -> bool:
        return self.walk.is_done(now)

    def _ask(self, peer: PeerId, nonce: bytes = b"") -> None:
        if self.walk.is_asking(peer):
            name, proof = self._admission.config.name, self._admission.prove(peer, nonce)
            self._out.send(peer, Neighbors(*self._admission.wire, name, proof, self._admission.certificate))

    def _received(self, peer: PeerId, data: bytes, now: float) -> None:
        try:
            message = decode(data)
            if isinstance(message, Challenge) and self._admission.asks_secret:
                self._ask(peer, message.nonce)
            elif isinstance(message, Vicinity):
                names = self._introduced(peer, message)
                self.walk.answered(peer, names, now)
                self._forget_unknown(names)
            elif isinstance(message, Bye) and message.reason == TOO_OFTEN:
                self.walk.busy(peer, now)
            elif isinstance(message, Bye):
                self.walk.failed(peer, f"refused: {message.reason}", now)
        except RemoteError as error:
            self.walk.failed(peer, f"bad answer: {error.reason}", now)

    def _introduced(self, peer: PeerId, vicinity: Vicinity) -> list[PeerId]:
        """Ids of the neighbours with valid profiles. Raises `RemoteError` if the peer's own is invalid."""
        if vicinity.profile.peer_id != peer:
            raise RemoteError("not-its-own", "the profile is somebody else's")
        self._see(vicinity.profile)
        self.left_out += vicinity.more
        names: list[PeerId] = []
        for record in vicinity.neighbours:
            try:
                self._see(record)
            except RemoteError:
                self.forged += 1
            else:
                names.append(record.peer_id)
        return names

    def _see(self, record: Record) -> None:
        """Keep a profile, if it is newer. Raises `RemoteError` if its origin did not sign it."""
        known = self.sightings.get(record.peer_id)
        if known is not None and record.version <= known.version:
            return  # not newer: nothing to check
        record, body = self._inspect(record)
        if not isinstance(body, Profile):
            raise RemoteError("malformed-record", "no profile")
        self.sightings[record.peer_id] = CrawlSighting(body.reached_at, body.region, body.version, record.version)

    def _forget_unknown(self, names: list[PeerId]) -> None:
        """Drop names beyond the limits of the walk."""
        for name in names:
            if name not in self.walk:
                self.sightings.pop(name, None)
