"""What is kept the same everywhere: records of a zone within it, and what crosses borders in the whole network.

Two layers of one make: a ledger, its gossip and its sync. The zone's layer speaks with neighbours of our own zone, the
world's with all. A record belongs to one of them by its kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import TypeVar

from peerscope.errors import RemoteError
from peerscope.mesh.dissemination.anti_entropy import Sync, SyncConfig
from peerscope.mesh.dissemination.gossip import Gossip, GossipConfig
from peerscope.mesh.events import Outbox
from peerscope.mesh.messages import Digest, Inventory, Key, Topic
from peerscope.records.bodies import WORLD
from peerscope.records.identity import PeerId
from peerscope.records.ledger import Ledger

T = TypeVar("T", Key, Topic)


class Scope:
    """One ledger, and what keeps it equal to the neighbours'."""

    def __init__(
        self,
        me: PeerId,
        ledger: Ledger,
        gossip: GossipConfig,
        sync: SyncConfig,
        rng: Random,
        out: Outbox,
        now: float,
        *,
        world: bool,
    ) -> None:
        self.ledger = ledger
        self.gossip = Gossip(me, ledger, gossip, rng, out)
        self.sync = Sync(me, ledger, self.gossip, sync, rng, out, now, world=world)

    def opened(self, neighbour: PeerId) -> None:
        """A link is up."""
        self.gossip.opened(neighbour)

    def closed(self, neighbour: PeerId) -> None:
        """A link is gone."""
        self.gossip.closed(neighbour)
        self.sync.closed(neighbour)


class Scopes:
    """The zone's and the world's, and which neighbour may speak of what."""

    def __init__(self, me: PeerId, near: Scope, far: Scope, is_near: Callable[[PeerId], bool]) -> None:
        """`is_near`: whether a linked peer is of our zone."""
        self._me = me
        self.near = near
        self.far = far
        self._is_near = is_near

    def of(self, kind: int) -> Scope:
        """Where records of this kind are kept."""
        return self.far if kind in WORLD else self.near

    def opened(self, neighbour: PeerId) -> None:
        """A link is up, or its other end has moved to another zone."""
        self.far.opened(neighbour)
        if self._is_near(neighbour):
            self.near.opened(neighbour)
        else:
            self.near.closed(neighbour)

    def closed(self, neighbour: PeerId) -> None:
        """A link is gone."""
        self.near.closed(neighbour)
        self.far.closed(neighbour)

    def forget(self, neighbour: PeerId) -> None:
        """It may be another life of the same peer: what was compared with it says nothing any more."""
        self.near.sync.closed(neighbour)
        self.far.sync.closed(neighbour)

    def silent(self, neighbour: PeerId) -> None:
        """A link is lost: nothing waits for it."""
        self.near.gossip.closed(neighbour)
        self.far.gossip.closed(neighbour)

    def compare(self, neighbour: PeerId, now: float) -> None:
        """A link is up: begin to repair what one of us lacks."""
        if self._me < neighbour and self._is_near(neighbour):
            self.near.sync.start(neighbour, now)
        if len(self.far.ledger):  # mostly a network of one zone has nothing there; so whoever holds something begins
            self.far.sync.start(neighbour, now)

    def announced(self, neighbour: PeerId, keys: Iterable[Key], now: float) -> None:
        """A neighbour holds these. Raises `RemoteError` ("other-zone") for what is none of our business."""
        near, far = self._parted(neighbour, keys)
        if far:
            self.far.gossip.announced(neighbour, far, now)
        if near:
            self.near.gossip.announced(neighbour, near, now)

    def pulled(self, neighbour: PeerId, topics: Iterable[Topic], now: float) -> None:
        """A neighbour wants these. Raises `RemoteError` as `announced`."""
        near, far = self._parted(neighbour, topics)
        if far:
            self.far.gossip.pulled(neighbour, far, now)
        if near:
            self.near.gossip.pulled(neighbour, near, now)

    def compared(self, neighbour: PeerId, digest: Digest, now: float) -> None:
        """A neighbour's fingerprints. Raises `RemoteError` as `announced`, and what `Sync` raises."""
        self._layer(neighbour, digest.world).sync.compared(neighbour, digest, now)

    def listed(self, neighbour: PeerId, inventory: Inventory, now: float) -> None:
        """What a neighbour holds. Raises `RemoteError` as `announced`, and what `Sync` raises."""
        self._layer(neighbour, inventory.world).sync.listed(neighbour, inventory, now)

    def check(self, neighbour: PeerId | None, kind: int) -> None:
        """Raises `RemoteError` ("other-zone") unless the neighbour may give us records of this kind."""
        if neighbour is not None and kind not in WORLD and not self._is_near(neighbour):
            raise RemoteError("other-zone", "records of a zone stay in it")

    def deadline(self) -> float:
        """When `tick` has something to do."""
        return min(
            self.near.gossip.deadline(), self.far.gossip.deadline(), self.near.sync.deadline(), self.far.sync.deadline()
        )

    def tick(self, now: float, neighbours: Callable[[], list[PeerId]]) -> None:
        """Send what has waited; compare now and then with somebody. `neighbours`: those whose links are up."""
        self.near.gossip.tick(now)
        self.far.gossip.tick(now)
        if now >= self.near.sync.deadline():
            self.near.sync.tick(now, [neighbour for neighbour in neighbours() if self._is_near(neighbour)])
        if now >= self.far.sync.deadline():
            self.far.sync.tick(now, neighbours() if len(self.far.ledger) else [])

    def _layer(self, neighbour: PeerId, world: bool) -> Scope:
        if world:
            return self.far
        if not self._is_near(neighbour):
            raise RemoteError("other-zone", "records of a zone stay in it")
        return self.near

    def _parted(self, neighbour: PeerId, named: Iterable[T]) -> tuple[list[T], list[T]]:
        near: list[T] = []
        far: list[T] = []
        for one in named:
            (far if one.kind in WORLD else near).append(one)
        if near and not self._is_near(neighbour):
            if not far:
                raise RemoteError("other-zone", "records of a zone stay in it")
            near = []
        return near, far
