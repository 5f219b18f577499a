"""The peers to be linked with, and the times to dial them.

The wanted neighbours are those on the rings of the living. Peers that are down leave the rings after a while, so that
the living link with each other. The ring neighbours of a dead peer keep dialling it with jittered back-off, as long as
they remember it. That alone heals a split network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf
from random import Random

from msgspec import Struct

from peerscope.errors import ConfigError
from peerscope.mesh.membership.rings import Rings
from peerscope.records.identity import PeerId


class NeighbourConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The number of neighbours, and the timing of dials."""

    rings: int = 4  # eight neighbours: an expander that stays whole with 30 % of the peers gone
    """Number of rings. Each costs two links per peer."""
    ring_hold_s: float = 30.0  # a guess: longer than a restart, shorter than an operator's patience
    """A peer that is down stays on the rings for so long."""
    dial_grace_s: float = 1.0
    """The peer with the greater id waits so long before it dials, since the other one should."""
    settle_s: float = 5.0
    """A new ring neighbour counts as expected after this time, or once linked."""
    backoff_first_s: float = 0.5
    backoff_max_s: float = 15.0  # so that two healed halves meet well within half a minute
    """Longest pause between two attempts to reach one peer."""
    linger_s: float = 15.0
    """A link that neither end wants is closed after this time."""

    def __post_init__(self) -> None:
        if not 1 <= self.rings <= 16:
            raise ConfigError(f"links.rings is {self.rings}; must lie between 1 and 16")
        if not 0 < self.backoff_first_s <= self.backoff_max_s:
            raise ConfigError("links.backoff_first_s must be above 0 and not above links.backoff_max_s")


class Attempt:
    """The dialling of one peer: its failures, and the time of the next try."""

    __slots__ = ("failures", "in_flight", "next_at", "since")

    def __init__(self, now: float, wait_s: float) -> None:
        self.since = now
        self.failures = 0
        self.in_flight = False
        self.next_at = now + wait_s


class Neighbours:
    """The rings of the living, the lost members, and the dialling."""

    def __init__(self, me: PeerId, config: NeighbourConfig, rng: Random) -> None:
        self._me = me
        self._config = config
        self._rng = rng
        self.rings = Rings(rings=config.rings, members=(me,))
        self.lost: set[PeerId] = set()
        """Members that are remembered, but not on the rings."""
        self.bootstrap: dict[PeerId, tuple[str, ...]] = {}
        """Bootstrap peers, while they are no members yet."""
        self.bridges: dict[PeerId, tuple[str, ...]] = {}
        """Peers of other zones with a bridge to us."""
        self.banned: set[PeerId] = set()
        """Ring neighbours without an expected link, since they are banned."""
        self.turned_away: dict[PeerId, str] = {}
        """Bootstrap peers that refused us, with the reason."""
        self._wanted: frozenset[PeerId] = frozenset()
        self._stale_since: float | None = None
        """Time of the first change of the rings since `_wanted` was computed."""
        self._attempts: dict[PeerId, Attempt] = {}
        self._wanted_since: dict[PeerId, float] = {}
        self._next_at = inf

    def place(self, peer: PeerId, *, alive: bool, now: float) -> None:
        """Put a member on the rings, or take it off and remember it."""
        changed = False
        if alive:
            self.lost.discard(peer)
            self.bootstrap.pop(peer, None)
            changed = self.rings.add(peer)
        elif peer != self._me:
            self.lost.add(peer)
            changed = self.rings.remove(peer)
            self.missing(peer, now)
        if changed:
            self._ring_changed(now)

    @property
    def wanted(self) -> frozenset[PeerId]:
        if self._stale_since is not None:
            now, self._stale_since = self._stale_since, None
            self._rearrange(now)
        return self._wanted

    def review(self, linked: set[PeerId], now: float) -> None:
        """Dial lost and wanted neighbours that no attempt covers: as the rings change, more of the lost are ours."""
        for peer in sorted((self.lost | self.wanted) - linked):
            self.missing(peer, now)

    def forget(self, peer: PeerId, now: float) -> None:
        """The peer is not a member any more."""
        self.lost.discard(peer)
        self.banned.discard(peer)
        if self.rings.remove(peer):
            self._ring_changed(now)
        elif peer not in self.bootstrap:
            self._attempts.pop(peer, None)

    def join(self, peer: PeerId, addresses: tuple[str, ...], now: float) -> None:
        """Dial a bootstrap peer."""
        if peer != self._me and peer not in self.rings:
            self.bootstrap[peer] = addresses
            self._try(peer, now, 0.0)

    def linked(self, peer: PeerId) -> None:
        """The peer is linked: stop dialling."""
        _ = self.wanted  # first note new neighbours
        self.banned.discard(peer)
        self.turned_away.pop(peer, None)
        self._attempts.pop(peer, None)

    def move(self, zone: str, members: Iterable[PeerId], now: float) -> None:
        """Use the rings of another zone, without lost members."""
        self.rings = Rings(zone, {self._me, *members}, self._config.rings)
        self.lost.clear()
        self._ring_changed(now)

    def bridge(self, wanted: Mapping[PeerId, tuple[str, ...]], now: float) -> None:
        """Keep bridges to these peers, and to no others."""
        self.bridges = dict(wanted)
        for peer in sorted(wanted):
            self._try(peer, now, 0.0 if self._me < peer else self._config.dial_grace_s)

    def refused(self, peer: PeerId, was_linked: bool, reason: str) -> None:
        """A peer closed the connection: a bootstrap peer without a link refuses us."""
        if not was_linked and peer in self.bootstrap:
            self.turned_away[peer] = reason

    def ban(self, peer: PeerId) -> None:
        """A neighbour is banned: expect no link with it."""
        self.banned.add(peer)

    def drop_bootstrap(self, peer: PeerId | None) -> None:
        """Drop a bootstrap peer, or all of them."""
        for one in [peer] if peer is not None else list(self.bootstrap):
            self.bootstrap.pop(one, None)
            if peer is not None:
                self.turned_away.pop(one, None)

    def missing(self, peer: PeerId, now: float, *, said_bye: bool = False) -> None:
        """The link of a neighbour is gone: dial it, if it is ours to dial. After a goodbye, dial later."""
        if self._is_ours(peer):
            self._try(peer, now, self._config.settle_s if said_bye else 0.0)

    def failed(self, peer: PeerId, now: float) -> None:
        """A dial failed: back off, with jitter so that peers do not dial in step."""
        is_ours = self._is_ours(peer)
        attempt = self._attempts.get(peer)
        if attempt is None:
            return
        attempt.in_flight = False
        if not is_ours:
            del self._attempts[peer]
            return
        attempt.failures += 1
        wait_s = self._config.backoff_first_s * 2.0 ** min(attempt.failures, 16)
        attempt.next_at = now + min(wait_s, self._config.backoff_max_s) * self._rng.uniform(0.5, 1.0)
        self._next_at = min(self._next_at, attempt.next_at)

    def deadline(self) -> float:
        return self._next_at

    def due(self, now: float) -> list[PeerId]:
        if now < self._next_at:
            return []
        _ = self.wanted
        ready: list[PeerId] = []
        for peer in sorted(self._attempts):
            attempt = self._attempts[peer]
            if not attempt.in_flight and attempt.next_at <= now:
                attempt.in_flight = True
                ready.append(peer)
        waiting = (a.next_at for a in self._attempts.values() if not a.in_flight)
        self._next_at = min(waiting, default=inf)
        return ready

    def expected(self, up: set[PeerId], now: float) -> set[PeerId]:
        """Ring neighbours that are linked, or had time for it."""
        settled = now - self._config.settle_s
        waited = {peer for peer in self.wanted if self._wanted_since.get(peer, now) <= settled}
        return waited - self.banned | (self.wanted & up)

    def unreached(self, now: float) -> set[PeerId]:
        """Bootstrap peers that had time to answer, and did not."""
        settled = now - self._config.settle_s
        return {p for p in self.bootstrap if p in self._attempts and self._attempts[p].since <= settled}

    def _ring_changed(self, now: float) -> None:
        if self._stale_since is None:
            self._stale_since = now
        self._next_at = min(self._next_at, now)

    def _rearrange(self, now: float) -> None:
        before, self._wanted = self._wanted, self.rings.neighbours(self._me)
        for peer in before - self._wanted:
            self._wanted_since.pop(peer, None)
        for peer in sorted(self._wanted - before):
            self._wanted_since[peer] = now
            self._try(peer, now, 0.0 if self._me < peer else self._config.dial_grace_s)
        for peer in [p for p in self._attempts if not self._is_ours(p)]:
            if not self._attempts[peer].in_flight:
                del self._attempts[peer]

    def _is_ours(self, peer: PeerId) -> bool:
        if peer in self.wanted or peer in self.bootstrap or peer in self.bridges:
            return True
        return peer in self.lost and self._me in self.rings.neighbours(peer)

    def _try(self, peer: PeerId, now: float, wait_s: float) -> None:
        if peer not in self._attempts:
            attempt = self._attempts[peer] = Attempt(now, wait_s)
            self._next_at = min(self._next_at, attempt.next_at)
