"""Eviction of a peer when the ledger is full, or when one address prefix has too many members.

Keys cost nothing, so anybody can fill our ledger. Addresses cost more: the newest peer of the most crowded prefix goes
first, and a newcomer of that prefix is refused. Ring neighbours with which we were ever linked are never evicted, and
peers known for an hour only once they are silent. A crowd of strangers thus displaces itself. Other links prove
nothing, since any peer can have one.

Addresses are claims in profiles. A peer with many different claims defeats the prefixes, but not the hour.
"""

from __future__ import annotations

from itertools import islice

from peerscope.errors import RemoteError
from peerscope.mesh.detection.observers import prefix
from peerscope.mesh.membership.admission import NetworkConfig
from peerscope.records.bodies import Body, Profile
from peerscope.records.identity import PeerId
from peerscope.records.ledger import Entry, Ledger

LONG_KNOWN_S = 3_600.0
SILENT_S = 900.0
"""No record of the peer came for so long."""
LOOKED_AT_MAX = 64
"""Peers of a crowded prefix that are checked, the newest first."""


class Eviction:
    """The known peers by address prefix, the newest last."""

    def __init__(self, ledger: Ledger, me: PeerId, network: NetworkConfig) -> None:
        self._ledger = ledger
        self._me = me
        self._most = network.prefix_members_max if network.public else None
        self._members: dict[str, dict[PeerId, float]] = {}
        """By prefix, each peer with the time when it came."""
        self._place: dict[PeerId, str] = {}
        self._sizes: dict[int, dict[str, None]] = {}
        """Prefixes by their number of members, so that the most crowded one is found at once."""
        self._met: set[PeerId] = set()

    def met(self, peer: PeerId) -> None:
        """Note a linked ring neighbour."""
        if peer in self._place:
            self._met.add(peer)

    def stored(self, entry: Entry, now: float) -> None:
        """A new record: its origin may be new, or have another address."""
        peer = entry.record.peer_id
        place = _place(entry.body) if isinstance(entry.body, Profile) else self._place.get(peer, "")
        if self._place.get(peer) == place:
            return
        since = self._remove(peer)
        members = self._members.setdefault(place, {})
        self._resized(place, len(members), len(members) + 1)
        members[peer] = now if since is None else since
        self._place[peer] = place

    def forget(self, peer: PeerId) -> None:
        """The peer is not in the ledger."""
        self._remove(peer)
        self._met.discard(peer)

    def make_room(self, origin: PeerId, body: Body, now: float) -> PeerId | None:
        """The peer to evict for a newcomer; None while there is space.

        Raises `RemoteError` ("prefix-full", "ledger-full") if the newcomer is refused.
        """
        place = _place(body) if isinstance(body, Profile) else ""
        there = len(self._members.get(place, ()))
        if self._most is not None and place and there >= self._most:
            raise RemoteError("prefix-full", f"{there} members are behind {place}")
        if len(self._ledger) < self._ledger.config.origins_max:
            return None
        most = max(self._sizes, default=0)
        if isinstance(body, Profile) and there < most:
            crowd = self._members[next(iter(self._sizes[most]))]
            found = [peer for peer in islice(reversed(crowd), LOOKED_AT_MAX) if self._may_go(peer, now)]
            if found:
                return next((peer for peer in found if self._is_silent(peer, now)), found[0])
        raise RemoteError("ledger-full", f"{len(self._ledger)} peers are known")

    def _may_go(self, peer: PeerId, now: float) -> bool:
        if peer == self._me or peer in self._met:
            return False
        since = self._members[self._place[peer]][peer]
        return now - since < LONG_KNOWN_S or self._is_silent(peer, now)

    def _is_silent(self, peer: PeerId, now: float) -> bool:
        return all(now - entry.heard_at > SILENT_S for entry in self._ledger.entries(peer))

    def _remove(self, peer: PeerId) -> float | None:
        """The time since when we knew it; None if we did not."""
        place = self._place.pop(peer, None)
        if place is None:
            return None
        members = self._members[place]
        self._resized(place, len(members), len(members) - 1)
        since = members.pop(peer)
        if not members:
            del self._members[place]
        return since

    def _resized(self, place: str, before: int, after: int) -> None:
        if before:
            del self._sizes[before][place]
            if not self._sizes[before]:
                del self._sizes[before]
        if after:
            self._sizes.setdefault(after, {})[place] = None


def _place(profile: Profile) -> str:
    """The prefix of its first address; empty without one."""
    return (prefix(profile.addresses[0]) or "") if profile.addresses else ""
