"""Which region each peer belongs to, and who says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from peerscope.records.identity import PeerId

if TYPE_CHECKING:
    from peerscope.views.moment import Moment


class Place(Struct, frozen=True):
    """The region of one peer."""

    region: str | None
    source: Literal["declared", "country", "latency"] | None
    """The operator; a table of address ranges; near to each other by latency, which is a guess."""


def places(moment: Moment) -> dict[PeerId, Place]:
    """The place of each of `moment.peers`."""
    return {peer: _told(moment, peer) for peer in moment.peers}


def _told(moment: Moment, peer: PeerId) -> Place:
    profile = moment.ledger.profile(peer)
    if profile is None or not profile.region:
        return Place(None, None)
    return Place(profile.region, profile.region_source)
