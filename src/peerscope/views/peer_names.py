"""Peers by any name that we print, or that their nodes have among themselves.

A peer is found by its whole id, and by its first 16 digits (as in links). Its first 10 (as in tables) find it if no
other peer has them. It is also found by the id of the node beside it in that node's own network. A node's id is a
claim. It never takes the name of a peer, and one that several peers claim means none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from peerscope.records.bodies import Profile
from peerscope.records.identity import PEER_REF_BYTES, SHORT_HEX, PeerId

Miss = Literal["unknown", "ambiguous"]
LENGTHS = (2 * PEER_REF_BYTES, SHORT_HEX)


class PeerNames:
    """An index of the names of peers."""

    def __init__(self, profiles: Mapping[PeerId, Profile], me: PeerId | None = None) -> None:
        """`me`: names of nodes in the layer of our own node come before those in other layers."""
        own = profiles.get(me) if me is not None else None
        layer = own.node if own is not None else None
        self._ids: dict[str, PeerId | None] = {peer.hex(): peer for peer in profiles}
        """None for a short form that several peers share."""
        for length in LENGTHS:
            for peer in profiles:
                name = peer.hex()[:length]
                self._ids[name] = None if name in self._ids else peer
        self._near: dict[str, PeerId | None] = {}
        self._far: dict[str, PeerId | None] = {}
        for peer, profile in profiles.items():
            if profile.node_id:
                named = self._near if profile.node == layer else self._far
                named[profile.node_id] = None if profile.node_id in named else peer

    def find(self, name: str) -> PeerId | Miss:
        """The peer, or why there is none."""
        for names, key in ((self._ids, name.lower()), (self._near, name), (self._far, name)):
            if key in names:
                return names[key] or "ambiguous"
        return "unknown"
