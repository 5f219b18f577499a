"""The two scopes of dissemination: records of a zone within it, and records for all zones in the whole network.

Each scope has a ledger, its gossip and its anti-entropy. The near scope exchanges with neighbours of our own zone, the
far one with all. The kind of a record decides its scope.

**Hop timing.** Each sender stamps a push with its own wall clock. Each receiver knows from pings how far that clock is
ahead of its own. The difference is the duration of the hop, with queues and retransmissions. The offset comes from
halved round trips, as in NTP (RFC 5905, section 8). So a hop is off by half of the difference of its two directions,
and one direction gains what the other loses. The durations travel along, so the last receiver knows every hop.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import TypeVar

from peerscope.errors import RemoteError
from peerscope.mesh.dissemination.anti_entropy import Sync, SyncConfig
from peerscope.mesh.dissemination.batches import LOAD_BYTES_MAX, size_of
from peerscope.mesh.dissemination.gossip import Gossip, GossipConfig
from peerscope.mesh.events import Delivered
from peerscope.mesh.internal_events import OriginBack, OwnPublished, RecordToForward
from peerscope.mesh.messages import PATH_MAX, Digest, Inventory, Key, Load, Push, Topic
from peerscope.mesh.peer_state import PeerState
from peerscope.records.bodies import WORLD, Report
from peerscope.records.identity import PeerId, PeerRef, ref
from peerscope.records.ledger import Entry, Ledger

ANSWER_S = 10.0
"""An older answer to accusations is not pushed."""
HOP_US_MAX = 600_000_000
"""A longer hop means that a clock was set."""
T = TypeVar("T", Key, Topic)


class Scope:
    """One ledger, with its gossip and its anti-entropy."""

    def __init__(self, gossip: Gossip, sync: Sync, ledger: Ledger) -> None:
        self.gossip = gossip
        self.sync = sync
        self.ledger = ledger

    def closed(self, neighbour: PeerId) -> None:
        self.gossip.closed(neighbour)
        self.sync.closed(neighbour)

    def listed(self, neighbour: PeerId, inventory: Inventory, now: float) -> None:
        """A neighbour sent its inventory: give the records that it lacks, and pull those that we lack."""
        found = self.sync.listed(neighbour, inventory)
        self.gossip.give(neighbour, found.give, now)
        self.gossip.demand(neighbour, found.disputed)
        self.gossip.announced(neighbour, found.announced, now)


class Scopes:
    """Both scopes, and the kinds of records that each neighbour may exchange."""

    def __init__(self, state: PeerState, gossip: GossipConfig, sync: SyncConfig, rng: Random, now: float) -> None:
        self._state = state
        self.near, self.far = (
            Scope(Gossip(state.me, ledger, gossip, rng, state.out), Sync(state, sync, ledger, rng, now), ledger)
            for ledger in (state.ledger, state.global_ledger)
        )

    def of(self, kind: int) -> Scope:
        """The scope of records of this kind."""
        return self.far if kind in WORLD else self.near

    def opened(self, neighbour: PeerId) -> None:
        """A link is up, or its other end moved to another zone."""
        self.far.gossip.opened(neighbour)
        if self._state.is_near(neighbour):
            self.near.gossip.opened(neighbour)
        else:
            self.near.closed(neighbour)

    def zone_entered(self) -> None:
        """We moved to another zone: other neighbours are near now."""
        for neighbour in self._state.links.up():
            self.opened(neighbour)

    def closed(self, neighbour: PeerId) -> None:
        self.near.closed(neighbour)
        self.far.closed(neighbour)

    def forget(self, neighbour: PeerId) -> None:
        """The connection is new, perhaps to another process: earlier comparisons do not count."""
        self.near.sync.closed(neighbour)
        self.far.sync.closed(neighbour)

    def forget_origin(self, peer: PeerId) -> None:
        """No record of this peer for its zone is kept any more."""
        self.near.gossip.forget(peer)

    def silent(self, neighbour: PeerId) -> None:
        """A link is lost: drop its batches."""
        self.near.gossip.closed(neighbour)
        self.far.gossip.closed(neighbour)

    def compare(self, neighbour: PeerId, now: float) -> None:
        """A link is up: compare the ledgers."""
        if self._state.me < neighbour and self._state.is_near(neighbour):
            self.near.sync.start(neighbour, now)
        if len(self.far.ledger):  # mostly empty in a network of one zone
            self.far.sync.start(neighbour, now)

    def arrived(self, entry: Entry) -> None:
        self.of(entry.record.kind).gossip.arrived(entry)

    def demand(self, event: OriginBack) -> None:
        """Ask a neighbour for earlier records of a buried origin that came back."""
        self.of(event.kind).gossip.demand(event.source, event.topics)

    def published(self, event: OwnPublished, now: float) -> None:
        """Spread a record of our own: push it if it is urgent, else announce it."""
        gossip = self.of(event.entry.record.kind).gossip
        if event.hops is None:
            gossip.spread(event.entry, now)
        else:
            gossip.push(event.entry, now, hops=event.hops, sent_us=self._state.clock.wall_us(now))

    def forward(self, event: RecordToForward, now: float) -> None:
        """Pass a record of another peer on: push it if it was pushed to us, else announce it.

        An answer to accusations is always pushed: earlier receivers may have kept it back.
        """
        entry, push, source = event.entry, event.push, event.source
        gossip = self.of(entry.record.kind).gossip
        if push is not None and source is not None:
            sent_us = self._state.clock.wall_us(now)
            hops_us = with_last_hop(push, sent_us, self._state.links.ahead_s(source))
            path = whole_path(push, source, self._state.me)
            if path:
                self._state.out.add(Delivered(path, hops_us))
            hops, came_by = push.ttl - 1, push.path
            gossip.push(entry, now, hops=hops, path=came_by, source=source, hops_us=hops_us, sent_us=sent_us)
        elif isinstance(entry.body, Report) and entry.body.answers and now - entry.heard_at < ANSWER_S:
            gossip.push(entry, now, hops=1, source=source)
        else:
            gossip.spread(entry, now, source=source)

    def load(self, neighbour: PeerId, now: float) -> Load | None:
        """News of both scopes that travel with a ping or a pong, those for all zones last."""
        near = self.near.gossip.load(neighbour, now, LOAD_BYTES_MAX)
        far = self.far.gossip.load(neighbour, now, LOAD_BYTES_MAX - size_of(near))
        if near is None or far is None:
            return near or far
        return Load(near.keys + far.keys, near.records + far.records, near.spare + far.spare)

    def carried(self, neighbour: PeerId, load: Load | None, now: float) -> None:
        """News came with a ping or a pong; its records are taken in elsewhere. Raises `RemoteError` as `announced`."""
        if load is None:
            return
        keys, spare = self._parted(neighbour, load.keys), self._parted(neighbour, load.spare)
        for index, scope in enumerate((self.near, self.far)):
            mine = tuple(item for item in load.records if (item.record.kind in WORLD) == (scope is self.far))
            if keys[index] or spare[index] or mine:
                scope.gossip.carried(neighbour, Load(tuple(keys[index]), mine, tuple(spare[index])), now)

    def load_arrived(self, neighbour: PeerId) -> None:
        """A neighbour shows that our last load came."""
        self.near.gossip.load_arrived(neighbour)
        self.far.gossip.load_arrived(neighbour)

    def announced(self, neighbour: PeerId, keys: Iterable[Key], now: float) -> None:
        """A neighbour holds these. Raises `RemoteError` ("other-zone") for records of its own zone."""
        near, far = self._parted(neighbour, keys)
        if far:
            self.far.gossip.announced(neighbour, far, now)
        if near:
            self.near.gossip.announced(neighbour, near, now)

    def pulled(self, neighbour: PeerId, topics: Iterable[Topic], now: float) -> None:
        """A neighbour pulls these. Raises `RemoteError` as `announced`."""
        near, far = self._parted(neighbour, topics)
        if far:
            self.far.gossip.pulled(neighbour, far, now)
        if near:
            self.near.gossip.pulled(neighbour, near, now)

    def compared(self, neighbour: PeerId, digest: Digest, now: float) -> None:
        """A neighbour sent fingerprints. Raises `RemoteError` as `announced` and `Sync`."""
        self._scope(neighbour, digest.world).sync.compared(neighbour, digest, now)

    def listed(self, neighbour: PeerId, inventory: Inventory, now: float) -> None:
        """A neighbour sent an inventory. Raises `RemoteError` as `announced` and `Sync`."""
        self._scope(neighbour, inventory.world).listed(neighbour, inventory, now)

    def deadline(self) -> float:
        return min(
            self.near.gossip.deadline(), self.far.gossip.deadline(), self.near.sync.deadline(), self.far.sync.deadline()
        )

    def tick(self, now: float) -> None:
        """Send batches that are due; now and then compare with a neighbour."""
        self.near.gossip.tick(now)
        self.far.gossip.tick(now)
        if now >= self.near.sync.deadline():
            self.near.sync.tick(now, [one for one in self._state.links.up() if self._state.is_near(one)])
        if now >= self.far.sync.deadline():
            self.far.sync.tick(now, self._state.links.up() if len(self.far.ledger) else [])

    def _scope(self, neighbour: PeerId, world: bool) -> Scope:
        if world:
            return self.far
        if not self._state.is_near(neighbour):
            raise RemoteError("other-zone", "records of a zone stay in it")
        return self.near

    def _parted(self, neighbour: PeerId, named: Iterable[T]) -> tuple[list[T], list[T]]:
        near: list[T] = []
        far: list[T] = []
        for one in named:
            (far if one.kind in WORLD else near).append(one)
        if near and not self._state.is_near(neighbour):
            if not far:
                raise RemoteError("other-zone", "records of a zone stay in it")
            near = []
        return near, far


def hop_us(sent_us: int | None, received_us: int, ahead_s: float | None) -> int | None:
    """Microseconds from the sender's stamp to our own clock, 0 at least; None if unknown.

    `ahead_s`: how far the sender's clock is ahead of ours.
    """
    if sent_us is None or ahead_s is None:
        return None
    took_us = received_us - sent_us + round(ahead_s * 1e6)
    return max(0, took_us) if took_us <= HOP_US_MAX else None


def with_last_hop(push: Push, received_us: int, ahead_s: float | None) -> tuple[int | None, ...]:
    """Every hop of a push, the one to us included. Hops before a peer of an older version are unknown."""
    known = push.hops_us if len(push.hops_us) == len(push.path) - 1 else (None,) * (len(push.path) - 1)
    return (*known, hop_us(push.sent_us, received_us, ahead_s))


def whole_path(push: Push, source: PeerId, me: PeerId) -> tuple[PeerRef, ...]:
    """From the origin to us; empty if the path of the push is incomplete, or does not end with its sender."""
    path = push.path
    if not path or len(path) == PATH_MAX or path[0] != ref(push.record.peer_id) or path[-1] != ref(source):
        return ()
    return (*(PeerRef(one) for one in path), ref(me))
